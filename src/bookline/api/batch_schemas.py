"""The shapes of batches, for the OpenAPI document. Values themselves are core's.

Rule 1:  an answer is built from core's ``to_json``; a test holds both together.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bookline.api.schemas import Reading

T = TypeVar("T")
Source = Literal["auto", "google_books", "isbndb", "openlibrary"]
State = Literal[
    "queued", "running", "completed", "completedWithWarnings", "alreadyThere", "review", "failed",
    "cancelled", "refused", "skipped",
]  # fmt: skip


class BatchItem(BaseModel):
    """A book to import, with what its reader says of it."""

    model_config = ConfigDict(extra="forbid")

    isbn: str
    source: Source | None = None
    userId: str | None = Field(default=None, max_length=200)
    reading: Reading | None = None
    code: str | None = Field(default=None, description="ignored: what `…/failed` adds")
    reason: str | None = Field(default=None, description="ignored: what `…/failed` adds")


class BatchRequest(BaseModel):
    """Many books to import."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"items": ["9780451524935", {"isbn": "9780142437247"}], "name": "Shelf"}]
        },
    )

    items: list[str | BatchItem] = Field(min_length=1, max_length=10_000)
    source: Source | None = Field(
        default="auto", description="for items that name none; by default `auto`"
    )
    name: str | None = Field(default=None, max_length=200)


class ReviewChoice(BaseModel):
    """Exactly one of the two."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"isbn": "9780451524935"}]}
    )

    isbn: str | None = None
    skip: Literal[True] | None = None


class Counts(BaseModel):
    """How many items are in each state; ``total`` is the sum of the others."""

    total: int
    queued: int
    running: int
    completed: int
    completedWithWarnings: int
    alreadyThere: int
    review: int
    failed: int
    cancelled: int
    refused: int
    skipped: int


class Standing(BaseModel):
    """How far a batch is."""

    progress: float = Field(ge=0, le=1, description="the share that is not open any more")
    etaSeconds: int | None
    counts: Counts


class Batch(Standing):
    """A batch as it stands."""

    batchId: str = Field(examples=["batch-1795384691739-Bhr1wV3YJgg0DAuL"])
    name: str | None
    format: str
    createdAt: str
    lastUpdated: str
    status: Literal["running", "completed", "cancelled"]


class RefusedItem(BaseModel):
    """An item that was refused at the door."""

    index: int
    input: str
    code: str
    message: str


class RefusedRow(RefusedItem):
    """A row that cannot be imported."""

    line: int | None


class OpenedBatch(Batch):
    """A batch that is kept whole from now on."""

    refused: list[RefusedItem] = Field(description="the first 100")
    refusedCount: int
    duplicates: int = Field(description="items behind the first of their ISBN")
    statusUrl: str
    eventsUrl: str
    wsUrl: str
    token: str


class ItemError(BaseModel):
    """Why an item did not arrive."""

    code: str
    message: str


class Candidate(BaseModel):
    """A book that may be meant."""

    isbn: str | None
    title: str
    authors: list[str]
    publicationDate: str | None
    coverUrl: str | None
    score: float


class Item(BaseModel):
    """One book of a batch."""

    index: int
    line: int | None
    input: str
    isbn: str | None
    jobId: str | None
    state: State
    title: str | None
    authors: list[str] = Field(description="as the row names them; of a title without ISBN")
    error: ItemError | None
    candidates: list[Candidate]
    reading: Reading | None


class BatchMessage(BaseModel):
    """A message as watchers get it."""

    type: Literal["batch_progress", "batch_item", "batch_completed", "batch_cancelled"]
    batchId: str
    seq: int
    timestamp: str
    data: dict[str, Any]


class Counted(BaseModel, Generic[T]):
    """A part of a list, and how long the whole list is."""

    items: list[T]
    nextCursor: str | None
    total: int


class Preview(BaseModel):
    """What is in a file: ``rows`` = ``withIsbn`` + ``withoutIsbn``, refused among the latter."""

    format: str
    encoding: str
    rows: int
    withIsbn: int
    withoutIsbn: int
    repaired: int
    duplicates: int
    alreadyThere: int
    refused: list[RefusedRow]
    refusedCount: int
    sample: list[Item]
