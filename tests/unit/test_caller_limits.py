"""How callers are limited: at once, over all processes, and whatever the store does."""

import asyncio

import pytest

from bookline.caller_limits import CallerLimits
from bookline.errors import StoreDown
from bookline.limits import Turn


class Shared:
    """The limits of a deployment as far as they matter here; may be away, or hang."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.is_down = False
        self.hangs = False
        self.is_slow = False

    async def _come(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_down:
            raise StoreDown("journal.db: disk is full")

    async def spend(self, key: str, seconds: float) -> None:
        await self._come()
        if self.is_slow:
            await asyncio.sleep(0.01)
        self.spent[key] = self.spent.get(key, 0.0) + seconds

    async def ahead(self, key: str) -> float:
        return self.spent.get(key, 0.0)

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        await self._come()
        ahead = self.spent.get(key, 0.0)
        if ahead + seconds / count > seconds + 1e-6:
            return Turn(False, 0, 1.0, ahead)
        await self.spend(key, seconds / count)
        return Turn(True, 0, 0.0, ahead + seconds / count)


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.shared = Shared()
        self.limits = CallerLimits(self.shared, lambda: self.now)

    async def written(self) -> None:
        """Lets the writer go round once."""
        task = asyncio.create_task(self.limits.run())
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def reads(self, count: int) -> list[bool]:
        return [(await self.limits.take_lightly("me", 5, 50)).is_allowed for _ in range(count)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_reads_are_limited_before_anything_is_written(bench: Bench) -> None:
    assert await bench.reads(7) == [True] * 5 + [False] * 2
    assert bench.shared.spent == {}


async def test_many_reads_are_written_as_one(bench: Bench) -> None:
    await bench.reads(3)
    await bench.written()

    assert bench.shared.spent == {"me": 30.0}


async def test_what_another_process_let_through_counts(bench: Bench) -> None:
    bench.shared.spent["me"] = 40.0

    assert await bench.reads(3) == [True, False, False]


async def test_the_allowance_comes_back(bench: Bench) -> None:
    await bench.reads(5)

    bench.now += 20

    assert await bench.reads(3) == [True, True, False]


async def test_a_store_that_cannot_be_written_stops_no_read_and_is_told(bench: Bench) -> None:
    bench.shared.is_down = True

    assert await bench.reads(2) == [True, True]
    await bench.written()
    with pytest.raises(StoreDown, match="disk is full"):
        await bench.limits.check()

    bench.shared.is_down = False
    await bench.limits.check()


async def test_a_store_that_hangs_stops_no_start_and_each_process_limits_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.caller_limits.PATIENCE_SECONDS", 0.01)
    bench.shared.hangs = True

    turns = [(await bench.limits.take("me", 2, 60)).is_allowed for _ in range(3)]

    assert turns == [True, True, False]


async def test_a_write_that_takes_too_long_is_told(bench: Bench) -> None:
    bench.shared.hangs = True
    await bench.reads(1)
    task = asyncio.create_task(bench.limits.run())
    for _ in range(5):
        await asyncio.sleep(0)

    bench.now += 5

    with pytest.raises(StoreDown, match="too long"):
        await bench.limits.check()
    task.cancel()


async def test_what_is_given_back_did_not_count(bench: Bench) -> None:
    for _ in range(4):
        assert (await bench.limits.take("me", 2, 60)).is_allowed
        bench.limits.give_back("me", 2, 60)
        await bench.written()

    assert bench.shared.spent == {"me": 0.0}


@pytest.mark.parametrize("is_writing", [False, True], ids=["unwritten", "being written"])
async def test_what_is_given_back_is_there_for_the_next(bench: Bench, is_writing: bool) -> None:
    writer = asyncio.create_task(bench.limits.run())
    await bench.limits.take("me", 1, 60)
    bench.limits.give_back("me", 1, 60)
    if is_writing:
        bench.shared.is_slow = True
        await asyncio.sleep(0)

    assert (await bench.limits.take("me", 1, 60)).is_allowed
    writer.cancel()


async def test_callers_of_long_ago_are_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.caller_limits.KEYS_MOST", 10)
    for number in range(50):
        await bench.limits.take_lightly(f"caller {number}", 1, 1)
        bench.now += 1

    assert len(bench.limits._free_at) <= 11
