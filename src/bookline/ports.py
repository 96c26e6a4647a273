"""What the import needs from outside: small roles, each with at least two adapters.

Way:      steps/, workflow.py and imports.py speak to these; app.py chooses who fills them.
Rule 1:   no foreign error leaves an adapter: only those of errors.py.
Rule 2:   whatever an adapter keeps, keeping it twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bookline.book import Book, Embedding, Metadata
from bookline.errors import BooklineError
from bookline.isbn import Isbn
from bookline.job import ImportInput, Job, Warned
from bookline.progress.batches import Candidate
from bookline.reading import Reading, ReadingOf
from bookline.retries import Step
from bookline.values import Json, Page

T = TypeVar("T")


# ------------------------------------------------------------------ the workflow's two sides
class Run(Protocol):
    """One running import, as the workflow sees its engine."""

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        """The step's result: from its record when it has finished before, else by doing it.

        Raises: StepFailed when its tries are used up or one was enough to know;
        DeadlineExceeded and Cancelled (no StepFailed) when the job must end.
        """
        ...

    async def tell(self, status: str, data: Json) -> None:
        """Progress to whoever watches. Never fails; the same one told twice counts once."""
        ...

    def side_by_side(self, *steps: Step) -> None:
        """The next steps to be done are these, at the same time; status shows the first of them
        that has not ended. An engine that keeps records by place draws their places now.
        """
        ...

    async def warn(self, warned: Warned) -> None:
        """That an optional part failed. Never fails; told twice counts once."""
        ...


class Steps(Protocol):
    """What each step does. A step may run twice: the second time must do no harm."""

    async def fetch_metadata(self, order: ImportInput) -> Metadata: ...

    async def upload_cover(self, isbn: str, url: str) -> Json:
        """The stored cover as ``Cover.to_json()``."""
        ...

    async def generate_embedding(self, metadata: Metadata) -> Json | None:
        """``Embedding.to_json()``, or None when embeddings are switched off."""
        ...

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        """``{"storedIn", "hasEmbedding"}`` after the book is in the library."""
        ...

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        """The same, into the fallback store."""
        ...


# ------------------------------------------------------------------ the network
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer, read to its end (or to the cap)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    url: str = ""
    """After redirects."""


class Http(Protocol):
    """Questions to a provider. Follows redirects on the same host only."""

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Raises: ProviderDown (no connection, cut body, body over the cap)."""
        ...

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer: ...


class MetadataProvider(Protocol):
    """Google Books, ISBNdb, Open Library."""

    @property
    def name(self) -> str:
        """As in ``source``."""
        ...

    async def find(self, isbn: Isbn) -> Metadata:
        """What the provider knows.

        Raises: BookNotFound, MetadataIncomplete, WrongKey, ProviderRefused (final);
        SlowDown, ProviderDown (later).
        """
        ...


class BookSearch(Protocol):
    """The same three, asked for a book whose ISBN is not known."""

    @property
    def name(self) -> str:
        """As in ``source``."""
        ...

    async def search(self, title: str, author: str) -> Sequence[Candidate]:
        """Books that may be meant, not scored; none where the provider knows none.

        ``author`` may be empty. Raises: as ``MetadataProvider.find``, without BookNotFound.
        """
        ...


class CoverFetcher(Protocol):
    """Pictures from addresses that providers name, with every guard of docs/contract.md"""

    async def fetch(self, url: str) -> Answer:
        """The picture's bytes, capped.

        Raises: CoverRefused (address, host, size, 4xx), SlowDown, ProviderDown.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the bytes of an image say of themselves."""

    content_type: str
    extension: str
    width: int
    height: int


ReadPicture = Callable[[bytes], Awaitable[Picture]]
"""Raises: CoverRefused when the bytes are no usable picture."""


class Embedder(Protocol):
    """Text to vector."""

    @property
    def model(self) -> str: ...

    async def embed(self, text: str) -> Embedding:
        """Raises: EmbeddingRefused, ProviderDown, SlowDown, WrongKey."""
        ...


class EmbedderOfMany(Embedder, Protocol):
    """One that takes many texts in one question."""

    async def embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        """One question: for each text its vector, or what is wrong with it alone.

        Raises: as ``embed``, for what holds for all.
        """
        ...


class Pace(Protocol):
    """Turns to ask a provider, shared by all processes of a deployment."""

    async def ask(
        self, provider: str, what: str, question: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer to a question that is asked when its turn has come; ``what`` is the same for
        the same question.

        No wait here counts against a try's limit: for a turn, for the time until which the
        provider wants to be left alone, for its circuit.
        Raises: what the question raises; SlowDown while the quota of the day is used up.
        """
        ...

    async def held_seconds(self, provider: str) -> float:
        """How long it is still to be left alone; 0 when it may be asked."""
        ...


# ------------------------------------------------------------------ stores
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """Bytes of the object store with their type."""

    key: str
    body: bytes
    content_type: str


class ObjectStore(Protocol):
    """Pictures by key."""

    async def keep(
        self, key: str, body: bytes, content_type: str, attributes: Mapping[str, str]
    ) -> None: ...

    async def find(self, key: str) -> StoredObject | None: ...

    async def remove(self, key: str) -> None: ...

    async def check(self) -> None:
        """Raises: StoreDown when it cannot be written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A book found by meaning; ``score`` is the cosine, 1 for the same direction."""

    book: Book
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BookQuery:
    """Which books, in which order. Empty texts ask for nothing."""

    q: str = ""
    """Each word is in ISBN, title or author; case, accents and hyphens do not matter."""
    author: str = ""
    """Each word is in the authors' names."""
    language: str = ""
    """BCP 47; a region or script less finds those with one."""
    sort: str = "recent"
    """``recent``, ``title``, ``author``, ``year``; ``match`` is the best match of ``q`` first."""


class Library(Protocol):
    """The books, with their vectors beside them."""

    async def keep(self, book: Book) -> Book:
        """The book as it now stands: merged over an older one, never erasing. Safe twice.

        Raises: StoreDown; Removed when the book was deleted while its import ran.
        """
        ...

    async def find(self, isbn: str, user_id: str | None = None) -> Book | None:
        """With what this reader said of it."""
        ...

    async def change(self, isbn: str, change: Callable[[Book], Book]) -> Book | None:
        """The book after ``change``, which is pure and may be called again; None without one."""
        ...

    async def remove(self, isbn: str, jobs: Collection[str]) -> Book | None:
        """The book that is gone, with its vectors and what readers said of it; None without one.

        Nothing that these jobs save later is kept.
        """
        ...


class Catalogue(Protocol):
    """The library as a list, and searched."""

    async def list(self, query: BookQuery, *, limit: int, cursor: str | None) -> Page[Book]:
        """With ``total``. Raises: Refused for a cursor that is not of this list."""
        ...

    async def search(self, embedding: Embedding, *, limit: int) -> Sequence[Found]:
        """Nearest first, among the vectors of the same model only."""
        ...

    async def find_many(self, isbns: Collection[str]) -> Mapping[str, Book]:
        """Those of the books that are there, without their vectors, by ISBN-13."""
        ...

    async def walk(self, after: str, limit: int, user_id: str | None) -> Sequence[Book]:
        """The next books in the order of their ISBNs, with this reader's data."""
        ...


class Readings(Protocol):
    """What readers say of books."""

    async def keep_readings(self, readings: Sequence[ReadingOf]) -> None:
        """One write. Newer values win, an older reading only fills gaps. Safe twice."""
        ...

    async def change_reading(
        self, isbn: str, user_id: str | None, at: str, change: Callable[[Reading], Reading]
    ) -> None: ...


class Books(Library, Catalogue, Readings, Protocol):
    """All of it, for shelf.py."""


class KeyValue(Protocol):
    """The fallback store."""

    async def keep(
        self, key: str, value: Json, *, ttl_seconds: float, if_value: Json | None
    ) -> bool:
        """False, and nothing kept, unless ``if_value`` is there now (None: nothing is)."""
        ...

    async def find(self, key: str) -> Json | None: ...

    async def keys(self, prefix: str) -> Sequence[str]: ...

    async def remove(self, key: str, *, if_value: Json) -> bool:
        """False, and nothing removed, when the value is another by now."""
        ...


# ------------------------------------------------------------------ the journal: jobs and events


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change of the rollout. The newest is in force."""

    number: int
    at_ms: int
    actor: str
    reason: str
    state: Json | None
    """None when what is kept cannot be read."""


class RolloutLog(Protocol):
    """The rollout's changes: append-only, seen by all processes at once."""

    async def newest(self) -> Revision | None: ...

    async def append(self, revision: Revision) -> bool:
        """False, and nothing kept, when another change has taken its number. Raises: StoreDown."""
        ...

    async def history(self, limit: int) -> Sequence[Revision]:
        """Newest first."""
        ...


class Engine(Protocol):
    """What runs imports, durably: the workflow's engine, or the legacy importer."""

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        """Begins the import of a job that was opened. Safe twice. Raises: StoreDown.

        One of many, ``in_batch``, may do without the engine's records while all goes well.
        """
        ...

    async def restart(self, job_id: str) -> None:
        """Goes on at the step that failed; the results of the steps before it are kept.

        The job must be reopened before. Raises: StoreDown.
        """
        ...

    async def settle(self, job_id: str) -> None:
        """Waits until the end of a finished job is recorded, a few seconds at most.

        Raises: StoreDown when it is not.
        """
        ...

    def wake(self, job_id: str) -> None:
        """Lets a cancel take effect at once if the job waits for a retry in this process."""
        ...


class Queue(Protocol):
    """Where jobs wait until this process, or another, has room for them."""

    def reserve(self, job: Job) -> bool:
        """Whether the job may go to its engine at once: ``hand_over`` or ``release`` follows."""
        ...

    def release(self, job: Job) -> None:
        """The job does not go to its engine after all. Safe twice."""
        ...

    async def hand_over(self, job: Job) -> None:
        """A kept job of this node to its engine; one that is not taken now starts later."""
        ...

    def stir(self) -> None:
        """A job has been kept that waits."""
        ...


class Importer(Engine, Protocol):
    """An engine of this process."""

    @property
    def running(self) -> Sequence[str]:
        """Ids of the jobs that this process runs now."""
        ...


class OtherImporter(Importer, Protocol):
    """An importer that looks after its own jobs: after a restart, and after a dead process."""

    async def remove(self, job_ids: Sequence[str]) -> None:
        """Forgets finished jobs; ids that it does not know do no harm. Raises: StoreDown."""
        ...

    async def close(self) -> None:
        """Stops its jobs in good order; they go on after the next start."""
        ...

    async def sweep(self) -> int:
        """How many of its jobs were set going again. Called at start and each second."""
        ...
