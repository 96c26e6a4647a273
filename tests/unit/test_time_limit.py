"""A try's limit: it cuts, and it stands still while the try waits for its turn."""

import asyncio

import pytest

from bookline import time_limit as module
from bookline.time_limit import off_the_clock, time_limit

pytestmark = pytest.mark.usefixtures("quick_time")

SHORT = 0.02
LONG = 0.05


async def wait_for_a_turn() -> None:
    async with off_the_clock():
        await asyncio.sleep(LONG)


async def hang() -> None:
    await asyncio.sleep(10)


async def test_what_takes_too_long_is_cut() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SHORT):
            await hang()


async def test_what_ends_in_time_is_left_alone() -> None:
    async with time_limit(10):
        await asyncio.sleep(0)


async def test_waiting_for_a_turn_does_not_count() -> None:
    async with time_limit(SHORT):
        await wait_for_a_turn()
        await asyncio.sleep(0)


async def test_the_clock_goes_on_behind_the_turn() -> None:
    @time_limit(SHORT)
    async def turn_then_hang() -> None:
        await wait_for_a_turn()
        await hang()

    with pytest.raises(TimeoutError):
        await turn_then_hang()


async def test_time_before_the_turn_counts() -> None:
    loop = asyncio.get_running_loop()
    behind_the_turn = 0.0

    @time_limit(LONG)
    async def work_turn_then_hang() -> None:
        nonlocal behind_the_turn
        await asyncio.sleep(SHORT)
        await wait_for_a_turn()
        behind_the_turn = loop.time()
        await hang()

    with pytest.raises(TimeoutError):
        await work_turn_then_hang()

    assert loop.time() - behind_the_turn < LONG - SHORT + 0.015


async def test_waiting_stops_the_clock_of_every_limit_around() -> None:
    """``auto`` has a limit for each provider inside the step's own."""
    async with time_limit(SHORT), time_limit(SHORT):
        await wait_for_a_turn()
        await asyncio.sleep(0)


async def test_an_outer_limit_still_cuts_behind_the_turn() -> None:
    @time_limit(SHORT)
    @time_limit(10)
    async def turn_then_hang() -> None:
        await wait_for_a_turn()
        await hang()

    with pytest.raises(TimeoutError):
        await turn_then_hang()


async def test_a_limit_that_is_over_is_forgotten() -> None:
    async with time_limit(SHORT):
        pass

    await wait_for_a_turn()


async def test_the_overall_deadline_does_not_stand_still() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT), time_limit(10):
            await wait_for_a_turn()


async def test_without_a_limit_there_is_no_clock_to_stop() -> None:
    async with off_the_clock():
        await asyncio.sleep(0)


async def test_a_turn_that_fails_starts_the_clock_again() -> None:
    async def failing_turn() -> None:
        async with off_the_clock():
            raise LookupError

    @time_limit(SHORT)
    async def turn_then_hang() -> None:
        with pytest.raises(LookupError):
            await failing_turn()
        await hang()

    with pytest.raises(TimeoutError):
        await turn_then_hang()


async def test_two_tries_at_once_have_their_own_clocks() -> None:
    @time_limit(SHORT)
    async def waits() -> None:
        await wait_for_a_turn()

    @time_limit(SHORT)
    async def works() -> None:
        await hang()

    waited, worked = await asyncio.gather(waits(), works(), return_exceptions=True)

    assert waited is None
    assert isinstance(worked, TimeoutError)


def stall_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stands still for a second, before anything else happens."""
    monkeypatch.setattr(module, "LOOK_SECONDS", SHORT / 4)
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.call_soon(monkeypatch.setattr, loop, "time", lambda: before() + 1)


async def test_what_was_answered_while_the_process_stood_still_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer was there in time; nobody came round to read it."""
    stall_soon(monkeypatch)

    async with time_limit(LONG):
        await asyncio.sleep(SHORT)
        await asyncio.sleep(0)


async def test_a_limit_cuts_once_the_process_comes_round_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stall_soon(monkeypatch)

    with pytest.raises(TimeoutError):
        async with time_limit(LONG):
            await hang()
