"""Events in the journal's table: kept first, then told to those who hear.

Way:     stores/journal.py writes through here; progress/hub.py reads and hears
Rule 1:  hearers are told of an event after its commit, in the order of the commits.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from bookline.progress.events import Event
from bookline.progress.fanout import Fanout
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import read_event

T = TypeVar("T")
Told = list[Event]

OTHERS_MOST = 1_000  # events of other processes read at once
_READ = """SELECT job_id, seq, message, terminal FROM events
           WHERE job_id = :job_id AND seq > :after ORDER BY seq LIMIT :limit"""


class SqlEventLog:
    """Fills the port EventLog."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.fanout = Fanout()
        self._seen_version: object = None
        self._seen_id: int | None = None

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        values = {"job_id": job_id, "after": after, "limit": limit}
        return await self.database.read(
            lambda session: [read_event(row) for row in session.execute(_READ, values)]
        )

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        return self.fanout.subscribe(hear)

    async def others(self) -> Sequence[Event]:
        version = await self.database.version()
        if version == self._seen_version:  # no other connection has committed (4 µs to know)
            return ()

        def work(session: Session) -> tuple[int, Sequence[Event]]:
            if self._seen_id is None:
                [newest] = session.execute("SELECT coalesce(max(id), 0) AS id FROM events")
                return newest["id"], ()
            rows = session.execute(
                """SELECT id, job_id, seq, message, terminal FROM events
                   WHERE id > :seen ORDER BY id LIMIT :limit""",
                {"seen": self._seen_id, "limit": OTHERS_MOST},
            )
            return (rows[-1]["id"] if rows else self._seen_id), [read_event(row) for row in rows]

        self._seen_id, events = await self.database.read(work)
        if len(events) < OTHERS_MOST:
            self._seen_version = version
        return events

    async def write_and_tell(self, work: Callable[[Session, Told], T], job_id: str) -> T:
        return await asyncio.wrap_future(self.write_soon_and_tell(work, job_id))

    def write_soon_and_tell(self, work: Callable[[Session, Told], T], job_id: str) -> "Future[T]":
        """Does the work; what it puts in its list is heard after the commit."""
        told: Told = []

        def afresh(session: Session) -> T:
            told.clear()
            return work(session, told)

        def hear(done: "Future[T]") -> None:
            if told and done.exception() is None:
                self.fanout.tell(told)

        done = self.database.write_soon(afresh, job_id)
        done.add_done_callback(hear)
        return done
