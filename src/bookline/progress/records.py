"""What remains of a finished import to compare methods by: how it ended, how long it took.

Way:      the journal's terminal write → here → migration/metrics.py
Rule 1:   read from the job's own story, in the transaction of its end: whatever crashed or moved to
          another process before, an import is counted once, with all of its time.
Rule 2:   no ISBN, no user, no job id: what people read is nobody's metric.
Units:    milliseconds.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bookline.job import COMPLETED, FAILED, Job
from bookline.progress.events import COVER_UPLOADED, EMBEDDING_GENERATED, METADATA_FETCHED, STARTED
from bookline.values import Json

DONE, DONE_WITH_WARNINGS, NO_SUCH_BOOK = "done", "done_with_warnings", "no_such_book"
UPSTREAM, OURS, CANCELLED = "upstream", "ours", "cancelled"
OUTCOMES = (DONE, DONE_WITH_WARNINGS, NO_SUCH_BOOK, UPSTREAM, OURS, CANCELLED)
SAVE, SAVE_ASIDE = "save-to-database", "save-to-fallback"
_UPSTREAM = "PROVIDER_"
_STAGE_ENDS = {
    METADATA_FETCHED: "fetch-metadata",
    COVER_UPLOADED: "upload-cover",
    "warning:upload-cover": "upload-cover",
    EMBEDDING_GENERATED: "generate-embedding",
    "warning:generate-embedding": "generate-embedding",
    f"warning:{SAVE}": SAVE,
}
"""Key of an event → the step that it is the end of."""


def outcome_of(status: str, code: str | None, *, has_warnings: bool) -> str:
    """The class of an ending: whose doing it was, not what exactly."""
    if status == COMPLETED:
        return DONE_WITH_WARNINGS if has_warnings else DONE
    if status != FAILED:
        return CANCELLED
    if code in {"BOOK_NOT_FOUND", "METADATA_INCOMPLETE"}:
        return NO_SUCH_BOOK
    return UPSTREAM if (code or "").startswith(_UPSTREAM) else OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """One finished import. A job that is retried and ends again has one record: its last end."""

    record_id: str
    """A hash: it tells records apart, and nothing of the book."""
    method: str
    outcome: str
    code: str | None
    """Of the failure."""
    provider: str
    """Which one answered; for a failure the source that was asked for."""
    duration_ms: int
    """From the acceptance (or the explicit retry) to the end, waits included."""
    stages: Mapping[str, int] = field(default_factory=dict)
    """Step → how long it took, its retries included. Only steps that were come to."""
    tries: int
    finished_ms: int
    """Epoch milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How many imports of a window ended alike."""

    method: str
    outcome: str
    provider: str
    count: int
    tries: int
    """Of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the finished imports of a window come to."""

    groups: Sequence[Group]
    durations: Mapping[str, Mapping[int, int]]
    """Method → percent → milliseconds, by nearest rank."""


def rank(count: int, percent: float) -> int:
    """Nearest rank, from 1: the first of ``count`` that ``percent`` of them do not exceed."""
    return max(math.ceil(count * percent / 100), 1)


def record_of(
    job: Job, status: str, result: Json | None, error: Json | None,
    story: Sequence[tuple[str, int]], ended_ms: int,
) -> ImportRecord:  # fmt: skip
    """The record of a job that ends now. ``story`` is the (key, epoch ms) of its events before."""
    story = _last_run(story)
    began_ms = job.created_ms if job.run == 1 or not story else story[0][1]
    stages: dict[str, int] = {}
    at_ms = max(next((at for key, at in story if key == STARTED), began_ms), began_ms)
    is_aside = False
    for key, told_ms in story:
        if key in _STAGE_ENDS:
            end_ms = max(told_ms, at_ms)  # 0 in events of a file that knew no times yet
            stages[_STAGE_ENDS[key]] = end_ms - at_ms
            at_ms, is_aside = end_ms, key == f"warning:{SAVE}"
    last = (SAVE_ASIDE if is_aside else SAVE) if status == COMPLETED else (error or {}).get("step")
    if last is not None:
        stages[last] = stages.get(last, 0) + ended_ms - at_ms
    code = (error or {}).get("code")
    warnings = (result or {}).get("warnings")
    return ImportRecord(
        record_id=hashlib.sha256(job.job_id.encode()).hexdigest()[:32],
        method=job.method,
        outcome=outcome_of(status, code, has_warnings=bool(warnings)),
        code=code,
        provider=(result or {}).get("source") or job.order.source,
        duration_ms=max(ended_ms - began_ms, 0),
        stages=stages,
        tries=len(stages) + sum(key.startswith("retry:") for key, _ in story),
        finished_ms=ended_ms,
    )


def _last_run(story: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """The events from the last explicit retry on, or all."""
    begins = [place for place, (key, _) in enumerate(story) if key.startswith("resumed:retry:")]
    return story[begins[-1] :] if begins else story
