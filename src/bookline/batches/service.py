"""The service of batches: keep a list, find it, list, cancel, retry, choose. What api/ calls.

Way:      api/ or cli/ → here → stores/batches.py; feeder.py does what is on the to-do list
Rule 1:   the whole list is kept before the answer; from then on it survives anything.
Rule 2:   nothing here waits for an import, a provider or the library.
"""

import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bookline.batches.items import REFUSED_SHOWN, Tally, plain
from bookline.errors import Refused
from bookline.imports import Imports, idempotency_of
from bookline.isbn import read_isbn
from bookline.progress.batches import (
    BATCH_PREFIX,
    ITEM_STATES,
    NOT_ARRIVED,
    REFUSED,
    Batch,
    Item,
)
from bookline.progress.journal import Idempotency
from bookline.values import Json, Page

log = logging.getLogger(__name__)

BATCH_ID = re.compile(rf"{BATCH_PREFIX}[A-Za-z0-9_-]{{1,90}}")
NAME_CHARS = 200  # docs/contract.md
FAILED_PAGE = 500  # rows read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """A list that somebody wants imported, read."""

    items: Iterable[Item]
    """Read once, in portions, beside the event loop."""
    name: str | None = None
    format: str = "json"
    source: str = "auto"
    refresh: bool = False
    header: tuple[str, ...] = ()
    delimiter: str = ","
    idempotency_key: str | None = None
    caller: str = ""
    body: bytes = b""
    """What the Idempotency-Key stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A kept batch, and what its list held besides."""

    batch: Batch
    refused: Sequence[Item]
    """The first ones."""
    refused_count: int
    duplicates: int


class KeptBatches(Protocol):
    """The batches as callers see them (stores/batches.py). Each raises StoreDown."""

    async def open(
        self, batch: Batch, items: Iterable[Item], idempotency: Idempotency | None = None
    ) -> str: ...

    async def find(self, batch_id: str) -> Batch | None: ...

    async def list(self, *, limit: int, cursor: str | None) -> tuple[Page[Batch], int]: ...

    async def items(
        self, batch_id: str, *, states: Collection[str] | None, limit: int, cursor: str | None
    ) -> tuple[Page[Item], int]: ...

    async def item(self, batch_id: str, index: int) -> Item: ...

    async def repeated(self, batch_id: str) -> int: ...

    async def request_cancel(self, batch_id: str) -> None: ...

    async def cancel_waiting(self, batch_id: str) -> int: ...

    async def jobs_to_cancel(self, batch_id: str) -> Sequence[str]: ...

    async def request_retry(self, batch_id: str) -> int: ...

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Item: ...


class Batches:
    """``clock`` gives epoch milliseconds."""

    def __init__(
        self,
        store: KeptBatches,
        imports: Imports,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._imports = imports
        self._clock = clock
        self.stir: Callable[[], None] = lambda: None
        """Lets the feeder look at once."""

    async def start(self, order: BatchOrder) -> Opened:
        """The batch, kept whole. The same Idempotency-Key and body give the same batch.

        Raises: Refused (INVALID_SOURCE, SOURCE_NOT_CONFIGURED, INVALID_REQUEST, INVALID_STATE),
        StoreDown.
        """
        self._imports.check_source(order.source)
        now = self._clock()
        batch = Batch(
            batch_id=f"{BATCH_PREFIX}{now}-{secrets.token_urlsafe(12)}",
            name=check_name(order.name),
            format=order.format,
            source=order.source,
            refresh=order.refresh,
            header=tuple(map(plain, order.header)),
            delimiter=order.delimiter,
            created_ms=now,
            updated_ms=now,
        )
        idempotency = idempotency_of(order.idempotency_key, order.caller, order.body)
        tally = Tally(order.items)
        batch_id = await self._store.open(batch, tally, idempotency)
        self.stir()
        if batch_id != batch.batch_id:
            return await self._opened_before(batch_id)
        return Opened(
            batch=await self.find(batch_id),
            refused=tally.refused,
            refused_count=tally.refused_count,
            duplicates=tally.duplicates,
        )

    async def _opened_before(self, batch_id: str) -> Opened:
        page, count = await self._store.items(
            batch_id, states=[REFUSED], limit=REFUSED_SHOWN, cursor=None
        )
        return Opened(
            batch=await self.find(batch_id),
            refused=page.items,
            refused_count=count,
            duplicates=await self._store.repeated(batch_id),
        )

    async def find(self, batch_id: str) -> Batch:
        """Raises: Refused (BATCH_NOT_FOUND)."""
        batch = await self._store.find(check_batch_id(batch_id))
        if batch is None:
            raise Refused("BATCH_NOT_FOUND", f"There is no batch {batch_id}.")
        return batch

    async def list(self, *, limit: int, cursor: str | None) -> tuple[Page[Batch], int]:
        """Newest first, and how many there are. Raises: Refused (INVALID_REQUEST)."""
        return await self._store.list(limit=limit, cursor=cursor)

    async def items(
        self, batch_id: str, *, state: str | None, limit: int, cursor: str | None
    ) -> tuple[Page[Item], int]:
        """In their order, and how many there are.

        Raises: Refused (BATCH_NOT_FOUND, INVALID_REQUEST).
        """
        if state is not None and state not in ITEM_STATES:
            raise Refused("INVALID_REQUEST", f"state must be one of {', '.join(ITEM_STATES)}")
        await self.find(batch_id)
        states = None if state is None else [state]
        return await self._store.items(batch_id, states=states, limit=limit, cursor=cursor)

    async def item(self, batch_id: str, index: int) -> Item:
        """Raises: Refused (BATCH_NOT_FOUND, NOT_FOUND)."""
        return await self._store.item(check_batch_id(batch_id), index)

    async def cancel(self, batch_id: str) -> Batch:
        """What waits is cancelled; what runs ends at its next step's edge.

        Raises: Refused (BATCH_NOT_FOUND, INVALID_STATE), StoreDown.
        """
        await self._store.request_cancel(check_batch_id(batch_id))
        await self.end_cancelled(batch_id)
        return await self.find(batch_id)

    async def end_cancelled(self, batch_id: str) -> None:
        """Ends what is open of a cancelled batch. Safe twice, and after a crash."""
        while await self._store.cancel_waiting(batch_id):
            pass
        for job_id in await self._store.jobs_to_cancel(batch_id):
            try:
                await self._imports.cancel(job_id)
            except Refused:  # it has ended meanwhile
                continue

    async def retry(self, batch_id: str) -> Batch:
        """All that failed goes on where it failed.

        Raises: Refused (BATCH_NOT_FOUND; INVALID_STATE when nothing has failed), StoreDown.
        """
        if not await self._store.request_retry(check_batch_id(batch_id)):
            raise Refused("INVALID_STATE", "No item of this batch has failed.")
        self.stir()
        while await self._store.request_retry(batch_id):
            pass
        return await self.find(batch_id)

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Item:
        """The answer to a review: an ISBN in any form, or None to skip the item.

        Raises: Refused (INVALID_ISBN, BATCH_NOT_FOUND, NOT_FOUND, INVALID_STATE), StoreDown.
        """
        isbn13 = None if isbn is None else read_isbn(isbn).isbn13
        item = await self._store.choose(check_batch_id(batch_id), index, isbn13)
        self.stir()
        return item

    async def not_arrived(self, batch_id: str) -> AsyncIterator[Sequence[Item]]:
        """What failed, was refused or cancelled, or waits for a review, a page at a time."""
        cursor = None
        while True:
            page, _ = await self._store.items(
                batch_id, states=NOT_ARRIVED, limit=FAILED_PAGE, cursor=cursor
            )
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return


def check_batch_id(batch_id: str) -> str:
    """The same text. Raises: Refused (BATCH_NOT_FOUND) for what no batch id looks like."""
    if not BATCH_ID.fullmatch(batch_id):
        raise Refused("BATCH_NOT_FOUND", f"A batch id begins with {BATCH_PREFIX}; this does not.")
    return batch_id


def check_name(name: str | None) -> str | None:
    """Raises: Refused (INVALID_REQUEST)."""
    if name is not None and len(name) > NAME_CHARS:
        raise Refused("INVALID_REQUEST", f"name may have {NAME_CHARS} characters", {"path": "name"})
    return None if name is None else plain(name)


def opened_json(opened: Opened, base: str, token: str) -> Json:
    """A new batch in the API's shape, with its addresses below ``base``, ours; ``statusUrl`` is its
    Location, too.
    """
    batch_id = opened.batch.batch_id
    status_url = f"{base}/v2/import/batch/{batch_id}"
    return {
        **opened.batch.to_json(),
        "refused": [
            {"index": item.index, "input": item.input, **(item.error or {})}
            for item in opened.refused
        ],
        "refusedCount": opened.refused_count,
        "duplicates": opened.duplicates,
        "statusUrl": status_url,
        "eventsUrl": f"{status_url}/events",
        "wsUrl": f"ws{base.removeprefix('http')}/ws/progress?batchId={batch_id}",
        "token": token,
    }
