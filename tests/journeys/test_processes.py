"""``serve --processes``: one port, a dead child is replaced, all end together."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 90.0


@dataclass
class Parent:
    process: asyncio.subprocess.Process
    url: str

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def until_children(self, count: int, besides: int | None = None) -> list[int]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := [one for one in self.children() if one != besides]) != count:
                await asyncio.sleep(0.05)
        return found


@pytest_asyncio.fixture
async def parent(tmp_path: Path) -> AsyncIterator[Parent]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "serve", "--port", "0", "--processes", "2",
        env={**os.environ, "BOOKLINE_DATA_DIR": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = (await process.stderr.readline()).decode()
        found = re.search(r"http://\S+", line)
        assert found is not None, line
        yield Parent(process, found.group())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def health(url: str, times: int) -> set[int]:
    """The answers over new connections, which any of the processes may take."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        found = set()
        for _ in range(times):
            async with client.get(f"{url}/healthz") as answer:
                found.add(answer.status)
    return found


async def test_a_dead_child_is_started_again_and_the_port_stays_open(parent: Parent) -> None:
    first, second = await parent.until_children(2)
    os.kill(first, signal.SIGKILL)

    assert await health(parent.url, 20) == {200}

    again = await parent.until_children(2, besides=first)
    assert second in again


async def test_sigterm_ends_all(parent: Parent) -> None:
    children = await parent.until_children(2)
    parent.process.terminate()

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await parent.process.wait() == 0

    assert not any(Path(f"/proc/{one}").exists() for one in children)


async def test_children_end_with_a_killed_parent(parent: Parent) -> None:
    children = await parent.until_children(2)
    parent.process.kill()

    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(is_alive(one) for one in children):
            await asyncio.sleep(0.05)


def is_alive(pid: int) -> bool:
    """A child whose parent is gone and that nobody has waited for is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
