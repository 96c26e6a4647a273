"""What is past its retention goes as a whole; what is fresh stays, wherever the clock is set."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from stack import PATIENCE_SECONDS, server
from test_crash import begin, stack

from bookline_sandbox import Sandbox

ISBN = "9780451524935"
SHORT_DAYS = "0.00002"  # 1.7 s
BOOKS = {
    "engine.db": "workflow_status",
    "legacy.db": "legacy_jobs",
    "journal.db": "jobs",
}
"""Database → its table of jobs."""


def kept(folder: Path) -> dict[str, int]:
    """How many jobs each book knows."""
    counts = {}
    for name, table in BOOKS.items():
        if (folder / name).exists():  # there may be no legacy importer
            with sqlite3.connect(folder / name) as file:
                [(counts[name],)] = file.execute(f"SELECT count(*) FROM {table}")
            file.close()
    return counts


async def until_gone(folder: Path) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(kept(folder).values()):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("edge", ["removing", "removed"])
async def test_a_kill_while_jobs_are_removed_leaves_no_orphans(tmp_path: Path, edge: str) -> None:
    place = ("save-to-database", edge, "1")
    async with stack(tmp_path, *place, RETENTION_DAYS=SHORT_DAYS) as (_, served, client):
        job_id = await begin(client, served.url)
        assert job_id is not None

        assert await served.death() == -9
        before = kept(tmp_path / "data")
        await served.start()
        await until_gone(tmp_path / "data")

    assert before["journal.db"] == 1


AHEAD = """
import time
real = time.time_ns
time.time_ns = lambda: real() + 40 * 86_400 * 10**9
"""


async def test_a_clock_that_is_weeks_ahead_at_start_removes_nothing(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox:
        settings = sandbox.settings()
        async with server(settings, tmp_path / "data") as api:
            started = await api.begin(ISBN, source="google_books")
            await api.until(started["jobId"])
        async with server(settings, tmp_path / "data", before=AHEAD) as api:
            await asyncio.sleep(1)  # the first pass begins with the start

            status, _, _ = await api.get(f"/v2/import/status/{started['jobId']}")

    assert status == 200


async def test_nor_a_book_that_waits_in_the_fallback_store(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox:
        settings = sandbox.settings() | {"BOOKLINE_LIBRARY": "off"}
        async with server(settings, tmp_path / "data") as api:
            assert (await api.finished(ISBN))["result"]["storedIn"] == "kv"
        async with server(settings, tmp_path / "data", before=AHEAD) as api:
            found, _, _ = await api.get(f"/v2/books/{ISBN}")
            await api.finished(sandbox.make(1)[0])  # entries whose time is over go with a write

            then, _, _ = await api.get(f"/v2/books/{ISBN}")

    assert (found, then) == (200, 200)


async def test_nor_does_it_free_an_idempotency_key(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox:
        settings, key = sandbox.settings(), {"Idempotency-Key": "once"}
        async with server(settings, tmp_path / "data") as api:
            job = await api.post("/v2/import/workflow", {"isbn": ISBN}, headers=key)
            batch = await api.post(
                "/v2/import/batch", {"items": [ISBN]}, headers={"Idempotency-Key": "a batch"}
            )
        async with server(settings, tmp_path / "data", before=AHEAD) as api:
            same_job = await api.post("/v2/import/workflow", {"isbn": ISBN}, headers=key)
            same_batch = await api.post(
                "/v2/import/batch", {"items": [ISBN]}, headers={"Idempotency-Key": "a batch"}
            )

    assert same_job[1]["data"]["jobId"] == job[1]["data"]["jobId"]
    assert same_batch[1]["data"]["batchId"] == batch[1]["data"]["batchId"]


KILL = """
import signal, sys
from pathlib import Path
sys.path.append({here!r})
from crashing_server import Killer, arm
arm("save-to-database", "removing", Killer(Path({marker!r}), 1, signal.SIGKILL))
"""


async def test_a_node_that_dies_while_it_removes_leaves_the_rest_to_another(
    postgres_url: str, tmp_path: Path
) -> None:
    """Its turn at removing ends with it, some seconds after its last beat."""
    marker = tmp_path / "died"
    kill = KILL.format(here=str(Path(__file__).parent), marker=str(marker))
    async with Sandbox(port=0) as sandbox:
        env = sandbox.settings() | {
            "BOOKLINE_DATABASE_URL": postgres_url,
            "BOOKLINE_OBJECT_STORE_URL": f"file://{tmp_path}/covers",
            "BOOKLINE_RETENTION_DAYS": SHORT_DAYS,
        }
        async with (
            server(env, tmp_path / "one", before=kill) as one,
            asyncio.timeout(PATIENCE_SECONDS),
        ):
            path = f"/v2/import/status/{(await one.begin(ISBN, source='google_books'))['jobId']}"
            while not marker.exists():
                await asyncio.sleep(0.05)
        async with server(env, tmp_path / "other") as other, asyncio.timeout(PATIENCE_SECONDS):
            there = (await other.get(path))[0]
            while (await other.get(path))[0] != 404:
                await asyncio.sleep(0.1)

    assert there == 200
