"""A provider that is away: a few imports have their tries, many wait for it, and none is lost."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stack import PATIENCE_SECONDS, Server, server

from bookline_sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        running.faults.add(kind="503", route="openlibrary", times=None)
        yield running


async def begun(node: Server, sandbox: Sandbox, count: int) -> list[str]:
    isbns = sandbox.make(count)
    jobs = await asyncio.gather(*(node.begin(isbn, source="openlibrary") for isbn in isbns))
    return [job["jobId"] for job in jobs]


async def providers(node: Server) -> dict[str, Any]:
    _, answer, _ = await node.get("/readyz")
    state: dict[str, Any] = answer["data"]["dependencies"]["providers"]
    return state


async def told(node: Server, *command: str) -> str:
    """What a command says beside its result."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "--server", node.url, *command,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    return said.decode()


async def test_a_few_imports_have_their_tries_each_for_itself(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with server(sandbox.settings(), tmp_path / "data") as node:
        jobs = [await node.until(one) for one in await begun(node, sandbox, 12)]

        assert Counter((job["status"], job["error"]["attempts"]) for job in jobs) == {
            ("failed", 4): 12
        }
        assert (await providers(node))["ok"] is True


async def test_many_imports_wait_for_it_over_a_kill_and_all_arrive(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    # Real waits between tries: nobody has had them all before fifty imports have asked.
    env = {**sandbox.settings(), "BOOKLINE_RETRY_SCALE": "1"}
    sandbox.faults.add(kind="delay", route="openlibrary", ms=1000, times=None)
    async with server(env, tmp_path / "data") as node:
        jobs = await begun(node, sandbox, 60)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (state := await providers(node))["ok"]:
                await asyncio.sleep(0.1)
        metrics = (await (await node.http.get(f"{node.url}/metrics")).text()).splitlines()
        await node.kill()
        await node.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await providers(node))["ok"]:
                await asyncio.sleep(0.1)
        waiting = Counter([(await node.job(one))["status"] for one in jobs])
        said = await told(node, "status", jobs[1])
        await node.post(f"/v2/import/cancel/{jobs[0]}")
        await node.until(jobs[0], "cancelled")

        sandbox.faults.clear()
        ended = [await node.until(one) for one in jobs]

        assert state["detail"].startswith("Open Library is not answering; imports wait")
        assert (
            'bookline_provider_circuit_state{provider="openlibrary",state="closed"} 0.0' in metrics
        )
        assert "Open Library is not answering; imports wait" in said
        assert waiting == {"running": 60}
        assert Counter(job["status"] for job in ended) == {"completed": 59, "cancelled": 1}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await providers(node))["ok"]:
                await asyncio.sleep(0.1)


async def test_rows_without_an_isbn_wait_for_it_and_hold_up_no_others(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = {**sandbox.settings(), "BOOKLINE_RETRY_SCALE": "1"}
    async with server(env, tmp_path / "data") as node:
        jobs = await begun(node, sandbox, 60)
        async with asyncio.timeout(60):
            while (await providers(node))["ok"]:
                await asyncio.sleep(0.1)
        waiting = await looked_up(node, "openlibrary")
        await asyncio.sleep(2)  # each process looks once a second
        other = await looked_up(node, "google_books")

        async with asyncio.timeout(60):
            while (await node.get(f"/v2/import/batch/{other}"))[1]["data"]["status"] == "running":
                await asyncio.sleep(0.1)
        _, answer, _ = await node.get(f"/v2/import/batch/{waiting}")
        assert answer["data"]["counts"]["queued"] == 5

        sandbox.faults.clear()
        async with asyncio.timeout(120):
            while answer["data"]["status"] == "running":
                await asyncio.sleep(0.2)
                _, answer, _ = await node.get(f"/v2/import/batch/{waiting}")
        assert answer["data"]["counts"]["failed"] == 0
        assert [(await node.until(one))["status"] for one in jobs] == ["completed"] * 60


async def looked_up(node: Server, source: str) -> str:
    """The id of a batch of five rows that are looked up there."""
    row = '"Lord of the Flies","Golding, William",'
    file = "\n".join(["Title,Author,ISBN", *[row] * 5, ""]).encode()
    url = f"{node.url}/v2/import/file?source={source}"
    async with node.http.post(url, data=file, headers={"Content-Type": "text/csv"}) as answer:
        batch_id: str = (await answer.json())["data"]["batchId"]
    return batch_id


@pytest.mark.slow
async def test_auto_goes_past_it_on_every_node(sandbox: Sandbox, tmp_path: Path) -> None:
    env = sandbox.settings()
    async with server(env, tmp_path / "data") as node, server(env, tmp_path / "data") as other:
        await begun(node, sandbox, 60)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await providers(node))["ok"] or (await providers(other))["ok"]:
                await asyncio.sleep(0.1)
        sandbox.faults.add(kind="not_found", route="google_books", times=None)

        (isbn,) = sandbox.make(1)
        job = await other.finished(isbn, source="auto")

        assert (job["status"], job["result"]["source"]) == ("completed", "isbndb")
