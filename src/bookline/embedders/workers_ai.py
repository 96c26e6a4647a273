"""Cloudflare Workers AI over its REST interface.

Way:      opening.py → here → Http
Source:   https://developers.cloudflare.com/workers-ai/models/bge-m3/ (``{"text": [...]}`` →
          ``{"result": {"shape", "data"}, "success", "errors"}``; for texts as contexts the numbers
          are under ``response``). 1,024 numbers; pooling ``cls`` unless asked otherwise.
"""

from bookline.book import Embedding
from bookline.embedders.vectors import check, plain, read_vector
from bookline.errors import ProviderDown, Refused
from bookline.ports import Answer, Http
from bookline.providers.answers import read_json

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

    def read(self, answer: Answer) -> Embedding:
        """The vector of an answer, without asking anybody."""
        check(NAME, self.model, answer)
        result = read_json(NAME, answer).get("result")
        if not isinstance(result, dict):  # ``null`` beside ``"success": false``
            raise ProviderDown(f"{NAME} answered without a result")
        rows = result.get("data", result.get("response"))
        first = rows[0] if isinstance(rows, list) and rows else None
        return read_vector(self.model, first, dimensions=_DIMENSIONS.get(self.model))
