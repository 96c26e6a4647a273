"""A batch of 1,000 books, and previews of large files: the answer, the rate, the memory.

Usage:   python benchmarks/batches.py [BOOKS [PROCESSES]]

A server with its defaults but no limits, in one process or in several; the sandbox answers at
once, from a process of its own. It draws its covers before: its time is not ours. A single import
is started every quarter of a second while the batch runs.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from common import made_up_books, percentile, sandbox_process, show, show_machine

BOOKS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
PROCESSES = int(sys.argv[2]) if len(sys.argv) > 2 else 1
COVERS = 150  # our choice: more books than the sandbox has drawings
PORT = 18_797
BATCH = "/v2/import/batch"
URL = f"http://127.0.0.1:{PORT}"


class Server:
    """What the kernel says of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def memory_mb(self) -> float:
        lines = [
            line
            for place in self._places()
            for line in (place / "status").read_text().splitlines()
            if "VmRSS" in line
        ]
        return sum(int(line.split()[1]) for line in lines) / 1024

    def cpu_seconds(self) -> float:
        stats = [(place / "stat").read_text().rpartition(")")[2] for place in self._places()]
        ticks = sum(int(stat.split()[11]) + int(stat.split()[12]) for stat in stats)
        return ticks / os.sysconf("SC_CLK_TCK")

    def _places(self) -> list[Path]:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [Path(f"/proc/{pid}") for pid in (self._pid, *children)]


@contextlib.asynccontextmanager
async def server(
    settings: dict[str, str], folder: Path
) -> AsyncIterator[tuple[aiohttp.ClientSession, Server]]:
    env = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    env |= {**settings, "BOOKLINE_DATA_DIR": str(folder), "BOOKLINE_PORT": str(PORT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "serve", "--processes", str(PROCESSES), env=env
    )
    try:
        async with aiohttp.ClientSession() as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"{URL}/readyz") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.1)
            yield client, Server(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def asked(client: aiohttp.ClientSession, method: str, path: str, **more: Any) -> Any:
    async with client.request(method, URL + path, **more) as answer:
        return (await answer.json())["data"]


async def single(client: aiohttp.ClientSession, isbn: str) -> float:
    """Seconds from the start of one import to its end, beside the batch."""
    began = time.perf_counter()
    started = await asked(client, "POST", "/v2/import/workflow", json={"isbn": isbn})
    async with client.get(f"{URL}/v2/import/events/{started['jobId']}") as answer:
        await answer.read()
    return time.perf_counter() - began


async def done(client: aiohttp.ClientSession, batch: dict[str, Any]) -> None:
    while batch["status"] == "running":
        await asyncio.sleep(0.1)
        batch = await asked(client, "GET", f"{BATCH}/{batch['batchId']}")


async def run_batch(
    client: aiohttp.ClientSession, process: Server, isbns: list[str], singles: list[str]
) -> None:
    rest = process.memory_mb()
    cpu = process.cpu_seconds()
    began = time.perf_counter()
    batch = await asked(client, "POST", BATCH, json={"items": isbns})
    answered = time.perf_counter() - began
    beside, most, where = [], rest, f"{BATCH}/{batch['batchId']}"
    while (batch := await asked(client, "GET", where))["status"] == "running":
        most = max(most, process.memory_mb())
        if singles:
            beside.append(asyncio.create_task(single(client, singles.pop())))
        await asyncio.sleep(0.25)
    seconds = time.perf_counter() - began
    waits = [await one for one in beside]
    used = process.cpu_seconds() - cpu
    done = batch["counts"]["completed"] + batch["counts"]["completedWithWarnings"]
    assert done == len(isbns), batch["counts"]
    show(f"batch of {len(isbns):,}: answer", f"{answered:.2f} s", "< 1 s for 1,000")
    show("all done", f"{seconds:.1f} s")
    show("rate", f"{len(isbns) / seconds:.0f}/s")
    show("CPU an import (server)", f"{used / len(isbns) * 1000:.1f} ms")
    show("memory above rest", f"{most - rest:.0f} MB", "< 60 MB")
    if waits:
        show("single imports beside it, P50", f"{percentile(waits, 0.5) * 1000:.0f} ms")
        show("single imports beside it, P95", f"{percentile(waits, 0.95) * 1000:.0f} ms")


def rows(count: int, isbns: list[str]) -> bytes:
    """A Goodreads export of so many rows, 40 % of them without an ISBN."""
    head = "Book Id,Title,Author,ISBN,ISBN13,My Rating,Exclusive Shelf,My Review\n"
    lines = []
    for n in range(count):
        isbn = isbns[n % len(isbns)] if n % 5 > 1 else ""
        cells = f'"=""""","=""{isbn}""",{n % 6},read,"Some words\nof a review, {n}"'
        lines.append(f"{n},Title {n},Author {n % 90},{cells}\n")
    return (head + "".join(lines)).encode()


async def preview(
    client: aiohttp.ClientSession, process: Server, count: int, isbns: list[str], goal: str
) -> None:
    data = rows(count, isbns)
    rest = process.memory_mb()
    began = time.perf_counter()
    seen = await asked(client, "POST", "/v2/import/file?preview=true", data=data)
    assert seen["rows"] == count, seen
    grown = process.memory_mb() - rest
    show(f"preview of {count:,} rows", f"{time.perf_counter() - began:.2f} s", goal)
    show("  memory above rest", f"{grown:.0f} MB", "< 100 MB")


async def keep(
    client: aiohttp.ClientSession, process: Server, count: int, isbns: list[str]
) -> None:
    data = rows(count, isbns)
    rest = process.memory_mb()
    began = time.perf_counter()
    batch = await asked(client, "POST", "/v2/import/file", data=data)
    taken = time.perf_counter() - began
    grown = process.memory_mb() - rest
    show(f"{count:,} rows kept: answer", f"{taken:.2f} s")
    show("  memory above rest", f"{grown:.0f} MB", "< 100 MB")
    began = time.perf_counter()
    cancelled = await asked(client, "POST", f"/v2/import/batch/{batch['batchId']}/cancel")
    show("  cancelled", f"{time.perf_counter() - began:.2f} s")
    assert cancelled["counts"]["total"] == count


async def main() -> None:
    show_machine()
    async with sandbox_process() as (url, settings):
        isbns = await made_up_books(url, BOOKS)
        first = await made_up_books(url, COVERS, "978997")
        singles = await made_up_books(url, 200, "978998")
        with tempfile.TemporaryDirectory() as folder:
            async with server(settings, Path(folder)) as (client, process):
                await single(client, singles.pop())
                await done(client, await asked(client, "POST", BATCH, json={"items": first}))
                await run_batch(client, process, isbns, singles)
                await preview(client, process, 5_000, isbns, "< 1 s")
                await preview(client, process, 50_000, isbns, "< 3 s")
                await keep(client, process, 50_000, isbns)


asyncio.run(main())
