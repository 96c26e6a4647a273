"""KV as the fallback store, R2 as the object store, Workers AI as the embedder."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bookline.book import Embedding
from bookline.embedders.vectors import plain, read_vector
from bookline.errors import ProviderDown, StoreDown
from bookline.ports import StoredObject
from bookline.values import Json

SHORTEST_SECONDS = 60  # Cloudflare's own; it refuses less


class KvStore:
    """Fills the port KeyValue. Source: https://developers.cloudflare.com/kv/api/"""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    async def keep(
        self, key: str, value: Json, *, ttl_seconds: float, if_value: Json | None
    ) -> bool:
        """KV cannot compare and write at once: of two within some milliseconds one is lost."""
        if await self.find(key) != if_value:
            return False
        ttl = max(SHORTEST_SECONDS, round(ttl_seconds))
        await _asked("KV", self._namespace.put(key, json.dumps(value), {"expirationTtl": ttl}))
        return True

    async def find(self, key: str) -> Json | None:
        text = await _asked("KV", self._namespace.get(key))
        return json.loads(text) if text else None

    async def keys(self, prefix: str) -> Sequence[str]:
        """The first thousand: whoever drains comes again."""
        listed = await _asked("KV", self._namespace.list({"prefix": prefix}))
        return [one["name"] for one in listed["keys"]]

    async def remove(self, key: str, *, if_value: Json) -> bool:
        """As with ``keep``; the book is in the library by then."""
        if await self.find(key) != if_value:
            return False
        await _asked("KV", self._namespace.delete(key))
        return True

    async def close(self) -> None:
        """Nothing is open."""


class R2Objects:
    """Fills the port ObjectStore. Source: https://developers.cloudflare.com/r2/api/workers/"""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    async def keep(
        self, key: str, body: bytes, content_type: str, attributes: Mapping[str, str]
    ) -> None:
        options = {
            "httpMetadata": {"contentType": content_type},
            "customMetadata": dict(attributes),
        }
        await _asked("R2", self._bucket.put(key, body, options))

    async def find(self, key: str) -> StoredObject | None:
        found = await _asked("R2", self._bucket.get(key))
        if found is None:
            return None
        body = bytes(await found.arrayBuffer())
        return StoredObject(key=key, body=body, content_type=found.httpMetadata["contentType"])

    async def remove(self, key: str) -> None:
        await _asked("R2", self._bucket.delete(key))

    async def check(self) -> None:
        await _asked("R2", self._bucket.head("none"))


class WorkersAiBinding:
    """Fills the port Embedder. Source: https://developers.cloudflare.com/workers-ai/"""

    model = "@cf/baai/bge-m3"
    dimensions = 1024

    def __init__(self, ai: Any) -> None:
        self._ai = ai

    async def embed(self, text: str) -> Embedding:
        try:
            answer = await self._ai.run(self.model, {"text": [plain(text)]})
            numbers = [float(one) for one in answer["data"][0]]
        except Exception as error:
            raise ProviderDown(f"Workers AI: {str(error).splitlines()[-1]}") from error
        return read_vector(self.model, numbers, dimensions=self.dimensions)


async def _asked(store: str, answer: Any) -> Any:
    try:
        return await answer
    except Exception as error:
        raise StoreDown(f"{store}: {str(error).splitlines()[-1]}") from error
