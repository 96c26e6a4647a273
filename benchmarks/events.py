"""From an event's commit to the client's socket: 200 watchers on 20 running imports.

A real server process, WebSockets from this one, on the same cores; ten imports begin a second. The
clock is the machine's: a message's own timestamp, taken just before its commit (whole
milliseconds, so ± 1 ms).
"""

import asyncio
import json
import tempfile
import time
from datetime import datetime

import aiohttp
import uvloop
import websockets
from common import made_up_books, percentile, sandbox_process, show, show_machine
from processes import server_process

IMPORTS, WATCHERS = 20, 200
APART_SECONDS = 0.1  # between two starts: ten a second


async def watch(url: str, job_id: str, ready: asyncio.Semaphore) -> list[float]:
    """Seconds from commit to here, of each event that came live."""
    address = f"ws{url.removeprefix('http')}/ws/progress?jobId={job_id}"
    late, seqs, opened = [], [], time.time()
    async with websockets.connect(address) as connection:
        ready.release()
        async for message in connection:
            now = time.time()
            event = json.loads(message)
            seqs.append(event["seq"])
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
            if at > opened + 0.5:  # the others are replay
                late.append(now - at)
    assert seqs == list(range(1, len(seqs) + 1)), seqs
    return late


async def main() -> None:
    show_machine()
    async with sandbox_process() as (sandbox_url, environment):
        isbns = await made_up_books(sandbox_url, IMPORTS)
        with tempfile.TemporaryDirectory() as folder:
            async with (
                server_process(environment, folder) as server,
                aiohttp.ClientSession() as client,
            ):
                # Each question to a provider takes 2 s, so that the watchers are there in time.
                slow = {"isbn": "*", "route": "*", "kind": "delay", "ms": 2_000, "times": None}
                await client.post(f"{sandbox_url}/_sandbox/faults", json=slow)
                late = await run(client, server.url, isbns)
    print(f"{WATCHERS} watchers on {IMPORTS} running imports, {len(late)} live events:")
    show("event to socket P50", f"{percentile(late, 0.5) * 1000:.1f} ms")
    show("event to socket P95", f"{percentile(late, 0.95) * 1000:.1f} ms", "goal ≤ 10 ms")
    show("event to socket P99", f"{percentile(late, 0.99) * 1000:.1f} ms")


async def run(client: aiohttp.ClientSession, url: str, isbns: list[str]) -> list[float]:
    jobs = []
    for isbn in isbns:
        order = {"isbn": isbn, "source": "google_books"}
        async with client.post(f"{url}/v2/import/workflow", json=order) as answer:
            jobs.append((await answer.json())["data"]["jobId"])
        await asyncio.sleep(APART_SECONDS)
    ready = asyncio.Semaphore(0)
    watchers = [watch(url, jobs[i % len(jobs)], ready) for i in range(WATCHERS)]
    return [one for some in await asyncio.gather(*watchers) for one in some]


if __name__ == "__main__":
    uvloop.run(main())
