"""One and two nodes, on SQLite and on PostgreSQL: imports a second and the CPU of each, in turns;
how soon the imports of a killed node go on; how late events of one node reach another's watchers.

Nodes, PostgreSQL, sandbox and clients share the machine's cores, so CPU a book says more than the
rate does.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import uvloop
from common import made_up_books, sandbox_process, show, show_machine
from processes import Server, postgres_cpu, server_process
from watchers import Story, fault, show_late, slow_down, start, watch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgres_server import PostgresServer

PLACES = (("SQLite", 1), ("PostgreSQL", 1), ("SQLite", 2), ("PostgreSQL", 2))
AT_ONCE = 50
RUNNING = 50
WATCHED, CONNECT_AT_ONCE = 100, 50
ACROSS = ((1, 0.0), (1_000, 0.1), (1_000, 0.05), (1_000, 0.0))  # watchers, seconds between starts
TAKEOVER_SECONDS = 60.0


class Bench:
    """What all parts use."""

    def __init__(
        self, client: aiohttp.ClientSession, sandbox: str, environment: dict[str, str],
        postgres: PostgresServer, folder: Path,
    ) -> None:  # fmt: skip
        self.client = client
        self.sandbox = sandbox
        self.postgres = postgres
        self._environment = environment
        self._folder = folder
        self._made = 0

    async def books(self, count: int) -> list[str]:
        """New ones each time."""
        self._made += 1
        return await made_up_books(self.sandbox, count, f"978{998 - self._made}")

    @asynccontextmanager
    async def nodes(self, product: str, count: int) -> AsyncIterator[list[Server]]:
        """On an empty database."""
        name = f"{product}-{count}-{time.monotonic_ns()}"
        environment = {
            **self._environment, "BOOKLINE_OBJECT_STORE_URL": f"file://{self._folder}/{name}-covers"
        }  # fmt: skip
        if product == "PostgreSQL":
            environment["BOOKLINE_DATABASE_URL"] = self.postgres.new_database()
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    server_process(environment, str(self._folder / name))
                )
                for _ in range(count)
            ]


async def rates(bench: Bench, rounds: int, imports: int) -> None:
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for _ in range(rounds):
        for place in PLACES:
            async with bench.nodes(*place) as nodes:
                await import_all(bench, nodes, await bench.books(20))  # the weights are loaded
                found.setdefault(place, []).append(await rate(bench, nodes, imports))
    print(f"{imports} imports, {AT_ONCE} in flight; medians of {rounds} rounds in turns")
    [alone] = [statistics.median(one[1] for one in found["SQLite", 1])]
    for (product, count), measured in found.items():
        a_second, cpu, server_cpu = map(statistics.median, zip(*measured, strict=True))
        name = f"{count} node{'s'[: count - 1]} on {product}"
        show(f"{name}: imports a second", f"{a_second:.0f}/s")
        show("  CPU of a book in the nodes", f"{cpu:.1f} ms", f"× {cpu / alone:.2f}")
        if product == "PostgreSQL":
            show("  and in PostgreSQL", f"{server_cpu:.1f} ms")


async def rate(bench: Bench, nodes: Sequence[Server], imports: int) -> tuple[float, float, float]:
    """Imports a second, and the CPU milliseconds of each in the nodes and in PostgreSQL."""
    isbns = await bench.books(imports)
    cpu, server_cpu = sum(node.cpu_seconds() for node in nodes), postgres_cpu(bench.postgres.folder)
    began = time.perf_counter()
    await import_all(bench, nodes, isbns)
    taken = time.perf_counter() - began
    used = sum(node.cpu_seconds() for node in nodes) - cpu
    server_used = postgres_cpu(bench.postgres.folder) - server_cpu
    return imports / taken, used / imports * 1000, server_used / imports * 1000


async def import_all(bench: Bench, nodes: Sequence[Server], isbns: Sequence[str]) -> None:
    """To their ends, in turn at each of the nodes."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(place: int, isbn: str) -> None:
        url = nodes[place % len(nodes)].url
        async with gate:
            [job_id] = await start(bench.client, url, [isbn])
            async with bench.client.get(f"{url}/v2/import/events/{job_id}") as answer:
                assert b'"status":"completed"' in await answer.read()

    await asyncio.gather(*(one(place, isbn) for place, isbn in enumerate(isbns)))


async def takeover(bench: Bench) -> None:
    """A node is killed with 50 imports at work: when each goes on at the other."""
    async with bench.nodes("PostgreSQL", 2) as (one, other):
        await slow_down(bench.client, bench.sandbox, 20_000)
        jobs = await start(bench.client, one.url, await bench.books(RUNNING))
        await asyncio.sleep(3.0)
        await fault(bench.client, bench.sandbox, kind="delay", ms=100)
        killed = time.time()
        os.kill(one.pid, signal.SIGKILL)
        resumed, ended = [], []
        for job_id in jobs:
            events = await story(bench, other, job_id)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), events
            told = [event["status"] for event in events if event["status"]]
            assert told.count("completed") == 1, told
            assert len(told) == len(set(told)), told
            again = [one for one in events if one["type"] == "workflow_resumed"]
            resumed += [seconds(event) - killed for event in again]
            ended.append(seconds(events[-1]) - killed)
    assert len(resumed) == RUNNING, resumed
    print(f"a node is killed with {RUNNING} imports at work; none lost, none doubled")
    show(
        "until the first / the last goes on", f"{min(resumed):.1f} / {max(resumed):.1f} s", "≤ 30 s"
    )
    show("until the last has ended", f"{max(ended):.1f} s")


async def story(bench: Bench, node: Server, job_id: str) -> list[dict[str, object]]:
    async with asyncio.timeout(TAKEOVER_SECONDS):
        async with bench.client.get(f"{node.url}/v2/import/events/{job_id}") as answer:
            lines = (await answer.text()).splitlines()
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return [event for event in told if event["type"] != "ping"]


def seconds(event: dict[str, object]) -> float:
    return datetime.fromisoformat(str(event["timestamp"])).timestamp()


async def across(bench: Bench, watchers: int, apart: float) -> None:
    """Watchers at one node, of imports that another one does; a single one shows what is least.

    ``apart``: seconds between the starts; at 0 they come as quickly as the machine takes them.
    """
    async with bench.nodes("PostgreSQL", 2) as (one, other):
        await import_all(bench, (one, other), await bench.books(4))  # the weights are loaded
        await slow_down(bench.client, bench.sandbox, 2_000 if watchers == 1 else 6_000)
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)
        watching: list[asyncio.Task[Story]] = []
        isbns = await bench.books(min(watchers, WATCHED))
        began = time.perf_counter()
        for place, isbn in enumerate(isbns):
            await asyncio.sleep(began + place * apart - time.perf_counter())
            [job_id] = await start(bench.client, one.url, [isbn])
            watching += [
                asyncio.create_task(watch(other.url, job_id, gate, []))
                for _ in range(watchers // len(isbns))
            ]
        taken = time.perf_counter() - began
        using = asyncio.create_task(cores_in_use(bench, (one, other)))
        stories = await asyncio.gather(*watching)
        using.cancel()
        await fault(bench.client, bench.sandbox, kind="delay", ms=1)
    busy = sorted(await using)
    show_late(f"from another node, {len(isbns)} imports", stories, ("goal ≤ 50 ms", ""))
    if len(isbns) > 1:
        show("imports begun a second", f"{len(isbns) / taken:.0f}/s")
    show("cores in use by nodes, PostgreSQL and watchers, P75", f"{busy[-len(busy) // 4]:.1f}")
    show("  in the busiest half second", f"{busy[-1]:.1f}", "of 2")


async def cores_in_use(bench: Bench, nodes: Sequence[Server]) -> list[float]:
    """CPU seconds a second, over each half second, until cancelled."""
    shares = []
    used, at = used_seconds(bench, nodes), time.perf_counter()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.5)
            now_used, now = used_seconds(bench, nodes), time.perf_counter()
            shares.append((now_used - used) / (now - at))
            used, at = now_used, now
    return shares


def used_seconds(bench: Bench, nodes: Sequence[Server]) -> float:
    in_nodes = sum(node.cpu_seconds() for node in nodes)
    return in_nodes + postgres_cpu(bench.postgres.folder) + time.process_time()


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("part", nargs="*", choices=["rates", "takeover", "across", []], default=[])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--imports", type=int, default=200)
    chosen = options.parse_args()
    parts = chosen.part or ["rates", "takeover", "across"]
    show_machine()
    gc.disable()
    with tempfile.TemporaryDirectory() as name:
        postgres = PostgresServer(Path(name) / "postgres", keeps_commits=True)
        try:
            async with sandbox_process() as (sandbox, environment):
                connector = aiohttp.TCPConnector(limit=0)
                timeout = aiohttp.ClientTimeout(total=None)
                async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
                    bench = Bench(client, sandbox, environment, postgres, Path(name))
                    if "rates" in parts:
                        await rates(bench, chosen.rounds, chosen.imports)
                    if "takeover" in parts:
                        await takeover(bench)
                    if "across" in parts:
                        for watchers, apart in ACROSS:
                            await across(bench, watchers, apart)
        finally:
            postgres.stop()


if __name__ == "__main__":
    uvloop.run(main())
