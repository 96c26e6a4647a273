"""What the benchmarks share: a sandbox process, settings without limits, figures, the machine."""

import asyncio
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

NO_LIMITS = {
    "BOOKLINE_RATE_LIMIT_START": "off",
    "BOOKLINE_RATE_LIMIT_READ": "off",
    "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
    "BOOKLINE_LOG_LEVEL": "warning",
}


@asynccontextmanager
async def sandbox_process() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """The sandbox in a process of its own: its address and Bookline's settings for it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline_sandbox", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await process.stdout.readline())
        yield ready["url"], {**ready["settings"], **NO_LIMITS}
    finally:
        process.terminate()
        await process.wait()


async def made_up_books(url: str, count: int, prefix: str = "978999") -> list[str]:
    """ISBNs of books that the sandbox now knows."""
    async with aiohttp.ClientSession() as client:
        order = {"count": count, "prefix": prefix}
        async with client.post(f"{url}/_sandbox/make", json=order) as answer:
            isbns: list[str] = (await answer.json())["isbns"]
            return isbns


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def show(name: str, value: str, goal: str = "") -> None:
    print(f"  {name:<58} {value:>14}   {goal}")


def show_machine() -> None:
    """What this machine can do at all, so that the figures can be read."""
    print(f"machine: {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"SQLite {sqlite3.sqlite_version}")  # fmt: skip
    show("pure Python, 10 million additions", f"{_loop_seconds():.2f} s")
    show("SQLite commits of one row (WAL, synchronous=NORMAL)", f"{_commits_a_second():,.0f}/s")


def _loop_seconds() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - began


def _commits_a_second() -> float:
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "x.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE t (x)")
        began = time.perf_counter()
        for number in range(2_000):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        taken = time.perf_counter() - began
        db.close()
        return 2_000 / taken


def median_ms(values: Sequence[float]) -> float:
    return statistics.median(values) * 1000
