"""Figures of many imports are told for a while, those of few are always of now."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from bookline.migration.counted import A_SECOND, FEW, WINDOWS_MOST, Counted


@dataclass
class Bench:
    imports: int
    seconds: float = 0.0
    counted: int = 0
    may: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.figures = Counted(lambda: self.seconds)
        self.may.set()

    async def _count(self) -> Any:
        self.counted += 1
        await self.may.wait()
        return {"methods": {"workflow": {"byOutcome": {"done": self.imports, "ours": 1}}}}

    async def ask(self, window: str = "7d") -> int:
        told = await self.figures.of(window, self._count)
        return int(told["methods"]["workflow"]["byOutcome"]["done"])


async def test_few_are_counted_each_time() -> None:
    bench = Bench(FEW - 1)

    assert await bench.ask() == FEW - 1
    bench.imports = 5
    assert await bench.ask() == 5


@pytest.mark.parametrize("times", [1, 10])
async def test_the_more_they_are_the_longer_the_same_is_told(times: int) -> None:
    bench = Bench(times * A_SECOND)
    before = await bench.ask()
    bench.imports += 1

    bench.seconds = times - 0.01
    assert await bench.ask() == before
    bench.seconds = times + 0.01
    assert await bench.ask() == before + 1


async def test_each_window_is_told_for_itself() -> None:
    bench = Bench(A_SECOND)
    await bench.ask("7d")
    bench.imports = 2 * A_SECOND

    assert await bench.ask("24h") == 2 * A_SECOND
    assert await bench.ask("7d") == A_SECOND


async def test_who_ask_at_once_are_told_the_same_count() -> None:
    bench = Bench(A_SECOND)
    bench.may.clear()
    asking = [asyncio.create_task(bench.ask()) for _ in range(5)]
    await asyncio.sleep(0)
    bench.may.set()

    assert await asyncio.gather(*asking) == [A_SECOND] * 5
    assert bench.counted == 1


async def test_who_gives_up_while_it_is_counted_stops_nobody() -> None:
    bench = Bench(A_SECOND)
    bench.may.clear()
    first, second = (asyncio.create_task(bench.ask()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    bench.may.set()

    assert await second == A_SECOND


async def test_only_so_many_windows_are_remembered() -> None:
    bench = Bench(A_SECOND)
    for number in range(WINDOWS_MOST + 1):
        await bench.ask(f"{number}m")

    await bench.ask("0m")

    assert bench.counted == WINDOWS_MOST + 2
