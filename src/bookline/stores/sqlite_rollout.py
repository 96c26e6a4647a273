"""The rollout's changes in the journal's file: one row a change, the newest is in force.

Rule 1:  read at every decision, so that a change is seen by all processes at the next import.
"""

import json
import sqlite3
from collections.abc import Sequence

from bookline.ports import Revision
from bookline.stores.sqlite import Sqlite
from bookline.values import Json


class SqliteRollout:
    """Fills the port RolloutLog; the table ``rollout`` is the journal's."""

    def __init__(self, file: Sqlite) -> None:
        self._file = file

    async def newest(self) -> Revision | None:
        row = self._file.read_now(  # some 20 µs: less than handing it to the reader's thread
            lambda db: db.execute("SELECT * FROM rollout ORDER BY number DESC LIMIT 1").fetchone()
        )
        return None if row is None else _revision(row)

    async def append(self, revision: Revision) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            added = db.execute(
                "INSERT OR IGNORE INTO rollout VALUES (?, ?, ?, ?, ?)",
                (
                    revision.number, revision.at_ms, revision.actor, revision.reason,
                    json.dumps(revision.state),
                ),
            )  # fmt: skip
            return added.rowcount == 1

        return await self._file.write(work)

    async def history(self, limit: int) -> Sequence[Revision]:
        def work(db: sqlite3.Connection) -> Sequence[Revision]:
            rows = db.execute("SELECT * FROM rollout ORDER BY number DESC LIMIT ?", (limit,))
            return [_revision(row) for row in rows]

        return await self._file.read(work)


def _revision(row: sqlite3.Row) -> Revision:
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
