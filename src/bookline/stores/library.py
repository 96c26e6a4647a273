"""The library in SQL tables: a book as one document, with its vectors beside it.

Way:     steps/save.py, shelf.py, drain.py → here → a Database
Rule 1:  a book is read, merged and written in one write: two imports of one ISBN lose nothing.
         A write carries the document that it read, for products without transactions.
Rule 2:  a vector is stored only if it fits those that its model has here already.
Rule 3:  what books are asked by is in the table ``catalogue``; all else is in the document
         (``Book.to_stored``).
Not here: lists and searches: library_lists.py; readers' own data: library_readings.py.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from bookline.book import Book, Embedding
from bookline.catalogue import BookQuery, Found
from bookline.errors import EmbeddingRefused, Removed, StoreDown
from bookline.merging import combined
from bookline.reading import Reading, ReadingOf
from bookline.stores import library_lists, library_readings
from bookline.stores.books import storable
from bookline.stores.catalogue import KEEP_ENTRY, entry
from bookline.stores.database import Database, Session
from bookline.stores.library_lists import BOOKS, NearestVectors, read_book
from bookline.stores.totals import Totals
from bookline.threads import in_thread
from bookline.values import Page, compact

log = logging.getLogger(__name__)

READINGS = "readings"  # the key of writes that change readers' own data
MOST_TRIES = 10  # our choice; more than one is needed only where a write is no transaction
_KEEP = """
    INSERT INTO books (isbn, document, embedding_model, updated_at)
    VALUES (:isbn, :document, :model, :updated_at)
    ON CONFLICT (isbn) DO UPDATE SET document = excluded.document,
        embedding_model = excluded.embedding_model, updated_at = excluded.updated_at
    WHERE books.document = :seen RETURNING isbn
"""
_FORGET_VECTOR = "DELETE FROM vectors WHERE isbn = :isbn AND model = :model"
_KEEP_VECTOR = """
    INSERT INTO vectors (isbn, model, dimensions, vector)
    VALUES (:isbn, :model, :dimensions, :vector)
"""
_FIND = BOOKS + "WHERE books.isbn = :isbn"
_IS_REMOVED = "SELECT job_id FROM removed WHERE job_id = :job_id"
_REMOVE_JOB = (
    "INSERT INTO removed (job_id, isbn) VALUES (:job_id, :isbn) ON CONFLICT (job_id) DO NOTHING"
)
_REMOVE = tuple(
    f"DELETE FROM {table} WHERE isbn = :isbn"
    for table in ("books", "catalogue", "vectors", "reading")
)


class SqlLibrary:
    """Fills the port Books. ``nearest`` is the product's way to the nearest vectors;
    ``has_trigrams`` says whether it has indexes of the catalogue's texts, and numbers its changes.
    """

    def __init__(
        self, database: Database, nearest: NearestVectors, *, has_trigrams: bool = False
    ) -> None:
        self.database = database
        self._nearest = nearest
        self._has_trigrams = has_trigrams
        self._totals = Totals(has_versions=has_trigrams)

    async def keep(self, book: Book) -> Book:
        """The book as it now stands. Safe twice, and in any order.

        A vector that does not fit its model is left out, with a warning in the log.
        """
        book = storable(book)
        if book.embedding is not None:
            try:
                book.embedding.to_bytes()
            except EmbeddingRefused as error:
                log.warning("a vector is left out: %s", error)
                book = replace(book, embedding=None)

        return await self.database.write(
            lambda session: _keep(session, book), book.isbn, brief=True
        )

    async def find(self, isbn: str, user_id: str | None = None) -> Book | None:
        """With what this reader said of it."""
        return await self.database.look_up(lambda session: _find(session, isbn, user_id)[0])

    async def change(self, isbn: str, change: Callable[[Book], Book]) -> Book | None:
        """The book after ``change``; None without one."""

        def work(session: Session) -> Book | None:
            for _ in range(MOST_TRIES):
                book, seen = _find(session, isbn)
                if book is None:
                    return None
                changed = storable(change(book))
                if _store(session, changed, book, seen):
                    return changed
            raise StoreDown(f"{isbn} is being changed by others")

        return await self.database.write(work, isbn)

    async def remove(self, isbn: str, jobs: Collection[str]) -> Book | None:
        """The book that is gone. Nothing that these jobs save later is kept. Safe twice."""

        def work(session: Session) -> Book | None:
            book, _ = _find(session, isbn)
            for job_id in jobs:
                session.execute(_REMOVE_JOB, {"job_id": job_id, "isbn": isbn})
            for statement in _REMOVE:
                session.execute(statement, {"isbn": isbn})
            return book

        return await self.database.write(work, isbn)

    # -------------------------------------------------------------- lists and searches
    async def list(self, query: BookQuery, *, limit: int, cursor: str | None) -> Page[Book]:
        """With ``total``. Raises: Refused for a cursor that is not of this list."""
        asked = library_lists.asked(
            query, limit, cursor, has_trigrams=self._has_trigrams, totals=self._totals
        )
        return await self.database.read(asked)

    async def search(self, embedding: Embedding, *, limit: int) -> Sequence[Found]:
        """Nearest first, among the vectors of the same model and dimensions only.

        Raises: EmbeddingRefused when the vector asked for is none.
        """
        return await self.database.read(
            lambda session: library_lists.near(session, self._nearest, embedding, limit)
        )

    async def find_many(self, isbns: Collection[str]) -> Mapping[str, Book]:
        """Those of the books that are there, without their vectors, by ISBN-13."""
        wanted = list(isbns)
        return await self.database.read(lambda session: library_lists.find_many(session, wanted))

    async def walk(self, after: str, limit: int, user_id: str | None) -> Sequence[Book]:
        """The next books in the order of their ISBNs, with this reader's data."""
        return await self.database.read(
            lambda session: library_lists.walk(session, after, limit, user_id)
        )

    # -------------------------------------------------------------- readers' own data
    async def keep_readings(self, readings: Sequence[ReadingOf]) -> None:
        """One write. Newer values win, an older reading only fills gaps. Safe twice."""
        await self.database.write(
            lambda session: library_readings.keep(session, readings), READINGS
        )

    async def change_reading(
        self, isbn: str, user_id: str | None, at: str, change: Callable[[Reading], Reading]
    ) -> None:
        """Of one reader, in one write; what is empty afterwards is gone."""
        await self.database.write(
            lambda session: library_readings.change(session, isbn, user_id, at, change), READINGS
        )

    async def close(self) -> None:
        """What waits goes to disk first. Safe twice."""
        await in_thread(self.database.close)


def _find(session: Session, isbn: str, user_id: str | None = None) -> tuple[Book | None, str]:
    """The book, and its document as it was read."""
    rows = session.execute(_FIND, {"isbn": isbn, "user_id": user_id or ""})
    return (read_book(rows[0]), str(rows[0]["document"])) if rows else (None, "")


def _keep(session: Session, book: Book) -> Book:
    job_id = book.provenance.job_id
    if session.execute(_IS_REMOVED, {"job_id": job_id}):
        raise Removed(f"{book.isbn} was deleted while this import ran")
    if book.embedding is not None and not _fits(session, book.embedding):
        log.warning("a vector is left out: its model has others here")
        book = replace(book, embedding=None)
    for _ in range(MOST_TRIES):
        older, seen = _find(session, book.isbn)
        stands = book if older is None else combined(book, replace(older, reading=None))
        if _store(session, stands, older, seen):
            return stands
    raise StoreDown(f"{book.isbn} is being changed by others")


def _store(session: Session, book: Book, older: Book | None, seen: str) -> bool:
    """False, and nothing stored, when the document that was read is another by now."""
    embedding = book.embedding
    model = embedding and embedding.model
    values = {"isbn": book.isbn, "document": _document(book), "model": model, "seen": seen}
    if not session.execute(_KEEP, {**values, "updated_at": book.provenance.updated_at}):
        return False
    session.execute(KEEP_ENTRY, entry(book))
    if embedding is not None and (older is None or older.embedding != embedding):
        which = {"isbn": book.isbn, "model": model}
        session.execute(_FORGET_VECTOR, which)
        packed = {"dimensions": embedding.dimensions, "vector": embedding.to_bytes()}
        session.execute(_KEEP_VECTOR, {**which, **packed})
    return True


def _fits(session: Session, embedding: Embedding) -> bool:
    there = session.execute(
        "SELECT dimensions FROM vectors WHERE model = :model LIMIT 1", {"model": embedding.model}
    )
    return not there or bool(there[0]["dimensions"] == embedding.dimensions)


def _document(book: Book) -> str:
    """The book as JSON; its vector lies in the table ``vectors``."""
    stored = {**book.to_stored(), "embedding": None}
    return compact(stored)
