"""Fan-out: each watcher of a job or batch gets each of its events once, in order, from any process.

Way:      the journal tells of commits → here → live/
Rule 1:   a watcher's queue is bounded. One that overflows is told so and may come back with
          ``after``; nobody else notices.
Rule 2:   what was missed is read from the journal: the log is the truth, this is only speed.
Rule 3:   a watcher that is in step and has a short cut is told within the pass of the loop in which
          the event is heard: no task wakes. All else goes by its story (``serve``).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from bookline.errors import StoreDown
from bookline.job import Job
from bookline.progress.batches import Batch
from bookline.progress.events import Event
from bookline.progress.journal import EventLog

log = logging.getLogger(__name__)

QUEUE_MOST = 256  # events that may wait for one watcher; an import has a dozen
REPLAY_MOST = 200  # events read at once
DOWN_SECONDS = 1.0  # until a journal that cannot be read is asked again
PING_SECONDS = 28.0  # docs/contract.md: 30 s, and who misses two is found within 60 s
PING_LOOKS = 28  # looks for whose ping is due within PING_SECONDS

ShortCut = Callable[[Sequence[Event]], bool]
"""Sends events (none: a ping) at once and says True, or False where they would have to wait."""


FindStory = Callable[[str], Awaitable[Job | Batch | None]]
"""The job or batch with this id, as it stands."""


class TooSlow(Exception):
    """The watcher does not take its events; it may come back with ``after``."""


class Watch:
    """One watcher's place in one job's story."""

    __slots__ = (
        "_events", "_is_stirred", "_overflowed", "_short_cut", "_waiter", "has_gap", "has_left",
        "job_id", "may_be_over", "ping_at", "seq", "wants_ping",
    )  # fmt: skip

    def __init__(self, job_id: str, after: int, short_cut: ShortCut = lambda events: False) -> None:
        self.job_id = job_id
        """Or a batch's id."""
        self.seq = after
        """The last event that was handed out."""
        self.has_gap = True
        """Something was missed: the journal has it."""
        self.may_be_over = True
        """Nothing has come yet behind what may be the end."""
        self.has_left = False
        self.wants_ping = False
        self.ping_at = asyncio.get_running_loop().time() + PING_SECONDS
        self._short_cut = short_cut
        self._events: list[Event] = []
        self._overflowed = False
        self._is_stirred = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, events: Sequence[Event]) -> None:
        """Takes the next events; an older one is known, a later one shows a gap."""
        if self._follows(events) and self._tell(events):
            self.seq = events[-1].seq
            if events[-1].is_terminal:
                self.may_be_over = True
                self.stir()
            return
        for event in events:
            self._keep(event)

    def ping(self) -> None:
        """Says that we are there, as soon as that can be."""
        if not self._tell(()):
            self.wants_ping = True
            self.stir()

    def take(self) -> list[Event]:
        """All that wait and are not known yet. Raises: TooSlow."""
        if self._overflowed:
            raise TooSlow
        events = [event for event in self._events if event.seq > self.seq]
        self._events = []
        if events:
            self.seq = events[-1].seq
            self.may_be_over = self.may_be_over or events[-1].is_terminal
        return events

    def miss(self) -> None:
        """Something may have been missed: the journal has it."""
        self.has_gap = True
        self.stir()

    def leave(self) -> None:
        """Ends the story: nobody is there any more."""
        self.has_left = True
        self.stir()

    def stir(self) -> None:
        """Lets whoever waits look again."""
        self._is_stirred = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until something is to be done that the short cut cannot do."""
        if not self._is_stirred:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_stirred = False

    def _follows(self, events: Sequence[Event]) -> bool:
        first, last = events[0].seq, events[-1].seq
        return first == self.seq + 1 and last == self.seq + len(events)

    def _tell(self, events: Sequence[Event]) -> bool:
        """True if they went by the short cut: only while nothing else is under way."""
        is_idle = self._waiter is not None and not self._is_stirred
        return is_idle and self._short_cut(events)

    def _keep(self, event: Event) -> None:
        newest = self._events[-1].seq if self._events else self.seq
        if self._overflowed or event.seq <= newest:
            return
        if event.seq > newest + 1:
            self.has_gap = True
        elif len(self._events) >= QUEUE_MOST:
            self._overflowed = True
        else:
            self._events.append(event)
        self.stir()


class Hub:
    """The watchers of this process."""

    def __init__(self, find: FindStory, log: EventLog) -> None:
        self.find = find
        self._log = log
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._is_watched = asyncio.Event()
        self._found: dict[str, Job | Batch | None] = {}
        self.is_closing = False

    @property
    def watchers(self) -> int:
        return sum(len(watches) for watches in self._watches.values())

    async def run(self) -> None:
        """Until cancelled: hears this process' commits at once, and those of others."""
        end = self._log.subscribe(self._hear)
        for watch in self._all():  # they came before, or an earlier run of this has broken
            watch.miss()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._keep_pinging())
        finally:
            end()

    async def _listen(self) -> None:
        """Asks nobody while nobody watches."""
        while True:
            await self._is_watched.wait()
            try:
                await self._log.listen(self._watches.keys)
            except StoreDown as error:
                log.warning("events of other processes could not be read: %s", error)
            if self._is_watched.is_set():
                await asyncio.sleep(DOWN_SECONDS)

    async def _keep_pinging(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS / PING_LOOKS)
            self._ping(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Lets every watcher go (1001): they come back after the restart."""
        self.is_closing = True
        for watch in self._all():
            watch.stir()

    def follow(self, job_id: str, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """The story behind ``after``: what is kept, then what comes, until its last end.

        An empty sequence is a ping. Ends when the job has ended or the hub closes.
        Raises: TooSlow, StoreDown.
        """
        return self.serve(Watch(job_id, after))

    async def serve(self, watch: Watch) -> AsyncGenerator[Sequence[Event], None]:
        """The same without what goes by the watch's short cut. Ends also when it has left."""
        self._watches[watch.job_id].add(watch)
        self._is_watched.set()
        try:
            while not (self.is_closing or watch.has_left):
                events = await self._catch_up(watch) if watch.has_gap else watch.take()
                if events:
                    yield events
                elif watch.may_be_over:
                    watch.may_be_over = False
                    if await self._is_over(watch):
                        return
                elif watch.wants_ping:
                    watch.wants_ping = False
                    yield ()
                else:
                    await watch.wait()
        finally:
            self._watches[watch.job_id].discard(watch)
            if not self._watches[watch.job_id]:
                del self._watches[watch.job_id]
            if not self._watches:
                self._is_watched.clear()

    async def _catch_up(self, watch: Watch) -> Sequence[Event]:
        watch.has_gap = False  # first: what is offered while we read counts
        events = await self._log.read(watch.job_id, watch.seq, REPLAY_MOST)
        if events:
            watch.seq = events[-1].seq
        watch.may_be_over = not events or events[-1].is_terminal
        watch.has_gap = watch.has_gap or len(events) == REPLAY_MOST
        return events

    async def _is_over(self, watch: Watch) -> bool:
        """All was handed out, and no more will come unless somebody retries the job."""
        story = await self._find(watch.job_id, watch.seq)
        if story is None:
            return True
        if story.last_seq > watch.seq:
            watch.has_gap = True
            return False
        return story.is_over

    async def _find(self, job_id: str, seq: int) -> Job | Batch | None:
        """The job or batch, no older than this event of it. The watchers that ask within one pass
        of the loop share the answer.
        """
        known = self._found.get(job_id)
        if job_id not in self._found or (known is not None and known.last_seq < seq):
            self._found[job_id] = known = await self.find(job_id)
            asyncio.get_running_loop().call_soon(self._found.clear)
        return known

    def _hear(self, events: Sequence[Event]) -> None:
        ready: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            ready[event.job_id].append(event)
        for job_id, some in ready.items():
            for watch in self._watches.get(job_id, ()):
                watch.offer(some)

    def _ping(self, now: float) -> None:
        for watch in self._all():
            if now >= watch.ping_at:
                watch.ping_at = now + PING_SECONDS
                watch.ping()

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]
