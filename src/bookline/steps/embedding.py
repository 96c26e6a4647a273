"""The vector of "title by author. description", for the search by meaning.

Way:      workflow.py → here → Embedder
Rule 1:   a vector goes on only if it is one: as many finite numbers as it says.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
"""

from bookline.book import Metadata
from bookline.ports import Embedder
from bookline.values import Json

LONGEST_TEXT_CHARS = 8_000  # our choice; bge-m3 and OpenAI's models read about 8,192 tokens


class GenerateEmbedding:
    """The step; without an embedder it is switched off."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder

    async def __call__(self, metadata: Metadata) -> Json | None:
        """``Embedding.to_json()``, or None when embeddings are switched off.

        Raises: EmbeddingRefused, WrongKey (final); ProviderDown, SlowDown (later).
        """
        if self._embedder is None:
            return None
        text = metadata.embedding_text[:LONGEST_TEXT_CHARS]  # code points: no character is halved
        embedding = await self._embedder.embed(text)
        embedding.to_bytes()  # refuses what is no vector
        return embedding.to_json()
