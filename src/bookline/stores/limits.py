"""Turns that all processes of a deployment share: who may ask again, and when.

Way:     caller_limits.py limits clients; net/pace.py spaces out questions to providers
Rule 1:  no wait is longer than it was meant to be: a row that was written later than now is of a
         clock that was set back since, and what was ahead then is ahead now.
Source:  GCRA, the "virtual scheduling" form of ITU-T I.371: one number a key, no windows to clear.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bookline.limits import Lease, Turn
from bookline.stores.database import Database, Row, Session

FORGET_SECONDS = 3_600.0  # a turn that is long over says nothing any more
FORGET_EVERY = 1_000  # calls between two clean-ups
_FIND = "SELECT free_at, set_at FROM turns WHERE key = :key"


class SqlLimits:
    """Fills the port Limits. ``clock`` gives epoch milliseconds; ``turns`` is the journal's."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock
        self._calls = 0

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        each = seconds / count
        now = self._clock() / 1000

        def work(session: Session) -> Turn:
            turn = _turn(session, key)
            ahead = turn.ahead(now)
            spare = seconds - each - ahead
            if spare < -1e-6:
                if turn.set_at > now:
                    self._set(session, key, now + ahead, now)
                return Turn(False, 0, -spare, ahead)
            self._set(session, key, now + ahead + each, now)
            return Turn(True, int(spare / each + 1e-6), 0.0, ahead + each)

        return await self._database.write(work, key, brief=True)

    async def spend(self, key: str, seconds: float) -> None:
        now = self._clock() / 1000

        def work(session: Session) -> None:
            ahead = max(0.0, _turn(session, key).ahead(now) + seconds)
            self._set(session, key, now + ahead, now)

        await self._database.write(work, key, brief=True)

    async def ahead(self, key: str) -> float:
        turn = await self._database.look_up(lambda session: _turn(session, key))
        return turn.ahead(self._clock() / 1000)

    async def reserve(self, key: str, count: int, seconds: float, turns: int = 1) -> Lease:
        each = seconds / count
        now = self._clock() / 1000

        def work(session: Session) -> Lease:
            ahead = _turn(session, key).ahead(now)
            until = now + ahead + each * turns
            self._set(session, key, until, now)
            first = ahead - (seconds - each)
            waits = [max(0.0, first + each * number) for number in range(turns)]
            return Lease(waits, each, until)

        return await self._database.write(work, key, brief=True)

    def give_back(self, key: str, lease: Lease, turns: int) -> None:
        values = {"key": key, "until": lease.until, "seconds": lease.each_seconds * turns}

        def work(session: Session) -> None:
            session.execute(
                """UPDATE turns SET free_at = free_at - :seconds
                   WHERE key = :key AND free_at = :until""",
                values,
            )

        self._database.write_soon(work, key)

    async def hold(self, key: str, seconds: float) -> None:
        now = self._clock() / 1000

        def work(session: Session) -> None:
            self._set(session, key, now + seconds, now)

        await self._database.write(work, key, brief=True)

    async def held(self, keys: Collection[str]) -> Mapping[str, float]:
        def work(session: Session) -> Sequence[Row]:
            return session.execute(
                "SELECT key, free_at, set_at FROM turns WHERE key IN :keys", {"keys": keys}
            )

        now = self._clock() / 1000
        return {row["key"]: _kept(row).left(now) for row in await self._database.look_up(work)}

    async def hold_anew(self, key: str, seconds: Callable[[float | None], float]) -> bool:
        now = self._clock() / 1000

        def work(session: Session) -> bool:
            rows = session.execute(_FIND, {"key": key})
            last = _kept(rows[0]) if rows else None
            if last is not None and last.left(now) > 0:
                return False
            length = None if last is None else last.free_at - last.set_at
            self._set(session, key, now + seconds(length), now)
            return True

        return await self._database.write(work, key, brief=True)

    async def free(self, key: str) -> None:
        def work(session: Session) -> None:
            session.execute("DELETE FROM turns WHERE key = :key", {"key": key})

        await self._database.write(work, key, brief=True)

    def _set(self, session: Session, key: str, free_at: float, now: float) -> None:
        session.execute(
            """INSERT INTO turns (key, free_at, set_at) VALUES (:key, :free_at, :set_at)
               ON CONFLICT (key) DO UPDATE SET free_at = excluded.free_at,
                                               set_at = excluded.set_at""",
            {"key": key, "free_at": free_at, "set_at": now},
        )
        self._calls += 1
        if self._calls % FORGET_EVERY == 0:
            over = {"before": now - FORGET_SECONDS}
            session.execute("DELETE FROM turns WHERE free_at < :before", over)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A key's row. Epoch seconds."""

    free_at: float = 0.0
    set_at: float = 0.0

    def ahead(self, now: float) -> float:
        """Seconds until it is free."""
        return max(0.0, self.free_at - max(now, self.set_at))

    def left(self, now: float) -> float:
        """The same of a hold: nothing where the clock was set back since."""
        return self.ahead(now) if self.set_at <= now else 0.0


def _kept(row: Row) -> _Kept:
    return _Kept(float(row["free_at"]), float(row["set_at"]))


def _turn(session: Session, key: str) -> _Kept:
    rows = session.execute(_FIND, {"key": key})
    return _kept(rows[0]) if rows else _Kept()
