"""One sandbox for all tests of this folder, clean before each."""

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bookline_sandbox import Sandbox

SHARED_DATA = Path(
    os.environ.get("RECORDED_ANSWERS", Path(__file__).parents[4] / "shared" / "data")
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.faults.clear()
    running.forget_requests()
    return running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http(running: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url, raise_for_status=False) as session:
        yield session


@pytest.fixture
def recorded() -> Callable[[str], list[Any]]:
    """Reads the recorded answers under a path; skips where they are not at hand."""

    def read(pattern: str) -> list[Any]:
        found = sorted((SHARED_DATA / "providers").glob(pattern))
        if not found:
            pytest.skip("no recorded answers here")
        return [json.loads(path.read_text("utf-8")) for path in found]

    return read
