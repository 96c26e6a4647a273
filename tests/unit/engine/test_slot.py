"""A place at work: given back while waiting, and never given back twice."""

import asyncio

from bookline.engine.job_run import Slot


async def test_a_place_is_held_and_given_back() -> None:
    slots = asyncio.Semaphore(1)

    async with Slot(slots):
        assert slots.locked()

    assert not slots.locked()


async def test_a_place_given_twice_is_one_place() -> None:
    slots = asyncio.Semaphore(1)

    async with Slot(slots) as slot:
        slot.give()
        slot.give()

    await slots.acquire()
    assert slots.locked()


async def test_a_stop_while_waiting_for_a_place_leaves_the_number_right() -> None:
    slots = asyncio.Semaphore(1)
    async with Slot(slots):
        waiting = asyncio.create_task(Slot(slots).take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    await slots.acquire()
    assert slots.locked()
