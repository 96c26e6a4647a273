"""The rollout's changes among the journal's tables: one row a change, the newest is in force.

Rule 1:  read at every decision, so that a change is seen by all processes at the next import.
"""

import json
from collections.abc import Sequence

from bookline.migration.rollout_log import Revision
from bookline.stores.database import Database, Row
from bookline.values import Json

_NEWEST = "SELECT * FROM rollout ORDER BY number DESC LIMIT :limit"
_APPEND = """
    INSERT INTO rollout (number, at_ms, actor, reason, state)
    VALUES (:number, :at_ms, :actor, :reason, :state)
    ON CONFLICT (number) DO NOTHING RETURNING number
"""


class SqlRollout:
    """Fills the port RolloutLog; the table ``rollout`` is the journal's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self) -> Revision | None:
        rows = await self._database.look_up(lambda session: session.execute(_NEWEST, {"limit": 1}))
        return _revision(rows[0]) if rows else None

    async def append(self, revision: Revision) -> bool:
        values = {
            "number": revision.number, "at_ms": revision.at_ms, "actor": revision.actor,
            "reason": revision.reason, "state": json.dumps(revision.state),
        }  # fmt: skip
        return bool(await self._database.write(lambda session: session.execute(_APPEND, values)))

    async def history(self, limit: int) -> Sequence[Revision]:
        values = {"limit": limit}
        rows = await self._database.read(lambda session: session.execute(_NEWEST, values))
        return [_revision(row) for row in rows]


def _revision(row: Row) -> Revision:
    state: Json | None
    try:
        state = json.loads(row["state"])
    except ValueError:
        state = None
    return Revision(
        number=row["number"],
        at_ms=row["at_ms"],
        actor=row["actor"],
        reason=row["reason"],
        state=state if isinstance(state, dict) else None,
    )
