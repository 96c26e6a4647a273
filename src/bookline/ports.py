"""What the import needs from outside: small roles, each with at least two adapters.

Way:      steps/ and workflow.py speak to these; app.py chooses who fills them.
Not here: lists and searches of books: catalogue.py; who runs imports: importers.py; turns that are
          shared: limits.py; jobs and events: progress/journal.py; batches: progress/batches.py.
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
from bookline.job import ImportInput, Warned
from bookline.progress.batches import Candidate
from bookline.retries import Step
from bookline.values import Json

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
