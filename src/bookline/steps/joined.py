"""The four steps as one: what the workflow is handed.

Way:      app.py and the Cloudflare Worker join them → here → workflow.py
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bookline.book import Metadata
from bookline.job import ImportInput
from bookline.steps.cover import UploadCover
from bookline.steps.embedding import GenerateEmbedding
from bookline.steps.save import SaveBook
from bookline.values import Json


@dataclass(frozen=True, slots=True)
class AllSteps:
    """Fills the port Steps with one callable a step."""

    metadata: Callable[[ImportInput], Awaitable[Metadata]]
    cover: UploadCover
    embedding: GenerateEmbedding
    book: SaveBook

    async def fetch_metadata(self, order: ImportInput) -> Metadata:
        return await self.metadata(order)

    async def upload_cover(self, isbn: str, url: str) -> Json:
        return await self.cover(isbn, url)

    async def generate_embedding(self, metadata: Metadata) -> Json | None:
        return await self.embedding(metadata)

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        return await self.book.save(order, metadata, cover, embedding)

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        return await self.book.save_aside(order, metadata, cover, embedding)
