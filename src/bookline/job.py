"""A job: one import as it was asked for, its states, and what it came to.

Units:   times are epoch milliseconds (``_ms``) inside and ISO 8601 with Z in JSON.
Rule 1:  ``to_json`` and ``from_json`` of a value are its one stored and sent form.
Rule 2:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bookline.book import Cover
from bookline.values import Json, iso

SOURCES: Final = ("auto", "google_books", "isbndb", "openlibrary")
"""What a caller may name as ``source``; ``auto`` asks all usable ones in turn."""
TITLES: Final[Mapping[str, str]] = {
    "google_books": "Google Books",
    "isbndb": "ISBNdb",
    "openlibrary": "Open Library",
}
"""The sources' names for people."""
METHODS: Final = ("workflow", "legacy")
QUEUED, RUNNING = "queued", "running"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
JOB_STATUSES: Final = (QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED)
TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELLED})
NEXT_STATUSES: Final[Mapping[str, frozenset[str]]] = {
    # Straight to the end: when power fails, the journal may lose the claim that the engine kept.
    QUEUED: frozenset({RUNNING, COMPLETED, FAILED, CANCELLED}),
    RUNNING: frozenset({COMPLETED, FAILED, CANCELLED}),
    COMPLETED: frozenset(),
    FAILED: frozenset({QUEUED}),  # an explicit retry, and nothing else
    CANCELLED: frozenset(),
}
"""The state table: where a job may go from each status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportInput:
    """One import as it was asked for. It is the workflow's stored input."""

    job_id: str
    isbn: str
    """ISBN-13."""
    input_isbn: str
    """As the caller wrote it."""
    source: str = "auto"
    user_id: str | None = None

    def to_json(self) -> Json:
        return {
            "jobId": self.job_id,
            "isbn": self.isbn,
            "inputIsbn": self.input_isbn,
            "source": self.source,
            "userId": self.user_id,
        }

    @classmethod
    def from_json(cls, data: Json) -> ImportInput:
        return cls(
            job_id=data["jobId"],
            isbn=data["isbn"],
            input_isbn=data["inputIsbn"],
            source=data["source"],
            user_id=data["userId"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """An optional part that failed, in words; the import went on without it."""

    step: str
    code: str
    message: str

    def to_json(self) -> Json:
        return {"step": self.step, "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import has come to."""

    isbn: str
    title: str
    source: str
    stored_in: str
    """``database`` or ``kv``."""
    cover: Cover | None
    has_embedding: bool
    """True only if the vector was stored."""
    warnings: tuple[Warned, ...] = ()

    def to_json(self) -> Json:
        return {
            "success": True,
            "isbn": self.isbn,
            "title": self.title,
            "source": self.source,
            "saved": True,
            "storedIn": self.stored_in,
            "coverR2Key": self.cover.key if self.cover else None,
            "coverUrl": self.cover.url if self.cover else None,
            "hasEmbedding": self.has_embedding,
            "warnings": [warned.to_json() for warned in self.warnings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An import as it stands: what lists and the status endpoint show."""

    order: ImportInput
    method: str
    status: str = QUEUED
    step: str | None = None
    attempt: int | None = None
    """Which try of ``step``, from 1."""
    progress: float = 0.0
    created_ms: int
    updated_ms: int
    run: int = 1
    """1, and one more for each explicit retry."""
    node: str | None = None
    """Whose process has it (an executor id); None while it waits for one."""
    flow: str = ""
    """Whose it is while it waits: the flows take turns."""
    batch_id: str | None = None
    """Of the batch that it is part of."""
    cancel_requested: bool = False
    last_event: Json | None = None
    result: Json | None = None
    error: Json | None = None

    @property
    def job_id(self) -> str:
        return self.order.job_id

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def last_seq(self) -> int:
        """Of its last event; 0 before the first."""
        return int(self.last_event["seq"]) if self.last_event else 0

    def to_json(self) -> Json:
        event = self.last_event
        return {
            "jobId": self.order.job_id,
            "batchId": self.batch_id,
            "isbn": self.order.isbn,
            "inputIsbn": self.order.input_isbn,
            "source": self.order.source,
            "method": self.method,
            "status": self.status,
            "step": self.step,
            "attempt": self.attempt,
            "progress": self.progress,
            "createdAt": iso(self.created_ms),
            "lastUpdated": iso(self.updated_ms),
            "lastEvent": event,
            "data": event["data"] if event else None,
            "result": self.result,
            "error": self.error,
        }
