"""The port RolloutLog: what was changed in the rollout, by whom and why.

Way:      rollouts.py speaks to it; stores/rollout.py fills it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bookline.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change of the rollout. The newest is in force."""

    number: int
    at_ms: int
    actor: str
    reason: str
    state: Json | None
    """None when what is kept cannot be read."""


class RolloutLog(Protocol):
    """The rollout's changes: append-only, seen by all processes at once."""

    async def newest(self) -> Revision | None: ...

    async def append(self, revision: Revision) -> bool:
        """False, and nothing kept, when another change has taken its number. Raises: StoreDown."""
        ...

    async def history(self, limit: int) -> Sequence[Revision]:
        """Newest first."""
        ...
