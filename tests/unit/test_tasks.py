"""What runs for long is never dead in silence."""

import asyncio
import logging

import pytest

from bookline import tasks as module
from bookline.logs import Seldom
from bookline.tasks import Tasks

pytestmark = pytest.mark.usefixtures("quick_time")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "seldom", Seldom())


async def test_what_breaks_starts_again_and_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs, lasts = 0, asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 5:
            raise KeyError("x")
        lasts.set()
        await asyncio.Event().wait()

    tasks = Tasks()
    with caplog.at_level(logging.ERROR):
        tasks.start("hub", run)
        async with asyncio.timeout(5):
            await lasts.wait()
        await tasks.stop()

    assert runs == 5
    assert [record.message for record in caplog.records] == ["hub broke and starts again"]


async def test_all_is_stopped_at_the_end() -> None:
    stopped = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(1)

    tasks = Tasks()
    for number in range(3):
        tasks.start(f"task {number}", run)
    await asyncio.sleep(0)

    await tasks.stop()

    assert stopped == [1, 1, 1]


async def test_what_returns_is_done() -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1

    tasks = Tasks()
    tasks.start("load", run)
    for _ in range(5):
        await asyncio.sleep(0)
    await tasks.stop()

    assert runs == 1
