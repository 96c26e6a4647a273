"""Three nodes on one PostgreSQL, of which now one, now another is killed, frozen or sent away, and
PostgreSQL itself is restarted and crashed, while imports and a batch go on. Each node's clock is
wrong by up to ten minutes, another time at each start.

At the end nothing may be lost or doubled: every book is there once, each job's story is 1, 2, 3 …
with one end and no try told twice, the batch has ended with all of it, the metrics count each
import once, no provider was asked more often than tries were marked, and watchers who came to any
node saw every event once and in order.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from common import made_up_books, sandbox_process, show
from processes import free_port
from witness import ANSWER_WITHIN, GONE, Witness, data, pages

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgres_server import PostgresServer

DISTURB_EVERY_SECONDS = (1.0, 5.0)
AWAY_SECONDS = (0.0, 14.0)  # shorter and longer than a node's silence that makes it dead
FROZEN_SECONDS = (0.5, 20.0)
WATCHERS_EACH = 2
WATCHED_OF_BATCH = 100
END_WITHIN_SECONDS = 240.0
WRONG_SECONDS = 600.0
CLOCKED = """
import sys, time
by, sys.argv = float(sys.argv[1]), ["bookline", *sys.argv[2:]]
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + by
time.time_ns = lambda: now_ns() + int(by * 10**9)
from bookline.cli.main import run
run()
"""


class Node:
    """One process, which may be down or frozen."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_disturbed = False
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: dict[str, str]) -> None:
        """Until it is ready: one that ends, since PostgreSQL is away, is started again."""
        self._folder.mkdir(exist_ok=True)
        async with aiohttp.ClientSession(timeout=ANSWER_WITHIN) as client:
            while True:
                if self._process is None or self._process.returncode is not None:
                    self._process = await self._started(environment)
                await asyncio.sleep(0.2)
                with contextlib.suppress(*GONE):
                    async with client.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return

    async def _started(self, environment: dict[str, str]) -> asyncio.subprocess.Process:
        by = str(self._chance.uniform(-WRONG_SECONDS, WRONG_SECONDS))
        with (self._folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLOCKED, by, "serve", "--port", str(self.port), stderr=log,
                env={**os.environ, **environment, "BOOKLINE_DATA_DIR": str(self._folder)},
            )  # fmt: skip

    def send(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    async def end(self, how: signal.Signals) -> None:
        self.send(how)
        assert self._process is not None
        await self._process.wait()


class Chaos:
    """One run."""

    def __init__(
        self, postgres: PostgresServer, nodes: list[Node], environment: dict[str, str],
        seconds: float, seed: int,
    ) -> None:  # fmt: skip
        self.chance = random.Random(seed)
        self.witness = Witness([node.url for node in nodes], self.chance)
        self.done: Counter[str] = Counter()
        self.batch: list[str] = []
        """The batch's ISBNs."""
        self._postgres = postgres
        self._nodes = nodes
        self._environment = environment
        self._began = time.monotonic()
        self._seconds = seconds
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def left(self) -> float:
        return self._began + self._seconds - time.monotonic()

    async def start_nodes(self) -> None:
        await asyncio.gather(*(node.start(self._environment) for node in self._nodes))
        self._began = time.monotonic()

    async def order(self, client: aiohttp.ClientSession, isbns: list[str]) -> None:
        """Single imports all the time, spread over what is left of it."""
        pause = self.left * 0.9 / len(isbns)
        for isbn in isbns:
            body = {"isbn": isbn, "source": "google_books"}
            job = await self.witness.start(client, "/v2/import/workflow", body, f"chaos-{isbn}")
            self.witness.jobs[job["jobId"]] = isbn
            self.witness.watched(client, job["jobId"], WATCHERS_EACH)
            await asyncio.sleep(pause)

    async def order_batch(self, client: aiohttp.ClientSession, isbns: list[str]) -> str:
        body = {"items": isbns, "source": "google_books"}
        batch = await self.witness.start(client, "/v2/import/batch", body, "chaos-batch")
        self.batch = isbns
        return str(batch["batchId"])

    async def disturb_now_and_then(self) -> None:
        """All of it at least once, in any order, and then as it comes; several at a time."""
        every: list[Callable[[], Awaitable[None]]] = [
            self.kill, self.freeze, self.send_away, self.restart_postgres, self.crash_postgres,
        ]  # fmt: skip
        first = self.chance.sample(every, len(every))
        while self.left > 0:
            await asyncio.sleep(
                min(self.chance.uniform(*DISTURB_EVERY_SECONDS), self._seconds / 10)
            )
            disturb = first.pop() if first else self.chance.choice([*every, self.kill, self.freeze])
            self.done[disturb.__name__] += 1
            task = asyncio.ensure_future(disturb())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await asyncio.gather(*self._under_way)

    async def kill(self) -> None:
        await self._end_one(signal.SIGKILL)

    async def send_away(self) -> None:
        await self._end_one(signal.SIGTERM)

    async def _end_one(self, how: signal.Signals) -> None:
        if (node := self._whole_node()) is not None:
            await node.end(how)
            await asyncio.sleep(self.chance.uniform(*AWAY_SECONDS))
            await node.start(self._environment)
            node.is_disturbed = False

    async def freeze(self) -> None:
        if (node := self._whole_node()) is not None:
            node.send(signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(*FROZEN_SECONDS))
            node.send(signal.SIGCONT)
            node.is_disturbed = False

    def _whole_node(self) -> Node | None:
        """One to be disturbed; one is always left alone."""
        whole = [node for node in self._nodes if not node.is_disturbed]
        if len(whole) < 2:
            return None
        node = self.chance.choice(whole)
        node.is_disturbed = True
        return node

    async def restart_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.restart, "fast")

    async def crash_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.restart, "immediate")

    async def follow_batch(self, client: aiohttp.ClientSession, batch_id: str) -> None:
        """Until it is over; some of its jobs are watched."""
        watched: set[str] = set()
        while True:
            await asyncio.sleep(0.5)
            try:
                where = f"{self.witness.url}/v2/import/batch/{batch_id}"
                async with asyncio.timeout(5.0):
                    batch = await data(client, where)
                    running = await data(client, f"{where}/items?state=running&limit=50")
            except (*GONE, AssertionError):
                continue
            for item in running["items"]:
                if item["jobId"] not in watched and len(watched) < WATCHED_OF_BATCH:
                    watched.add(item["jobId"])
                    self.witness.watched(client, item["jobId"], 1)
            if batch["status"] != "running":
                return

    async def check(self, client: aiohttp.ClientSession, batch_id: str, sandbox: str) -> None:
        witness = self.witness
        items = await pages(client, f"{witness.url}/v2/import/batch/{batch_id}/items?limit=200")
        counted = Counter(item["state"] for item in items)
        if counted != {"completed": len(self.batch)}:
            witness.faults.append(f"the batch's items are {dict(counted)}")
        jobs = {**witness.jobs, **{item["jobId"]: item["isbn"] for item in items}}
        every = await pages(client, f"{witness.url}/v2/import/jobs?limit=200")
        if {job["jobId"] for job in every} != set(jobs):
            witness.faults.append(f"{len(every)} jobs are there, {len(jobs)} were asked for")
        stories = await witness.check_stories(client, jobs)
        await witness.check_books(client, jobs.values())
        await witness.check_counts(client, {"workflow": len(jobs)})
        async with client.get(f"{sandbox}/_sandbox/counts") as answer:
            asked = await answer.json()
        for job_id, isbn in jobs.items():
            self.check_asked(isbn, stories[job_id], asked[isbn]["google_books"])

    def check_asked(self, isbn: str, told: list[dict[str, Any]], asked: int) -> None:
        """A try asks once. One more may have been taken back by each process that was sent away."""
        tries = Counter(
            event["data"].get("step") for event in told if event["type"] == "workflow_retry"
        )["fetch-metadata"]
        resumed = sum(event["type"] == "workflow_resumed" for event in told)
        if asked > 1 + tries + resumed:
            self.witness.faults.append(
                f"{isbn} was asked for {asked} times in {1 + tries} tries and {resumed} restarts"
            )

    async def end_nodes(self) -> None:
        await asyncio.gather(*(node.end(signal.SIGTERM) for node in self._nodes))


async def run(chaos: Chaos, sandbox: str, imports: int, batch: int) -> None:
    faults = [
        {"isbn": "*", "route": "*", "kind": "delay", "ms": 150, "times": None},
        *({"isbn": "*", "route": "google_books", "kind": "503", "times": 1, "after": 9 + 40 * n}
          for n in range(20)),
    ]  # fmt: skip
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        async with client.post(f"{sandbox}/_sandbox/faults", json=faults) as answer:
            assert answer.status < 300, await answer.text()
        await chaos.start_nodes()
        batch_id = await chaos.order_batch(client, await made_up_books(sandbox, batch, "978998"))
        try:
            async with asyncio.TaskGroup() as tasks:
                singles = await made_up_books(sandbox, imports)
                tasks.create_task(chaos.order(client, singles))
                tasks.create_task(chaos.disturb_now_and_then())
            async with asyncio.timeout(END_WITHIN_SECONDS):
                await chaos.follow_batch(client, batch_id)
            if await chaos.witness.saw_all_ends(END_WITHIN_SECONDS):
                await chaos.check(client, batch_id, sandbox)
        except TimeoutError:
            chaos.witness.faults.append("the batch did not end")
        finally:
            await chaos.end_nodes()


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=900.0, help="of chaos")
    options.add_argument("--imports", type=int, default=300)
    options.add_argument("--batch", type=int, default=1_000)
    options.add_argument("--nodes", type=int, default=3)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep", type=Path, help="leave the nodes' logs in this folder")
    chosen = options.parse_args()
    print(f"chaos of {chosen.seconds:g} s, --seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = chosen.keep or Path(name)
        postgres = PostgresServer(Path(name) / "postgres", keeps_commits=True)
        try:
            async with sandbox_process() as (sandbox, environment):
                environment |= {
                    "BOOKLINE_DATABASE_URL": postgres.new_database(),
                    "BOOKLINE_OBJECT_STORE_URL": f"file://{name}/covers",
                    "BOOKLINE_RETRY_SCALE": "0.3",
                }
                clocks = random.Random(chosen.seed)
                nodes = [Node(folder / f"node-{number}", clocks) for number in range(chosen.nodes)]
                chaos = Chaos(postgres, nodes, environment, chosen.seconds, chosen.seed)
                began = time.monotonic()
                await run(chaos, sandbox, chosen.imports, chosen.batch)
                show("seconds until all was checked", f"{time.monotonic() - began:.0f}")
        finally:
            postgres.stop()
    show("imports, and of a batch, all of them books", f"{chosen.imports} + {chosen.batch}")
    for what, times in sorted(chaos.done.items()):
        show(f"times: {what.replace('_', ' ')}", str(times))
    return chaos.witness.sum_up()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))
