"""OpenAI's embeddings, and all services that speak their form: Ollama, vLLM, LM Studio, LiteLLM.

Way:      opening.py → here → Http
Source:   https://platform.openai.com/docs/api-reference/embeddings/create;
          https://docs.ollama.com/api/openai-compatibility (``http://localhost:11434/v1``, no key)
"""

from collections.abc import Sequence
from functools import partial

from bookline.book import Embedding
from bookline.embedders.vectors import check, plain, read_vector
from bookline.errors import BooklineError, ProviderDown
from bookline.ports import Answer, Http
from bookline.providers.answers import read_json
from bookline.together import outcome_of

NAME = "The embedding service"
DEFAULT_URL = "https://api.openai.com/v1"
DEFAULT_MODEL = "text-embedding-3-small"
"""1,536 numbers, OpenAI's cheapest. With Ollama, name one that it has (``bge-m3``)."""


class OpenAiCompatible:
    """``url`` goes up to and without ``/embeddings``; ``key`` may be missing."""

    def __init__(
        self,
        http: Http,
        *,
        url: str | None = None,
        key: str | None = None,
        model: str | None = None,
    ) -> None:
        self.model = model or DEFAULT_MODEL
        self._http = http
        self._url = f"{(url or DEFAULT_URL).rstrip('/')}/embeddings"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def embed(self, text: str) -> Embedding:
        """Raises: EmbeddingRefused, WrongKey, SlowDown, ProviderDown."""
        asked = {"model": self.model, "input": plain(text)}
        answer = await self._http.post(self._url, json=asked, headers=self._headers)
        return self.read(answer)

    async def embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        """Each as ``embed`` gives it, or its own error. Raises: as ``embed``."""
        asked = {"model": self.model, "input": [plain(text) for text in texts]}
        answer = await self._http.post(self._url, json=asked, headers=self._headers)
        check(NAME, self.model, answer)
        rows = read_json(NAME, answer).get("data")
        by_place = {
            row["index"]: row.get("embedding")
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict) and type(row.get("index")) is int
        }
        if by_place.keys() != set(range(len(texts))):
            raise ProviderDown(f"{NAME} answered with other vectors than were asked for")
        return [
            outcome_of(partial(read_vector, self.model, by_place[n])) for n in range(len(texts))
        ]

    def read(self, answer: Answer) -> Embedding:
        """The vector of an answer, without asking anybody."""
        check(NAME, self.model, answer)
        rows = read_json(NAME, answer).get("data")
        first = rows[0] if isinstance(rows, list) and rows else None
        return read_vector(self.model, first.get("embedding") if isinstance(first, dict) else None)
