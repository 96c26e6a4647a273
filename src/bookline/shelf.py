"""The service beside imports.py: find, list, search, edit and delete books; covers and readings.

Way:      api/ or cli/ → here → the library, the fallback store, the object store
Rule 1:   a book that waits in the fallback store is found, edited and deleted like any other.
Rule 2:   nothing brings a deleted book back but a new import: its running ones are cancelled, and
          what they still save is refused where it would be kept.
Rule 3:   a cover of one's own has a key of its own: no import lays its picture over it.
Not here: what an edit may be: edits.py; the forms of an export: shelves/writing.py.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bookline.aside import Aside
from bookline.book import Book, Cover, Embedding
from bookline.catalogue import BookQuery, Books
from bookline.edits import Edit, edited, said_now, with_own_cover
from bookline.errors import BooklineError, CoverRefused, Refused, StoreDown
from bookline.isbn import read_isbn
from bookline.ports import Embedder, ObjectStore, ReadPicture, StoredObject
from bookline.reading import Reading, ReadingOf
from bookline.values import Page, iso

log = logging.getLogger(__name__)

SORTS = ("recent", "title", "author", "year")
QUERY_CHARS = 500  # our choice: a question, not a book
EXTENSIONS = ("jpg", "png", "webp", "gif")
EXPORTED_AT_ONCE = 200  # books
FLOORS: Mapping[str, float] = {"wordllama-l2-supercat-256": 0.2}
"""The cosine below which a book is not near, by model (docs/decisions/0012-the-library.md)."""
OTHER_FLOOR = 0.05  # of a model that was not measured: only what has nothing in common is left out


class OpenImports(Protocol):
    """The imports of one book that are not over."""

    async def open_of(self, isbn: str) -> Sequence[str]:
        """Their job ids."""
        ...

    async def cancel_all(self, job_ids: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A book of a search."""

    book: Book
    score: float
    """1 for a literal match, else the cosine."""
    match: str
    """``literal`` or ``meaning``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The answer to a search."""

    items: Sequence[Hit]
    model: str | None
    """None where no embedder is set up: the literal matches are all there is."""


class Shelf:
    """``books`` None is LIBRARY=off. ``clock`` gives epoch milliseconds."""

    def __init__(
        self,
        books: Books | None,
        aside: Aside,
        objects: ObjectStore,
        imports: OpenImports,
        *,
        embedder: Embedder | None,
        read_picture: ReadPicture,
        clock: Callable[[], int],
    ) -> None:
        self._books = books
        self._aside = aside
        self._objects = objects
        self._imports = imports
        self._embedder = embedder
        self._read_picture = read_picture
        self._clock = clock

    # -------------------------------------------------------------- one book
    async def find(self, isbn: str, user_id: str | None = None) -> Book:
        """With what this reader said of it. Raises: Refused (INVALID_ISBN, BOOK_NOT_FOUND)."""
        isbn13 = read_isbn(isbn).isbn13
        book = await self._books.find(isbn13, user_id) if self._books is not None else None
        if book is None:
            book = await self._aside.find(isbn13)
        if book is None:
            raise _not_found(isbn13)
        return book

    async def find_cover(self, isbn: str) -> StoredObject:
        """The stored picture; while its import still runs, too. Raises: Refused (NOT_FOUND)."""
        isbn13 = read_isbn(isbn).isbn13
        try:
            cover = (await self.find(isbn13)).cover
            keys = [cover.key] if cover else []
        except Refused:
            keys = _keys(isbn13) if await self._imports.open_of(isbn13) else []
        for key in keys:
            found = await self._objects.find(key)
            if found is not None:
                return found
        raise Refused("NOT_FOUND", f"there is no cover of {isbn13}")

    async def find_many(self, isbns: Collection[str]) -> Mapping[str, Book]:
        """Those of these ISBN-13s that are in the library, without their vectors."""
        return {} if self._books is None else await self._books.find_many(isbns)

    # -------------------------------------------------------------- lists and searches
    async def list(self, query: BookQuery, *, limit: int, cursor: str | None) -> Page[Book]:
        """With ``total``. Books that wait in the fallback store come once they are drained.

        Raises: Refused (INVALID_REQUEST).
        """
        if query.sort not in SORTS:
            raise Refused("INVALID_REQUEST", f"sort must be one of {', '.join(SORTS)}")
        for name, text in (("q", query.q), ("author", query.author), ("language", query.language)):
            if len(text) > QUERY_CHARS:
                raise Refused("INVALID_REQUEST", f"{name} may have {QUERY_CHARS} characters")
        if self._books is None:
            return Page(items=[], next_cursor=None, total=0)
        return await self._books.list(query, limit=limit, cursor=cursor)

    async def search(self, text: str, limit: int) -> Hits:
        """Literal matches first, then those near in meaning. Raises: Refused (INVALID_REQUEST)."""
        text = text.strip()
        if not 1 <= len(text) <= QUERY_CHARS:
            raise Refused("INVALID_REQUEST", f"q must have 1 to {QUERY_CHARS} characters")
        if self._books is None:
            raise Refused("UNAVAILABLE", "a search requires the library, and LIBRARY is off")
        query = BookQuery(q=text, sort="match")
        literal = (await self._books.list(query, limit=limit, cursor=None)).items
        hits = [Hit(book=book, score=1.0, match="literal") for book in literal]
        if self._embedder is None:
            return Hits(items=hits, model=None)
        vector = await self._embedder.embed(text)
        known = {book.isbn for book in literal}
        floor = FLOORS.get(vector.model, OTHER_FLOOR)
        near = await self._books.search(vector, limit=limit)
        hits += [
            Hit(book=one.book, score=one.score, match="meaning")
            for one in near
            if one.score >= floor and one.book.isbn not in known
        ]
        return Hits(items=hits[:limit], model=vector.model)

    async def export(self, user_id: str | None = None) -> AsyncIterator[Book]:
        """Every book of the library with this reader's data, by ISBN."""
        after = ""
        while self._books is not None:
            books = await self._books.walk(after, EXPORTED_AT_ONCE, user_id)
            for book in books:
                yield book
            if len(books) < EXPORTED_AT_ONCE:
                return
            after = books[-1].isbn

    # -------------------------------------------------------------- changes
    async def edit(self, isbn: str, edit: Edit, user_id: str | None = None) -> Book:
        """The book after it. What was edited is locked.

        Raises: Refused (INVALID_ISBN, BOOK_NOT_FOUND), StoreDown.
        """
        book = await self.find(isbn)
        at = iso(self._clock())
        if edit.changes_book:
            book = await self._change(book.isbn, edited(edit, at))
            await self._embed_again(book, edit)
        if edit.changes_reading:
            if self._books is None:
                raise Refused("UNAVAILABLE", "reading requires the library, and LIBRARY is off")
            await self._books.change_reading(book.isbn, user_id, at, said_now(edit))
        return await self.find(book.isbn, user_id)

    async def keep_cover(self, isbn: str, body: bytes) -> Book:
        """The book with this picture as its cover, locked.

        Raises: Refused (INVALID_ISBN, BOOK_NOT_FOUND, INVALID_REQUEST), StoreDown.
        """
        book = await self.find(isbn)
        try:
            picture = await self._read_picture(body)
        except CoverRefused as error:
            raise Refused("INVALID_REQUEST", f"the picture is refused: {error}") from error
        at = iso(self._clock())
        cover = Cover(
            key=f"covers/{book.isbn}.own.{picture.extension}",
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            sha256=hashlib.sha256(body).hexdigest(),
            source_url="",
            fetched_at=at,
        )
        attributes = {"fetched-at": at, "sha256": cover.sha256}
        await self._objects.keep(cover.key, body, cover.content_type, attributes)
        changed = await self._change(book.isbn, with_own_cover(cover, at))
        if book.cover is not None and book.cover.key != cover.key:
            await self._remove_pictures([book.cover.key])
        return replace(changed, reading=book.reading)

    async def delete(self, isbn: str) -> None:
        """The book goes with its vectors, its cover, its readers' data and a copy in the fallback
        store; its running imports are cancelled.

        Raises: Refused (INVALID_ISBN, BOOK_NOT_FOUND), StoreDown.
        """
        isbn13 = read_isbn(isbn).isbn13
        jobs = list(await self._imports.open_of(isbn13))
        await self._imports.cancel_all(jobs)
        waiting = await self._aside.remove(isbn13, jobs)
        refused = {*jobs, *([waiting.provenance.job_id] if waiting else [])}
        book = await self._books.remove(isbn13, refused) if self._books is not None else None
        if not (book or waiting or jobs):
            raise _not_found(isbn13)
        covers = {one.cover.key for one in (book, waiting) if one is not None and one.cover}
        await self._remove_pictures(covers | set(_keys(isbn13) if jobs else ()))

    async def _change(self, isbn: str, change: Callable[[Book], Book]) -> Book:
        if self._books is None:
            changed = await self._aside.change(isbn, change)
        else:
            changed = await self._books.change(isbn, change)
            if changed is None and (waiting := await self._aside.find(isbn)) is not None:
                await self._books.keep(waiting)  # as its drain will, which then finds it there
                changed = await self._books.change(isbn, change)
        if changed is None:
            raise _not_found(isbn)
        return changed

    async def _embed_again(self, book: Book, edit: Edit) -> None:
        """The vector follows the text it was made of. An embedder that fails fails no edit."""
        if self._embedder is None or not {"title", "authors", "description"} & set(edit.values):
            return
        try:
            vector: Embedding = await self._embedder.embed(book.metadata.embedding_text)
            await self._change(book.isbn, lambda now: replace(now, embedding=vector))
        except BooklineError as error:
            log.warning("%s keeps the vector of its older text: %s", book.isbn, error)

    async def _remove_pictures(self, keys: Collection[str]) -> None:
        for key in keys:
            try:
                await self._objects.remove(key)
            except StoreDown as error:
                log.warning("the cover %s remains: %s", key, error)

    # -------------------------------------------------------------- readers' own data
    async def keep_readings(self, readings: Sequence[ReadingOf]) -> int:
        """How many are kept, in one write; none with LIBRARY=off. Newer values win, an older
        reading only fills gaps. Safe twice, and before the books are there. Raises: StoreDown.
        """
        if self._books is None:
            log.warning("LIBRARY=off: what readers say of books is not kept")
            return 0
        await self._books.keep_readings(readings)
        return len(readings)

    async def find_reading(self, isbn: str, user_id: str | None = None) -> Reading | None:
        """What this reader said of a book in the library."""
        if self._books is None:
            return None
        book = await self._books.find(read_isbn(isbn).isbn13, user_id)
        return book.reading if book is not None else None


def _not_found(isbn: str) -> Refused:
    return Refused("BOOK_NOT_FOUND", f"{isbn} is not in the library")


def _keys(isbn: str) -> list[str]:
    """Where an import may have laid a picture."""
    return [f"covers/{isbn}.{extension}" for extension in EXTENSIONS]
