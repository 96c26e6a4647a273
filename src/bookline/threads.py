"""Threads for work that would hold up the event loop: decoding pictures, loading weights.

Rule 1:  nobody uses ``asyncio.to_thread``: its threads are the engine's (see engine/dbos.py), and
         what waits there holds up every import.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")
THREADS = 2  # our choice: more only share the same cores


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """What ``work`` returns, done beside the event loop; in it where there are no threads."""
    if sys.platform == "emscripten":  # the Cloudflare Worker
        return work(*args)
    return await asyncio.get_running_loop().run_in_executor(_threads(), work, *args)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="bookline")
