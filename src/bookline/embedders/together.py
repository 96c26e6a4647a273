"""An embedder for the imports of batches: texts that come at the same time go in one question.

Way:      app.py puts it before the embedder that the settings name
"""

from collections.abc import Mapping, Sequence
from typing import Final

from bookline.book import Embedding
from bookline.errors import BooklineError
from bookline.ports import EmbedderOfMany
from bookline.together import Together

MOST_AT_ONCE: Final = 50  # our choice; Workers AI takes 100, OpenAI 2,048
MANY_SECONDS: Final = 30.0  # as long as a try of the step may take


class EmbedderTogether:
    """Fills the port Embedder."""

    def __init__(self, embedder: EmbedderOfMany) -> None:
        self.model = embedder.model
        self._embedder = embedder
        self._texts = Together(
            self._many,
            embedder.embed,
            most=MOST_AT_ONCE,
            limit_seconds=MANY_SECONDS,
            at_work=True,
        )

    async def embed(self, text: str) -> Embedding:
        """Raises: as the embedder that is asked."""
        return await self._texts.ask(text)

    async def _many(self, texts: Sequence[str]) -> Mapping[str, Embedding | BooklineError]:
        vectors = await self._embedder.embed_many(texts)
        return dict(zip(texts, vectors, strict=True))
