"""What the shared turns promise: so many and no more, for all processes, in an even row."""

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookline.net.pace import SharedPace
from bookline.progress.journal import Limits
from bookline.setting_values import Rate
from bookline.stores.limits import FORGET_EVERY
from bookline.time_limit import time_limit
from store_fixtures import OpenStores

NUMBERS = itertools.count()


class Clock:
    now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def pass_seconds(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


class Bench:
    def __init__(self, open_stores: OpenStores) -> None:
        self.clock = Clock()
        self.open_stores = open_stores
        self.stores = open_stores(self.clock)
        self.limits = self.stores.limits

    def elsewhere(self) -> Limits:
        """Another process' limits on the same tables."""
        return self.open_stores(self.clock).limits

    async def keys(self) -> int:
        database = self.stores.journal.database
        count = await database.read(lambda db: db.execute("SELECT count(*) AS n FROM turns"))
        return int(count[0]["n"])


@pytest.fixture
def bench(open_stores: OpenStores) -> Bench:
    return Bench(open_stores)


# ------------------------------------------------------------------ take: for clients
async def test_the_whole_allowance_may_come_at_once_and_no_more(bench: Bench) -> None:
    turns = [await bench.limits.take("client", 10, 60) for _ in range(12)]

    assert [turn.is_allowed for turn in turns] == [True] * 10 + [False] * 2
    assert [turn.remaining for turn in turns] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]


async def test_a_refused_client_is_told_when_to_come_back(bench: Bench) -> None:
    for _ in range(10):
        await bench.limits.take("client", 10, 60)
    refused = await bench.limits.take("client", 10, 60)

    bench.clock.pass_seconds(refused.wait_seconds)

    assert refused.wait_seconds == pytest.approx(6)
    assert refused.reset_seconds == pytest.approx(60)
    assert (await bench.limits.take("client", 10, 60)).is_allowed


async def test_asking_too_soon_does_not_make_the_wait_longer(bench: Bench) -> None:
    for _ in range(10):
        await bench.limits.take("client", 10, 60)

    waits = [(await bench.limits.take("client", 10, 60)).wait_seconds for _ in range(5)]

    assert waits == pytest.approx([6] * 5)


async def test_the_allowance_comes_back_evenly(bench: Bench) -> None:
    for _ in range(10):
        await bench.limits.take("client", 10, 60)

    bench.clock.pass_seconds(18)

    turns = [await bench.limits.take("client", 10, 60) for _ in range(4)]
    assert [turn.is_allowed for turn in turns] == [True, True, True, False]


async def test_each_client_has_its_own_allowance(bench: Bench) -> None:
    await bench.limits.take("a", 1, 60)

    assert not (await bench.limits.take("a", 1, 60)).is_allowed
    assert (await bench.limits.take("b", 1, 60)).is_allowed


async def test_two_processes_share_an_allowance(bench: Bench) -> None:
    other = bench.elsewhere()

    turns = await asyncio.gather(
        *(limits.take("client", 10, 60) for limits in [bench.limits, other] * 10)
    )

    assert sum(turn.is_allowed for turn in turns) == 10


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(1, 20),
    seconds=st.sampled_from([1.0, 60.0, 3600.0]),
    pauses=st.lists(st.floats(0, 0.5), max_size=60),
)
async def test_over_any_time_no_more_than_the_rate_and_one_allowance(
    open_stores: OpenStores, count: int, seconds: float, pauses: list[float]
) -> None:
    bench = Bench(open_stores)
    key = f"client-{next(NUMBERS)}"
    began_ms = bench.clock()
    allowed = 0

    for pause in pauses:
        bench.clock.pass_seconds(pause * seconds)
        allowed += (await bench.limits.take(key, count, seconds)).is_allowed

    passed_seconds = (bench.clock() - began_ms) / 1000
    assert allowed <= count * (1 + passed_seconds / seconds) + 0.01


# ------------------------------------------------------------------ reserve: for providers
async def test_turns_are_given_out_in_an_even_row(bench: Bench) -> None:
    waits = [await bench.limits.reserve("ask", 2, 1) for _ in range(6)]

    assert waits == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0])


async def test_a_pause_gives_the_first_turns_back(bench: Bench) -> None:
    for _ in range(6):
        await bench.limits.reserve("ask", 2, 1)

    bench.clock.pass_seconds(60)

    waits = [await bench.limits.reserve("ask", 2, 1) for _ in range(3)]
    assert waits == pytest.approx([0, 0, 0.5])


async def test_processes_stand_in_one_row(bench: Bench) -> None:
    other = bench.elsewhere()

    waits = await asyncio.gather(
        *(limits.reserve("ask", 1, 1) for limits in [bench.limits, other] * 5)
    )

    assert sorted(waits) == pytest.approx(list(range(10)))


# ------------------------------------------------------------------ a clock that jumps
@pytest.mark.parametrize("hours", [1, 24 * 365])
async def test_a_client_is_not_locked_out_by_a_clock_that_was_set_back(
    bench: Bench, hours: float
) -> None:
    for _ in range(10):
        await bench.limits.take("client", 10, 60)
    bench.clock.pass_seconds(-3600 * hours)

    refused = await bench.limits.take("client", 10, 60)
    bench.clock.pass_seconds(refused.wait_seconds)

    assert refused.wait_seconds == pytest.approx(6)
    assert (await bench.limits.take("client", 10, 60)).is_allowed


async def test_a_clock_that_was_set_ahead_and_back_locks_nobody_out(bench: Bench) -> None:
    bench.clock.pass_seconds(3600 * 24 * 40)
    await bench.limits.take("client", 10, 60)
    bench.clock.pass_seconds(-3600 * 24 * 40)

    turns = [await bench.limits.take("client", 10, 60) for _ in range(9)]

    assert all(turn.is_allowed for turn in turns)


async def test_the_row_at_a_provider_stays_even_when_the_clock_is_set_back(bench: Bench) -> None:
    before = [await bench.limits.reserve("ask", 1, 1) for _ in range(3)]
    bench.clock.pass_seconds(-3600)

    assert before + [await bench.limits.reserve("ask", 1, 1) for _ in range(3)] == pytest.approx(
        [0, 1, 2, 3, 4, 5]
    )


async def test_a_hold_ends_in_time_though_the_clock_was_set_back(bench: Bench) -> None:
    await bench.limits.hold("hold", 20)
    bench.clock.pass_seconds(-30)

    assert await bench.limits.held("hold") == 0


async def test_turns_that_are_long_over_are_forgotten(bench: Bench) -> None:
    for number in range(50):
        await bench.limits.take(f"client-{number}", 1, 1)
    bench.clock.pass_seconds(2 * 3600)

    await asyncio.gather(*(bench.limits.take("busy", 10, 1) for _ in range(FORGET_EVERY)))
    bench.clock.pass_seconds(2 * 3600)
    await asyncio.gather(*(bench.limits.take("busy", 1_000_000, 1) for _ in range(FORGET_EVERY)))

    assert await bench.keys() < 5


# ------------------------------------------------------------------ pace: turns as waits
async def test_a_provider_is_asked_no_faster_than_its_rate(bench: Bench) -> None:
    pace = SharedPace(bench.limits, {"isbndb": Rate(count=1, seconds=0.01)})
    loop = asyncio.get_running_loop()
    began = loop.time()

    for _ in range(4):
        async with pace.turn("isbndb"):
            pass

    assert loop.time() - began >= 0.025


@pytest.mark.parametrize("rates", [{}, {"isbndb": None}])
async def test_a_provider_without_a_rate_is_asked_at_once(
    bench: Bench, rates: dict[str, Rate | None]
) -> None:
    pace = SharedPace(bench.limits, rates)

    for _ in range(100):
        async with pace.turn("isbndb"):
            pass

    assert await bench.keys() == 0


async def test_waiting_for_a_turn_is_not_the_providers_slowness(bench: Bench) -> None:
    pace = SharedPace(bench.limits, {"isbndb": Rate(count=1, seconds=1.0)})
    await bench.limits.reserve("ask:isbndb", 1, 1.0)

    async with time_limit(0.9), pace.turn("isbndb"):
        pass
