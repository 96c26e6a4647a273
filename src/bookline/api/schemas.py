"""The shapes of requests and answers, for the OpenAPI document. Values themselves are core's.

Rule 1:  an answer is built from core's ``to_json``; a test holds both together.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Method = Literal["workflow", "legacy"]


class Metadata(BaseModel):
    """Of the answer, not of the book."""

    timestamp: str = Field(examples=["2026-11-22T21:19:19.123Z"])
    requestId: str | None = Field(examples=["9f1c2b3a4d5e6f70"])


class Success(BaseModel, Generic[T]):
    """Every good answer."""

    success: Literal[True]
    data: T
    metadata: Metadata


class Error(BaseModel):
    """What went wrong and whether the same request may succeed later."""

    code: str = Field(examples=["INVALID_ISBN"])
    message: str = Field(examples=["ISBN must be 10 or 13 digits: this has 9"])
    retryable: bool
    details: dict[str, Any] | None = None


class Failure(BaseModel):
    """Every bad answer."""

    success: Literal[False]
    data: None
    error: Error
    metadata: Metadata


class ImportRequest(BaseModel):
    """An import to start."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"isbn": "9780451524935", "source": "auto"}]}
    )

    isbn: str = Field(description="ISBN-10 or ISBN-13, hyphens and spaces allowed")
    source: Literal["auto", "google_books", "isbndb", "openlibrary"] | None = Field(
        default="auto", description="by default `auto`: the first source that knows the book"
    )
    userId: str | None = Field(default=None, max_length=200)


class RolloutImportRequest(ImportRequest):
    """An import to start by the method that the rollout or the caller chooses."""

    method: Method | None = None


class LegacyCall(BaseModel):
    """What the legacy importer's clients send."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"action": "start", "isbn": "9780451524935"},
                {"action": "status", "jobId": "import-9780451524935-1795384691739-Bhr1wV3YJgg0"},
            ]
        }
    )

    action: Literal["start", "status"]
    isbn: str | None = Field(default=None, description="of a start")
    source: str | None = Field(default=None, description="of a start")
    jobId: str | None = Field(default=None, description="of a status")


class LegacyJob(BaseModel):
    """The job; its status is the last event's."""

    jobId: str
    status: str | None = None
    lastEvent: "EventMessage | None" = None


class Started(BaseModel):
    """A job that is known from now on."""

    jobId: str = Field(examples=["import-9780451524935-1795384691739-Bhr1wV3YJgg0DAuL"])
    workflowId: str
    isbn: str
    inputIsbn: str
    method: Method
    status: Literal["started"]
    statusUrl: str
    eventsUrl: str
    wsUrl: str
    token: str


class Warned(BaseModel):
    """An optional part that failed."""

    step: str
    code: str
    message: str


class Result(BaseModel):
    """What an import has come to."""

    success: bool
    isbn: str
    title: str
    source: str
    saved: bool
    storedIn: Literal["database", "kv"]
    coverR2Key: str | None
    coverUrl: str | None
    hasEmbedding: bool
    warnings: list[Warned]


class JobError(BaseModel):
    """Why a job ended badly."""

    code: str
    message: str
    step: str | None
    attempts: int


class EventMessage(BaseModel):
    """A message as watchers get it."""

    type: str
    jobId: str
    seq: int
    status: str | None
    progress: float
    timestamp: str
    data: dict[str, Any]


class Job(BaseModel):
    """An import as it stands."""

    jobId: str
    batchId: str | None
    isbn: str
    inputIsbn: str
    source: str
    method: Method
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    step: str | None
    attempt: int | None
    progress: float = Field(ge=0, le=1)
    createdAt: str
    lastUpdated: str
    lastEvent: EventMessage | None
    data: dict[str, Any] | None
    result: Result | None
    error: JobError | None


class Cover(BaseModel):
    """A stored picture."""

    key: str
    url: str
    contentType: str
    width: int
    height: int
    sha256: str


class Embedding(BaseModel):
    """Which model made the book's vector."""

    model: str
    dimensions: int


class Provenance(BaseModel):
    """Where the book's facts came from, last."""

    source: str
    sourceId: str | None
    jobId: str
    importedAt: str
    updatedAt: str = Field(description="of the last import or edit")
    fields: dict[str, str] = Field(description="field → the source that gave it")


class Reading(BaseModel):
    """What a reader says of a book, never of the book itself."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["read", "reading", "to-read", "did-not-finish", "paused"] | None = None
    rating: float | None = Field(default=None, ge=0.25, le=5)
    shelves: list[str] | None = None
    dateAdded: str | None = Field(default=None, description="YYYY-MM-DD")
    datesRead: list[str] | None = Field(default=None, description="YYYY-MM-DD or start/end")
    readCount: int | None = Field(default=None, ge=0)
    review: str | None = None
    notes: str | None = None
    owned: bool | None = None


class Book(BaseModel):
    """A book of the library."""

    isbn: str
    isbn10: str | None
    title: str
    subtitle: str | None
    author: str | None
    authors: list[str]
    description: str | None
    publisher: str | None
    publicationDate: str | None
    pageCount: int | None
    language: str | None
    categories: list[str]
    cover: Cover | None
    embedding: Embedding | None
    provenance: Provenance
    reading: Reading | None
    locked: list[str] = Field(description="fields that were edited: no import changes them")


class BookEdit(BaseModel):
    """What shall be different. Null empties a field; all but the title may be empty."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"title": "Moby-Dick", "unlock": ["cover"]}]},
    )

    title: str | None = Field(default=None, min_length=1)
    subtitle: str | None = None
    authors: list[str] | None = None
    description: str | None = None
    publisher: str | None = None
    publicationDate: str | None = Field(default=None, description="YYYY, YYYY-MM or YYYY-MM-DD")
    pageCount: int | None = Field(default=None, ge=1)
    language: str | None = Field(default=None, description="BCP 47")
    categories: list[str] | None = None
    reading: Reading | None = None
    unlock: list[str] | None = Field(default=None, description="fields to free, `cover` too")


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    nextCursor: str | None


class CountedPage(Page[T]):
    """A part of a list, with the length of the whole."""

    total: int


class Found(BaseModel):
    """A book of a search."""

    book: Book
    score: float = Field(description="1 for a literal match, else the cosine")
    match: Literal["literal", "meaning"]


class SearchResult(BaseModel):
    """Literal matches first, then the nearest in meaning."""

    items: list[Found]
    model: str | None = Field(description="null without an embedder: literal matches alone")


class Health(BaseModel):
    """That the process lives."""

    status: Literal["ok"]
    version: str


class Dependency(BaseModel):
    """One thing that Bookline needs."""

    ok: bool
    detail: str | None


class Readiness(BaseModel):
    """Whether imports can be taken."""

    status: Literal["ready", "degraded"]
    dependencies: dict[str, Dependency]
