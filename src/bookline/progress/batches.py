"""A batch: many imports under one id. Its items' states, its own, and what watchers are told.

Way:     stores/batch_rows.py loads rows → here → it keeps rows and events
Rule 1:  pure: no clock, no store, no wait.
Rule 2:  an item that has a job stands as its job does (``state_of``); a batch is over when no item
         is open (``status_of``). Nothing is counted twice or by hand.
Units:   epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bookline.job import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING, Job
from bookline.values import Json, compact, iso

WITH_WARNINGS, ALREADY_THERE = "completedWithWarnings", "alreadyThere"
REVIEW, REFUSED, SKIPPED = "review", "refused", "skipped"
ITEM_STATES: Final = (
    QUEUED, RUNNING, COMPLETED, WITH_WARNINGS, ALREADY_THERE, REVIEW, FAILED, CANCELLED, REFUSED,
    SKIPPED,
)  # fmt: skip
"""An item is in exactly one of them."""
OPEN: Final = frozenset({QUEUED, RUNNING})
NOT_ARRIVED: Final = (FAILED, REFUSED, CANCELLED, REVIEW)
"""What the caller gets back to mend and send again."""

RECEIVING: Final = "receiving"  # before the whole list is kept; nobody sees it
BATCH_STATUSES: Final = (RUNNING, COMPLETED, CANCELLED)

IMPORT, LOOK_UP, RETRY = "import", "lookup", "retry"
"""What is still to be done for an item before a job has it: the feeder's to-do list."""

BATCH_PROGRESS, BATCH_ITEM = "batch_progress", "batch_item"
BATCH_COMPLETED, BATCH_CANCELLED = "batch_completed", "batch_cancelled"
BATCH_EVENT_TYPES: Final = (BATCH_PROGRESS, BATCH_ITEM, BATCH_COMPLETED, BATCH_CANCELLED)
PROGRESS_MS: Final = 1_000  # docs/contract.md: at most once a second, and at the end
RATE_ENDS: Final = 50  # our choice: the last so many ends tell how fast it goes
EVENT_TITLE_CHARS: Final = 500

BATCH_PREFIX: Final = "batch-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A book that may be meant by a row without an ISBN."""

    isbn: str | None
    """ISBN-13 of an edition."""
    title: str
    subtitle: str | None = None
    authors: tuple[str, ...] = ()
    publication_date: str | None = None
    cover_url: str | None = None
    score: float = 0.0
    """How well title and author fit: 1 is equal."""
    work: str = ""
    """The provider's own id of the work, where it has one. Not told."""

    def to_json(self) -> Json:
        return {
            "isbn": self.isbn,
            "title": self.title,
            "authors": list(self.authors),
            "publicationDate": self.publication_date,
            "coverUrl": self.cover_url,
            "score": self.score,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One book of a batch."""

    index: int
    """Its place in the list, from 0."""
    batch_id: str = ""
    """"" until it is kept."""
    line: int | None = None
    """The physical line of the file on which it begins; None for JSON."""
    input: str
    """The ISBN as it came, or the title where there is none."""
    isbn: str | None = None
    source: str = "auto"
    user_id: str | None = None
    title: str | None = None
    authors: tuple[str, ...] = ()
    open_library_id: str | None = None
    reading: Json | None = None
    cells: object = None
    """The row as it came: a list of cells, or a JSON value."""
    state: str = QUEUED
    todo: str = ""
    """IMPORT, LOOK_UP or RETRY while no job has it."""
    job_id: str | None = None
    error: Json | None = None
    candidates: Sequence[Json] = ()
    """As ``Candidate.to_json`` writes them: each ``coverUrl`` is the provider's."""
    tries: int = 0
    """Look-ups that failed."""

    def to_json(self) -> Json:
        return {
            "index": self.index,
            "line": self.line,
            "input": self.input,
            "isbn": self.isbn,
            "jobId": self.job_id,
            "state": self.state,
            "title": self.title,
            "authors": list(self.authors),
            "error": self.error,
            "candidates": [{**one, "coverUrl": self._cover_url(one)} for one in self.candidates],
            "reading": self.reading,
        }

    def _cover_url(self, candidate: Json) -> str | None:
        """Its path on this server, which fetches it: nobody's browser asks a provider."""
        if candidate["coverUrl"] is None:
            return None
        item = f"/v2/import/batch/{self.batch_id}/items/{self.index}"
        return f"{item}/candidates/{candidate['isbn']}/cover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it stands."""

    batch_id: str
    name: str | None = None
    format: str = "json"
    source: str = "auto"
    refresh: bool = False
    """Fetch what is in the library already, too."""
    header: tuple[str, ...] = ()
    """The columns of the file as they came."""
    delimiter: str = ","
    created_ms: int
    updated_ms: int
    status: str = RUNNING
    cancel_requested: bool = False
    last_seq: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """State → items; states without an item may be missing."""
    eta_seconds: int | None = None

    @property
    def is_over(self) -> bool:
        return self.status in {COMPLETED, CANCELLED}

    def to_json(self) -> Json:
        return {
            "batchId": self.batch_id,
            "name": self.name,
            "format": self.format,
            "createdAt": iso(self.created_ms),
            "lastUpdated": iso(self.updated_ms),
            "status": self.status,
            **standing(self.counts, self.eta_seconds),
        }


def state_of(job: Job) -> str:
    """The state of the items that this job imports."""
    if job.status == COMPLETED and job.result and job.result["warnings"]:
        return WITH_WARNINGS
    return job.status


def status_of(*, has_open: bool, cancel_requested: bool) -> str:
    """A batch's status, by its items."""
    if has_open:
        return RUNNING
    return CANCELLED if cancel_requested else COMPLETED


def standing(counts: Mapping[str, int], eta_seconds: int | None) -> Json:
    """Progress and counts, as the API and the events have them."""
    every = {state: counts.get(state, 0) for state in ITEM_STATES}
    total = sum(every.values())
    still_open = sum(every[state] for state in OPEN)
    return {
        "progress": round(1 - still_open / total, 6) if total else 1.0,
        "etaSeconds": eta_seconds,
        "counts": {"total": total, **every},
    }


def eta_seconds(still_open: int, ends_ms: Sequence[int], now_ms: int) -> int | None:
    """Seconds until all is done at the rate of the last ends (newest first); None if unknown."""
    if not still_open or len(ends_ms) < 2:
        return None
    each_ms = max(now_ms - ends_ms[-1], 1) / len(ends_ms)
    return max(1, round(still_open * each_ms / 1000))


def item_data(item: Item) -> Json:
    """What ``batch_item`` says."""
    title = item.title and item.title[:EVENT_TITLE_CHARS]
    return {
        "index": item.index,
        "jobId": item.job_id,
        "isbn": item.isbn,
        "state": item.state,
        "title": title,
        "error": item.error,
    }


def message_of(kind: str, batch_id: str, seq: int, data: Json, at_ms: int) -> str:
    """The JSON text that watchers get."""
    message = {
        "type": kind,
        "batchId": batch_id,
        "seq": seq,
        "timestamp": iso(at_ms),
        "data": data,
    }
    text = compact(message)
    return text.encode("utf-8", "replace").decode()


def end_kind(status: str) -> str:
    """The type of the event that ends a batch's story."""
    return BATCH_CANCELLED if status == CANCELLED else BATCH_COMPLETED


def error_of(code: str, message: str) -> Json:
    return {"code": code, "message": message[:500]}


CANCELLED_ERROR: Final[Json] = {
    "code": "CANCELLED",
    "message": "The batch was cancelled before this item began.",
}
