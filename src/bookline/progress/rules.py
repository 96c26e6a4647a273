"""What may happen to a job, and what becomes of it: the journal's decisions, each made once.

Way:      stores/journal.py loads a row → here → it keeps the row and the news
Rule 1:   pure: no clock, no store, no wait. A rule gets the row and the fact, and gives the row as
          it is to be kept, the news to be told, and the answer.
Rule 2:   a status changes as ``NEXT_STATUSES`` says, and only in ``_become``.
Rule 3:   a write names its claim (run and epoch): one of an older claim changes nothing.
Words:    a job's run goes from its start, or a retry, to an end. A process claims the run before it
          works on it; ``epoch`` counts the claims. A try of a step is marked before it begins, so
          that one that died is known and counts. News is what watchers are told, as an event.
Units:    epoch milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bookline.errors import Refused
from bookline.job import CANCELLED, FAILED, NEXT_STATUSES, QUEUED, RUNNING, Job
from bookline.progress.events import (
    Event,
    News,
    cancelled_instead,
    is_terminal,
    message_of,
    resumed,
)
from bookline.progress.journal import ANY_EPOCH, Attempt, Claim, Idempotency, Place
from bookline.progress.records import ImportRecord, record_of
from bookline.values import Json

IDEMPOTENCY_MS = 24 * 3_600_000  # what the API promises


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A try that has begun: whoever finds it again under another token knows that it died."""

    attempt: int
    token: str
    begun_ms: int
    limit_ms: int = 0

    def to_json(self) -> Json:
        return {
            "attempt": self.attempt,
            "token": self.token,
            "begunMs": self.begun_ms,
            "limitMs": self.limit_ms,
        }

    @classmethod
    def from_json(cls, data: Json) -> Mark:
        return cls(
            attempt=data["attempt"],
            token=data["token"],
            begun_ms=data["begunMs"],
            limit_ms=data["limitMs"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job as the journal keeps it: with what only executions need to know."""

    job: Job
    last_seq: int = 0
    started_ms: int | None = None
    """First claim of this run."""
    restarts: int = 0
    epoch: int = 0
    """How often the job was claimed, over all runs."""
    spent_ms: int = 0
    """Of this run's deadline."""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """Step → its try that has begun and not ended."""
    done: str | None = None
    """Step → the outcomes of its tries, as JSON, where the engine has no records of them."""
    is_left: bool = False
    """It was left to be continued by another execution: no restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an Idempotency-Key has stood for."""

    body: str
    job_id: str
    at_ms: int


def check_known(known: Known | None, idempotency: Idempotency, now_ms: int) -> str | None:
    """The id of the job that the key stands for, if it does. Raises: Refused (INVALID_STATE)."""
    if known is None or known.at_ms < now_ms - IDEMPOTENCY_MS:
        return None
    if known.body != idempotency.body:
        raise Refused("INVALID_STATE", "this Idempotency-Key was used with another body")
    return known.job_id


def request_cancel(row: JobRow) -> tuple[JobRow, Sequence[News]]:
    """The job, marked; one that waits for a process is over at once. Raises: Refused
    (INVALID_STATE).
    """
    if not _may(row.job, CANCELLED):
        raise Refused("INVALID_STATE", f"the job is {row.job.status}: there is nothing to cancel")
    if row.job.status == QUEUED:
        end, error = cancelled_instead(row.job.run, None)
        job = replace(_become(row.job, CANCELLED), cancel_requested=True, error=error)
        return replace(row, job=job, marks={}), [end]
    return replace(row, job=replace(row.job, cancel_requested=True)), []


def reopen(row: JobRow, node: str) -> tuple[JobRow, News]:
    """A failed job's next run. Raises: Refused (INVALID_STATE)."""
    if not _may(row.job, QUEUED):
        raise Refused(
            "INVALID_STATE", f"only a failed job can be retried; this one is {row.job.status}"
        )
    job = replace(
        _become(row.job, QUEUED), node=node, run=row.job.run + 1, step=None, attempt=None,
        cancel_requested=False, result=None, error=None,
    )  # fmt: skip
    row = replace(
        row, job=job, started_ms=None, restarts=0, spent_ms=0, marks={}, done=None, is_left=False
    )
    return row, resumed("retry", row.last_seq)


def claim(
    row: JobRow, node: str, now_ms: int, seen_ms: int | None = None
) -> tuple[JobRow, Sequence[News], Claim] | None:
    """The job as this node has it now; None when it is over.

    ``seen_ms`` is the last sign of life of the node that had it before.
    """
    is_running = row.job.status == RUNNING
    has_restarted = is_running and not row.is_left
    spent_ms = row.spent_ms + _spent_since(row.marks.values(), seen_ms)
    if not is_running and not _may(row.job, RUNNING):
        return None
    job = row.job if is_running else _become(row.job, RUNNING)
    row = replace(
        row,
        job=replace(job, node=node),
        epoch=row.epoch + 1,
        restarts=row.restarts + has_restarted,
        started_ms=row.started_ms or now_ms,
        spent_ms=spent_ms,
        is_left=False,
        marks={step: replace(mark, limit_ms=0) for step, mark in row.marks.items()},  # counted
    )
    news = [resumed("restart", row.last_seq)] if has_restarted and row.last_seq else []
    return row, news, _claim(row)


def begin(
    row: JobRow, held: Claim, step: str, mark: Mark, spent_ms: int, beside: Collection[str] = (),
    at: Place | None = None,
) -> tuple[JobRow, Attempt]:  # fmt: skip
    """Marks the try as begun, and closes all marks but those of the steps ``beside`` it.

    Status shows this try, or the one ``at``.
    """
    if not is_current(row, held) or row.job.cancel_requested:
        return row, Attempt(cancelled=True)
    known = row.marks.get(step)
    if known is not None and known.attempt == mark.attempt and known.token != mark.token:
        return row, Attempt(died=True)
    marks = {name: one for name, one in row.marks.items() if name in beside}
    shown, attempt = at or (step, mark.attempt)
    job = replace(row.job, step=shown, attempt=attempt, updated_ms=mark.begun_ms)
    spent_ms = max(row.spent_ms, spent_ms)
    return replace(row, job=job, marks={**marks, step: mark}, spent_ms=spent_ms), Attempt()


def shows(row: JobRow, at: Place) -> JobRow:
    """The row with this step and try in its status."""
    return replace(row, job=replace(row.job, step=at[0], attempt=at[1]))


def release(row: JobRow, held: Claim, step: str, attempt: int) -> JobRow:
    """Takes the try's mark back: it was stopped in good order and does not count."""
    mark = row.marks.get(step)
    if not is_current(row, held) or mark is None or mark.attempt != attempt:
        return row
    return close(row, [step])


def keep_done(row: JobRow, done: str | None) -> JobRow:
    """The row with the outcomes so far; None leaves them as they are."""
    return row if done is None else replace(row, done=done)


def leave(row: JobRow, held: Claim, done: str, *, continues: bool, now_ms: int) -> JobRow:
    """The row with the outcomes so far and no open try, for another execution to continue.

    ``continues`` says that it does so at once, so that no restart is told.
    """
    if not is_current(row, held):
        return row
    job = replace(row.job, updated_ms=now_ms)
    return replace(row, job=job, done=done, is_left=continues, marks={})


def wait(row: JobRow, waits: Mapping[str, int], now_ms: int) -> JobRow:
    """The row with these steps in a retry wait of so many milliseconds: what counts from now."""
    marks = {
        step: replace(mark, begun_ms=now_ms, limit_ms=waits[step]) if step in waits else mark
        for step, mark in row.marks.items()
    }
    return replace(row, marks=marks)


def close(row: JobRow, steps: Collection[str]) -> JobRow:
    """The row without the marks of steps whose tries have ended."""
    return replace(row, marks={name: m for name, m in row.marks.items() if name not in steps})


def spend(row: JobRow, spent_ms: int) -> JobRow:
    """The row with so much of its deadline spent; never less than before."""
    return replace(row, spent_ms=max(row.spent_ms, spent_ms))


def finish(
    row: JobRow, held: Claim, end: News, result: Json | None, error: Json | None
) -> tuple[JobRow, News] | None:
    """The run's end; None when it has ended already. A failure after an accepted cancel ends as
    cancelled.
    """
    if end.status == FAILED and row.job.cancel_requested:
        end, error = cancelled_instead(held.run, error)
    if not is_current(row, held) or end.status is None or not _may(row.job, end.status):
        return None
    job = replace(_become(row.job, end.status), result=result, error=error)
    return replace(row, job=job, marks={}, done=None, is_left=False), end


def is_current(row: JobRow, held: Claim) -> bool:
    """Whether the job is open and nobody has claimed it since."""
    has_it = row.job.run == held.run and held.epoch in {row.epoch, ANY_EPOCH}
    return has_it and not row.job.is_over


def told(row: JobRow, news: News, at_ms: int) -> tuple[JobRow, Event]:
    """The news as the job's next event, and the row behind it."""
    seq, progress = row.last_seq + 1, max(row.job.progress, news.progress or 0.0)
    message = message_of(row.job.job_id, seq, news, progress, at_ms)
    job = replace(row.job, progress=progress, updated_ms=at_ms)
    event = Event(row.job.job_id, seq, message, is_terminal(news))
    return replace(row, job=job, last_seq=seq), event


def record(row: JobRow, story: Sequence[tuple[str, int]], ended_ms: int) -> ImportRecord:
    """What remains of a job that has ended now. ``story`` is the (key, time) of what was told."""
    job = row.job
    return record_of(job, job.status, job.result, job.error, story, ended_ms)


def _may(job: Job, status: str) -> bool:
    return status in NEXT_STATUSES[job.status]


def _become(job: Job, status: str) -> Job:
    if not _may(job, status):
        raise ValueError(f"a job that is {job.status} cannot become {status}")
    return replace(job, status=status)


def _claim(row: JobRow) -> Claim:
    return Claim(run=row.job.run, started_ms=row.started_ms or 0, restarts=row.restarts,
                 epoch=row.epoch, job_id=row.job.job_id, spent_ms=row.spent_ms,
                 done=json.loads(row.done) if row.done else {},
                 in_batch=row.job.batch_id is not None)  # fmt: skip


def _spent_since(marks: Collection[Mark], seen_ms: int | None) -> int:
    """How long the open tries, or waits, ran before their process died, as far as anybody saw."""
    if seen_ms is None:
        return 0
    return max((min(max(seen_ms - m.begun_ms, 0), m.limit_ms) for m in marks), default=0)
