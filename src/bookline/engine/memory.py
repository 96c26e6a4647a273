"""The engine without a database: records in a dict. For tests of the workflow, and as a measure.

Rule 1:  a record goes through JSON, as it would on disk, so that nothing works here only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

from bookline.engine.job_run import World, execute
from bookline.job import ImportInput
from bookline.values import Json


class MemoryEngine:
    """Fills the port Engine. ``stop`` and ``resume`` play a restart."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._orders: dict[str, ImportInput] = {}
        self._records: dict[str, list[tuple[str, str]]] = {}
        self._outcomes: dict[str, Json] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}

    async def start(self, order: ImportInput) -> None:
        if order.job_id not in self._orders:
            self._orders[order.job_id] = order
            self._records[order.job_id] = []
            self._go(order.job_id)

    async def restart(self, job_id: str) -> None:
        failed = (self._outcomes[job_id].get("error") or {}).get("step")
        records = self._records[job_id]
        names = [name for name, _ in records]
        del records[names.index(failed) if failed in names else 0 :]
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
        place = 0
        records = self._records[job_id]

        async def record(name: str, body: Callable[[], Awaitable[Json]]) -> Json:
            nonlocal place
            if place == len(records):
                value = await body()
                records.append((name, json.dumps(value)))
            place += 1
            recorded_name, text = records[place - 1]
            if recorded_name != name:
                raise AssertionError(f"{name} where {recorded_name} was recorded")
            outcome: Json = json.loads(text)
            return outcome

        order, cancel = self._orders[job_id], self._cancels[job_id]
        self._outcomes[job_id] = await execute(order, record, self._world, cancel)
