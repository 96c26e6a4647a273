"""The library on Cloudflare: the books in D1, their vectors in Vectorize as well.

Way:      steps/save.py and shelf.py → here → stores/library.py on D1
Rule 1:   without the binding BOOK_VECTORS a book has no embedding: what is told is what was stored.
Source:   https://developers.cloudflare.com/vectorize/reference/client-api/
"""

import struct
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from pyodide.ffi import run_sync

from bookline.book import Book, Embedding
from bookline.errors import StoreDown
from bookline.stores.database import Session
from bookline.stores.library import SqlLibrary
from on_cloudflare.d1 import D1Database

MOST_MATCHES = 50  # Vectorize's own, where it returns metadata


class CloudLibrary(SqlLibrary):
    """Fills the port Books. ``vectors`` is the binding BOOK_VECTORS, if there is one."""

    def __init__(self, database: D1Database, vectors: Any) -> None:
        super().__init__(database, self._near)
        self._vectors = vectors

    async def keep(self, book: Book) -> Book:
        kept = await super().keep(self._storable(book))
        if kept.embedding is not None and kept.embedding == book.embedding:
            await self._upsert(kept.isbn, kept.embedding)
        return kept

    async def change(self, isbn: str, change: Callable[[Book], Book]) -> Book | None:
        changed = await super().change(isbn, lambda book: self._storable(change(book)))
        if changed is not None and changed.embedding is not None:
            await self._upsert(isbn, changed.embedding)
        return changed

    async def remove(self, isbn: str, jobs: Collection[str]) -> Book | None:
        removed = await super().remove(isbn, jobs)
        if self._vectors is not None:
            await _asked(self._vectors.deleteByIds([isbn]))
        return removed

    def _storable(self, book: Book) -> Book:
        return book if self._vectors is not None else replace(book, embedding=None)

    async def _upsert(self, isbn: str, embedding: Embedding) -> None:
        metadata = {"model": embedding.model}
        vector = {"id": isbn, "values": _numbers(embedding), "metadata": metadata}
        await _asked(self._vectors.upsert([vector]))

    def _near(
        self, session: Session, embedding: Embedding, limit: int
    ) -> Sequence[tuple[str, float]]:
        """Within a piece of work, which waits for nothing else."""
        if self._vectors is None:
            return ()
        options = {"topK": min(limit, MOST_MATCHES), "returnMetadata": "all"}
        answer = run_sync(_asked(self._vectors.query(_numbers(embedding), options)))
        return [
            (match["id"], float(match["score"]))
            for match in answer["matches"]
            if (match.get("metadata") or {}).get("model") == embedding.model
        ]


async def _asked(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Exception as error:
        raise StoreDown(f"Vectorize: {str(error).splitlines()[-1]}") from error


def _numbers(embedding: Embedding) -> list[float]:
    return list(struct.unpack(f"<{embedding.dimensions}f", embedding.to_bytes()))
