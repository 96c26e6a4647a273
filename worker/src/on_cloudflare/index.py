"""All jobs in one table of D1: what the list of jobs and the records of imports are read from.

Way:      journal.py keeps here what a job's own object has decided
Rule 1:   a job's truth is in its object. Here is how it stood when it was opened and when it ended;
          of those that are open, a list asks their objects.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bookline.errors import StoreDown
from bookline.job import QUEUED, RUNNING, Job
from bookline.progress.records import ImportRecord
from bookline.progress.rules import JobRow
from bookline.stores.database import Session
from bookline.stores.job_rows import INSERT, SAVE, insertion, saving
from bookline.stores.journal import SqlJournal
from bookline.stores.records import keep_records
from bookline.values import Page
from on_cloudflare.d1 import D1Database
from on_cloudflare.journal import Index, Rooms
from on_cloudflare.plain import dump, job_from_plain, job_to_plain, now_ms

log = logging.getLogger(__name__)

OPEN = (QUEUED, RUNNING)
"""Both stand here as queued: which it is now, the job's object knows."""
_THERE = "SELECT job_id FROM jobs WHERE job_id IN :job_ids"
_LAST = """INSERT INTO events (job_id, seq, key, terminal, message, at_ms)
           VALUES (:job_id, :seq, :key, 0, :message, :at_ms)
           ON CONFLICT (job_id, seq) DO NOTHING"""


class D1Index:
    """Fills ``Index``."""

    def __init__(self, database: D1Database, rooms: Rooms) -> None:
        self._database = database
        self._rooms = rooms
        self._table = SqlJournal(database, now_ms)

    async def keep(self, job: Job, record: ImportRecord | None = None) -> None:
        """How the job stands now, with its record when it has ended. Never fails."""

        def work(session: Session) -> None:
            _keep(session, [job])
            if record is not None:
                keep_records(session, [record])

        try:
            await self._database.write(work)
        except StoreDown as error:
            log.warning("the list of jobs lacks %s as it is now: %s", job.job_id, error)

    async def keep_all(self, jobs: Sequence[Job]) -> None:
        """How these jobs stand now. Never fails."""
        try:
            await self._database.write(lambda session: _keep(session, jobs))
        except StoreDown as error:
            log.warning("the list of jobs lacks %d of them as they are now: %s", len(jobs), error)

    async def list(self, *, status: str | None, **wanted: Any) -> Page[Job]:
        kept = QUEUED if status in OPEN else status
        page = await self._table.list(status=kept, **wanted)
        items = await asyncio.gather(*(self._now(job) for job in page.items))
        return replace(page, items=[job for job in items if status in {None, job.status}])

    async def open_of(self, isbn: str) -> Sequence[str]:
        """The ids of the jobs of an ISBN-13 that are not over."""
        return await self._table.open_of(isbn)

    async def _now(self, job: Job) -> Job:
        if job.is_over:
            return job
        found = await self._rooms.ask(job.job_id, "find", job_id=job.job_id)
        return job_from_plain(found) if found else job


def _keep(session: Session, jobs: Sequence[Job]) -> None:
    rows = session.execute(_THERE, {"job_ids": [job.job_id for job in jobs]})
    there = {row["job_id"] for row in rows}
    for job in jobs:
        if job.job_id not in there:
            session.execute(INSERT, insertion(job))
        event = job.last_event
        if event is None and job.job_id not in there and job.status == QUEUED:
            continue  # as it was opened
        row = JobRow(job=job, last_seq=event["seq"] if event else 0)
        session.execute(SAVE, saving(row))
        if event is not None:
            session.execute(
                _LAST,
                {"job_id": job.job_id, "seq": event["seq"], "key": str(event["seq"]),
                 "message": dump(event), "at_ms": job.updated_ms},
            )  # fmt: skip


class WithBatches:
    """The same, and a job's batch hears of it, too. Fills ``Index``."""

    def __init__(self, index: Index, batches: Rooms) -> None:
        self._index = index
        self._batches = batches

    async def keep(self, job: Job, record: ImportRecord | None = None) -> None:
        """Raises: StoreDown when the batch cannot be told."""
        if job.status != RUNNING:  # in a list it is open, before and after
            await self._index.keep(job, record)
        is_new = job.status == QUEUED and job.run == 1  # it was the batch that opened it
        if job.batch_id is not None and not is_new:
            await self._batches.ask(job.batch_id, "follow", job=job_to_plain(job))

    async def keep_all(self, jobs: Sequence[Job]) -> None:
        """The same, for jobs that their batch has opened."""
        await self._index.keep_all(jobs)

    async def list(self, *, status: str | None, **wanted: Any) -> Page[Job]:
        return await self._index.list(status=status, **wanted)

    async def open_of(self, isbn: str) -> Sequence[str]:
        return await self._index.open_of(isbn)


class NoIndex:
    """Where DB is not bound: jobs are known by their id alone."""

    async def keep(self, job: Job, record: ImportRecord | None = None) -> None:
        """Nowhere."""

    async def keep_all(self, jobs: Sequence[Job]) -> None:
        """Nowhere."""

    async def list(self, *, status: str | None, **wanted: Any) -> Page[Job]:
        raise StoreDown("the list of jobs needs the binding DB")

    async def open_of(self, isbn: str) -> Sequence[str]:
        return ()
