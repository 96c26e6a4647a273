"""Fan-out: each watcher of a job gets each of its events once, in order, from any process.

Way:      the journal tells of commits → here → live/
Rule 1:   a watcher's queue is bounded. One that overflows is told so and may come back with
          ``after``; nobody else notices.
Rule 2:   what was missed is read from the journal: the log is the truth, this is only speed.
Units:    a watcher that no event reaches for PING_SECONDS gets a ping.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Sequence

from bookline.errors import StoreDown
from bookline.ports import EventLog, Jobs
from bookline.progress.events import Event

log = logging.getLogger(__name__)

QUEUE_MOST = 256  # events that may wait for one watcher; an import has a dozen
REPLAY_MOST = 200  # events read at once
POLL_SECONDS = 0.02  # how late another process' event may be; a look costs 4 µs
DOWN_SECONDS = 1.0  # until a journal that cannot be read is asked again
PING_SECONDS = 30.0  # SPEC §4


class TooSlow(Exception):
    """The watcher does not take its events; it may come back with ``after``."""


class Watch:
    """One watcher's place in one job's story."""

    def __init__(self, job_id: str, after: int) -> None:
        self.job_id = job_id
        self.seq = after
        """The last event that was handed out."""
        self.has_gap = True
        """Something was missed: the journal has it."""
        self._events: deque[Event] = deque()
        self._overflowed = False
        self._ready = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Takes the next event; an older one is known, a later one shows a gap."""
        newest = self._events[-1].seq if self._events else self.seq
        if self._overflowed or event.seq <= newest:
            return
        if event.seq > newest + 1:
            self.has_gap = True
        elif len(self._events) >= QUEUE_MOST:
            self._overflowed = True
        else:
            self._events.append(event)
        self._ready.set()

    def take(self) -> list[Event]:
        """All that wait and are not known yet. Raises: TooSlow."""
        if self._overflowed:
            raise TooSlow
        events = [event for event in self._events if event.seq > self.seq]
        self._events.clear()
        if events:
            self.seq = events[-1].seq
        return events

    def stir(self) -> None:
        """Lets whoever waits look again."""
        self._ready.set()

    async def wait(self, seconds: float) -> bool:
        """True when something came, False when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return False
        self._ready.clear()
        return True


class Hub:
    """The watchers of this process."""

    def __init__(self, jobs: Jobs, log: EventLog) -> None:
        self._jobs = jobs
        self._log = log
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._closing = asyncio.Event()

    @property
    def watchers(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    async def run(self) -> None:
        """Until cancelled: hears this process' commits at once, and looks for others'."""
        end = self._log.subscribe(self._hear)
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                if self._watches:
                    await self._hear_others()
        finally:
            end()

    def close(self) -> None:
        """Lets every watcher go (1001): they come back after the restart."""
        self._closing.set()
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch._ready.set()

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """The story behind ``after``: what is kept, then what comes, until its last end.

        An empty sequence is a ping. Ends when the job has ended or the hub closes.
        Raises: TooSlow, StoreDown.
        """
        if not self._watches:
            await self._hear_others()  # what came before is replayed, not heard
        watch = Watch(job_id, after)
        self._watches[job_id].add(watch)
        may_be_over = True
        try:
            while not self.is_closing:
                may_be_over = may_be_over or watch.has_gap
                events = await self._catch_up(watch) if watch.has_gap else watch.take()
                if events:
                    yield events
                    may_be_over = may_be_over or events[-1].is_terminal
                elif may_be_over:
                    may_be_over = False
                    if await self._is_over(watch):
                        return
                elif not await watch.wait(PING_SECONDS):
                    yield ()
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    async def _catch_up(self, watch: Watch) -> Sequence[Event]:
        watch.has_gap = False  # first: what is offered while we read counts
        events = await self._log.read(watch.job_id, watch.seq, REPLAY_MOST)
        if events:
            watch.seq = events[-1].seq
        watch.has_gap = watch.has_gap or len(events) == REPLAY_MOST
        return events

    async def _is_over(self, watch: Watch) -> bool:
        """All was handed out, and no more will come unless somebody retries the job."""
        job = await self._jobs.find(watch.job_id)
        if job is None:
            return True
        if job.last_event is not None and job.last_event["seq"] > watch.seq:
            watch.has_gap = True
            return False
        return job.is_over

    async def _hear_others(self) -> None:
        try:
            self._hear(await self._log.others())
        except StoreDown as error:
            log.warning("events of other processes could not be read: %s", error)
            await asyncio.sleep(DOWN_SECONDS)

    def _hear(self, events: Sequence[Event]) -> None:
        for event in events:
            for watch in self._watches.get(event.job_id, ()):
                watch.offer(event)
