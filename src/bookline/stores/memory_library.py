"""The library in memory: for tests, and for trying things out."""

import logging
import math
import struct
from collections.abc import Sequence
from dataclasses import replace

from bookline.book import Book, Embedding
from bookline.errors import EmbeddingRefused
from bookline.ports import Found
from bookline.stores.books import combined, place, read_place, storable, write_place
from bookline.values import Page

log = logging.getLogger(__name__)


class MemoryLibrary:
    """Promises what ``SqliteLibrary`` does, except that nothing outlives the process."""

    def __init__(self) -> None:
        self._books: dict[str, Book] = {}
        self._vectors: dict[tuple[str, str], Embedding] = {}

    async def keep(self, book: Book) -> Book:
        book = storable(book)
        if book.embedding is not None and not self._fits(book.embedding):
            log.warning("a vector is left out: it does not fit its model")
            book = replace(book, embedding=None)
        older = self._books.get(book.isbn)
        stands = book if older is None else combined(book, older)
        self._books[book.isbn] = stands
        if stands.embedding is not None:
            self._vectors[book.isbn, stands.embedding.model] = stands.embedding
        return stands

    async def find(self, isbn: str) -> Book | None:
        return self._books.get(isbn)

    async def list(self, *, limit: int, cursor: str | None) -> Page[Book]:
        books = sorted(self._books.values(), key=place, reverse=True)
        if cursor is not None:
            after = read_place(cursor)
            books = [book for book in books if place(book) < after]
        items = books[:limit]
        more = len(books) > limit and items
        return Page(items=items, next_cursor=write_place(items[-1]) if more else None)

    async def search(self, embedding: Embedding, *, limit: int) -> Sequence[Found]:
        embedding.to_bytes()
        found = [
            Found(book=self._books[isbn], score=_cosine(embedding, vector))
            for (isbn, model), vector in self._vectors.items()
            if (model, vector.dimensions) == (embedding.model, embedding.dimensions)
        ]
        with_direction = [one for one in found if not math.isnan(one.score)]
        return sorted(with_direction, key=lambda one: (-one.score, one.book.isbn))[:limit]

    async def close(self) -> None:
        """Nothing to do."""

    def _fits(self, embedding: Embedding) -> bool:
        try:
            embedding.to_bytes()
        except EmbeddingRefused:
            return False
        of_model = (one for (_, model), one in self._vectors.items() if model == embedding.model)
        there = next(of_model, embedding)
        return there.dimensions == embedding.dimensions


def _cosine(one: Embedding, other: Embedding) -> float:
    """NaN for a vector without a direction."""
    form = f"<{one.dimensions}f"
    a, b = struct.unpack(form, one.to_bytes()), struct.unpack(form, other.to_bytes())
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return max(-1.0, min(1.0, dot / lengths)) if lengths else math.nan
