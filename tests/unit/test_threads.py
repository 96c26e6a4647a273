"""Waiting in the event loop for what a thread does, or the loop itself."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from bookline.threads import result_of


def in_the_loop(call: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(call)


def in_another_thread(call: Callable[[], object]) -> None:
    threading.Thread(target=call).start()


@pytest.fixture(params=[in_the_loop, in_another_thread])
def elsewhere(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], None]:
    return request.param  # type: ignore[no-any-return]


async def test_a_result_is_waited_for(
    elsewhere: Callable[[Callable[[], object]], None],
) -> None:
    work: Future[str] = Future()

    elsewhere(lambda: work.set_result("done"))

    assert await asyncio.wait_for(result_of(work), 10) == "done"
    assert await result_of(work) == "done"


async def test_an_error_is_raised_to_whoever_waits(
    elsewhere: Callable[[Callable[[], object]], None],
) -> None:
    work: Future[str] = Future()

    elsewhere(lambda: work.set_exception(ValueError("no")))

    with pytest.raises(ValueError, match="no"):
        await asyncio.wait_for(result_of(work), 10)


async def test_who_stops_waiting_cancels_what_has_not_begun() -> None:
    work: Future[str] = Future()
    waiting = asyncio.create_task(result_of(work))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert work.cancelled()


async def test_who_stops_waiting_leaves_alone_what_has_begun() -> None:
    work: Future[str] = Future()
    work.set_running_or_notify_cancel()
    waiting = asyncio.create_task(result_of(work))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    work.set_result("done")

    assert work.result() == "done"


def test_work_may_end_after_its_loop_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    work: Future[str] = Future()
    work.set_running_or_notify_cancel()

    async def stop_waiting() -> None:
        waiting = asyncio.create_task(result_of(work))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(stop_waiting())
    ending = threading.Thread(target=work.set_result, args=("done",))
    ending.start()
    ending.join()

    assert work.result() == "done"
    assert caplog.records == []


async def test_the_loops_own_work_wakes_it_without_the_systems_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_soon_threadsafe", calls.append)
    work: Future[str] = Future()

    loop.call_soon(work.set_result, "done")

    assert await result_of(work) == "done"
    assert calls == []
