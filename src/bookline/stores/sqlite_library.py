"""The library in a SQLite file, with the vectors beside the books.

Way:     steps/save.py, api, drain.py → here → sqlite.py
Rule 1:  a book is read, merged and written in one write: two imports of one ISBN lose nothing.
Rule 2:  a vector is stored only if it fits those that its model has here already.
Source:  https://alexgarcia.xyz/sqlite-vec/api-reference.html#vec_distance_cosine
"""

import json
import logging
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlite_vec

from bookline.book import Book, Cover, Embedding, Metadata, Provenance
from bookline.errors import EmbeddingRefused
from bookline.ports import Found
from bookline.stores.books import combined, read_place, storable, write_place
from bookline.stores.sqlite import Sqlite
from bookline.threads import in_thread
from bookline.values import Page

log = logging.getLogger(__name__)

MMAP_BYTES = 256 * 2**20  # our choice: a search reads all vectors; mapped it takes 2/3 of the time

MIGRATIONS = (
    """
    CREATE TABLE books (
        isbn TEXT PRIMARY KEY,
        isbn10 TEXT,
        title TEXT NOT NULL,
        subtitle TEXT,
        authors TEXT NOT NULL,           -- JSON
        description TEXT,
        publisher TEXT,
        publication_date TEXT,
        page_count INTEGER,
        language TEXT,
        categories TEXT NOT NULL,        -- JSON
        cover_url TEXT,
        metadata_source TEXT NOT NULL,
        metadata_source_id TEXT,
        cover_key TEXT,
        cover_content_type TEXT,
        cover_width INTEGER,
        cover_height INTEGER,
        cover_sha256 TEXT,
        cover_source_url TEXT,
        cover_fetched_at TEXT,
        embedding_model TEXT,            -- the vector that is the book's; others may lie beside it
        source TEXT NOT NULL,
        source_id TEXT,
        job_id TEXT NOT NULL,
        imported_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE INDEX books_last_first ON books (updated_at DESC, isbn DESC);
    CREATE TABLE vectors (
        isbn TEXT NOT NULL,
        model TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        vector BLOB NOT NULL,            -- little-endian float32
        PRIMARY KEY (isbn, model)
    );
    CREATE INDEX vectors_of_a_model ON vectors (model, dimensions);
    """,
)

_COLUMNS = 27
_KEEP = f"REPLACE INTO books VALUES ({', '.join('?' * _COLUMNS)})"
_KEEP_VECTOR = "REPLACE INTO vectors VALUES (?, ?, ?, ?)"
_BOOKS = """
    SELECT books.*, vectors.vector FROM books
    LEFT JOIN vectors ON vectors.isbn = books.isbn AND vectors.model = books.embedding_model
"""
_FIND = _BOOKS + "WHERE books.isbn = ?"
_FIRST = _BOOKS + "ORDER BY updated_at DESC, books.isbn DESC LIMIT ?"
_NEXT = (
    _BOOKS + "WHERE (updated_at, books.isbn) < (?, ?) "
    "ORDER BY updated_at DESC, books.isbn DESC LIMIT ?"
)
_SEARCH = """
    SELECT books.*, own.vector, near.distance FROM (
        SELECT isbn, vec_distance_cosine(vector, :vector) AS distance FROM vectors
        WHERE model = :model AND dimensions = :dimensions
        ORDER BY distance NULLS LAST, isbn LIMIT :limit
    ) AS near
    JOIN books ON books.isbn = near.isbn
    LEFT JOIN vectors AS own ON own.isbn = books.isbn AND own.model = books.embedding_model
    WHERE near.distance IS NOT NULL
    ORDER BY near.distance, books.isbn
"""


class SqliteLibrary:
    """One file of books. Raises: StoreDown, also from its making."""

    def __init__(self, path: Path) -> None:
        self._file = Sqlite(path, MIGRATIONS, on_connect=_prepare)

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

        return await self._file.write(lambda connection: _keep(connection, book, packed))

    async def find(self, isbn: str) -> Book | None:
        row = await self._file.read(
            lambda connection: connection.execute(_FIND, (isbn,)).fetchone()
        )
        return None if row is None else _read_book(row)

    async def list(self, *, limit: int, cursor: str | None) -> Page[Book]:
        """Last imported first. Raises: Refused for a cursor that is not ours."""
        if cursor is None:
            rows = await self._rows(_FIRST, (limit + 1,))
        else:
            rows = await self._rows(_NEXT, (*read_place(cursor), limit + 1))
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
            for row in await self._rows(_SEARCH, asked)
        ]

    async def close(self) -> None:
        """What waits goes to disk first. Safe twice."""
        await in_thread(self._file.close)

    async def _rows(self, query: str, values: Any) -> Sequence[sqlite3.Row]:
        return await self._file.read(
            lambda connection: connection.execute(query, values).fetchall()
        )


def _keep(connection: sqlite3.Connection, book: Book, packed: bytes | None) -> Book:
    if book.embedding is not None and not _fits(connection, book.embedding):
        log.warning("a vector is left out: its model has others here")
        book, packed = replace(book, embedding=None), None
    row = connection.execute(_FIND, (book.isbn,)).fetchone()
    stands = book if row is None else combined(book, _read_book(row))
    connection.execute(_KEEP, _row(stands))
    if packed is not None and stands.embedding == book.embedding:
        assert stands.embedding is not None  # noqa: S101 - for the type checker
        kept = (book.isbn, stands.embedding.model, stands.embedding.dimensions, packed)
        connection.execute(_KEEP_VECTOR, kept)
    return stands


def _fits(connection: sqlite3.Connection, embedding: Embedding) -> bool:
    query = "SELECT dimensions FROM vectors WHERE model = ? LIMIT 1"
    there = connection.execute(query, (embedding.model,)).fetchone()
    return there is None or bool(there[0] == embedding.dimensions)


def _row(book: Book) -> tuple[object, ...]:
    """In the order of the table's columns."""
    metadata, cover, provenance = book.metadata, book.cover, book.provenance
    return (
        metadata.isbn,
        metadata.isbn10,
        metadata.title,
        metadata.subtitle,
        json.dumps(metadata.authors, ensure_ascii=False),
        metadata.description,
        metadata.publisher,
        metadata.publication_date,
        metadata.page_count,
        metadata.language,
        json.dumps(metadata.categories, ensure_ascii=False),
        metadata.cover_url,
        metadata.source,
        metadata.source_id,
        *(
            (None,) * 7
            if cover is None
            else (
                cover.key,
                cover.content_type,
                cover.width,
                cover.height,
                cover.sha256,
                cover.source_url,
                cover.fetched_at,
            )
        ),
        book.embedding and book.embedding.model,
        provenance.source,
        provenance.source_id,
        provenance.job_id,
        provenance.imported_at,
        provenance.updated_at,
    )


def _read_book(row: sqlite3.Row) -> Book:
    return Book(
        metadata=_read_metadata(row),
        cover=None if row["cover_key"] is None else _read_cover(row),
        embedding=(
            None
            if row["vector"] is None
            else Embedding.of_bytes(row["embedding_model"], row["vector"])
        ),
        provenance=Provenance(
            source=row["source"],
            source_id=row["source_id"],
            job_id=row["job_id"],
            imported_at=row["imported_at"],
            updated_at=row["updated_at"],
        ),
    )


def _read_metadata(row: sqlite3.Row) -> Metadata:
    return Metadata(
        isbn=row["isbn"],
        isbn10=row["isbn10"],
        title=row["title"],
        subtitle=row["subtitle"],
        authors=tuple(json.loads(row["authors"])),
        description=row["description"],
        publisher=row["publisher"],
        publication_date=row["publication_date"],
        page_count=row["page_count"],
        language=row["language"],
        categories=tuple(json.loads(row["categories"])),
        cover_url=row["cover_url"],
        source=row["metadata_source"],
        source_id=row["metadata_source_id"],
    )


def _read_cover(row: sqlite3.Row) -> Cover:
    return Cover(
        key=row["cover_key"],
        content_type=row["cover_content_type"],
        width=row["cover_width"],
        height=row["cover_height"],
        sha256=row["cover_sha256"],
        source_url=row["cover_source_url"],
        fetched_at=row["cover_fetched_at"],
    )


def _prepare(connection: sqlite3.Connection) -> None:
    """Gives the connection ``vec_distance_cosine``.

    Many Pythons (pyenv's, macOS's) are built without SQLite's extensions. There the same function
    comes from numpy, at a third of the speed: 32 ms against 9 for 10,000 vectors of 256 numbers.
    """
    connection.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
    try:
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.enable_load_extension(False)
    except (AttributeError, sqlite3.Error) as error:
        log.debug("numpy measures distances, as sqlite-vec cannot be loaded: %s", error)
        connection.create_function("vec_distance_cosine", 2, _cosine_distance, deterministic=True)


def _cosine_distance(one: bytes, other: bytes) -> float | None:
    """1 - cosine; None for a vector without a direction. As sqlite-vec has it."""
    import numpy

    a, b = numpy.frombuffer(one, "<f4"), numpy.frombuffer(other, "<f4")
    lengths = math.sqrt(a.dot(a) * b.dot(b))
    return 1.0 - float(a.dot(b)) / lengths if lengths else None
