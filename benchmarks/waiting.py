"""Many imports that wait: memory, start, status and cancel with them, and the next start.

Usage:   python benchmarks/waiting.py [HOW_MANY]
Way:     the rows are laid into the journal; the sources hang, so that no place becomes free
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from common import percentile, sandbox_process, show, show_machine

from bookline.job import ImportInput, Job
from bookline.stores.database import Session
from bookline.stores.job_rows import INSERT, insertion
from bookline.stores.opening import open_stores
from bookline.values import Json

WAITING = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
ASKED, REST_SECONDS, PORTION = 200, 5.0, 5_000


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000


async def lay_in(folder: Path) -> list[str]:
    """Rows as starts leave them where there is no room; their ids."""
    stores = open_stores(folder, lambda: time.time_ns() // 1_000_000)
    now_ms = time.time_ns() // 1_000_000
    ids = [f"import-9780451524935-{now_ms}-{number:016d}" for number in range(WAITING)]
    for first in range(0, WAITING, PORTION):
        jobs = [
            Job(
                order=ImportInput(job_id=job_id, isbn="9780451524935", input_isbn="x"),
                method="workflow",
                created_ms=now_ms,
                updated_ms=now_ms,
            )
            for job_id in ids[first : first + PORTION]
        ]
        values = [insertion(job, first + place) for place, job in enumerate(jobs)]

        def work(session: Session, values: list[Json] = values) -> None:
            for one in values:
                session.execute(INSERT, one)

        await stores.journal.database.write(work)
    stores.journal.close()
    return ids


@asynccontextmanager
async def server(
    folder: Path, environment: dict[str, str]
) -> AsyncIterator[tuple[str, float, int]]:
    """Its address, the seconds until it was ready, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url, began = f"http://127.0.0.1:{port}", time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "serve", "--port", str(port),
        env={**os.environ, **environment, "BOOKLINE_DATA_DIR": str(folder)},
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as client:
            while True:
                try:
                    async with client.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
        yield url, time.perf_counter() - began, process.pid
    finally:
        process.terminate()
        await process.wait()


async def timed(client: aiohttp.ClientSession, method: str, url: str, **more: object) -> float:
    began = time.perf_counter()
    async with client.request(method, url, **more) as answer:  # type: ignore[arg-type]
        assert answer.status in {200, 202}, await answer.text()
        await answer.read()
    return (time.perf_counter() - began) * 1000


async def measure(url: str, ids: list[str]) -> dict[str, float]:
    """P95 in milliseconds of what a client asks."""
    taken: dict[str, list[float]] = {"start": [], "status": [], "cancel": []}
    async with aiohttp.ClientSession() as client:
        for number in range(ASKED):
            order = {"isbn": "9780142437247"}
            taken["start"].append(
                await timed(client, "POST", f"{url}/v2/import/workflow", json=order)
            )
            if ids:
                one = ids[-1 - number]
                taken["status"].append(await timed(client, "GET", f"{url}/v2/import/status/{one}"))
                taken["cancel"].append(await timed(client, "POST", f"{url}/v2/import/cancel/{one}"))
    return {name: percentile(values, 0.95) for name, values in taken.items() if values}


async def main() -> None:
    show_machine()
    async with sandbox_process() as (sandbox, environment), aiohttp.ClientSession() as client:
        hang = {"isbn": "*", "route": "*", "kind": "hang", "times": 10**6}
        async with client.post(f"{sandbox}/_sandbox/faults", json=hang) as answer:
            assert answer.ok, await answer.text()
        with tempfile.TemporaryDirectory() as name:
            async with server(Path(name), environment) as (url, ready, pid):
                empty_start = await measure(url, [])
                await asyncio.sleep(REST_SECONDS)
                at_work = resident_mb(pid)
        with tempfile.TemporaryDirectory() as name:
            ids = await lay_in(Path(name))
            async with server(Path(name), environment) as (url, ready, pid):
                await asyncio.sleep(REST_SECONDS)
                memory = resident_mb(pid)
                found = await measure(url, ids)
    show("nothing waits: P95 of a start", f"{empty_start['start']:.1f} ms")
    show("memory with all places taken and 136 that wait", f"{at_work:.0f} MB")
    show(f"{WAITING:,} wait: ready after", f"{ready:.2f} s", "goal < 5 s")
    show("memory more than that", f"{memory - at_work:.0f} MB", "goal ≤ 60 MB")
    for asked, ms in found.items():
        goal = "" if asked == "cancel" else "goal < 50 ms"
        show(f"P95 of a {asked}", f"{ms:.1f} ms", goal)


if __name__ == "__main__":
    asyncio.run(main())
