"""What an import costs: overhead of one, imports a second, where the time goes.

The application runs in this process without HTTP in front; the sandbox in another. Overhead is an
import's duration less the time inside upstream calls.
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from common import made_up_books, median_ms, percentile, sandbox_process, show, show_machine

from bookline import methods
from bookline.app import App, running
from bookline.engine.memory import MemoryEngine
from bookline.engine.upkeep import Upkeep
from bookline.engine.world import World
from bookline.imports import Order
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.net.cover_fetcher import GuardedCoverFetcher
from bookline.settings import read_settings

joined: Any = methods
"""The module in which the engine is named, to put another there."""
ALONE, MANY, AT_ONCE, FINISHED = 150, 300, 50, 10_000


class Upstream:
    """Seconds spent inside upstream calls."""

    seconds = 0.0

    @classmethod
    def watch(cls) -> None:
        cls._around(AiohttpHttp, "get")
        cls._around(GuardedCoverFetcher, "fetch")

    @classmethod
    def _around(cls, owner: Any, name: str) -> None:
        real: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return await real(*args, **kwargs)
            finally:
                cls.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


class Ends:
    """Lets a caller wait for a job's last event."""

    def __init__(self, app: App) -> None:
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self._early: dict[str, float] = {}
        app.journal.subscribe(self._hear)

    def _hear(self, events: Any) -> None:
        now = time.perf_counter()
        for event in events:
            if event.is_terminal:
                assert '"status":"completed"' in event.message, event.message
                waiter = self._waiting.pop(event.job_id, None)
                if waiter is None:
                    self._early[event.job_id] = now
                else:
                    waiter.set_result(now)

    async def of(self, job_id: str) -> float:
        if job_id in self._early:
            return self._early.pop(job_id)
        self._waiting[job_id] = asyncio.get_running_loop().create_future()
        return await self._waiting[job_id]


async def import_one(app: App, ends: Ends, isbn: str) -> tuple[float, float]:
    """Seconds of the whole import, and of it outside upstream calls (right only one at a time)."""
    upstream = Upstream.seconds
    began = time.perf_counter()
    job, _ = await app.imports.start(Order(isbn=isbn, source="google_books"))
    taken = await ends.of(job.job_id) - began
    return taken, taken - (Upstream.seconds - upstream)


async def alone(app: App, ends: Ends, isbns: list[str]) -> list[float]:
    """Overhead of each, one after the other."""
    await import_one(app, ends, isbns[0])
    return [(await import_one(app, ends, isbn))[1] for isbn in isbns]


async def at_once(app: App, ends: Ends, isbns: list[str]) -> tuple[float, float]:
    """Imports a second and CPU milliseconds of each, ``AT_ONCE`` in flight."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(isbn: str) -> None:
        async with gate:
            await import_one(app, ends, isbn)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(isbn) for isbn in isbns))
    taken, used = time.perf_counter() - began, time.process_time() - cpu
    return len(isbns) / taken, used / len(isbns) * 1000


@asynccontextmanager
async def bookline(environment: dict[str, str], folder: Path) -> AsyncIterator[tuple[App, Ends]]:
    settings = read_settings({**environment, "BOOKLINE_DATA_DIR": str(folder)}, None)
    async with running(settings) as app:
        if app.embedder is not None:
            await app.embedder.embed("warm")
        yield app, Ends(app)


class NoEngine(MemoryEngine):
    """The engine at no cost: records in a dict. What is left is Bookline itself."""

    def __init__(self, _where: object, world: World, _living: object, **_more: object) -> None:
        super().__init__(world)
        self.running: list[str] = []
        self.unrecorded: set[str] = set()

    async def launch(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> None: ...

    async def unfinished(self, _most: int) -> dict[str, str | None]:
        return {}

    async def end(self, _job_ids: Sequence[str]) -> None: ...


async def look_once(upkeep: Upkeep) -> None:
    """Nothing was left, which imports wait to be told."""
    await upkeep._recovery.sweep()
    await asyncio.Event().wait()


def fill(folder: Path, count: int) -> None:
    """Copies one finished job ``count`` times, in the journal and in the engine."""
    _copy_rows(folder / "journal.db", {"jobs": "job_id", "events": "job_id"}, count)
    tables = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")
    _copy_rows(folder / "engine.db", dict.fromkeys(tables, "workflow_uuid"), count)


def _copy_rows(path: Path, tables: dict[str, str], count: int) -> None:
    db = sqlite3.connect(path)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    for table, key in tables.items():
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
        job_id = db.execute(f"SELECT {key} FROM {table} LIMIT 1").fetchone()[0]
        values = [f"{key} || '-' || n.i" if name == key else name for name in columns]
        db.execute(
            f"{numbers} INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {', '.join(values)} FROM {table}, n WHERE {key} = ?",
            (count, job_id),
        )
    db.commit()
    db.close()


async def measure(environment: dict[str, str], url: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        async with bookline(environment, Path(name)) as (app, ends):
            overhead = await alone(app, ends, await made_up_books(url, ALONE, "978998"))
            rate, cpu = await at_once(app, ends, await made_up_books(url, MANY, "978999"))
        fill(Path(name), FINISHED)
        async with bookline(environment, Path(name)) as (app, ends):
            full = await alone(app, ends, await made_up_books(url, ALONE, "978997"))
            full_rate, _ = await at_once(app, ends, await made_up_books(url, MANY, "978996"))
    with tempfile.TemporaryDirectory() as name:
        real, joined.DbosEngine = joined.DbosEngine, NoEngine
        Upkeep.run = look_once  # type: ignore[method-assign, assignment]
        async with bookline(environment, Path(name)) as (app, ends):
            bare = await alone(app, ends, await made_up_books(url, ALONE, "978995"))
            bare_rate, bare_cpu = await at_once(app, ends, await made_up_books(url, MANY, "978994"))
        joined.DbosEngine = real
    return {
        "overhead_p50_ms": median_ms(overhead),
        "overhead_p95_ms": percentile(overhead, 0.95) * 1000,
        "imports_per_second": rate,
        "cpu_ms": cpu,
        "full_overhead_p50_ms": median_ms(full),
        "full_overhead_p95_ms": percentile(full, 0.95) * 1000,
        "full_imports_per_second": full_rate,
        "bare_overhead_p50_ms": median_ms(bare),
        "bare_imports_per_second": bare_rate,
        "bare_cpu_ms": bare_cpu,
    }


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--json", action="store_true")
    arguments = options.parse_args()
    Upstream.watch()
    async with sandbox_process() as (url, environment):
        found = await measure(environment, url)
    if arguments.json:
        print(json.dumps(found))
        return
    show_machine()
    print(f"one import after the other ({ALONE}):")
    show("overhead P50", f"{found['overhead_p50_ms']:.1f} ms", "goal ≤ 20 ms")
    show("overhead P95", f"{found['overhead_p95_ms']:.1f} ms", "goal ≤ 40 ms")
    show("overhead P50 without the engine", f"{found['bare_overhead_p50_ms']:.1f} ms")
    print(f"{MANY} imports, {AT_ONCE} in flight, one process, none failed:")
    show("imports a second", f"{found['imports_per_second']:.0f}/s", "goal ≥ 60/s")
    show("CPU of one import", f"{found['cpu_ms']:.1f} ms")
    show("imports a second without the engine", f"{found['bare_imports_per_second']:.0f}/s")
    show("CPU of one import without the engine", f"{found['bare_cpu_ms']:.1f} ms")
    print(f"with {FINISHED:,} finished jobs in the database:")
    show("overhead P50", f"{found['full_overhead_p50_ms']:.1f} ms", "at most 20 % more")
    show("overhead P95", f"{found['full_overhead_p95_ms']:.1f} ms", "at most 20 % more")
    show("imports a second", f"{found['full_imports_per_second']:.0f}/s", "at most 20 % fewer")


if __name__ == "__main__":
    uvloop.run(main())
