"""Events in the journal's table: kept first, then told to those who hear.

Way:     stores/journal.py writes through here; progress/hub.py reads and hears
Rule 1:  hearers are told of an event after its commit; of one story, in its order.
Rule 2:  what is heard of other processes may come late, twice or not at all (then the last event
         of its story comes): who hears reads what is missing.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from typing import TypeVar

from bookline.progress.events import Event
from bookline.progress.fanout import Fanout
from bookline.stores.database import Database, Keys, Neighbours, Row, Session
from bookline.stores.job_rows import read_event
from bookline.threads import result_of

T = TypeVar("T")
Told = list[Event]

OTHERS_MOST = 1_000  # events of other processes read at once
YOUNG = 64  # our choice: a story's events that are read together with other stories'
_READ = """SELECT job_id, seq, message, terminal FROM events
           WHERE job_id = :job_id AND seq > :after ORDER BY seq LIMIT :limit"""
_OF_MANY = """SELECT job_id, seq, message, terminal FROM events
              WHERE job_id IN :ids AND seq >= :least AND seq < :behind ORDER BY job_id, seq"""
_BEHIND = """SELECT id, job_id, seq, message, terminal FROM events
             WHERE id > :seen ORDER BY id LIMIT :limit"""
_LAST = """SELECT events.job_id, events.seq, events.message, events.terminal
           FROM (SELECT job_id, max(seq) AS seq FROM events WHERE job_id IN :ids GROUP BY job_id)
               AS latest
           JOIN events ON events.job_id = latest.job_id AND events.seq = latest.seq"""


class SqlEventLog:
    """Fills the port EventLog."""

    def __init__(self, database: Database, neighbours: Neighbours | None = None) -> None:
        """Without ``neighbours`` nobody else has these tables."""
        self.database = database
        self._neighbours = neighbours
        self.fanout = Fanout()
        self._seen_id: int | None = None
        self.posts_ends: Callable[[], int] | None = None
        """The clock, where each end is also to be posted to the operator's endpoint."""

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        values = {"job_id": job_id, "after": after, "limit": limit}
        return await self.database.read(
            lambda session: [read_event(row) for row in session.execute(_READ, values)]
        )

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        return self.fanout.subscribe(hear)

    async def listen(self, wanted: Callable[[], Collection[str]]) -> None:
        self._seen_id, neighbours = None, self._neighbours
        if neighbours is None:
            return
        async with aclosing(neighbours.changes()) as changes:
            async for names in changes:
                ids = wanted()
                if not ids:
                    return
                if names is not None:
                    events = await self._announced(names, ids)
                elif neighbours.commits_in_order and self._seen_id is not None:
                    events = await self._behind()
                else:
                    events = await self._last(list(ids))
                if events:
                    self.fanout.tell(events)

    async def _announced(self, names: Collection[str], ids: Collection[str]) -> Sequence[Event]:
        """What others have told of these stories. A name is ``{job id} {seq}``. All imports' news
        is one question; long stories (batches') are read each for itself.
        """
        least: dict[str, int] = {}
        for name in names:
            job_id, _, seq = name.partition(" ")
            if job_id in ids:
                least[job_id] = min(int(seq), least.get(job_id, int(seq)))

        young = {job_id: seq for job_id, seq in least.items() if seq < YOUNG}

        def work(session: Session) -> Sequence[Event]:
            rows = list[Row]()
            if young:
                values = {"ids": list(young), "least": min(young.values()), "behind": YOUNG}
                found = session.execute(_OF_MANY, values)
                rows += [row for row in found if row["seq"] >= young[row["job_id"]]]
            for job_id in least.keys() - young.keys():
                values = {"job_id": job_id, "after": least[job_id] - 1, "limit": OTHERS_MOST}
                rows += session.execute(_READ, values)
            return [read_event(row) for row in rows]

        return await self.database.look_up(work) if least else ()

    async def _behind(self) -> Sequence[Event]:
        """All that came since the last look, here or elsewhere."""

        def work(session: Session) -> Sequence[Row]:
            return session.execute(_BEHIND, {"seen": self._seen_id, "limit": OTHERS_MOST})

        events: list[Event] = []
        while rows := await self.database.read(work):
            self._seen_id = rows[-1]["id"]
            events += map(read_event, rows)
            if len(rows) < OTHERS_MOST:
                break
        return events

    async def _last(self, ids: Sequence[str]) -> Sequence[Event]:
        """The last event of each story: whoever has not seen those before it finds a gap."""

        def work(session: Session) -> tuple[int, Sequence[Event]]:
            [newest] = session.execute("SELECT coalesce(max(id), 0) AS id FROM events")
            rows = session.execute(_LAST, {"ids": ids})
            return newest["id"], [read_event(row) for row in rows]

        self._seen_id, events = await self.database.read(work)
        return events

    async def write_and_tell(
        self, work: Callable[[Session, Told], T], keys: Keys, *, brief: bool = False
    ) -> T:
        done = self.write_soon_and_tell(work, keys, brief=brief)
        return await result_of(done)

    def write_soon_and_tell(
        self, work: Callable[[Session, Told], T], keys: Keys, *, brief: bool = False
    ) -> "Future[T]":
        """Does the work; what it puts in its list is heard after the commit."""
        told: Told = []

        def afresh(session: Session) -> T:
            told.clear()
            value = work(session, told)
            if self.posts_ends is not None:
                from bookline.stores import webhooks

                for event in told:
                    if event.is_terminal:
                        webhooks.add(session, event.job_id, event.seq, self.posts_ends())
            return value

        def hear(done: "Future[T]") -> None:
            if told and done.exception() is None:
                self.fanout.tell(told)
                if self._neighbours is not None:
                    self._neighbours.announce(f"{event.job_id} {event.seq}" for event in told)

        done = self.database.write_soon(afresh, keys, brief=brief)
        done.add_done_callback(hear)
        return done
