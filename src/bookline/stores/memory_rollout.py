"""The rollout's changes in memory: for tests."""

import json
from collections.abc import Sequence
from dataclasses import replace

from bookline.ports import Revision


class MemoryRollout:
    """Fills the port RolloutLog."""

    def __init__(self) -> None:
        self._revisions: dict[int, Revision] = {}

    async def newest(self) -> Revision | None:
        return self._revisions[max(self._revisions)] if self._revisions else None

    async def append(self, revision: Revision) -> bool:
        if revision.number in self._revisions:
            return False
        state = json.loads(json.dumps(revision.state))  # as it would come back from disk
        self._revisions[revision.number] = replace(revision, state=state)
        return True

    async def history(self, limit: int) -> Sequence[Revision]:
        return [self._revisions[number] for number in sorted(self._revisions, reverse=True)][:limit]
