"""The sandbox and the bench together, and what a test asks of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from benching import WORKER, Bench

SOURCES = WORKER.parent / "src"
OVER = {"completed", "failed", "cancelled"}


@dataclass
class Upstream:
    """The sandbox as a process of its own."""

    url: str
    settings: dict[str, str]
    http: aiohttp.ClientSession

    async def make(self, count: int, known_by: Sequence[str] = ("openlibrary",)) -> list[str]:
        """ISBNs of so many new books."""
        asked = {"count": count, "known_by": list(known_by)}
        async with self.http.post(f"{self.url}/_sandbox/make", json=asked) as answer:
            return (await answer.json())["isbns"]

    async def fault(self, *rules: Mapping[str, object]) -> None:
        async with self.http.post(f"{self.url}/_sandbox/faults", json=list(rules)) as answer:
            assert answer.status == 201, await answer.text()

    async def requests(self, isbn: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/_sandbox/requests?isbn={isbn}") as answer:
            return await answer.json()


@asynccontextmanager
async def sandbox() -> AsyncIterator[Upstream]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline_sandbox", stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(SOURCES), "PATH": ""},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        settings = {name.removeprefix("BOOKLINE_"): v for name, v in said["settings"].items()}
        async with aiohttp.ClientSession() as http:
            yield Upstream(said["url"], settings, http)
    finally:
        process.terminate()
        await process.wait()


class World:
    """A bench with the sandbox behind it."""

    def __init__(self, bench: Bench, http: aiohttp.ClientSession) -> None:
        self.bench = bench
        self.http = http

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(method, path, **more) as answer:
            return answer.status, await answer.json()

    async def start(self, isbn: str, **body: object) -> str:
        status, answer = await self.ask("POST", "/v2/import/workflow", json={"isbn": isbn, **body})
        assert status == 202, answer
        return answer["data"]["jobId"]

    async def job(self, job_id: str) -> dict[str, Any]:
        _, answer = await self.ask("GET", f"/v2/import/status/{job_id}")
        return answer["data"]

    async def end(self, job_id: str, seconds: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while True:
                job = await self.job(job_id)
                if job["status"] in OVER:
                    return job
                await asyncio.sleep(0.05)

    async def story(self, job_id: str, after: int = 0) -> list[dict[str, Any]]:
        """Every event, over Server-Sent Events, until the stream ends."""
        path = f"/v2/import/events/{job_id}?after={after}"
        async with self.http.get(path) as answer:
            if answer.status == 204:
                return []
            text = await answer.text()
        lines = [one.removeprefix("data: ") for one in text.splitlines() if one.startswith("data:")]
        events = [json.loads(line) for line in lines]
        return [event for event in events if event["type"] != "ping"]


@asynccontextmanager
async def world(
    upstream: Upstream, *, vars: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[World]:
    """``vars`` beside those that name the sandbox; ``options`` are the bench's."""
    every = {**upstream.settings, "INSECURE": "on", "RETRY_SCALE": "0.05", **(vars or {})}
    async with Bench(vars=every, **options) as bench:
        connector = aiohttp.TCPConnector(limit=0)  # any number of watchers
        async with aiohttp.ClientSession(bench.url, connector=connector) as http:
            yield World(bench, http)
