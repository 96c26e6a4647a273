"""A place at work: given back while waiting, and never given back twice."""

import asyncio

import pytest

from bookline.engine.places import Places, Slot

pytestmark = pytest.mark.usefixtures("quick_time")


async def test_a_place_is_held_and_given_back() -> None:
    places = Places(1)

    async with Slot(places):
        assert places.room == 0

    assert places.room == 1


async def test_a_place_given_twice_is_one_place() -> None:
    places = Places(1)

    async with Slot(places) as slot:
        slot.give()
        slot.give()

    assert places.room == 1


async def test_a_stop_while_waiting_for_a_place_leaves_the_number_right() -> None:
    places = Places(1)
    async with Slot(places):
        waiting = asyncio.create_task(Slot(places).take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert places.room == 1


async def test_a_stop_in_the_moment_of_getting_a_place_passes_it_on() -> None:
    places = Places(1)
    slot = Slot(places)
    await slot.take()
    first, second = (asyncio.create_task(Slot(places).take()) for _ in range(2))
    await asyncio.sleep(0)

    slot.give()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    await asyncio.wait_for(second, 1)


async def test_stops_of_many_at_once_stay_stops() -> None:
    """One that is stopped gives its place while others are stopped, but have not heard of it."""
    places = Places(1)
    slot = Slot(places)
    await slot.take()
    waiting = [asyncio.create_task(Slot(places).take()) for _ in range(3)]
    await asyncio.sleep(0)

    slot.give()
    for one in waiting:
        one.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(one) for one in ended] == [asyncio.CancelledError] * 3
    assert places.room == 1


async def test_who_comes_back_goes_before_who_has_not_begun() -> None:
    places, order = Places(1), []
    slot = Slot(places)
    await slot.take()

    async def take(name: str, *, is_back: bool) -> None:
        async with Slot(places) if not is_back else _back(places):
            order.append(name)

    waiting = [asyncio.create_task(take("new", is_back=False))]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(take("back", is_back=True)))
    await asyncio.sleep(0)
    slot.give()
    await asyncio.gather(*waiting)

    assert order == ["back", "new"]


class _back(Slot):  # noqa: N801 - reads as what it is
    async def __aenter__(self) -> Slot:
        await self.take(is_back=True)
        return self


async def test_lines_side_by_side_give_the_place_when_all_of_them_wait() -> None:
    places = Places(1)
    async with Slot(places) as slot:
        slot.branch(2)
        with slot.wait():
            one_waits = places.room
            with slot.wait():
                both_wait = places.room
        await slot.take(is_back=True)
        back = places.room

    assert (one_waits, both_wait, back) == (0, 1, 0)


async def test_a_line_that_has_ended_holds_no_place_for_the_other() -> None:
    places = Places(1)
    async with Slot(places) as slot:
        slot.branch(2)
        with slot.wait():
            slot.end_line()
            other_waits = places.room

    assert other_waits == 1


async def test_a_free_place_that_nobody_here_wants_is_told() -> None:
    places, told = Places(1), []
    places.on_room = lambda: told.append(places.room)

    async with Slot(places):
        pass

    assert told == [1]
