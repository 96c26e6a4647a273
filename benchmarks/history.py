"""What a long history costs: 100,000 finished imports with four events each, then 5,000 unfinished.

A server makes a few real imports; their rows are then copied in the databases, as many times as it
takes. Everything is measured over HTTP, on the same server with and without the history.
"""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
from common import made_up_books, percentile, sandbox_process, show, show_machine
from processes import Server, server_process

IMPORTS, ASKED, IDLE_SECONDS, TEMPLATES = 40, 200, 20.0, 10
DAY_MS = 86_400_000
OPEN_DONE = "SELECT count(*) FROM jobs WHERE job_id LIKE 'open-%' AND status = 'completed'"
READS = {
    "lists": "/v2/import/jobs?limit=200",
    "lists by status": "/v2/import/jobs?limit=200&status=failed",
    "metrics of a week": "/v2/metrics/imports?window=7d",
    "rollout with its gates": "/v2/rollout",
    "Prometheus": "/metrics",
}


@asynccontextmanager
async def serving(environment: dict[str, str], folder: Path) -> AsyncIterator[tuple[Server, float]]:
    """A server on the folder, and the seconds until it was ready."""
    began = time.perf_counter()
    async with server_process(environment, str(folder)) as server:
        yield server, time.perf_counter() - began


# ------------------------------------------------------------------ the history
def copy(path: Path, table: str, times: int, **changes: str) -> None:
    """Copies all rows so many times; ``changes`` are SQL for columns, with ``n`` from 1."""
    with closing(sqlite3.connect(path)) as db, db:
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        kept = [name for name in names if changes.get(name) != ""]
        values = ", ".join(changes.get(name, name) for name in kept)
        db.execute(
            f"""WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers
                                               WHERE n < {times})
                INSERT INTO {table} ({", ".join(kept)}) SELECT {values} FROM {table}, numbers"""
        )


def lengthen(folder: Path, times: int) -> None:
    """The journal's and the engine's rows of the last six days."""
    spread = 6 * DAY_MS // times
    journal, engine = folder / "journal.db", folder / "engine.db"
    again = "job_id || '-' || n"
    copy(
        journal, "jobs", times, job_id=again,
        created_ms=f"created_ms - n * {spread}", updated_ms=f"updated_ms - n * {spread}",
    )  # fmt: skip
    copy(journal, "events", times, id="", job_id=again, at_ms=f"at_ms - n * {spread}")
    copy(
        journal, "import_records", times, record_id="record_id || '-' || n",
        finished_ms=f"finished_ms - n * {spread}", duration_ms="duration_ms + n % 500",
    )  # fmt: skip
    uuid = "workflow_uuid || '-' || n"
    copy(engine, "workflow_status", times, workflow_uuid=uuid)
    copy(engine, "operation_outputs", times, workflow_uuid=uuid)


def leave_open(folder: Path, count: int) -> None:
    """Imports that a dead process had accepted, and that no engine has heard of."""
    with closing(sqlite3.connect(folder / "journal.db")) as db, db:
        db.execute(
            """WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers
                                              WHERE n < :count)
               INSERT INTO jobs (job_id, isbn, input_isbn, source, method, status, node,
                                 created_ms, updated_ms)
               SELECT 'open-' || n, isbn, input_isbn, source, 'workflow', 'queued', 'gone',
                      created_ms, updated_ms
               FROM numbers, (SELECT * FROM jobs WHERE status = 'completed' LIMIT 1)""",
            {"count": count},
        )


def counted(folder: Path, query: str) -> int:
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        return int(db.execute(query).fetchone()[0])


# ------------------------------------------------------------------ what is measured
async def timed(client: aiohttp.ClientSession, url: str) -> float:
    began = time.perf_counter()
    async with client.get(url) as answer:
        await answer.read()
        assert answer.status == 200, await answer.text()
    return (time.perf_counter() - began) * 1000


async def import_one(
    client: aiohttp.ClientSession, url: str, isbn: str, method: str = "workflow"
) -> float:
    """Milliseconds from the order to the end, as a watcher sees it."""
    began = time.perf_counter()
    order = {"isbn": isbn, "source": "google_books", "method": method}
    async with client.post(f"{url}/v2/import", json=order) as answer:
        assert answer.status == 202, await answer.text()
        events = (await answer.json())["data"]["eventsUrl"]
    async with client.get(events if "://" in events else url + events) as answer:
        await answer.read()
    return (time.perf_counter() - began) * 1000


async def first_event(client: aiohttp.ClientSession, url: str, job_id: str) -> float:
    began = time.perf_counter()
    async with client.get(f"{url}/v2/import/events/{job_id}") as answer:
        await answer.content.readline()
    return (time.perf_counter() - began) * 1000


async def held_up(client: aiohttp.ClientSession, url: str, path: str) -> tuple[float, float]:
    """The slowest of some reads, and of the liveness probes meanwhile."""
    reads: list[float] = []

    async def read() -> None:
        for _ in range(5):
            reads.append(await timed(client, url + path))  # noqa: PERF401

    reading, probes = asyncio.create_task(read()), [0.0]
    while not reading.done():
        probes.append(await timed(client, f"{url}/healthz"))
        await asyncio.sleep(0.002)
    await reading
    return max(reads), max(probes)


def show_start(server: Server, seconds: float, goal: str = "") -> None:
    cpu = server.cpu_seconds()
    show("start until ready; its CPU", f"{seconds:.2f}; {cpu:.2f} s", goal)


async def measure(server: Server, client: aiohttp.ClientSession, isbns: list[str]) -> None:
    url = server.url
    for path, goal in (("/readyz", 20), ("/healthz", 50)):
        times = [await timed(client, url + path) for _ in range(ASKED)]
        show(f"{path}, P95 of {ASKED}", f"{percentile(times, 0.95):.1f} ms", f"goal < {goal} ms")
    took = [await import_one(client, url, isbn) for isbn in isbns]
    show(f"one import, median of {len(took)}", f"{statistics.median(took):.1f} ms")
    async with client.get(f"{url}/v2/import/jobs?limit=1") as answer:
        job_id = (await answer.json())["data"]["items"][0]["jobId"]
    status = [await timed(client, f"{url}/v2/import/status/{job_id}") for _ in range(ASKED)]
    show("status, P95", f"{percentile(status, 0.95):.1f} ms", "goal < 300 ms")
    first = [await first_event(client, url, job_id) for _ in range(20)]
    show("a fresh watcher's first event, slowest", f"{max(first):.1f} ms", "goal < 200 ms")
    for name, path in READS.items():
        read, probe = await held_up(client, url, path)
        show(f"{name}, slowest of 5; /healthz meanwhile", f"{read:.0f}; {probe:.0f} ms",
             "goal < 300; 100")  # fmt: skip
    await asyncio.sleep(2)
    before = server.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    share = (server.cpu_seconds() - before) / IDLE_SECONDS
    show("idle, share of a core", f"{share:.1%}", "goal < 2 %")


async def measure_holds(environment: dict[str, str], folder: Path) -> None:
    """What holds the event loop up for longest, while one kind of read is asked and while idle."""
    told = folder / "holds.json"
    program = (str(Path(__file__).with_name("holds.py")),)
    environment = {**environment, "HOLDS": str(told)}
    async with (
        server_process(environment, str(folder), program=program) as server,
        aiohttp.ClientSession() as client,
    ):
        await asyncio.sleep(2)
        await show_hold(server, told, None)
        await asyncio.sleep(IDLE_SECONDS)
        await show_hold(server, told, "idle")
        for name, path in READS.items():
            for _ in range(5):
                await timed(client, server.url + path)
            await show_hold(server, told, name)


async def show_hold(server: Server, told: Path, name: str | None) -> None:
    """The longest since the last time; without a name it is only left out."""
    told.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR2)
    while not told.exists() or not told.read_text():
        await asyncio.sleep(0.01)
    if name is not None:
        where, (cpu, _) = max(json.loads(told.read_text()).items(), key=lambda one: one[1][0])
        show(f"longest hold of the loop, CPU: {name}", f"{cpu:.1f} ms", f"goal < 10 ms; {where}")


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--finished", type=int, default=100_000)
    options.add_argument("--unfinished", type=int, default=5_000)
    chosen = options.parse_args()
    show_machine()
    async with sandbox_process() as (sandbox, environment), aiohttp.ClientSession() as client:
        isbns = await made_up_books(sandbox, TEMPLATES + 2 * IMPORTS)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            print("with next to no history")
            async with serving(environment, folder) as (server, seconds):
                show_start(server, seconds)
                for isbn in isbns[:TEMPLATES]:
                    await import_one(client, server.url, isbn)
                await measure(server, client, isbns[TEMPLATES:-IMPORTS])
            lengthen(folder, chosen.finished // counted(folder, "SELECT count(*) FROM jobs"))
            jobs = counted(folder, "SELECT count(*) FROM jobs")
            events = counted(folder, "SELECT count(*) FROM events")
            print(f"with {jobs:,} finished jobs and {events:,} events")
            async with serving(environment, folder) as (server, seconds):
                show_start(server, seconds, "goal < 3 s")
                await measure(server, client, isbns[-IMPORTS:])
            await measure_holds(environment, folder)
            leave_open(folder, chosen.unfinished)
            print(f"and with {chosen.unfinished:,} unfinished ones")
            async with serving(environment, folder) as (server, seconds):
                show_start(server, seconds, "goal < 5 s")
                await asyncio.sleep(IDLE_SECONDS / 2)
                show(f"of them done {IDLE_SECONDS / 2:g} s later", str(counted(folder, OPEN_DONE)))


if __name__ == "__main__":
    asyncio.run(main())
