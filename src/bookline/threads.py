"""Threads for work that would hold up the event loop: decoding pictures, loading weights.

Rule 1:  nobody uses ``asyncio.to_thread``: its threads are the engine's (see engine/dbos.py), and
         what waits there holds up every import.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
HAS_NO_THREADS = sys.platform == "emscripten"  # the Cloudflare Worker
THREADS = 2  # our choice: more only share the same cores


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """What ``work`` returns, done beside the event loop; in it where there are no threads."""
    if HAS_NO_THREADS:
        return work(*args)
    return await asyncio.get_running_loop().run_in_executor(_threads(), work, *args)


async def result_of(work: "Future[T]") -> T:
    """What the work comes to; whoever stops waiting cancels it, if it has not begun.

    As by ``asyncio.wrap_future``, which wakes the loop through the system's doors: where the
    loop's own thread ends the work, that is a fifth of what such a wait costs.
    """
    if work.done():
        return work.result()
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def hear(_: object) -> None:
        if threading.get_ident() == here:
            wake()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there
            loop.call_soon_threadsafe(wake)

    work.add_done_callback(hear)
    try:
        await waiter
    except asyncio.CancelledError:
        work.cancel()
        raise
    return work.result()


def ask_loop(loop: asyncio.AbstractEventLoop, question: Coroutine[Any, Any, T]) -> T:
    """What the coroutine comes to in the event loop, for work that was given to ``in_thread``."""
    if HAS_NO_THREADS:
        from pyodide.ffi import run_sync

        answer: T = run_sync(question)
        return answer
    return asyncio.run_coroutine_threadsafe(question, loop).result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="bookline")
