"""Rows without an ISBN, looked up one after the other as fast as the providers let us.

Way:      app.py runs it in each process → lookup.py, stores/batches.py
Rule 1:   one process looks up at a time; the list is in the store, so that another goes on when
          it dies.
Rule 2:   an outage is waited for: retries as for an import's first step, then the row has failed
          and can be retried. While a provider answers nobody, the rows that need it rest: no try,
          no write, and rows of other sources go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from bookline.batches.lookup import Verdict
from bookline.errors import BooklineError, GiveUp, Resting, StoreDown, TryLater
from bookline.progress.batches import LOOK_UP, Batch, Item, error_of
from bookline.stores.batches import SqlBatches
from bookline.time_limit import comes_again, gives_way
from bookline.workflow import FETCH_METADATA

log = logging.getLogger(__name__)

AT_ONCE = 4  # our choice: rows; providers give turns of their own
LOOK_SECONDS = 1.0  # until the list is looked at without having been stirred
MOST_RETRY_AFTER_SECONDS = 60.0  # docs/contract.md

OnlyOne = Callable[[str], AbstractAsyncContextManager[bool]]


@dataclass(slots=True)
class LookUps:
    """One in a process. ``clock`` gives epoch milliseconds; ``retry_scale`` multiplies delays."""

    store: SqlBatches
    look_up: Callable[[Item], Awaitable[Verdict]]
    only_one: OnlyOne
    clock: Callable[[], int]
    retry_scale: float
    feed: Callable[[], None]
    """Tells the feeder that there is something to import."""
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    _resting: dict[str, int] = field(default_factory=dict)
    """Source → until when its rows rest."""

    def stir(self) -> None:
        """Lets it look at once."""
        self.stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if await self.store.running():
                    async with self.only_one("look-ups") as ours:
                        while ours and await self.round():
                            pass
            except BooklineError as error:
                log.warning("look-ups wait: %s", error)
            except Exception:
                log.exception("look-ups failed and continue")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.stirred.wait()
            except TimeoutError:
                pass
            self.stirred.clear()

    async def round(self) -> int:
        """One row or a few of each batch in turn. How many were looked up."""
        done = 0
        for batch in await self.store.running():
            if batch.cancel_requested:
                continue
            items = await self.store.take(batch.batch_id, LOOK_UP, AT_ONCE, without=self._at_rest())
            with gives_way(), comes_again(with_others=len(items) > 1):
                await asyncio.gather(*(self._one(batch, item) for item in items))
            done += len(items)
        return done

    async def _one(self, batch: Batch, item: Item) -> None:
        try:
            verdict = await self.look_up(item)
        except StoreDown:
            raise
        except Resting as rest:
            self._rest(item.source, rest.retry_after_seconds or 0.0)
            return
        except TryLater as failure:
            await self._later(batch, item, failure)
            return
        except GiveUp as failure:
            await self._fail(batch, item, failure.code, str(failure))
            return
        self._resting.pop(item.source, None)
        if verdict.isbn is not None:
            await self.store.found(batch.batch_id, item.index, verdict.isbn)
            self.feed()
        elif verdict.candidates:
            found = [one.to_json() for one in verdict.candidates]
            await self.store.end_look_up(batch.batch_id, item.index, candidates=found)
        else:
            await self._fail(batch, item, "BOOK_NOT_FOUND", _not_found(item))

    def _rest(self, source: str, seconds: float) -> None:
        self._resting[source] = self.clock() + int(min(seconds, MOST_RETRY_AFTER_SECONDS) * 1000)

    def _at_rest(self) -> list[str]:
        """No longer than a provider's longest pause, should the clock be set back."""
        now_ms, most_ms = self.clock(), MOST_RETRY_AFTER_SECONDS * 1000
        return [one for one, until in self._resting.items() if 0 < until - now_ms <= most_ms]

    async def _later(self, batch: Batch, item: Item, failure: TryLater) -> None:
        retries, failures = FETCH_METADATA.retries, item.tries + 1
        if failures > retries.limit:
            await self._fail(batch, item, failure.code, str(failure))
            return
        asked = min(failure.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS)
        delay = max(retries.delay_after(failures) * self.retry_scale, asked)
        due_ms = self.clock() + int(delay * 1000)
        await self.store.look_up_later(batch.batch_id, item.index, due_ms)

    async def _fail(self, batch: Batch, item: Item, code: str, message: str) -> None:
        error = error_of(code, message)
        await self.store.end_look_up(batch.batch_id, item.index, error=error)


def _not_found(item: Item) -> str:
    by: Sequence[str] = item.authors[:1]
    what = f"{item.title!r} by {by[0]}" if by and item.title else repr(item.title or item.input)
    return f"No source knows {what[:300]}. Add the ISBN, or check title and author."
