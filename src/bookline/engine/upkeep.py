"""What a process does beside its imports: recovery, cancels from elsewhere, drain, retention, and
the index of a large library.

Way:      app.py runs it; recovery.py, stores/drain.py and the journal do the work
Rule 1:   a chore that fails is logged and done again; it never stops the others.
Rule 2:   a job past its retention goes from the engines first, then from the journal: a process
          that dies in between leaves what the next pass finds again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from bookline.engine.dbos import DbosEngine
from bookline.engine.nodes import Nodes
from bookline.engine.recovery import Recovery
from bookline.errors import StoreDown
from bookline.importers import OtherImporter
from bookline.ports import KeyValue, Library, ObjectStore
from bookline.progress.journal import Journal
from bookline.progress.rules import IDEMPOTENCY_MS
from bookline.stores.drain import drain

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0  # docs/contract.md: after a restart everything open goes on within 5 s
CANCEL_SECONDS = 0.25
SEEN_SECONDS = 4.0  # docs/contract.md: a node's last sign of life is at most 5 s old
DRAIN_SECONDS = 10.0
RETENTION_SECONDS = 3_600.0  # at most between two passes; a tenth of a short retention
INDEX_SECONDS = 3_600.0
REMOVE_MOST = 500  # jobs removed at once, so that a clean-up never holds the writer for long
DAY_MS = 86_400_000
RECORD_MS = 7 * DAY_MS  # docs/contract.md: how long the comparison's records are kept


class Upkeep:
    """``steady`` gives epoch milliseconds, for what is removed by its age."""

    def __init__(
        self,
        node: Nodes,
        engine: DbosEngine,
        journal: Journal,
        recovery: Recovery,
        *,
        steady: Callable[[], int],
        retention_days: float,
        fallback: KeyValue,
        library: Library | None,
        objects: ObjectStore,
        others: Sequence[OtherImporter] = (),
        remove_batches: Callable[[int, int], Awaitable[int]],
        index_vectors: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._recovery = recovery
        self._node = node
        self._engine = engine
        self._journal = journal
        self._steady = steady
        self._retention_ms = int(retention_days * DAY_MS)
        self._pass_seconds = min(RETENTION_SECONDS, max(1.0, self._retention_ms / 10_000))
        self._fallback = fallback
        self._library = library
        self._objects = objects
        self._others = others
        self._remove_batches = remove_batches
        self._index_vectors = index_vectors
        self._importers: list[DbosEngine | OtherImporter] = [engine, *others]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as chores:
            chores.create_task(_every(SWEEP_SECONDS, self._recovery.sweep))
            for other in self._others:
                chores.create_task(_every(SWEEP_SECONDS, other.sweep))
            chores.create_task(_every(CANCEL_SECONDS, self._hear_cancels))
            chores.create_task(_every(SEEN_SECONDS, self._show_life))
            chores.create_task(_every(self._pass_seconds, self.remove_old))
            if self._library is not None:
                chores.create_task(_every(DRAIN_SECONDS, self.drain))
            if self._index_vectors is not None:
                chores.create_task(_every(INDEX_SECONDS, self._index_vectors))

    async def remove_old(self) -> int:
        """How many finished jobs past their retention are gone, with all that was kept of them.

        None while another process is at it.
        """
        async with self._node.only_one("retention") as ours:
            return await self._remove_old() if ours else 0

    async def _remove_old(self) -> int:
        now_ms = self._steady()
        before_ms = now_ms - self._retention_ms
        removed = await self._remove_jobs(before_ms)
        while await self._remove_batches(before_ms, now_ms):
            pass
        await self._journal.remove_records(now_ms - RECORD_MS)
        await self._journal.remove_keys(now_ms - IDEMPOTENCY_MS)
        return removed

    async def _remove_jobs(self, before_ms: int) -> int:
        removed = 0
        while ids := await self._journal.finished_before(before_ms, REMOVE_MOST):
            for engine in self._importers:
                await engine.remove(ids)
            removed += await self._journal.remove_finished(ids, before_ms)
        return removed

    async def _show_life(self) -> None:
        if any(engine.running for engine in self._importers):
            await self._journal.seen(self._node.node_id)

    async def _hear_cancels(self) -> None:
        """A cancel that came in through another process."""
        if not any(engine.running for engine in self._importers):
            return
        for job_id in await self._journal.cancel_requests(self._node.node_id):
            for engine in self._importers:
                engine.wake(job_id)

    async def drain(self) -> int:
        """Books that wait in the fallback store go into the library, if it takes them."""
        if self._library is None:
            return 0
        return await drain(self._fallback, self._library, self._objects)


async def _every(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    while True:
        name = getattr(chore, "__name__", chore)
        try:
            await chore()
        except StoreDown as down:
            log.warning("upkeep: %s is tried again later: %s", name, down)
        except Exception:
            log.exception("upkeep: %s failed and is tried again later", name)
        await asyncio.sleep(seconds)
