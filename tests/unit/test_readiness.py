"""Readiness: known from the background, told once, and a full disk is seen."""

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bookline.errors import StoreDown
from bookline.readiness import Check, Readiness, check_room


class Store:
    """Counts how often it is asked; down while ``trouble`` says why."""

    def __init__(self) -> None:
        self.asked = 0
        self.trouble = ""

    async def ask(self) -> None:
        self.asked += 1
        if self.trouble:
            raise StoreDown(self.trouble)


@asynccontextmanager
async def probing(store: Store, every_seconds: float) -> AsyncIterator[Readiness]:
    readiness = Readiness({"store": Check(ask=store.ask, every_seconds=every_seconds)})
    task = asyncio.create_task(readiness.run())
    try:
        yield readiness
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_asked(store: Store, times: int) -> None:
    async with asyncio.timeout(120):
        while store.asked < times:
            await asyncio.sleep(0)


async def test_asking_asks_no_store() -> None:
    store = Store()
    async with probing(store, 60) as readiness:
        answers = [await readiness.states() for _ in range(100)]

    assert answers == [{"store": {"ok": True, "detail": None}}] * 100
    assert store.asked == 1


async def test_a_store_that_goes_and_comes_is_told_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "bookline.readiness")
    store = Store()
    async with probing(store, 0) as readiness:
        store.trouble = "the disk is full"
        await until_asked(store, 5)
        down = await readiness.states()

        store.trouble = ""
        await until_asked(store, store.asked + 5)
        back = await readiness.states()

    assert down == {"store": {"ok": False, "detail": "the disk is full"}}
    assert back == {"store": {"ok": True, "detail": None}}
    assert [record.getMessage() for record in caplog.records] == [
        "store is down: the disk is full",
        "store is back",
    ]


async def test_a_full_disk_is_noticed_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await check_room(tmp_path)
    monkeypatch.setattr("bookline.readiness.os.posix_fallocate", is_full)

    with pytest.raises(StoreDown, match="No space left"):
        await check_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_gone_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(StoreDown, match="cannot be written"):
        await check_room(tmp_path / "gone")
