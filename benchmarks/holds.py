"""``bookline`` on asyncio's own loop, which is watched: what held it up, for how long.

Way:     history.py starts it with the command's arguments; SIGUSR2 writes what was seen since the
         last time to the file that HOLDS names, as JSON: where → longest CPU and wall, in ms
Rule 1:  CPU is what the loop's thread worked without a pause; wall also has what it waited for,
         a busy machine included.
"""

import asyncio
import json
import os
import runpy
import signal
import time
from asyncio.events import Handle
from pathlib import Path
from typing import Any

import uvloop

_longest: dict[str, list[float]] = {}
_run = Handle._run


def _where(handle: Handle) -> str:
    """Which coroutine, or which function; a request's coroutine by what it was last in."""
    callback: Any = getattr(handle, "_callback")  # noqa: B009 - which has no type
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return str(getattr(callback, "__qualname__", repr(callback)))
    name: list[str] = []
    coroutine: Any = task.get_coro()
    while coroutine is not None and len(name) < 30:
        name.append(getattr(coroutine, "__qualname__", type(coroutine).__name__))
        coroutine = getattr(coroutine, "cr_await", None)
    return f"{name[0]} > {name[-1]}"


def _watched(self: Handle) -> None:
    where, cpu, wall = _where(self), time.thread_time(), time.perf_counter()
    _run(self)
    took = [(time.thread_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000]
    _longest[where] = [max(pair) for pair in zip(_longest.get(where, took), took, strict=True)]


def _tell(*_: object) -> None:
    Path(os.environ["HOLDS"]).write_text(json.dumps(_longest))
    _longest.clear()


if __name__ == "__main__":
    Handle._run = _watched  # type: ignore[method-assign]
    uvloop.run = asyncio.run  # type: ignore[assignment]
    signal.signal(signal.SIGUSR2, _tell)
    runpy.run_module("bookline", run_name="__main__", alter_sys=True)
