"""One sandbox and one bench for all tests. Without the programs of the bench all are skipped."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benching import NODE
from worlds import Upstream, World, sandbox, world

sys.path.insert(0, str(Path(__file__).parent / "scripted"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not NODE.exists():
        missing = pytest.mark.skip(reason="the bench is not installed: make worker")
        for item in items:
            item.add_marker(missing)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def upstream() -> AsyncIterator[Upstream]:
    async with sandbox() as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def here(upstream: Upstream) -> AsyncIterator[World]:
    """The Worker with all its bindings."""
    async with world(upstream) as made:
        yield made
