"""A try's limit: it cuts, and it stands still while the try waits for its turn."""

import asyncio

import pytest

from bookline.time_limit import off_the_clock, time_limit

SHORT = 0.02
LONG = 0.05


async def test_what_takes_too_long_is_cut() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SHORT):
            await asyncio.sleep(10)


async def test_what_ends_in_time_is_left_alone() -> None:
    async with time_limit(10):
        await asyncio.sleep(0)


async def test_waiting_for_a_turn_does_not_count() -> None:
    async with time_limit(SHORT):
        async with off_the_clock():
            await asyncio.sleep(LONG)
        await asyncio.sleep(0)


async def test_the_clock_goes_on_behind_the_turn() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SHORT):
            async with off_the_clock():
                await asyncio.sleep(LONG)
            await asyncio.sleep(10)


async def test_time_before_the_turn_counts() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with time_limit(LONG):
            await asyncio.sleep(SHORT)
            async with off_the_clock():
                await asyncio.sleep(SHORT)
            left = loop.time()
            await asyncio.sleep(10)

    assert loop.time() - left < LONG - SHORT + 0.015


async def test_waiting_stops_the_clock_of_every_limit_around() -> None:
    """``auto`` has a limit for each provider inside the step's own."""
    async with time_limit(SHORT), time_limit(SHORT):
        async with off_the_clock():
            await asyncio.sleep(LONG)
        await asyncio.sleep(0)


async def test_an_outer_limit_still_cuts_behind_the_turn() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SHORT):
            async with time_limit(10):
                async with off_the_clock():
                    await asyncio.sleep(LONG)
                await asyncio.sleep(10)


async def test_a_limit_that_is_over_is_forgotten() -> None:
    async with time_limit(SHORT):
        pass

    async with off_the_clock():
        await asyncio.sleep(LONG)


async def test_the_overall_deadline_does_not_stand_still() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT), time_limit(10), off_the_clock():
            await asyncio.sleep(10)


async def test_without_a_limit_there_is_no_clock_to_stop() -> None:
    async with off_the_clock():
        await asyncio.sleep(0)


async def test_a_turn_that_fails_starts_the_clock_again() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(SHORT):
            with pytest.raises(LookupError):
                async with off_the_clock():
                    raise LookupError
            await asyncio.sleep(10)


async def test_two_tries_at_once_have_their_own_clocks() -> None:
    async def waits() -> str:
        async with time_limit(SHORT), off_the_clock():
            await asyncio.sleep(LONG)
        return "ended"

    async def works() -> str:
        try:
            async with time_limit(SHORT):
                await asyncio.sleep(10)
        except TimeoutError:
            return "cut"
        return "ended"

    assert await asyncio.gather(waits(), works()) == ["ended", "cut"]
