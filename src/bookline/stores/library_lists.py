"""The library's lists and searches, as pieces of work for a Database.

Way:     library.py → here → catalogue.py for what is asked by
Rule 1:  a literal search reads the narrow catalogue once (10 ms for 50,000 books in a file), or
         the index of its trigrams where the product has one. Few matches are sorted here, by code
         points as the products do; many are found on a walk along the sort's index, which is
         short then.
Rule 2:  where there are such indexes, the next books of the sort are looked at first: what many
         books meet is found among them, and an index of it would be read for nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bookline.book import Book, Embedding
from bookline.catalogue import BookQuery, Found
from bookline.reading import Reading, read_stored
from bookline.stores.catalogue import (
    SORTS,
    Sort,
    conditions,
    read_place,
    sort_key,
    trigrams,
    write_place,
)
from bookline.stores.database import Row, Session
from bookline.stores.totals import Totals
from bookline.values import Page

NearestVectors = Callable[[Session, Embedding, int], Sequence[tuple[str, float]]]
"""ISBN and cosine of the nearest vectors, nearest first. Raises: EmbeddingRefused."""

FEW = 1_000  # matches that are sorted here rather than found on a walk along an index
AT_HAND = 2_000  # the sort's next books that are looked at first: some 2 ms
LAST_CHARACTER = "\U0010ffff"  # of Unicode
Place = tuple[Any, ...]
"""A row's values of a sort's columns, the last one its ISBN."""
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as its statements need it."""

    terms: Sequence[str]
    indexed: Sequence[str]
    """The same, and what lets an index find them where there are few."""
    values: Mapping[str, object]
    has_indexes: bool


def asked(
    query: BookQuery, limit: int, cursor: str | None, *, has_trigrams: bool, totals: Totals
) -> Callable[[Session], Page[Book]]:
    """The work that answers the question. Raises: Refused for a cursor of another list.

    ``has_trigrams``: the product has an index of the catalogue's trigrams.
    """
    terms, values = conditions(query)
    indexed = [*(trigrams(values) if has_trigrams else ()), *terms]
    question = _Asked(terms, indexed, values, has_trigrams and "isbn" not in values)
    if query.sort == "match":
        return partial(_best, question, sort_key(query.q), limit)
    place = None if cursor is None else read_place(query.sort, cursor)
    sort = SORTS[query.sort]

    def work(session: Session) -> Page[Book]:
        rows = _at_hand(session, sort, question, place, limit + 1)
        found = _few(session, sort, question) if terms and rows is None else None
        if found is not None:
            total, rows = len(found), found
            if place is not None:
                rows = [row for row in found if (row < place if sort.descending else row > place)]
        elif rows is not None:
            total = totals.of(session, terms, values)
        else:
            total = totals.of(session, question.indexed, values)
            rows = _walked(session, sort, question, place, limit + 1)
        books = _in_order(session, [row[-1] for row in rows[:limit]])
        next_cursor = write_place(query.sort, rows[limit - 1]) if len(rows) > limit else None
        return Page(items=books, next_cursor=next_cursor, total=total)

    return work


def _at_hand(
    session: Session, sort: Sort, question: _Asked, place: Place | None, limit: int
) -> list[Place] | None:
    """The next matches, where so many are among the next books; else None."""
    if not question.terms or not question.has_indexes:
        return None
    rows = _walked(session, sort, question, place, limit, among=AT_HAND)
    return rows if len(rows) == limit else None


def _few(session: Session, sort: Sort, question: _Asked) -> list[Place] | None:
    """The places of all matches, in order; None where there are many."""
    rows = session.execute(
        f"SELECT {', '.join(sort.columns)} FROM catalogue {_where(question.indexed)} LIMIT :few",
        {**question.values, "few": FEW + 1},
    )
    if len(rows) > FEW:
        return None
    return sorted((_place(sort, row) for row in rows), reverse=sort.descending)


def _walked(
    session: Session,
    sort: Sort,
    question: _Asked,
    place: Place | None,
    limit: int,
    among: int | None = None,
) -> list[Place]:
    """The next matches on a walk along the sort's index, of all or ``among`` so many books."""
    columns = ", ".join(sort.columns)
    end = " DESC" if sort.descending else ""
    order = "ORDER BY " + ", ".join(f"{column}{end}" for column in sort.columns)
    behind, at = _behind(sort, place)
    if among is None:
        books, terms = "catalogue", [*question.terms, *behind]
    else:
        books = f"(SELECT * FROM catalogue {_where(behind)} {order} LIMIT :among) AS next"
        terms, at = [*question.terms], {**at, "among": among}
    rows = session.execute(
        f"SELECT {columns} FROM {books} {_where(terms)} {order} LIMIT :limit",
        {**question.values, **at, "limit": limit},
    )
    return [_place(sort, row) for row in rows]


def _behind(sort: Sort, place: Place | None) -> tuple[list[str], dict[str, object]]:
    """The term that what comes after the place meets, and its values."""
    if place is None:
        return [], {}
    sign = "<" if sort.descending else ">"
    places = ", ".join(f":at_{column}" for column in sort.columns)
    at = {f"at_{name}": part for name, part in zip(sort.columns, place, strict=True)}
    return [f"({', '.join(sort.columns)}) {sign} ({places})"], at


def _where(terms: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(terms)}" if terms else ""


def _place(sort: Sort, row: Row) -> Place:
    return tuple(row[column] for column in sort.columns)


def _best(question: _Asked, whole: str, limit: int, session: Session) -> Page[Book]:
    """One page, and no more: the title itself, then what begins with it, then the others."""
    by_title = SORTS["title"]
    is_read_through = question.terms and not question.has_indexes
    found = _few(session, by_title, question) if is_read_through else None
    if found is not None:
        found.sort(key=lambda place: not place[0].startswith(whole))
    else:
        found = _walked(session, by_title, _beginning(question, whole), None, limit)
        if len(found) < limit:
            others = _others(session, question, limit + len(found))
            found += [place for place in others if not place[0].startswith(whole)]
    books = _in_order(session, [place[-1] for place in found[:limit]])
    return Page(items=books, next_cursor=None)


def _others(session: Session, question: _Asked, limit: int) -> list[Place]:
    """The first so many by title, or all where they are few."""
    by_title = SORTS["title"]
    found = _at_hand(session, by_title, question, None, limit)
    if found is None and question.has_indexes:
        found = _few(session, by_title, question)
    return _walked(session, by_title, question, None, limit) if found is None else found


def _beginning(question: _Asked, whole: str) -> _Asked:
    """Only the books whose titles begin so; the title itself is the first of them."""
    terms = [*question.terms, "title_key >= :whole", "title_key < :behind"]
    values = {**question.values, "whole": whole, "behind": whole + LAST_CHARACTER}
    return _Asked(terms, terms, values, has_indexes=False)


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


def _in_order(session: Session, isbns: Sequence[str]) -> list[Book]:
    """The books of these ISBNs that are there, in this order."""
    if not isbns:
        return []
    rows = session.execute(_MANY, {"isbns": isbns, "user_id": ""})
    by_isbn = {row["isbn"]: row for row in rows}
    return [read_listed(by_isbn[isbn]) for isbn in isbns if isbn in by_isbn]
