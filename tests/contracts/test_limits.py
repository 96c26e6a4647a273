"""What the shared turns promise: so many and no more, for all processes, in an even row."""

import asyncio
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookline.limits import Limits
from bookline.net.pace import SharedPace
from bookline.ports import Answer
from bookline.rates import Rate
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


async def wait_for(limits: Limits, count: int) -> float:
    """Seconds until one turn of ``count`` a second."""
    (wait,) = (await limits.reserve("ask", count, 1)).waits
    return wait


async def answered() -> Answer:
    return Answer(status=200)


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
    waits = [await wait_for(bench.limits, 2) for _ in range(6)]

    assert waits == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0])


async def test_a_pause_gives_the_first_turns_back(bench: Bench) -> None:
    for _ in range(6):
        await bench.limits.reserve("ask", 2, 1)

    bench.clock.pass_seconds(60)

    waits = [await wait_for(bench.limits, 2) for _ in range(3)]
    assert waits == pytest.approx([0, 0, 0.5])


async def test_processes_stand_in_one_row(bench: Bench) -> None:
    other = bench.elsewhere()

    waits = await asyncio.gather(*(wait_for(limits, 1) for limits in [bench.limits, other] * 5))

    assert sorted(waits) == pytest.approx(list(range(10)))


async def test_several_turns_are_taken_at_once_and_those_behind_come_after(bench: Bench) -> None:
    lease = await bench.limits.reserve("ask", 2, 1, turns=4)

    assert lease.waits == pytest.approx([0, 0, 0.5, 1.0])
    assert await wait_for(bench.elsewhere(), 2) == pytest.approx(1.5)


async def test_turns_that_are_not_used_go_back(bench: Bench) -> None:
    lease = await bench.limits.reserve("ask", 2, 1, turns=4)

    bench.limits.give_back("ask", lease, 3)

    assert await wait_for(bench.limits, 2) == 0
    assert await wait_for(bench.limits, 2) == pytest.approx(0.5)


async def test_turns_do_not_go_back_where_others_come_after_them(bench: Bench) -> None:
    """Their turn is near the ones that were given back: the provider would get both at once."""
    lease = await bench.limits.reserve("ask", 1, 1, turns=2)
    await wait_for(bench.elsewhere(), 1)

    bench.limits.give_back("ask", lease, 1)

    assert await wait_for(bench.limits, 1) == pytest.approx(3)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(1, 10),
    nodes=st.integers(1, 4),
    asks=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, 5), st.floats(0, 0.5)),
        max_size=30,
    ),
)
async def test_nodes_together_ask_no_faster_than_the_rate_over_any_time(
    open_stores: OpenStores,
    count: int,
    nodes: int,
    asks: list[tuple[int, int, int, float]],
) -> None:
    """Whoever leases how many turns, uses some, and gives the last of them back or dies."""
    bench = Bench(open_stores)
    limits = [bench.limits, *(bench.elsewhere() for _ in range(nodes - 1))]
    key = f"ask-{next(NUMBERS)}"
    asked: list[float] = []

    for who, turns, unused, pause in asks:
        one = limits[who % nodes]
        lease = await one.reserve(key, count, 1, turns)
        used = max(0, turns - unused)
        asked += [bench.clock() / 1000 + wait for wait in lease.waits[:used]]
        if used < turns and unused % 2:
            one.give_back(key, lease, turns - used)
        bench.clock.pass_seconds(pause)

    asked.sort()
    for first, last in itertools.combinations(range(len(asked)), 2):
        seconds = asked[last] - asked[first]
        assert last - first + 1 <= count * (1 + seconds) + 0.01


# ------------------------------------------------------------------ holds
async def test_of_all_processes_one_holds_anew_what_is_over(bench: Bench) -> None:
    other = bench.elsewhere()
    lengths: list[float | None] = []

    def doubled(last: float | None) -> float:
        lengths.append(last)
        return 2 * (last or 5.0)

    first = await asyncio.gather(*(one.hold_anew("x", doubled) for one in [bench.limits, other]))
    bench.clock.pass_seconds(9)
    early = await other.hold_anew("x", doubled)
    bench.clock.pass_seconds(1)
    then = await asyncio.gather(*(one.hold_anew("x", doubled) for one in [bench.limits, other]))

    assert (sorted(first), early, sorted(then)) == ([False, True], False, [False, True])
    assert lengths == [None, pytest.approx(10)]
    assert await other.held(["x"]) == {"x": pytest.approx(20)}


async def test_what_is_free_was_never_held(bench: Bench) -> None:
    await bench.limits.hold("x", 60)
    await bench.elsewhere().free("x")

    assert await bench.limits.held(["x"]) == {}


async def test_a_hold_of_a_clock_that_was_set_back_since_is_held_anew_at_once(
    bench: Bench,
) -> None:
    await bench.limits.hold("x", 60)
    bench.clock.pass_seconds(-3600)

    assert await bench.limits.hold_anew("x", lambda last: 2 * (last or 0))
    assert await bench.limits.held(["x"]) == {"x": pytest.approx(120)}


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
    before = [await wait_for(bench.limits, 1) for _ in range(3)]
    bench.clock.pass_seconds(-3600)

    after = [await wait_for(bench.limits, 1) for _ in range(3)]
    assert before + after == pytest.approx([0, 1, 2, 3, 4, 5])


async def test_a_hold_ends_in_time_though_the_clock_was_set_back(bench: Bench) -> None:
    await bench.limits.hold("hold", 20)
    bench.clock.pass_seconds(-30)

    assert await bench.limits.held(["hold", "other"]) == {"hold": 0}


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
        await pace.ask("isbndb", "a book", answered)

    assert loop.time() - began >= 0.025


@pytest.mark.parametrize("rates", [{}, {"isbndb": None}])
async def test_a_provider_without_a_rate_is_asked_at_once(
    bench: Bench, rates: dict[str, Rate | None]
) -> None:
    pace = SharedPace(bench.limits, rates)

    for _ in range(100):
        await pace.ask("isbndb", "a book", answered)

    assert await bench.keys() == 0


async def test_waiting_for_a_turn_is_not_the_providers_slowness(bench: Bench) -> None:
    pace = SharedPace(bench.limits, {"isbndb": Rate(count=1, seconds=1.0)})
    await bench.limits.reserve("ask:isbndb", 1, 1.0)

    async with time_limit(0.9):
        await pace.ask("isbndb", "a book", answered)
