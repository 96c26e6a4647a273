"""Turns that all processes of a deployment share: who may ask again, and when.

Way:     api/gate.py limits clients; net/pace.py spaces out questions to providers
Source:  GCRA, the "virtual scheduling" form of ITU-T I.371: one number a key, no windows to clear.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from bookline.stores.sqlite import Sqlite

FORGET_SECONDS = 3_600.0  # a turn that is long over says nothing any more
FORGET_EVERY = 1_000  # calls between two clean-ups


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether one more is allowed now."""

    is_allowed: bool
    remaining: int
    """How many more could follow at once."""
    wait_seconds: float
    """Until the next is allowed; 0 when this one is."""
    reset_seconds: float
    """Until the whole allowance is there again."""


class SqliteLimits:
    """``clock`` gives epoch milliseconds; the table ``turns`` is the journal's."""

    def __init__(self, file: Sqlite, clock: Callable[[], int]) -> None:
        self._file = file
        self._clock = clock
        self._calls = 0

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        """One of ``count`` in ``seconds``, all of which may come at once. Raises: StoreDown."""
        each = seconds / count
        now = self._clock() / 1000

        def work(db: sqlite3.Connection) -> Turn:
            free_at = max(_free_at(db, key), now)
            ahead = free_at - now
            spare = seconds - each - ahead
            if spare < -1e-6:
                return Turn(False, 0, -spare, ahead)
            self._set(db, key, free_at + each, now)
            return Turn(True, int(spare / each + 1e-6), 0.0, ahead + each)

        return await self._file.write(work)

    async def reserve(self, key: str, count: int, seconds: float) -> float:
        """Seconds to wait for the turn that is now ours: ``count`` at once, then evenly spaced."""
        each = seconds / count
        now = self._clock() / 1000

        def work(db: sqlite3.Connection) -> float:
            free_at = max(_free_at(db, key), now)
            self._set(db, key, free_at + each, now)
            return max(0.0, free_at - now - (seconds - each))

        return await self._file.write(work)

    def _set(self, db: sqlite3.Connection, key: str, free_at: float, now: float) -> None:
        db.execute("INSERT OR REPLACE INTO turns VALUES (?, ?)", (key, free_at))
        self._calls += 1
        if self._calls % FORGET_EVERY == 0:
            db.execute("DELETE FROM turns WHERE free_at < ?", (now - FORGET_SECONDS,))


def _free_at(db: sqlite3.Connection, key: str) -> float:
    row = db.execute("SELECT free_at FROM turns WHERE key = ?", (key,)).fetchone()
    return float(row["free_at"]) if row else 0.0
