"""The library in SQL tables: a book as one document, with its vectors beside it.

Way:     steps/save.py, api, drain.py → here → a Database
Rule 1:  a book is read, merged and written in one write: two imports of one ISBN lose nothing.
Rule 2:  a vector is stored only if it fits those that its model has here already.
Rule 3:  columns are only what is asked by; all else is in the document (``Book.to_stored``).
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bookline.book import Book, Embedding
from bookline.errors import EmbeddingRefused
from bookline.merging import combined
from bookline.ports import Found
from bookline.stores.books import read_place, storable, write_place
from bookline.stores.database import Database, Row, Session
from bookline.threads import in_thread
from bookline.values import Page

log = logging.getLogger(__name__)

_KEEP = """
    INSERT INTO books (isbn, document, embedding_model, updated_at)
    VALUES (:isbn, :document, :model, :updated_at)
    ON CONFLICT (isbn) DO UPDATE SET document = excluded.document,
        embedding_model = excluded.embedding_model, updated_at = excluded.updated_at
"""
_KEEP_VECTOR = """
    INSERT INTO vectors (isbn, model, dimensions, vector)
    VALUES (:isbn, :model, :dimensions, :vector)
    ON CONFLICT (isbn, model) DO UPDATE SET dimensions = excluded.dimensions,
        vector = excluded.vector
"""
_BOOKS = """
    SELECT books.document, books.embedding_model, vectors.vector FROM books
    LEFT JOIN vectors ON vectors.isbn = books.isbn AND vectors.model = books.embedding_model
"""
_FIND = _BOOKS + "WHERE books.isbn = :isbn"
_FIRST = _BOOKS + "ORDER BY updated_at DESC, books.isbn DESC LIMIT :limit"
_NEXT = (
    _BOOKS + "WHERE (updated_at, books.isbn) < (:updated_at, :isbn) "
    "ORDER BY updated_at DESC, books.isbn DESC LIMIT :limit"
)
_SEARCH = """
    SELECT books.document, books.embedding_model, own.vector, near.distance FROM ({nearest}) AS near
    JOIN books ON books.isbn = near.isbn
    LEFT JOIN vectors AS own ON own.isbn = books.isbn AND own.model = books.embedding_model
    WHERE near.distance IS NOT NULL
    ORDER BY near.distance, books.isbn
"""


class SqlLibrary:
    """Fills the port Library. ``nearest`` is the product's statement for the nearest vectors."""

    def __init__(self, database: Database, nearest: str) -> None:
        self.database = database
        self._search = _SEARCH.format(nearest=nearest)

    async def keep(self, book: Book) -> Book:
        """The book as it now stands. Safe twice, and in any order.

        A vector that does not fit its model is left out, with a warning in the log.
        """
        book = storable(book)
        embedding = book.embedding
        packed = None
        if embedding is not None:
            try:
                packed = embedding.to_bytes()
            except EmbeddingRefused as error:
                log.warning("a vector is left out: %s", error)
                book = replace(book, embedding=None)

        return await self.database.write(lambda session: _keep(session, book, packed), book.isbn)

    async def find(self, isbn: str) -> Book | None:
        rows = await self.database.look_up(lambda session: session.execute(_FIND, {"isbn": isbn}))
        return _read_book(rows[0]) if rows else None

    async def list(self, *, limit: int, cursor: str | None) -> Page[Book]:
        """Last imported first. Raises: Refused for a cursor that is not ours."""
        if cursor is None:
            rows = await self._rows(_FIRST, {"limit": limit + 1})
        else:
            updated_at, isbn = read_place(cursor)
            place = {"updated_at": updated_at, "isbn": isbn}
            rows = await self._rows(_NEXT, {**place, "limit": limit + 1})
        books = [_read_book(row) for row in rows[:limit]]
        more = len(rows) > limit and books
        return Page(items=books, next_cursor=write_place(books[-1]) if more else None)

    async def search(self, embedding: Embedding, *, limit: int) -> Sequence[Found]:
        """Nearest first, among the vectors of the same model and dimensions only.

        Raises: EmbeddingRefused when the vector asked for is none.
        """
        asked = {
            "vector": embedding.to_bytes(),
            "model": embedding.model,
            "dimensions": embedding.dimensions,
            "limit": limit,
        }
        return [
            Found(book=_read_book(row), score=max(-1.0, min(1.0, 1.0 - row["distance"])))
            for row in await self._rows(self._search, asked)
        ]

    async def close(self) -> None:
        """What waits goes to disk first. Safe twice."""
        await in_thread(self.database.close)

    async def _rows(self, query: str, values: Mapping[str, object]) -> Sequence[Row]:
        return await self.database.read(lambda session: session.execute(query, values))


def _keep(session: Session, book: Book, packed: bytes | None) -> Book:
    if book.embedding is not None and not _fits(session, book.embedding):
        log.warning("a vector is left out: its model has others here")
        book, packed = replace(book, embedding=None), None
    rows = session.execute(_FIND, {"isbn": book.isbn})
    stands = combined(book, _read_book(rows[0])) if rows else book
    model = stands.embedding and stands.embedding.model
    session.execute(
        _KEEP,
        {"isbn": stands.isbn, "document": _document(stands), "model": model,
         "updated_at": stands.provenance.updated_at},
    )  # fmt: skip
    if packed is not None and book.embedding is not None and stands.embedding == book.embedding:
        session.execute(
            _KEEP_VECTOR,
            {"isbn": book.isbn, "model": model, "dimensions": book.embedding.dimensions,
             "vector": packed},
        )  # fmt: skip
    return stands


def _fits(session: Session, embedding: Embedding) -> bool:
    there = session.execute(
        "SELECT dimensions FROM vectors WHERE model = :model LIMIT 1", {"model": embedding.model}
    )
    return not there or bool(there[0]["dimensions"] == embedding.dimensions)


def _document(book: Book) -> str:
    """The book as JSON; its vector lies in the table ``vectors``."""
    stored = {**book.to_stored(), "embedding": None}
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


def _read_book(row: Row) -> Book:
    book = Book.from_stored(json.loads(row["document"]))
    if row["vector"] is None:
        return book
    return replace(book, embedding=Embedding.of_bytes(row["embedding_model"], row["vector"]))
