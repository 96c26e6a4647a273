"""Works a batch's to-do list off: hands items over as ordinary jobs, a few dozen at a time.

Way:      app.py runs it in each process → stores/batches.py, imports.py, the library, lookup.py
Rule 1:   the list is in the store and an item leaves it in the transaction that does it: a killed
          process loses nothing, and two processes do nothing twice.
Rule 2:   batches take turns, and never more than MOST_OPEN of their jobs are open here: a single
          import waits for none of them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

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

MOST_OPEN = 32  # our choice: half of what a process works on at once
LEAST_ROOM = 8  # our choice: handed over together, so that a pass is worth its look-ups
LOOK_SECONDS = 1.0  # until the list is looked at without having been stirred


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

    def stir(self) -> None:
        """Lets it look at once."""
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
                pass
            self.stirred.clear()

    async def feed(self) -> int:
        """One round: each open batch gets its share of the room. How many items went on."""
        running = await self.store.running()
        if not running:
            return 0
        room = MOST_OPEN - await self.store.open_jobs(self.node)
        if room < LEAST_ROOM:
            return 0
        done = 0
        share = max(1, room // len(running))
        for batch in running:
            if batch.cancel_requested:
                await self.batches.cancel_jobs(batch.batch_id)
                continue
            took = await self._begin(batch, min(share, room - done))
            took += await self._retry(batch, min(share, room - done) - took)
            done += took
            if done >= room:
                break
        return done

    async def _begin(self, batch: Batch, most: int) -> int:
        items = await self.store.take(batch.batch_id, IMPORT, most) if most > 0 else ()
        if not items:
            return 0
        await self._keep_readings(batch, items)
        whole = {} if batch.refresh else await self.there([item.isbn or "" for item in items])
        there = {item.index: whole[item.isbn] for item in items if item.isbn and item.isbn in whole}
        jobs = {item.index: self._job(batch, item) for item in items if item.index not in there}
        opened = await self.store.begin(batch.batch_id, jobs, there)
        for job in opened:
            await self.imports.hand_over(job)
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
        return self.imports.new_job(
            item.isbn or "", item.input, item.source, item.user_id, batch_id=batch.batch_id
        )

    async def _retry(self, batch: Batch, most: int) -> int:
        items = await self.store.take(batch.batch_id, RETRY, most) if most > 0 else ()
        for job_id in dict.fromkeys(item.job_id for item in items):
            if job_id is None:
                continue
            try:
                await self.imports.retry(job_id)
            except Refused:  # gone, or retried by somebody else: its items stand as it does
                await self.store.follow_job(job_id)
        return len(items)
