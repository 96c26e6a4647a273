"""Workflow against legacy: same sandbox, 300 imports each, interleaved in one run.

One process without HTTP in front; the sandbox in another. Twice: answers at once, where only our
own work is seen, and answers after 300 ms, about what the providers take. Durations are those of
the records that the rollout's gates look at.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from common import made_up_books, sandbox_process, show, show_machine
from imports import Ends, bookline

from bookline.app import App
from bookline.imports import Order
from bookline.job import METHODS
from bookline.values import Json

EACH, BLOCK, AT_ONCE, SLOW_MS, EMBEDDER_MS = 300, 50, 50, 300, 250
STEPS = ("fetch-metadata", "upload-cover", "generate-embedding", "save-to-database")


async def one(app: App, ends: Ends, isbn: str, method: str) -> None:
    job, _ = await app.imports.start(Order(isbn=isbn, source="google_books"), method)
    await ends.of(job.job_id)


async def taking_turns(app: App, ends: Ends, isbns: list[str], at_once: int) -> None:
    """Half of the books by each method, in turns."""
    gate = asyncio.Semaphore(at_once)

    async def gated(place: int, isbn: str) -> None:
        async with gate:
            await one(app, ends, isbn, METHODS[place % 2])

    await asyncio.gather(*(gated(place, isbn) for place, isbn in enumerate(isbns)))


async def rates(app: App, ends: Ends, isbns: list[str]) -> dict[str, dict[str, float]]:
    """Imports a second and CPU of each, in blocks of one method that take turns."""
    seconds = dict.fromkeys(METHODS, 0.0)
    cpu = dict.fromkeys(METHODS, 0.0)
    blocks = [isbns[at : at + BLOCK] for at in range(0, len(isbns), BLOCK)]
    for place, block in enumerate(blocks):
        method = METHODS[place % 2]
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(app, ends, isbn, method) for isbn in block))
        seconds[method] += time.perf_counter() - began
        cpu[method] += time.process_time() - used
    return {
        method: {
            "per_second": EACH / seconds[method],
            "cpu_ms": cpu[method] / EACH * 1000,
        }
        for method in METHODS
    }


async def measure(environment: dict[str, str], url: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    books = iter(range(978_900, 978_999))
    with tempfile.TemporaryDirectory() as name:
        async with bookline(environment, Path(name)) as (app, ends):
            await taking_turns(app, ends, await made_up_books(url, 20, "978001"), 1)  # warm
            for label, latency_ms, at_once in (("instant", 0, 1), ("usual", SLOW_MS, AT_ONCE // 5)):
                await set_latency(url, latency_ms)
                since = app_clock()
                isbns = await made_up_books(url, 2 * EACH, str(next(books)))
                await taking_turns(app, ends, isbns, at_once)
                found[label] = await app.rollouts.metrics(label, app_clock() - since)
            await set_latency(url, 0)
            found["rates"] = await rates(
                app, ends, await made_up_books(url, 2 * EACH, str(next(books)))
            )
    return found


def app_clock() -> int:
    return time.time_ns() // 1_000_000 + 1


async def set_latency(url: str, milliseconds: int) -> None:
    """All answers of the sandbox take so long from now on, but those of its embedder 250 ms."""
    async with aiohttp.ClientSession() as client:
        async with client.delete(f"{url}/_sandbox/faults") as answer:
            assert answer.status < 300, await answer.text()
        if milliseconds:
            delays = {
                "google_books": milliseconds,
                "covers": milliseconds,
                "embeddings": EMBEDDER_MS,
            }
            rules = [
                {"kind": "delay", "route": route, "ms": ms, "times": None}
                for route, ms in delays.items()
            ]
            async with client.post(f"{url}/_sandbox/faults", json=rules) as answer:
                assert answer.status < 300, await answer.text()


def show_pair(name: str, found: Json, field: str) -> None:
    workflow, legacy = (found["methods"][method][field] for method in METHODS)
    show(name, f"{workflow} | {legacy} ms", f"x {workflow / legacy:.2f}")


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--json", action="store_true")
    options.add_argument("--remote-embedder", action="store_true")
    arguments = options.parse_args()
    async with sandbox_process() as (url, environment):
        if arguments.remote_embedder:
            remote = {"EMBEDDER": "openai", "EMBEDDER_URL": f"{url}/v1", "EMBEDDER_MODEL": "m"}
            environment |= {f"BOOKLINE_{name}": text for name, text in remote.items()}
        found = await measure(environment, url)
    if arguments.json:
        print(json.dumps(found))
        return
    show_machine()
    for label, what in (
        ("instant", "answers at once, one import at a time"),
        ("usual", f"answers after {SLOW_MS} ms, {AT_ONCE // 5} imports in flight"),
    ):
        print(f"{what}: workflow | legacy, {EACH} each, in turns:")
        show_pair("duration P50", found[label], "p50Ms")
        show_pair("duration P95", found[label], "p95Ms")
        for step in STEPS:
            stages = [found[label]["methods"][one]["stages"][step]["p50Ms"] for one in METHODS]
            show(f"  {step} P50", f"{stages[0]} | {stages[1]} ms")
        rate = [found[label]["methods"][one]["successRate"] for one in METHODS]
        show("success rate", f"{rate[0]:.1%} | {rate[1]:.1%}")
    print(f"answers at once, {AT_ONCE} in flight, blocks in turns: workflow | legacy:")
    both = [found["rates"][method] for method in METHODS]
    show("imports a second", f"{both[0]['per_second']:.0f} | {both[1]['per_second']:.0f}/s")
    show("CPU of one import", f"{both[0]['cpu_ms']:.1f} | {both[1]['cpu_ms']:.1f} ms")


if __name__ == "__main__":
    uvloop.run(main())
