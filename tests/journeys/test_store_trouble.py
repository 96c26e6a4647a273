"""A store that is away for some seconds fails no import, loses no event, and costs no try.

A disk that is really full (a small tmpfs), and files that another process holds locked.
"""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_crash import Server, check_story, get, stack, story

from bookline.methods import legacy_room

AWAY_SECONDS = 4.0
MINUTE_SECONDS = 59.5  # to fill the disk and to empty it takes the rest of a minute
LONG_SECONDS = 150.0
SLOW = {"route": "google_books", "kind": "delay", "ms": 400, "isbn": "*", "times": 99}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a disk of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@asynccontextmanager
async def full(disk: Path) -> AsyncIterator[None]:
    """Not a byte is left in this block."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1_000_000, 1_000):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        filling.unlink()


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Another process is in the middle of a write."""
    with contextlib.closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


async def start(client: aiohttp.ClientSession, server: Server, isbn: str, method: str) -> Any:
    order = {"isbn": isbn, "source": "google_books", "method": method}
    async with client.post(f"{server.url}/v2/import", json=order) as answer:
        return answer.status, await answer.json()


async def check_all(
    client: aiohttp.ClientSession, server: Server, answers: list[Any], isbns: list[str]
) -> None:
    """Each has its whole story and its book, at the first try."""
    for _, answer in answers:
        events = await story(client, server.url, answer["data"]["jobId"])
        check_story(events)
        assert [e["data"] for e in events if e["type"] != "workflow_progress"] == []
        assert events[-1]["data"]["storedIn"] == "database"
        assert events[-1]["data"]["result"]["warnings"] == []
    books = await get(client, f"{server.url}/v2/books?limit=100")
    assert sorted(book["isbn"] for book in books["items"]) == sorted(isbns)


@pytest.mark.parametrize("method", ["workflow", "legacy"])
async def test_a_disk_that_is_full_for_some_seconds_fails_nothing(
    tmp_path: Path, small_disk: Path, method: str
) -> None:
    if method == "legacy":
        pytest.importorskip("bookline.migration.legacy")
    async with stack(tmp_path, "-", "never", "1") as (sandbox, server, client):
        isbns = sandbox.make(21)
        sandbox.faults.add(SLOW)
        answers = [await start(client, server, isbn, method) for isbn in isbns[:20]]
        async with full(small_disk):
            await asyncio.sleep(AWAY_SECONDS)
            meanwhile = await start(client, server, isbns[20], method)
        if meanwhile[0] == 503:
            assert meanwhile[1]["error"]["code"] == "UNAVAILABLE"
        else:
            answers.append(meanwhile)

        assert [status for status, _ in answers] == [202] * len(answers)
        await check_all(client, server, answers, isbns[: len(answers)])
        # What is expected has no traceback.
        assert "Traceback" not in (tmp_path / "server.log").read_text()


@pytest.mark.slow
async def test_a_disk_that_is_full_for_a_minute_fails_loses_and_doubles_nothing(
    tmp_path: Path, small_disk: Path
) -> None:
    """Imports by both methods and a batch are running, and each is watched all the time."""
    methods = ("workflow", "legacy") if legacy_room() else ("workflow",)
    async with stack(tmp_path, "-", "never", "1") as (sandbox, server, client):
        isbns = sandbox.make(30)
        sandbox.faults.add(SLOW)
        answers = [
            await start(client, server, isbn, methods[number % len(methods)])
            for number, isbn in enumerate(isbns[:20])
        ]
        items = [{"isbn": isbn, "source": "google_books"} for isbn in isbns[20:]]
        async with client.post(f"{server.url}/v2/import/batch", json={"items": items}) as answer:
            assert answer.status == 202, await answer.text()
            batch_id = (await answer.json())["data"]["batchId"]
        async with asyncio.TaskGroup() as watchers:
            seen = [
                watchers.create_task(
                    story(client, server.url, answer["data"]["jobId"], seconds=LONG_SECONDS)
                )
                for _, answer in answers
            ]
            batch = watchers.create_task(batch_story(client, server, batch_id))
            async with full(small_disk):
                await asyncio.sleep(MINUTE_SECONDS)

        assert [status for status, _ in answers] == [202] * len(answers)
        await check_all(client, server, answers, isbns)
        for (_, answer), told in zip(answers, seen, strict=True):
            assert told.result() == await story(client, server.url, answer["data"]["jobId"])
        ends = [one["data"] for one in batch.result() if one["type"] == "batch_item"]
        assert sorted(end["index"] for end in ends) == list(range(len(items)))
        assert {end["state"] for end in ends} == {"completed"}
        assert max(sandbox.counts[isbn]["google_books"] for isbn in isbns) == 1
        assert "Traceback" not in (tmp_path / "server.log").read_text()


async def batch_story(client: aiohttp.ClientSession, server: Server, batch_id: str) -> list[Any]:
    """All that a watcher of the batch hears, to its end."""
    url = f"{server.url}/v2/import/batch/{batch_id}/events"
    async with asyncio.timeout(LONG_SECONDS), client.get(url) as answer:
        lines = [line async for line in answer.content if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


@pytest.mark.parametrize("name", ["engine.db", "journal.db", "library.db"])
async def test_a_file_that_is_locked_for_some_seconds_fails_nothing(
    tmp_path: Path, name: str
) -> None:
    async with stack(tmp_path, "-", "never", "1") as (sandbox, server, client):
        isbns = sandbox.make(10)
        sandbox.faults.add(SLOW)
        answers = [await start(client, server, isbn, "workflow") for isbn in isbns]
        async with locked(tmp_path / "data" / name):
            await asyncio.sleep(AWAY_SECONDS)

        await check_all(client, server, answers, isbns)
