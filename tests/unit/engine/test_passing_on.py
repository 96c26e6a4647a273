"""An import whose rules nobody here knows: others get it for a while, then it is refused."""

import asyncio
from collections.abc import Sequence

import pytest

from bookline.engine import passing_on
from bookline.engine.passing_on import MOST_SECONDS, PassingOn

pytestmark = pytest.mark.usefixtures("quick_time")


class Bench:
    def __init__(self) -> None:
        self.alive = {"here", "there"}
        self.queued: list[str] = []
        self.seconds = 0.0
        self.passing_on = PassingOn(self.living, self.queue, lambda: self.seconds)

    async def living(self) -> set[str]:
        return self.alive

    async def queue(self, job_ids: Sequence[str]) -> None:
        self.queued += job_ids


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(passing_on, "PAUSE_SECONDS", 0.0)
    return Bench()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_others_may_know_is_queued_again(bench: Bench) -> None:
    assert await bench.passing_on.takes("job")
    await settled()

    assert bench.queued == ["job"]


async def test_nothing_is_passed_on_where_nobody_else_is_alive(bench: Bench) -> None:
    bench.alive = {"here"}

    assert not await bench.passing_on.takes("job")
    await settled()

    assert bench.queued == []


async def test_what_nobody_took_for_long_is_not_passed_on_any_more(bench: Bench) -> None:
    assert await bench.passing_on.takes("job")
    bench.seconds = MOST_SECONDS - 1
    assert await bench.passing_on.takes("job")
    assert await bench.passing_on.takes("other")

    bench.seconds = MOST_SECONDS + 1

    assert not await bench.passing_on.takes("job")
    assert await bench.passing_on.takes("other")


async def test_what_is_on_its_way_at_the_end_is_left(bench: Bench) -> None:
    assert await bench.passing_on.takes("job")

    bench.passing_on.close()
    await settled()

    assert bench.queued == []
