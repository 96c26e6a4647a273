"""A soak: imports come all the time, watchers are torn off, and the server is killed again and
again, frozen, has its disk filled (where a small one can be mounted) and its clock set.

Workflow and legacy take turns. At the end nothing may be lost or doubled: each job that was
answered with 202 has ended, its story is 1, 2, 3 … with one end, each watcher saw every event once
and in order, each book is there, and the metrics count each import once.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import uvloop
from common import made_up_books, sandbox_process, show
from processes import free_port, until_ready
from witness import Witness

START_EVERY_SECONDS = 0.25
DISTURB_EVERY_SECONDS = (2.0, 8.0)
FROZEN_SECONDS, FULL_SECONDS = (0.5, 6.0), (1.0, 8.0)
CLOCK_HOURS = (-6.0, 6.0)
DISK_MB = 600
WATCHERS_EACH = 3
END_WITHIN_SECONDS = 120.0
CLOCKED = """
import mmap, struct, sys, time
clock, sys.argv = sys.argv[1], ["bookline", *sys.argv[2:]]
with open(clock, "r+b") as file:
    set_by = mmap.mmap(file.fileno(), 8)
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + struct.unpack("q", set_by[:8])[0] / 10**9
time.time_ns = lambda: now_ns() + struct.unpack("q", set_by[:8])[0]
from bookline.cli.main import run
run()
"""
"""Bookline with a clock that stands in a file: by how many nanoseconds it was set."""


class Soak:
    """One run."""

    def __init__(self, seconds: float, seed: int, clock: Path) -> None:
        self.until = time.monotonic() + seconds
        self.chance = random.Random(seed)
        self.methods = ["workflow"]
        self.done: Counter[str] = Counter()
        """What was done to the server, and how often."""
        self.disk: Path | None = None
        """The folder of a disk that can be filled."""
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.witness = Witness([self.url], self.chance)

    async def start_server(self, environment: dict[str, str]) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLOCKED, str(self._clock), "serve", "--port", str(self._port),
            env={**os.environ, **environment}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until_ready(self.url, self._process)

    async def end_server(self, how: int) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        await self._process.wait()

    async def disturb_now_and_then(self, environment: dict[str, str]) -> None:
        disturbances = [self.kill, self.kill, self.freeze, self.set_clock]
        if self.disk is not None:
            disturbances.append(self.fill_disk)
        while time.monotonic() < self.until:
            await asyncio.sleep(self.chance.uniform(*DISTURB_EVERY_SECONDS))
            disturb = self.chance.choice(disturbances)
            await disturb(environment)
            self.done[disturb.__name__] += 1
        self.write_clock(0.0)

    async def kill(self, environment: dict[str, str]) -> None:
        await self.end_server(self.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        await self.start_server(environment)

    async def freeze(self, _: dict[str, str]) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(*FROZEN_SECONDS))
        self._process.send_signal(signal.SIGCONT)

    async def set_clock(self, _: dict[str, str]) -> None:
        self.write_clock(self.chance.uniform(*CLOCK_HOURS))

    def write_clock(self, hours: float) -> None:
        with self._clock.open("r+b") as file:
            file.write(struct.pack("q", round(hours * 3600 * 10**9)))

    async def fill_disk(self, _: dict[str, str]) -> None:
        assert self.disk is not None
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(64 * 1024))
        await asyncio.sleep(self.chance.uniform(*FULL_SECONDS))
        filler.unlink()

    async def order(self, client: aiohttp.ClientSession, isbns: list[str]) -> None:
        for isbn in isbns:
            if time.monotonic() >= self.until:
                return
            body = {"isbn": isbn, "source": "google_books", "method": self.method_of(isbn)}
            started = await self.witness.start(client, "/v2/import", body, f"soak-{isbn}")
            self.witness.jobs[started["jobId"]] = isbn
            self.witness.watched(client, started["jobId"], WATCHERS_EACH)
            await asyncio.sleep(START_EVERY_SECONDS)

    def method_of(self, isbn: str) -> str:
        return self.methods[int(isbn[:-1]) % len(self.methods)]

    async def check(self, client: aiohttp.ClientSession) -> None:
        """The whole story of every job, and every book."""
        jobs = self.witness.jobs
        asked = Counter(dict.fromkeys(self.methods, 0))
        asked.update(map(self.method_of, jobs.values()))
        await self.witness.check_stories(client, jobs)
        await self.witness.check_books(client, jobs.values())
        await self.witness.check_counts(client, asked)


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--seed", type=int, default=int(time.time()))
    chosen = options.parse_args()
    print(f"soak of {chosen.seconds:g} s, --seed {chosen.seed}", flush=True)
    async with sandbox_process() as (sandbox, environment):
        with tempfile.TemporaryDirectory() as name, small_disk(Path(name) / "disk") as disk:
            clock = Path(name) / "clock"
            clock.write_bytes(bytes(8))
            soak = Soak(chosen.seconds, chosen.seed, clock)
            soak.disk = disk
            folder = disk or Path(name)
            environment |= {
                "BOOKLINE_DATA_DIR": str(folder / "data"),
                "BOOKLINE_RETRY_SCALE": "0.3",
            }
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
                await run(soak, client, sandbox, environment)
    witness = soak.witness
    show("imports, all of them books", str(len(witness.jobs)))
    for name, times in sorted(soak.done.items()):
        show(f"times: {name.replace('_', ' ')}", str(times))
    if soak.disk is None:
        print("  no disk was filled: only root may mount a small one")
    return witness.sum_up()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of its own below this folder; None where it cannot be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
        await asyncio.gather(soak.order(client, isbns), soak.disturb_now_and_then(environment))
        if await soak.witness.saw_all_ends(END_WITHIN_SECONDS):
            await soak.check(client)
    finally:
        await soak.end_server(signal.SIGTERM)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))
