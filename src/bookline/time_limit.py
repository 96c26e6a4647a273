"""A limit for a try that stops its clock while the try waits for its turn.

Way:     engine/job_run.py sets the limit; net/pace.py stops the clock
Units:   seconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

_limits: ContextVar[tuple[asyncio.Timeout, ...]] = ContextVar("_limits", default=())


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cuts the block after ``seconds``, less the time spent ``off_the_clock``.

    Raises: TimeoutError.
    """
    async with asyncio.timeout(seconds) as limit:
        token = _limits.set((*_limits.get(), limit))
        try:
            yield
        finally:
            _limits.reset(token)


@asynccontextmanager
async def off_the_clock() -> AsyncIterator[None]:
    """Time in this block counts against no limit around it."""
    loop = asyncio.get_running_loop()
    stopped = [(limit, until) for limit in _limits.get() if (until := limit.when()) is not None]
    began = loop.time()
    for limit, _ in stopped:
        limit.reschedule(None)
    try:
        yield
    finally:
        for limit, until in stopped:
            limit.reschedule(until + loop.time() - began)
