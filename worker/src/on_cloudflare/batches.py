"""Batches as the door sees them: the port Batches, by asking each batch's own object.

Way:      batches/service.py → here → batch.py, one object a batch; D1 has the list of all of them
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict

from bookline.errors import StoreDown
from bookline.job import RUNNING
from bookline.progress.batches import Batch, Item
from bookline.progress.journal import Idempotency
from bookline.stores.batch_rows import INSERT_BATCH, batch_values
from bookline.stores.batches import SqlBatches, next_portion
from bookline.stores.database import Session
from bookline.stores.event_log import SqlEventLog
from bookline.values import Page
from on_cloudflare.d1 import D1Database
from on_cloudflare.journal import Rooms
from on_cloudflare.plain import (
    batch_from_plain,
    batch_to_plain,
    item_from_plain,
    item_to_plain,
    now_ms,
)

log = logging.getLogger(__name__)


class Listed(SqlBatches):
    """All batches in one table of D1, as they were opened: how they stand, their objects know."""

    def _counted(self, session: Session, batch: Batch) -> Batch:
        return batch


class DurableBatches:
    """Fills the port Batches. ``rooms`` are the batches' objects; ``database`` is D1, if bound."""

    def __init__(self, rooms: Rooms, database: D1Database | None) -> None:
        self._rooms = rooms
        self._database = database

    async def open(
        self, batch: Batch, items: Iterable[Item], idempotency: Idempotency | None = None
    ) -> str:
        if idempotency is not None:
            batch_id = await self._rooms.ask(
                f"key-{idempotency.key}", "claim", idempotency=asdict(idempotency),
                batch_id=batch.batch_id,
            )  # fmt: skip
            batch = batch_from_plain({**batch_to_plain(batch), "batch_id": batch_id})
        told, left = batch_to_plain(batch), iter(items)
        if await self._rooms.ask(batch.batch_id, "receive", batch=told):
            while portion := next_portion(left):
                plain = [item_to_plain(item) for item in portion]
                await self._rooms.ask(batch.batch_id, "add", batch_id=batch.batch_id, items=plain)
            await self._rooms.ask(batch.batch_id, "let_begin", batch=told)
            await self._list(batch)
        return batch.batch_id

    async def _list(self, batch: Batch) -> None:
        """Never fails."""
        values = batch_values(batch, RUNNING)
        try:
            if self._database is not None:
                await self._database.write(lambda session: session.execute(INSERT_BATCH, values))
        except StoreDown as error:
            log.warning("the list of batches lacks %s: %s", batch.batch_id, error)

    async def find(self, batch_id: str) -> Batch | None:
        found = await self._rooms.ask(batch_id, "find", batch_id=batch_id)
        return None if found is None else batch_from_plain(found)

    async def list(self, *, limit: int, cursor: str | None) -> tuple[Page[Batch], int]:
        if self._database is None:
            raise StoreDown("the list of batches needs the binding DB")
        kept = Listed(SqlEventLog(self._database), now_ms)
        page, total = await kept.list(limit=limit, cursor=cursor)
        found = await asyncio.gather(*(self.find(batch.batch_id) for batch in page.items))
        return Page(items=[one for one in found if one], next_cursor=page.next_cursor), total

    async def items(
        self, batch_id: str, *, states: Collection[str] | None, limit: int, cursor: str | None
    ) -> tuple[Page[Item], int]:
        told = await self._rooms.ask(
            batch_id, "items", batch_id=batch_id, states=states and list(states), limit=limit,
            cursor=cursor,
        )  # fmt: skip
        items = [item_from_plain(item) for item in told["items"]]
        return Page(items=items, next_cursor=told["cursor"]), told["total"]

    async def item(self, batch_id: str, index: int) -> Item:
        told = await self._rooms.ask(batch_id, "item", batch_id=batch_id, index=index)
        return item_from_plain(told)

    async def repeated(self, batch_id: str) -> int:
        return int(await self._rooms.ask(batch_id, "repeated", batch_id=batch_id))

    async def request_cancel(self, batch_id: str) -> None:
        await self._rooms.ask(batch_id, "request_cancel", batch_id=batch_id)

    async def cancel_waiting(self, batch_id: str) -> int:
        return int(await self._rooms.ask(batch_id, "cancel_waiting", batch_id=batch_id))

    async def jobs_to_cancel(self, batch_id: str) -> Sequence[str]:
        """None: its object cancels them, at once."""
        return ()

    async def request_retry(self, batch_id: str) -> int:
        return int(await self._rooms.ask(batch_id, "request_retry", batch_id=batch_id))

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Item:
        told = await self._rooms.ask(batch_id, "choose", batch_id=batch_id, index=index, isbn=isbn)
        return item_from_plain(told)
