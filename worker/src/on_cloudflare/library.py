"""The library on Cloudflare: the books in D1, their vectors in Vectorize as well.

Way:      steps/save.py and the routes → here → stores/library.py on D1
Rule 1:   without the binding BOOK_VECTORS a book has no embedding: what is told is what was stored.
Source:   https://developers.cloudflare.com/vectorize/reference/client-api/
"""

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bookline.book import Book, Embedding
from bookline.errors import StoreDown
from bookline.ports import Found
from bookline.stores.library import SqlLibrary
from on_cloudflare.d1 import D1Database

_NEAREST = (
    "SELECT isbn, 0 AS distance FROM vectors WHERE 0 = 1 AND model = :model"  # Vectorize knows
)


class CloudLibrary(SqlLibrary):
    """Fills the port Library. ``vectors`` is the binding BOOK_VECTORS, if there is one."""

    def __init__(self, database: D1Database, vectors: Any) -> None:
        super().__init__(database, _NEAREST)
        self._vectors = vectors

    async def keep(self, book: Book) -> Book:
        if self._vectors is None:
            return await super().keep(replace(book, embedding=None))
        kept = await super().keep(book)
        if kept.embedding is not None and kept.embedding == book.embedding:
            await self._upsert(kept.isbn, kept.embedding)
        return kept

    async def search(self, embedding: Embedding, *, limit: int) -> Sequence[Found]:
        """Nearest first, among the vectors of the same model only."""
        if self._vectors is None:
            return ()
        try:
            answer = await self._vectors.query(
                _numbers(embedding), {"topK": min(limit, 50), "returnMetadata": "all"}
            )
        except Exception as error:
            raise StoreDown(f"Vectorize: {str(error).splitlines()[-1]}") from error
        found = []
        for match in answer["matches"]:
            if (match.get("metadata") or {}).get("model") != embedding.model:
                continue
            book = await self.find(match["id"])
            if book is not None:
                found.append(Found(book=book, score=float(match["score"])))
        return found

    async def _upsert(self, isbn: str, embedding: Embedding) -> None:
        vector = {
            "id": isbn,
            "values": _numbers(embedding),
            "metadata": {"model": embedding.model},
        }
        try:
            await self._vectors.upsert([vector])
        except Exception as error:
            raise StoreDown(f"Vectorize: {str(error).splitlines()[-1]}") from error


def _numbers(embedding: Embedding) -> list[float]:
    return list(struct.unpack(f"<{embedding.dimensions}f", embedding.to_bytes()))
