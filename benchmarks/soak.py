"""A soak: imports come all the time, watchers are torn off, the server is killed again and again.

Workflow and legacy take turns. At the end nothing may be lost or doubled: each job that was
answered with 202 has ended, its story is 1, 2, 3 … with one end, each watcher saw every event once
and in order, each book is there, and the metrics count each import once.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from typing import Any

import aiohttp
import uvloop
from common import made_up_books, sandbox_process, show
from processes import free_port, until_ready

START_EVERY_SECONDS = 0.25
KILL_EVERY_SECONDS = (4.0, 15.0)
TEAR_EVERY_SECONDS = (0.1, 3.0)
WATCHERS_EACH = 3
END_WITHIN_SECONDS = 60.0
GONE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


class Soak:
    """One run. ``faults`` are what must not happen, in words."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.until = time.monotonic() + seconds
        self.chance = random.Random(seed)
        self.jobs: dict[str, str] = {}
        self.methods = ["workflow"]
        self.faults: list[str] = []
        self.kills = 0
        self.tears = 0
        self.events = 0
        self.watchers: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    async def start_server(self, environment: dict[str, str]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bookline", "serve", "--port", str(self._port),
            env={**os.environ, **environment}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until_ready(self.url, self._process)

    async def end_server(self, how: int) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        await self._process.wait()

    async def kill_now_and_then(self, environment: dict[str, str]) -> None:
        while time.monotonic() < self.until:
            await asyncio.sleep(self.chance.uniform(*KILL_EVERY_SECONDS))
            how = self.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            await self.end_server(how)
            self.kills += 1
            await self.start_server(environment)

    async def order(self, client: aiohttp.ClientSession, isbns: list[str]) -> None:
        for isbn in isbns:
            if time.monotonic() >= self.until:
                return
            job_id = await self.start_one(client, isbn)
            self.jobs[job_id] = isbn
            for _ in range(WATCHERS_EACH):
                task = asyncio.create_task(self.watch(client, job_id))
                self.watchers.append(task)
            await asyncio.sleep(START_EVERY_SECONDS)

    def method_of(self, isbn: str) -> str:
        return self.methods[int(isbn[:-1]) % len(self.methods)]

    async def start_one(self, client: aiohttp.ClientSession, isbn: str) -> str:
        """The same Idempotency-Key until somebody answers: one job, however often it is asked."""
        headers = {"Idempotency-Key": f"soak-{isbn}"}
        body = {"isbn": isbn, "source": "google_books", "method": self.method_of(isbn)}
        while True:
            try:
                async with client.post(
                    f"{self.url}/v2/import", json=body, headers=headers
                ) as answer:
                    if answer.status == 202:
                        job_id: str = (await answer.json())["data"]["jobId"]
                        return job_id
            except GONE:
                pass
            await asyncio.sleep(0.2)

    async def watch(self, client: aiohttp.ClientSession, job_id: str) -> None:
        """One watcher, torn off now and then, that comes back with ``after`` until the end."""
        seqs: list[int] = []
        while True:
            after = seqs[-1] if seqs else 0
            try:
                address = f"{self.url}/ws/progress?jobId={job_id}&after={after}"
                async with client.ws_connect(address) as socket:
                    if await self.listen(socket, job_id, seqs):
                        break
            except GONE:
                pass
            await asyncio.sleep(0.1)
        self.events += len(seqs)
        if seqs != list(range(1, len(seqs) + 1)):
            self.faults.append(f"a watcher of {job_id} saw {seqs}")

    async def listen(
        self, socket: aiohttp.ClientWebSocketResponse, job_id: str, seqs: list[int]
    ) -> bool:
        """True when the server said that the job is over."""
        async with asyncio.timeout(self.chance.uniform(*TEAR_EVERY_SECONDS)) as limit:
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        event = json.loads(message.data)
                        if event["type"] != "ping":
                            seqs.append(event["seq"])
            except asyncio.CancelledError:
                if limit.expired():
                    self.tears += 1
                raise
        if socket.close_code in {4404, 1008}:
            self.faults.append(f"{job_id} was refused with {socket.close_code}")
            return True
        return socket.close_code == 1000

    async def check(self, client: aiohttp.ClientSession) -> None:
        """The whole story of every job, and every book."""
        for job_id, isbn in self.jobs.items():
            async with client.get(f"{self.url}/v2/import/events/{job_id}") as answer:
                lines = (await answer.text()).splitlines()
            told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
            self.check_story(job_id, told)
            async with client.get(f"{self.url}/v2/books/{isbn}") as answer:
                if answer.status != 200:
                    self.faults.append(f"the book {isbn} of {job_id} is not there")
        async with client.get(f"{self.url}/v2/import/jobs?limit=200&status=running") as answer:
            if (await answer.json())["data"]["items"]:
                self.faults.append("some jobs never ended")
        async with client.get(f"{self.url}/v2/metrics/imports?window=1d") as answer:
            counted = (await answer.json())["data"]["methods"]
        asked = Counter(self.method_of(isbn) for isbn in self.jobs.values())
        for method in self.methods:
            count = counted[method]["byOutcome"]["done"]
            if count != asked[method]:
                self.faults.append(f"{count} of {asked[method]} {method} imports are counted")

    def check_story(self, job_id: str, told: list[dict[str, Any]]) -> None:
        seqs = [event["seq"] for event in told]
        if seqs != list(range(1, len(seqs) + 1)):
            self.faults.append(f"the story of {job_id} is {seqs}")
        statuses = Counter(event["status"] for event in told if event["status"])
        doubled = [status for status, count in statuses.items() if count > 1]
        if doubled or statuses["completed"] != 1:
            last = told[-1]["data"].get("error") if told else None
            self.faults.append(f"{job_id} told {dict(statuses)}, at last {last}")


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=300.0)
    options.add_argument("--seed", type=int, default=int(time.time()))
    chosen = options.parse_args()
    soak = Soak(chosen.seconds, chosen.seed)
    print(f"soak of {chosen.seconds:g} s, --seed {chosen.seed}", flush=True)
    async with sandbox_process() as (sandbox, environment):
        with tempfile.TemporaryDirectory() as folder:
            environment |= {"BOOKLINE_DATA_DIR": folder, "BOOKLINE_RETRY_SCALE": "0.3"}
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
                await run(soak, client, sandbox, environment)
    show("imports, all of them books", str(len(soak.jobs)))
    show("times the server was killed or stopped", str(soak.kills))
    show("times a watcher was torn off", str(soak.tears))
    show("events that watchers saw", str(soak.events))
    for fault in soak.faults[:20]:
        print(f"FAULT: {fault}")
    print("nothing lost, nothing doubled" if not soak.faults else f"{len(soak.faults)} faults")
    return 1 if soak.faults else 0


async def run(
    soak: Soak, client: aiohttp.ClientSession, sandbox: str, environment: dict[str, str]
) -> None:
    isbns = await made_up_books(sandbox, int((soak.until - time.monotonic()) / 0.25) + 1)
    faults = [
        {"isbn": "*", "route": "*", "kind": "delay", "ms": 150, "times": None},
        # One at a time: a provider that is down for four tries on end rightly fails an import.
        *(
            {"isbn": "*", "route": route, "kind": "503", "times": 1, "after": 7 + 20 * number}
            for route in ("google_books", "covers")
            for number in range(20)
        ),
    ]
    async with client.post(f"{sandbox}/_sandbox/faults", json=faults) as answer:
        assert answer.status < 300, await answer.text()
    await soak.start_server(environment)
    async with client.get(f"{soak.url}/v2/rollout") as answer:
        if (await answer.json())["data"]["hasLegacy"]:
            soak.methods.append("legacy")
    try:
        await asyncio.gather(soak.order(client, isbns), soak.kill_now_and_then(environment))
        async with asyncio.timeout(END_WITHIN_SECONDS):
            await asyncio.gather(*soak.watchers)
        await soak.check(client)
    except TimeoutError:
        waiting = sum(not task.done() for task in soak.watchers)
        soak.faults.append(f"{waiting} watchers still wait for an end")
        for task in soak.watchers:
            task.cancel()
    finally:
        await soak.end_server(signal.SIGTERM)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))
