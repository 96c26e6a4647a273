"""What the client asks of batches: lists and library files, many imports under one id.

Way:      BooklineClient has these calls → here → connection.py
"""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bookline.client.connection import Connection, part
from bookline.values import Json

ENDS = frozenset({"batch_completed", "batch_cancelled"})


class BatchCalls(Connection):
    """A batch's calls. Values are the API's ``data``, messages as they were sent."""

    async def start_batch(
        self,
        items: Sequence[str | Json],
        source: str = "auto",
        *,
        name: str | None = None,
        refresh: bool = False,
        idempotency_key: str | None = None,
    ) -> Json:
        """A new batch of up to 10,000 items, kept whole: an ISBN each, or ``{"isbn", "source"?,
        "userId"?, "reading"?}``. The same ``idempotency_key`` gives the same batch for 24 hours.
        """
        body = {"items": list(items), "source": source, "name": name}
        return await self.ask(
            "POST", "/v2/import/batch", body=body, query=_flags(refresh=refresh),
            headers=_key(idempotency_key),
        )  # fmt: skip

    async def start_file(
        self,
        data: bytes,
        source: str = "auto",
        *,
        name: str | None = None,
        refresh: bool = False,
        idempotency_key: str | None = None,
    ) -> Json:
        """The same from a library export or a list of ISBNs."""
        query = {"source": source, "name": name, **_flags(refresh=refresh)}
        return await self.ask(
            "POST", "/v2/import/file", data=data, query=query, headers=_key(idempotency_key)
        )

    async def preview_file(self, data: bytes) -> Json:
        """What is in a library export or a list. Nothing is started."""
        return await self.ask("POST", "/v2/import/file", data=data, query=_flags(preview=True))

    async def follow_batch(
        self, batch_id: str, *, after: int = 0, token: str | None = None
    ) -> AsyncGenerator[Json, None]:
        """Each message behind ``after`` once, in order, through any break, until the batch's end.

        Raises: Refused (BATCH_NOT_FOUND, UNAUTHORIZED), TryLater.
        """
        path = f"/v2/import/batch/{part(batch_id)}/events"
        async with aclosing(self.follow_stream(path, after, token, _is_end)) as messages:
            async for message in messages:
                yield message

    async def batch(self, batch_id: str) -> Json:
        """The batch as it stands, with counts."""
        return await self.ask("GET", f"/v2/import/batch/{part(batch_id)}")

    async def batches(self, *, limit: int = 50, cursor: str | None = None) -> Json:
        """A page of batches, newest first: ``items``, ``nextCursor``, ``total``."""
        query = {"limit": limit, "cursor": cursor}
        return await self.ask("GET", "/v2/import/batches", query=query)

    async def batch_items(
        self, batch_id: str, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Json:
        """A page of a batch's items, in their order; of one state, where one is named."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        return await self.ask("GET", f"/v2/import/batch/{part(batch_id)}/items", query=query)

    async def cancel_batch(self, batch_id: str) -> Json:
        """The batch, cancelled. Not repeated when the line breaks over it, as the next two."""
        path = f"/v2/import/batch/{part(batch_id)}/cancel"
        return await self.ask("POST", path, is_repeatable=False)

    async def retry_batch(self, batch_id: str) -> Json:
        """The batch, going on with all that failed."""
        path = f"/v2/import/batch/{part(batch_id)}/retry"
        return await self.ask("POST", path, is_repeatable=False)

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Json:
        """The item of a review, answered with an ISBN, or skipped with None."""
        path = f"/v2/import/batch/{part(batch_id)}/items/{index}/choose"
        body = {"skip": True} if isbn is None else {"isbn": isbn}
        return await self.ask("POST", path, body=body, is_repeatable=False)

    async def failed(self, batch_id: str) -> str:
        """What did not arrive, in the form in which it came, with code and reason."""
        text: str = (await self.ask("GET", f"/v2/import/batch/{part(batch_id)}/failed"))["text"]
        return text


def _is_end(message: Json) -> bool:
    return message["type"] in ENDS


def _key(given: str | None) -> dict[str, str]:
    return {"Idempotency-Key": given or secrets.token_urlsafe(16)}


def _flags(**flags: bool) -> dict[str, str]:
    return {name: "true" for name, is_on in flags.items() if is_on}
