"""What waits is a row; as many imports as can be at work are handed to their engines.

Way:      imports.py asks for room, or leaves the job waiting → here → stores/queue.py, the engines
Rule 1:   memory depends on what is at work, never on what waits.
Rule 2:   what a dead process left goes first: recovery.py says when it is done with that.
Rule 3:   one source's imports, waiting for turns or retries, hold up no other's.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from bookline.engine.places import Places
from bookline.engine.recovery import Recovery
from bookline.errors import StoreDown
from bookline.importers import Importer
from bookline.job import SOURCES, Job
from bookline.progress.journal import Waiting

log = logging.getLogger(__name__)

MOST_OF_A_SOURCE = (
    256  # our choice: handed over and not over, most of them in waits; some 25 KB each
)
LOOK_SECONDS = 0.5  # until jobs that other processes left waiting are looked for
SOON_SECONDS = 0.05  # until recovery is asked again whether there is room


class Queue:
    """Fills the port Queue. One in a process."""

    def __init__(
        self,
        waiting: Waiting,
        importers: Mapping[str, Importer],
        places: Places,
        recovery: Recovery,
        node: str,
    ) -> None:
        self._waiting = waiting
        self._importers = importers
        self._places = places
        self._recovery = recovery
        self._node = node
        self._coming: dict[str, str] = {}
        """Jobs on their way to their engine, which takes a place for them; with their source."""
        self._handed: dict[str, str] = {}
        """The same, behind it."""
        self._empty: set[str] = set()
        """Sources of which nothing waits, as far as this process knows."""
        self._stirred = asyncio.Event()
        places.on_room = self._look_if_any_wait

    def reserve(self, job: Job) -> bool:
        source = job.order.source
        if source not in self._empty or self._room() <= 0 or self._room_of()[source] <= 0:
            self._empty.discard(source)
            return False
        self._coming[job.job_id] = source
        return True

    def release(self, job: Job) -> None:
        self._coming.pop(job.job_id, None)

    async def hand_over(self, job: Job) -> None:
        try:
            await self._importers[job.method].start(job.order, in_batch=job.batch_id is not None)
            self._handed[job.job_id] = job.order.source
            await asyncio.sleep(0)  # it takes its place
        except StoreDown as error:
            log.warning("%s is kept and starts later: %s", job.job_id, error)
        finally:
            self._coming.pop(job.job_id, None)

    def stir(self) -> None:
        self._empty.clear()
        self._stirred.set()

    def _look_if_any_wait(self) -> None:
        if len(self._empty) < len(SOURCES):
            self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.feed():
                    pass
            except StoreDown as error:
                log.warning("the queue waits for the journal: %s", error)
            except Exception:
                log.exception("the queue failed and continues")
            pause_seconds = SOON_SECONDS if self._recovery.is_behind else LOOK_SECONDS
            try:
                async with asyncio.timeout(pause_seconds):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()

    async def feed(self) -> int:
        """How many were handed over."""
        most, sources = self._room(), self._room_of()
        if most <= 0 or self._recovery.is_behind:
            return 0
        jobs = await self._waiting.take(self._node, sources, most)
        taken = Counter(job.order.source for job in jobs)
        self._empty -= taken.keys()
        if len(jobs) < most:
            self._empty |= {source for source, room in sources.items() if taken[source] < room}
        for job in jobs:
            self._coming[job.job_id] = job.order.source
        try:
            for job in jobs:
                await self.hand_over(job)
        finally:
            for job in jobs:
                self.release(job)
        return len(jobs)

    def _room(self) -> int:
        return self._places.room - len(self._coming) - self._recovery.coming

    def _room_of(self) -> dict[str, int]:
        """Source → how many more of it may be handed over."""
        running = {job_id for one in self._importers.values() for job_id in one.running}
        self._handed = {job_id: of for job_id, of in self._handed.items() if job_id in running}
        has = Counter([*self._handed.values(), *self._coming.values()])
        return {source: MOST_OF_A_SOURCE - has[source] for source in SOURCES}
