"""Jobs and events in memory: for tests, and for trying things out."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bookline.errors import Refused
from bookline.job import FAILED, QUEUED, RUNNING, TERMINAL, Job
from bookline.progress.events import (
    Event,
    News,
    cancelled_instead,
    is_terminal,
    message_of,
    resumed,
)
from bookline.progress.journal import RECORDS_MOST, Attempt, Claim, Idempotency, Tally
from bookline.progress.records import ImportRecord, record_of
from bookline.stores.cursors import read_cursor, write_cursor
from bookline.stores.sqlite_journal import IDEMPOTENCY_MS
from bookline.values import Json, Page


@dataclass(slots=True)
class _Entry:
    """A job with its story, and what only executions know of it."""

    job: Job
    story: list[Event] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """Of what was told."""
    times: list[tuple[str, int]] = field(default_factory=list)
    """When it was told, in order."""
    run_started_ms: int | None = None
    restarts: int = 0
    begun: tuple[str, int] | None = None
    """The try that began and was neither released nor followed by another."""


class MemoryJournal:
    """Promises what ``SqliteJournal`` does, except that nothing outlives the process."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._idempotency: dict[str, tuple[str, str, int]] = {}
        """Key to (body, job id, time)."""
        self._records: dict[str, ImportRecord] = {}
        self._hearers: list[Callable[[Sequence[Event]], None]] = []
        self._unread: list[Event] | None = None
        """For ``others``, from its first call on."""

    def close(self) -> None:
        """Nothing to do."""

    # -------------------------------------------------------------- Jobs
    async def open(self, job: Job, idempotency: Idempotency | None = None) -> Job:
        if idempotency is not None:
            known = self._known(idempotency)
            if known is not None:
                return known
            kept = (idempotency.body, job.job_id, job.created_ms)
            self._idempotency[idempotency.key] = kept
        self._entries[job.job_id] = _Entry(job)
        return job

    async def find(self, job_id: str) -> Job | None:
        entry = self._entries.get(job_id)
        return None if entry is None else entry.job

    async def list(
        self, *, status: str | None, method: str | None, limit: int, cursor: str | None
    ) -> Page[Job]:
        before = read_cursor(cursor, int, str) if cursor else (2**62, "")
        found = [
            entry.job
            for entry in self._entries.values()
            if _place(entry.job) < before
            and status in {None, entry.job.status}
            and method in {None, entry.job.method}
        ]
        jobs = sorted(found, key=_place, reverse=True)
        more = len(jobs) > limit
        return Page(
            items=jobs[:limit],
            next_cursor=write_cursor(*_place(jobs[limit - 1])) if more else None,
        )

    async def request_cancel(self, job_id: str) -> Job:
        entry = self._get(job_id)
        if entry.job.is_over:
            raise Refused(
                "INVALID_STATE", f"the job is {entry.job.status}: there is nothing to cancel"
            )
        entry.job = replace(entry.job, cancel_requested=True)
        return entry.job

    async def reopen(self, job_id: str, node: str) -> Job:
        entry = self._get(job_id)
        job = entry.job
        if job.status != FAILED:
            raise Refused(
                "INVALID_STATE", f"only a failed job can be retried; this one is {job.status}"
            )
        entry.run_started_ms, entry.restarts, entry.begun = None, 0, None
        entry.job = replace(
            job,
            status=QUEUED,
            node=node,
            run=job.run + 1,
            step=None,
            attempt=None,
            cancel_requested=False,
            result=None,
            error=None,
        )
        self._append(entry, resumed("retry", len(entry.story)))
        return entry.job

    # -------------------------------------------------------------- Runs
    async def claim(self, job_id: str, node: str) -> Claim | None:
        entry = self._entries.get(job_id)
        if entry is None or entry.job.is_over:
            return None
        restarted = entry.job.status == RUNNING
        entry.restarts += restarted
        entry.run_started_ms = entry.run_started_ms or self._clock()
        entry.job = replace(entry.job, status=RUNNING, node=node)
        if restarted and entry.story:
            self._append(entry, resumed("restart", len(entry.story)))
        return Claim(run=entry.job.run, started_ms=entry.run_started_ms, restarts=entry.restarts)

    async def begin(self, job_id: str, run: int, step: str, attempt: int) -> Attempt:
        entry = self._current(job_id, run)
        if entry is None or entry.job.cancel_requested:
            return Attempt(cancelled=True)
        if entry.begun == (step, attempt):
            return Attempt(died=True)
        entry.begun = step, attempt
        entry.job = replace(entry.job, step=step, attempt=attempt, updated_ms=self._clock())
        return Attempt()

    async def release(self, job_id: str, run: int, step: str, attempt: int) -> None:
        entry = self._current(job_id, run)
        if entry is not None and entry.begun == (step, attempt):
            entry.begun = None

    def tell(self, job_id: str, news: News) -> None:
        entry = self._entries.get(job_id)
        if entry is not None and not entry.job.is_over and news.key not in entry.keys:
            self._append(entry, news)

    async def finish(
        self, job_id: str, news: News, *, run: int, result: Json | None, error: Json | None
    ) -> str | None:
        if news.status not in TERMINAL:
            raise ValueError(f"{news.status} is no end")
        entry = self._current(job_id, run)
        if entry is None:
            return None
        if news.status == FAILED and entry.job.cancel_requested:
            news, error = cancelled_instead(run, error)
        status = news.status or FAILED
        story = list(entry.times)
        self._append(entry, news)
        entry.job = replace(
            entry.job, status=status, result=_as_kept(result), error=_as_kept(error)
        )
        record = record_of(entry.job, status, result, error, story, self._clock())
        self._records.pop(record.record_id, None)
        self._records[record.record_id] = record
        return status

    # -------------------------------------------------------------- EventLog
    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        entry = self._entries.get(job_id)
        return [] if entry is None else entry.story[after : after + limit]

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        self._hearers.append(hear)

        def end() -> None:
            if hear in self._hearers:
                self._hearers.remove(hear)

        return end

    async def others(self) -> Sequence[Event]:
        unread, self._unread = self._unread, []
        return unread or ()

    # -------------------------------------------------------------- Records
    async def records(
        self, since_ms: int, most: int = RECORDS_MOST, *, method: str | None = None
    ) -> Sequence[ImportRecord]:
        found = [
            one
            for one in self._records.values()
            if one.finished_ms >= since_ms and method in {None, one.method}
        ]
        return sorted(found, key=lambda one: one.finished_ms)[-most:]

    async def tally(
        self, *, begun_before_ms: int, queued_before_ms: int, since_ms: int
    ) -> Mapping[str, Tally]:
        found: dict[str, Tally] = {}
        for entry in self._entries.values():
            job = entry.job
            known = found.get(job.method, Tally())
            ends = sum(event.is_terminal for event in entry.story)
            if not job.is_over:
                begun_ms = entry.run_started_ms
                is_lost = (
                    job.updated_ms < queued_before_ms
                    if begun_ms is None
                    else begun_ms < begun_before_ms
                )
                known = replace(known, open=known.open + 1, lost=known.lost + is_lost)
            elif job.updated_ms >= since_ms and ends != job.run:
                known = replace(known, doubled=known.doubled + 1)
            found[job.method] = known
        return {method: one for method, one in found.items() if one != Tally()}

    async def remove_records(self, before_ms: int) -> None:
        kept = self._records.items()
        self._records = {k: one for k, one in kept if one.finished_ms >= before_ms}

    # -------------------------------------------------------------- upkeep
    async def left_by(self, alive: Collection[str], own: str, own_before_ms: int) -> Sequence[Job]:
        """Open jobs of processes that are not alive, and own ones not touched since then."""
        left = [
            job
            for job in self._open_jobs()
            if job.node not in alive or (job.node == own and job.updated_ms < own_before_ms)
        ]
        return sorted(left, key=lambda job: job.created_ms)

    async def cancel_requests(self, node: str) -> Sequence[str]:
        """Ids of this node's open jobs that somebody wants cancelled."""
        wanted = (job for job in self._open_jobs() if job.node == node and job.cancel_requested)
        return [job.job_id for job in wanted]

    async def remove_finished(self, before_ms: int, limit: int) -> Sequence[str]:
        """Ids of jobs that ended before then and are now gone with their events."""
        jobs = [entry.job for entry in self._entries.values()]
        over = [job.job_id for job in jobs if job.is_over and job.updated_ms < before_ms][:limit]
        for job_id in over:
            del self._entries[job_id]
        oldest_ms = self._clock() - IDEMPOTENCY_MS
        self._idempotency = {
            k: kept for k, kept in self._idempotency.items() if kept[2] >= oldest_ms
        }
        return over

    async def counts(self) -> dict[str, int]:
        """How many jobs have each status."""
        counts: dict[str, int] = {}
        for entry in self._entries.values():
            counts[entry.job.status] = counts.get(entry.job.status, 0) + 1
        return counts

    # --------------------------------------------------------------
    def _known(self, idempotency: Idempotency) -> Job | None:
        known = self._idempotency.get(idempotency.key)
        if known is None or known[2] < self._clock() - IDEMPOTENCY_MS:
            return None
        body, job_id, _ = known
        if body != idempotency.body:
            raise Refused("INVALID_STATE", "this Idempotency-Key was used with another body")
        entry = self._entries.get(job_id)
        return None if entry is None else entry.job

    def _get(self, job_id: str) -> _Entry:
        if job_id not in self._entries:
            raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
        return self._entries[job_id]

    def _current(self, job_id: str, run: int) -> _Entry | None:
        """None when the job is gone, or over, or in another run by now."""
        entry = self._entries.get(job_id)
        if entry is None or entry.job.is_over or entry.job.run != run:
            return None
        return entry

    def _open_jobs(self) -> Iterator[Job]:
        return (entry.job for entry in self._entries.values() if not entry.job.is_over)

    def _append(self, entry: _Entry, news: News) -> None:
        """Keeps the event as the job's next one, then fans it out."""
        job, seq, at_ms = entry.job, len(entry.story) + 1, self._clock()
        progress = max(job.progress, news.progress or 0.0)
        message = message_of(job.job_id, seq, news, progress, at_ms)
        event = Event(job.job_id, seq, message, is_terminal(news))
        entry.story.append(event)
        entry.keys.add(news.key)
        entry.times.append((news.key, at_ms))
        entry.job = replace(
            job, progress=progress, updated_ms=at_ms, last_event=json.loads(message)
        )
        if self._unread is not None:
            self._unread.append(event)
        for hear in tuple(self._hearers):
            hear([event])


def _place(job: Job) -> tuple[int, str]:
    return job.created_ms, job.job_id


def _as_kept(value: Json | None) -> Json | None:
    """As it would come back from a disk."""
    kept: Json | None = json.loads(json.dumps(value))
    return kept
