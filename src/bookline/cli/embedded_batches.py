"""What the commands ask of batches, of a Bookline that runs in this very process.

Way:      embedded.py has these calls → here → app.py
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bookline.app import App
from bookline.batches.failed import failed_pieces
from bookline.batches.files import order_of_file, preview_of
from bookline.batches.service import opened_json
from bookline.progress.hub import Hub, TooSlow
from bookline.shelves.file import open_library_file
from bookline.threads import in_thread
from bookline.values import Json


class EmbeddedBatches:
    """A batch's calls of the port Client."""

    _app: App

    async def start_file(
        self, data: bytes, source: str, *, name: str | None, refresh: bool
    ) -> Json:
        file = await in_thread(open_library_file, data)
        order = order_of_file(file, data, source=source, name=name, refresh=refresh)
        return opened_json(await self._app.batches.start(order))

    async def preview_file(self, data: bytes) -> Json:
        return await preview_of(await in_thread(open_library_file, data), self._app.there)

    async def follow_batch(self, batch_id: str) -> AsyncGenerator[Json, None]:
        await self._app.batches.find(batch_id)
        async with aclosing(follow_stream(self._app.hub, batch_id)) as messages:
            async for message in messages:
                yield message

    async def batch(self, batch_id: str) -> Json:
        return (await self._app.batches.find(batch_id)).to_json()

    async def batches(self, *, limit: int, cursor: str | None) -> Json:
        page, total = await self._app.batches.list(limit=limit, cursor=cursor)
        items = [batch.to_json() for batch in page.items]
        return {"items": items, "nextCursor": page.next_cursor, "total": total}

    async def batch_items(
        self, batch_id: str, *, state: str | None, limit: int, cursor: str | None
    ) -> Json:
        page, total = await self._app.batches.items(
            batch_id, state=state, limit=limit, cursor=cursor
        )
        items = [item.to_json() for item in page.items]
        return {"items": items, "nextCursor": page.next_cursor, "total": total}

    async def cancel_batch(self, batch_id: str) -> Json:
        return (await self._app.batches.cancel(batch_id)).to_json()

    async def retry_batch(self, batch_id: str) -> Json:
        return (await self._app.batches.retry(batch_id)).to_json()

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Json:
        return (await self._app.batches.choose(batch_id, index, isbn)).to_json()

    async def failed(self, batch_id: str) -> str:
        batch = await self._app.batches.find(batch_id)
        return "".join([piece async for piece in failed_pieces(self._app.batches, batch)])


async def follow_stream(hub: Hub, stream_id: str) -> AsyncGenerator[Json, None]:
    """Every message of a job's or batch's story, until its last end."""
    seen, is_slow = 0, True
    while is_slow:
        is_slow = False
        async with aclosing(hub.follow(stream_id, seen)) as story:
            try:
                async for events in story:
                    for event in events:
                        seen = event.seq
                        yield json.loads(event.message)
            except TooSlow:
                is_slow = True
