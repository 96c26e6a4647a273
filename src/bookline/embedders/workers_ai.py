"""Cloudflare Workers AI over its REST interface.

Way:      opening.py → here → Http
Source:   https://developers.cloudflare.com/workers-ai/models/bge-m3/ (``{"text": [...]}`` →
          ``{"result": {"shape", "data"}, "success", "errors"}``; for texts as contexts the numbers
          are under ``response``). 1,024 numbers; pooling ``cls`` unless asked otherwise.
"""

from collections.abc import Sequence
from functools import partial

from bookline.book import Embedding
from bookline.embedders.vectors import check, plain, read_vector
from bookline.errors import BooklineError, ProviderDown, Refused
from bookline.ports import Answer, Http
from bookline.providers.answers import read_json
from bookline.together import outcome_of

NAME = "Workers AI"
DEFAULT_MODEL = "@cf/baai/bge-m3"
_DIMENSIONS = {DEFAULT_MODEL: 1024, "@cf/baai/bge-large-en-v1.5": 1024}


class WorkersAi:
    """One account's models. ``url`` goes up to and with ``/ai/run``:
    ``https://api.cloudflare.com/client/v4/accounts/{account}/ai/run``.

    Raises: Refused from its making, without ``url`` or ``key``.
    """

    def __init__(self, http: Http, *, url: str | None, key: str | None, model: str | None) -> None:
        if not url or not key:
            missing = "BOOKLINE_EMBEDDER_API_KEY" if url else "BOOKLINE_EMBEDDER_URL"
            raise Refused("INVALID_REQUEST", f"workers-ai needs {missing}")
        self.model = model or DEFAULT_MODEL
        self._http = http
        self._url = f"{url.rstrip('/')}/{self.model}"
        self._headers = {"authorization": f"Bearer {key}"}

    async def embed(self, text: str) -> Embedding:
        """Raises: EmbeddingRefused, WrongKey, SlowDown, ProviderDown."""
        asked = {"text": [plain(text)]}
        answer = await self._http.post(self._url, json=asked, headers=self._headers)
        return self.read(answer)

    async def embed_many(self, texts: Sequence[str]) -> Sequence[Embedding | BooklineError]:
        """Each as ``embed`` gives it, or its own error. Raises: as ``embed``."""
        asked = {"text": [plain(text) for text in texts]}
        answer = await self._http.post(self._url, json=asked, headers=self._headers)
        rows = self._rows(answer)
        if len(rows) != len(texts):
            raise ProviderDown(f"{NAME} answered with other vectors than were asked for")
        return [outcome_of(partial(self._vector, row)) for row in rows]

    def read(self, answer: Answer) -> Embedding:
        """The vector of an answer, without asking anybody."""
        rows = self._rows(answer)
        return self._vector(rows[0] if rows else None)

    def _rows(self, answer: Answer) -> Sequence[object]:
        check(NAME, self.model, answer)
        result = read_json(NAME, answer).get("result")
        if not isinstance(result, dict):  # ``null`` beside ``"success": false``
            raise ProviderDown(f"{NAME} answered without a result")
        rows = result.get("data", result.get("response"))
        return rows if isinstance(rows, list) else ()

    def _vector(self, row: object) -> Embedding:
        return read_vector(self.model, row, dimensions=_DIMENSIONS.get(self.model))
