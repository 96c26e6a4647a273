"""The library's lists and searches, as pieces of work for a Database.

Way:     library.py → here → catalogue.py for what is asked by
Rule 1:  a literal search reads the narrow catalogue once: at 50,000 books that takes 8 ms
         (benchmarks/library.py), so nothing has to be kept beside it. Many matches are paged by
         walking the sort's index, few by sorting them: either is a fraction of the other.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bookline.book import Book, Embedding
from bookline.ports import BookQuery, Found
from bookline.reading import Reading, read_stored
from bookline.stores.catalogue import SORTS, conditions, fold, read_place, write_place
from bookline.stores.database import Row, Session
from bookline.values import Page

NearestVectors = Callable[[Session, Embedding, int], Sequence[tuple[str, float]]]
"""ISBN and cosine of the nearest vectors, nearest first. Raises: EmbeddingRefused."""

FEW = 2_000  # matches that are sorted rather than found on a walk along an index
_FROM = """
    LEFT JOIN vectors ON vectors.isbn = books.isbn AND vectors.model = books.embedding_model
    LEFT JOIN reading ON reading.user_id = :user_id AND reading.isbn = books.isbn
"""
_COLUMNS = (
    "books.document, books.embedding_model, vectors.vector, vectors.dimensions, "
    "reading.document AS reading"
)
BOOKS = f"SELECT {_COLUMNS} FROM books {_FROM}"
"""A book with its vector and what the reader ``:user_id`` said of it ('' for the one reader)."""
_WITHOUT_VECTOR = (
    "SELECT books.isbn, books.document, books.embedding_model, vectors.dimensions, "
    f"reading.document AS reading FROM books {_FROM}"
)
_MANY = _WITHOUT_VECTOR + "WHERE books.isbn IN :isbns"
_WALK = _WITHOUT_VECTOR + "WHERE books.isbn > :after ORDER BY books.isbn LIMIT :limit"
_BEST = """
    CASE WHEN title_key = :whole THEN 0 WHEN instr(title_key, :whole) = 1 THEN 1 ELSE 2 END
"""


def asked(query: BookQuery, limit: int, cursor: str | None) -> Callable[[Session], Page[Book]]:
    """The work that answers the question. Raises: Refused for a cursor of another list."""
    terms, values = conditions(query)
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    sort = "title" if query.sort == "match" else query.sort
    place: Mapping[str, object] = {} if cursor is None else read_place(sort, cursor)
    if query.sort == "match":
        best = {"whole": fold(query.q)}

    def work(session: Session) -> Page[Book]:
        total = _count(session, where, values)
        if query.sort == "match":
            order, more = f"{_BEST}, title_key || '', isbn", best
        else:
            order, more = _order(sort, by_index=total > FEW), {}
        behind = _behind(sort, terms) if place else where
        rows = session.execute(
            f"SELECT {', '.join(SORTS[sort].columns)} FROM catalogue {behind} "
            f"ORDER BY {order} LIMIT :limit",
            {**values, **place, **more, "limit": limit + 1},
        )
        books = _in_order(session, [row["isbn"] for row in rows[:limit]])
        is_more = len(rows) > limit and query.sort != "match"
        next_cursor = write_place(sort, _place(sort, rows[limit - 1])) if is_more else None
        return Page(items=books, next_cursor=next_cursor, total=total)

    return work


def near(
    session: Session, nearest: NearestVectors, embedding: Embedding, limit: int
) -> Sequence[Found]:
    """Nearest first. Raises: EmbeddingRefused when the vector asked for is none."""
    scores = dict(nearest(session, embedding, limit))
    books = _in_order(session, list(scores))
    return [Found(book=book, score=scores[book.isbn]) for book in books]


def find_many(session: Session, isbns: Sequence[str]) -> Mapping[str, Book]:
    """Those that are there, without their vectors."""
    return {book.isbn: book for book in _in_order(session, isbns)}


def walk(session: Session, after: str, limit: int, user_id: str | None) -> Sequence[Book]:
    """The next books by ISBN, without their vectors."""
    values = {"after": after, "limit": limit, "user_id": user_id or ""}
    return [read_listed(row) for row in session.execute(_WALK, values)]


def read_book(row: Row) -> Book:
    """A row of ``BOOKS``."""
    book = _read_document(row)
    if row["vector"] is None:
        return book
    return replace(book, embedding=Embedding.of_bytes(row["embedding_model"], row["vector"]))


def read_listed(row: Row) -> Book:
    """A row without the vector itself: model and dimensions alone."""
    book = _read_document(row)
    if row["dimensions"] is None:
        return book
    named = Embedding(model=row["embedding_model"], dimensions=row["dimensions"], vector="")
    return replace(book, embedding=named)


def _read_document(row: Row) -> Book:
    reading: Reading | None = read_stored(row["reading"]) if row["reading"] else None
    return replace(Book.from_stored(json.loads(row["document"])), reading=reading)


def _count(session: Session, where: str, values: Mapping[str, object]) -> int:
    rows = session.execute(f"SELECT count(*) AS total FROM catalogue {where}", values)
    return int(rows[0]["total"])


def _order(name: str, *, by_index: bool) -> str:
    sort = SORTS[name]
    end = " DESC" if sort.descending else ""
    columns = sort.columns if by_index else (sort.unindexed, *sort.columns[1:])
    return ", ".join(f"{column}{end}" for column in columns)


def _behind(name: str, terms: Sequence[str]) -> str:
    """The conditions, and that a row comes behind the place where the last page ended."""
    sort = SORTS[name]
    places = ", ".join(f":at_{column}" for column in sort.columns)
    sign = "<" if sort.descending else ">"
    behind = f"({', '.join(sort.columns)}) {sign} ({places})"
    return f"WHERE {' AND '.join([*terms, behind])}"


def _place(name: str, row: Row) -> dict[str, Any]:
    return {column: row[column] for column in SORTS[name].columns}


def _in_order(session: Session, isbns: Sequence[str]) -> list[Book]:
    """The books of these ISBNs that are there, in this order."""
    if not isbns:
        return []
    rows = session.execute(_MANY, {"isbns": isbns, "user_id": ""})
    by_isbn = {row["isbn"]: row for row in rows}
    return [read_listed(by_isbn[isbn]) for isbn in isbns if isbn in by_isbn]
