"""The same books imported by others and by Bookline, in turns: wall time and CPU of an import.

The same sandbox and the same answers. The peers do less (no checks, merge rules, events or
attempts that survive a crash), and Celery is not durable by step. Their libraries are installed
into a folder that is removed afterwards; ``redis-server`` must be on the PATH.

The original plan's TypeScript runs under Cloudflare's local engine: its code is read from the paper
that ``PEER_PLAN`` names (without it, and without npm, this peer is left out). Its engine keeps all
on this machine as ours does, but it is made for development: Cloudflare's own is another.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from common import made_up_books, sandbox_process, show, show_machine
from processes import free_port

HERE = Path(__file__).parent / "peer"
PLANNED = "The plan's TypeScript, Cloudflare's local engine"
NODE_PACKAGES = ("miniflare@5.20261117.0-beta", "esbuild@0.28.2", "node@26.10.0")
NEEDED = ("dbos==3.4.0", "celery[redis]==5.6.*", "requests", "wordllama==0.4.0.post1")
FLYING = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One round of one peer."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a peer runs: its Python, its folder and environment, and its books, one to warm up."""

    python: Path
    folder: Path
    environment: dict[str, str]
    isbns: list[str]


async def dbos_quickstart(place: Place) -> Found:
    return await _program(place, place.python, "dbos_quickstart.py")


async def bookline_import(place: Place) -> Found:
    return await _program(place, Path(sys.executable), "bookline_import.py")


async def plan_worker(place: Place) -> Found:
    node = Path(place.environment["PEER_NODE_MODULES"]) / ".bin/node"
    return await _program(place, node, "plan_worker.mjs")


async def celery_on_redis(place: Place) -> Found:
    async with _redis(place.folder) as (url, redis):
        environment = {**place.environment, "PEER_REDIS": url}
        worker = await asyncio.create_subprocess_exec(
            place.python, "-m", "celery", "-A", "celery_tasks", "worker", "--concurrency=2",
            "--loglevel=ERROR", cwd=HERE, env=environment, stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        caller = await asyncio.create_subprocess_exec(
            place.python, "celery_caller.py", str(FLYING), *place.isbns, cwd=HERE, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert caller.stdout is not None
        assert caller.stdin is not None
        try:
            assert await caller.stdout.readline() == b"warm\n"
            before = sum(map(_cpu_seconds, [redis, *_family(worker.pid)]))
            caller.stdin.write(b"go\n")
            told = json.loads(await caller.stdout.readline())
            told["cpu"] += sum(map(_cpu_seconds, [redis, *_family(worker.pid)])) - before
            await caller.wait()
        finally:
            if caller.returncode is None:
                caller.kill()
            worker.terminate()
            await worker.wait()
    return _found(told, len(place.isbns) - 1)


PEERS: dict[str, Callable[[Place], Awaitable[Found]]] = {
    "Bookline": bookline_import,
    "DBOS, as in its quickstart": dbos_quickstart,
    "Celery on Redis (not durable by step)": celery_on_redis,
    PLANNED: plan_worker,
}


async def _program(place: Place, python: Path, name: str) -> Found:
    program = await asyncio.create_subprocess_exec(
        python, HERE / name, str(FLYING), *place.isbns, cwd=HERE, env=place.environment,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await program.communicate()
    assert program.returncode == 0, name
    return _found(json.loads(output.splitlines()[-1]), len(place.isbns) - 1)


def _found(told: dict[str, float], count: int) -> Found:
    assert told["done"] == count, told
    return Found(per_second=count / told["seconds"], cpu_ms=told["cpu"] / count * 1000)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[tuple[str, int]]:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--appendonly", "yes", stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"redis://127.0.0.1:{port}/0", server.pid
    finally:
        server.terminate()
        await server.wait()


async def _own_python(folder: Path) -> Path:
    """A virtual environment with what the peers need, and nothing of ours."""
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "-q", *NEEDED],
    ):
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0, command
    return folder / "bin/python"


async def _node_packages(folder: Path) -> Path:
    """Where Node finds its own newer self and Cloudflare's local engine."""
    npm = await asyncio.create_subprocess_exec(
        "npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent",
        *NODE_PACKAGES,
    )  # fmt: skip
    assert await npm.wait() == 0, "npm"
    return folder / "node_modules"


def plot(medians: dict[str, Found]) -> str:
    """CPU of an import as bars (SVG)."""
    widest = max(found.cpu_ms for found in medians.values())
    rows = []
    for place, (name, found) in enumerate(medians.items()):
        top = 34 + 44 * place
        width = 360 * found.cpu_ms / widest
        rows.append(
            f'<text x="10" y="{top + 10}">{escape(name)}</text>'
            f'<rect x="10" y="{top + 15}" width="{width:.0f}" height="14" fill="#2b6cb0"/>'
            f'<text x="{width + 16:.0f}" y="{top + 27}">{found.cpu_ms:.1f} ms, '
            f"{found.per_second:.0f}/s</text>"
        )
    height = 34 + 44 * len(rows) + 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 {height}" width="520" '
        f'height="{height}" font-family="sans-serif" font-size="12" role="img" '
        'aria-label="CPU of one import, by system">'
        f'<rect width="520" height="{height}" fill="#fff"/>'
        '<text x="10" y="18" font-weight="bold">CPU of one import (less is better)</text>'
        f"{''.join(rows)}</svg>\n"
    )


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--books", type=int, default=100)
    options.add_argument("--svg", type=Path)
    asked = options.parse_args()
    peers = dict(PEERS)
    if shutil.which("redis-server") is None:
        del peers["Celery on Redis (not durable by step)"]
        print("redis-server is not installed: without Celery")
    if "PEER_PLAN" not in os.environ or shutil.which("npm") is None:
        del peers[PLANNED]
        print("PEER_PLAN is not set, or npm is not installed: without the plan's TypeScript")
    rounds: dict[str, list[Found]] = {name: [] for name in peers}
    with tempfile.TemporaryDirectory() as name:
        python = await _own_python(Path(name) / "python")
        node = await _node_packages(Path(name) / "node") if PLANNED in peers else Path()
        async with sandbox_process() as (url, settings):
            for turn in range(asked.rounds):
                prefix = f"978{100 + turn}"
                isbns = await made_up_books(url, asked.books + 1, prefix)
                for peer, run in peers.items():
                    with tempfile.TemporaryDirectory() as folder:
                        environment = {
                            **os.environ, **settings, "PEER_FOLDER": folder,
                            "PEER_NODE_MODULES": str(node),
                        }  # fmt: skip
                        place = Place(
                            python=python, folder=Path(folder), environment=environment, isbns=isbns
                        )
                        rounds[peer].append(await run(place))
    medians = {
        name: Found(
            per_second=statistics.median(one.per_second for one in found),
            cpu_ms=statistics.median(one.cpu_ms for one in found),
        )
        for name, found in rounds.items()
    }
    show_machine()
    print(f"{asked.books} imports, {FLYING} in flight (Celery: 2 processes); medians of "
          f"{asked.rounds} rounds in turns; load besides {os.getloadavg()[0]:.1f}")  # fmt: skip
    ours = medians["Bookline"]
    for name, found in medians.items():
        show(name, f"{found.cpu_ms:.1f} ms CPU",
             f"{found.per_second:.0f}/s, CPU × {found.cpu_ms / ours.cpu_ms:.2f}")  # fmt: skip
    if asked.svg:
        asked.svg.write_text(plot(medians))


if __name__ == "__main__":
    asyncio.run(main())
