"""The engine without a database: records in a dict. For tests of the workflow, and as a measure.

Rule 1:  a record goes through JSON, as it would on disk, so that nothing works here only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count

from bookline.engine.job_run import execute
from bookline.engine.world import World
from bookline.job import ImportInput
from bookline.values import Json
from bookline.workflow import Rules, import_book


class MemoryEngine:
    """Fills the port Engine. ``stop`` and ``resume`` play a restart."""

    def __init__(self, world: World, rules: Rules = import_book) -> None:
        self._world = world
        self._rules = rules
        self._orders: dict[str, ImportInput] = {}
        self._records: dict[str, dict[int, tuple[str, str]]] = {}
        self._outcomes: dict[str, Json] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        if order.job_id not in self._orders:
            self._orders[order.job_id] = order
            self._records[order.job_id] = {}
            self._go(order.job_id)

    async def restart(self, job_id: str) -> None:
        failed = (self._outcomes[job_id].get("error") or {}).get("step")
        records = self._records[job_id]
        first = min((place for place, (name, _) in records.items() if name == failed), default=1)
        done = {name for name, text in records.values() if "value" in json.loads(text)} - {failed}
        for place in [place for place in records if place >= first]:
            if records[place][0] not in done:
                del records[place]
        self._go(job_id)

    async def settle(self, job_id: str) -> None:
        await asyncio.wait([self._tasks[job_id]])

    def wake(self, job_id: str) -> None:
        if job_id in self._cancels:
            self._cancels[job_id].set()

    async def stop(self) -> None:
        """As a process that ends in good order."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def resume(self) -> None:
        """As the next process: what has no outcome goes on."""
        for job_id in self._orders:
            if job_id not in self._outcomes:
                self._go(job_id)

    def _go(self, job_id: str) -> None:
        self._outcomes.pop(job_id, None)
        self._cancels[job_id] = asyncio.Event()
        self._tasks[job_id] = asyncio.create_task(self._execute(job_id))

    async def _execute(self, job_id: str) -> None:
        order, cancel = self._orders[job_id], self._cancels[job_id]
        records = MemoryRecords(self._records[job_id])
        self._outcomes[job_id] = await execute(order, records, self._world, cancel, self._rules)


class MemoryRecords:
    """Fills the port Records. ``kept`` is place → name and JSON."""

    def __init__(self, kept: dict[int, tuple[str, str]]) -> None:
        self._kept = kept
        self._places = count(1)

    def reserve(self) -> int:
        return next(self._places)

    async def record(
        self, name: str, body: Callable[[], Awaitable[Json]], place: int | None = None
    ) -> Json:
        place = self.reserve() if place is None else place
        if place not in self._kept:
            self._kept[place] = (name, json.dumps(await body()))
        recorded_name, text = self._kept[place]
        if recorded_name != name:
            raise AssertionError(f"{name} where {recorded_name} was recorded")
        outcome: Json = json.loads(text)
        return outcome
