"""The library as readers see it: lists, searches, and what they say of books.

Way:      shelf.py, api/ and batches/ speak to these ports; stores/ fills them. Keeping one book
          is ports.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bookline.book import Book, Embedding
from bookline.ports import Library
from bookline.reading import Reading, ReadingOf
from bookline.values import Page


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
