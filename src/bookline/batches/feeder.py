"""Works a batch's to-do list off: its items become ordinary jobs that wait in the queue.

Way:      app.py runs it in each process → stores/batches.py, imports.py, the library, lookup.py
Rule 1:   the list is in the store and an item leaves it in the transaction that does it: a killed
          process loses nothing, and two processes do nothing twice.
Rule 2:   the queue lets batches and single imports take turns. Only MOST_WAITING jobs of a batch
          wait there: the rest is cancelled in one write.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bookline.batches.service import Batches
from bookline.errors import Refused, TryLater
from bookline.imports import Imports
from bookline.job import Job
from bookline.progress.batches import IMPORT, RETRY, Batch, Item
from bookline.progress.events import Event
from bookline.reading import ReadingOf, read_reading
from bookline.stores.batches import SqlBatches
from bookline.values import iso

log = logging.getLogger(__name__)

MOST_WAITING = 256  # our choice: of a batch's jobs in the queue; a second's work
LEAST_ROOM = 64  # our choice: begun together, so that a round is worth its look-ups
MOST_RETRIED = 32  # our choice: retries that are under way in this process
LOOK_SECONDS = 1.0  # until the list is looked at without having been stirred
PAUSE_SECONDS = 0.1  # between two rounds, however many imports end


KeepReadings = Callable[[Sequence[ReadingOf]], Awaitable[int]]
"""Keeps what readers say of books. Safe twice. Raises: StoreDown."""
FindThere = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""ISBN-13 → title of the books that need no import. Raises: StoreDown."""


@dataclass(slots=True)
class Feeder:
    """One in a process."""

    store: SqlBatches
    batches: Batches
    imports: Imports
    keep_readings: KeepReadings
    there: FindThere
    node: str
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    _is_urgent: bool = False

    def stir(self) -> None:
        """Lets it look at once."""
        self._is_urgent = True
        self.stirred.set()

    def hear(self, events: Sequence[Event]) -> None:
        """A job that ends makes room."""
        if any(event.is_terminal for event in events):
            self.stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.feed():
                    pass
            except TryLater as error:
                log.warning("batches wait: %s", error)
            except Exception:
                log.exception("the feeder failed and continues")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.stirred.wait()
            except TimeoutError:
                continue
            self.stirred.clear()
            if not self._is_urgent:
                await asyncio.sleep(PAUSE_SECONDS)
            self._is_urgent = False

    async def feed(self) -> int:
        """One round over the batches that run: how many items went on."""
        done = 0
        for batch in await self.store.running():
            if batch.cancel_requested:
                await self.batches.end_cancelled(batch.batch_id)
            else:
                done += await self._begin(batch) + await self._retry(batch)
        return done

    async def _begin(self, batch: Batch) -> int:
        room = MOST_WAITING - await self.store.waiting(batch.batch_id)
        items = await self.store.take(batch.batch_id, IMPORT, room) if room >= LEAST_ROOM else ()
        if not items:
            return 0
        await self._keep_readings(batch, items)
        whole = {} if batch.refresh else await self.there([item.isbn or "" for item in items])
        there = {item.index: whole[item.isbn] for item in items if item.isbn and item.isbn in whole}
        jobs = {item.index: self._job(batch, item) for item in items if item.index not in there}
        await self.store.begin(batch.batch_id, jobs, there)
        self.imports.stir()
        return len(items)

    async def _keep_readings(self, batch: Batch, items: Sequence[Item]) -> None:
        """Before the imports begin: a book that cannot be had loses no rating."""
        isbns = {item.isbn for item in items if item.isbn is not None}
        said = await self.store.readings(batch.batch_id, isbns)
        at = iso(batch.created_ms)
        readings = [
            ReadingOf(
                isbn=item.isbn, user_id=item.user_id, reading=read_reading(item.reading), at=at
            )
            for item in said
            if item.isbn is not None and item.reading is not None
        ]
        if readings:
            await self.keep_readings(readings)

    def _job(self, batch: Batch, item: Item) -> Job:
        """It waits in the queue, where batches and single imports take turns."""
        job = self.imports.new_job(
            item.isbn or "", item.input, item.source, item.user_id, batch_id=batch.batch_id
        )
        return replace(job, node=None, flow=batch.batch_id)

    async def _retry(self, batch: Batch) -> int:
        room = MOST_RETRIED - await self.store.retried(self.node)
        items = await self.store.take(batch.batch_id, RETRY, room) if room > 0 else ()
        for job_id in dict.fromkeys(item.job_id for item in items):
            if job_id is None:
                continue
            try:
                await self.imports.retry(job_id)
            except Refused:  # gone, or retried by somebody else: its items stand as it does
                await self.store.follow_job(job_id)
        return len(items)
