"""The book into the library; without one, or when it is down, into the fallback store.

Way:      workflow.py → here → Library, KeyValue, ObjectStore
Rule 1:   what is told is what was stored: ``hasEmbedding`` only if this vector was.
Rule 2:   a book never points to a picture that is gone: an older one goes after the book points
          elsewhere. At worst (a crash, two first imports at once) one remains that no book has.
Rule 3:   standard library only: the Cloudflare Worker runs this file as it is.
Not here: from the fallback store back into the library: stores/drain.py.
"""

import logging
from collections.abc import Callable
from functools import partial

from bookline.aside import Aside
from bookline.book import Book, Cover, Embedding, Metadata, Provenance
from bookline.errors import StoreDown
from bookline.job import ImportInput
from bookline.merging import laid_over
from bookline.patience import from_store
from bookline.ports import KeyValue, Library, ObjectStore
from bookline.values import Json, iso

log = logging.getLogger(__name__)


class SaveBook:
    """The two steps that save. ``clock`` gives epoch milliseconds.

    ``library`` None is LIBRARY=off: every book goes to the fallback store.
    """

    def __init__(
        self,
        library: Library | None,
        fallback: KeyValue,
        objects: ObjectStore,
        clock: Callable[[], int],
    ) -> None:
        self._library = library
        self._aside = Aside(fallback)
        self._objects = objects
        self._clock = clock

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        """``{"storedIn", "hasEmbedding"}``. Safe twice.

        Raises: StoreDown; Removed when the book was deleted while its import ran.
        """
        if self._library is None:
            return await self.save_aside(order, metadata, cover, embedding)
        return await from_store(
            partial(self._into_library, self._library, order, metadata, cover, embedding)
        )

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        """The same, into the fallback store, laid over an older entry.

        Raises: StoreDown; Removed when the book was deleted while its import ran.
        """
        return await from_store(partial(self._into_fallback, order, metadata, cover, embedding))

    async def _into_library(
        self,
        library: Library,
        order: ImportInput,
        metadata: Metadata,
        cover: Json | None,
        embedding: Json | None,
    ) -> Json:
        book = self._book(order, metadata, cover, embedding)
        older = await library.find(book.isbn)
        if _has_other_cover(book, older) and await self._is_gone(book.cover):
            book = self._book(order, metadata, None, embedding)
        kept = await library.keep(book)
        for one in (older, book):
            if one is not None and _has_other_cover(one, kept):
                await self._remove(one.cover)
        stored = book.embedding is not None and kept.embedding == book.embedding
        return {"storedIn": "database", "hasEmbedding": stored}

    async def _into_fallback(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        await self._aside.keep(self._book(order, metadata, cover, embedding), laid_over)
        return {"storedIn": "kv", "hasEmbedding": embedding is not None}

    def _book(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Book:
        now = iso(self._clock())
        return Book(
            metadata=metadata,
            cover=Cover.from_json(cover) if cover else None,
            embedding=Embedding.from_json(embedding) if embedding else None,
            provenance=Provenance(
                source=metadata.source,
                source_id=metadata.source_id,
                job_id=order.job_id,
                imported_at=now,
                updated_at=now,
                fields=metadata.fields,
            ),
        )

    async def _is_gone(self, cover: Cover | None) -> bool:
        """Whether an import of the same book, at the same time, has removed our picture.

        Asked only when a book's picture changes its type, so hardly ever.
        """
        return cover is not None and await self._objects.find(cover.key) is None

    async def _remove(self, cover: Cover | None) -> None:
        if cover is None:
            return
        try:
            await self._objects.remove(cover.key)
        except StoreDown as error:
            log.warning("the older cover %s remains: %s", cover.key, error)


def _has_other_cover(book: Book, other: Book | None) -> bool:
    """Whether both have a cover, under two keys (``.png`` and ``.jpg``)."""
    if other is None or book.cover is None or other.cover is None:
        return False
    return book.cover.key != other.cover.key
