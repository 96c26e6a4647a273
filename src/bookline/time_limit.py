"""A limit for a try that stops its clock while the try waits for its turn.

Way:     engine/job_run.py sets the limit; net/pace.py stops the clock
Units:   seconds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

_limit: ContextVar[asyncio.Timeout | None] = ContextVar("_limit", default=None)


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cuts the block after ``seconds``, less the time spent ``off_the_clock``.

    Raises: TimeoutError.
    """
    async with asyncio.timeout(seconds) as limit:
        token = _limit.set(limit)
        try:
            yield
        finally:
            _limit.reset(token)


@asynccontextmanager
async def off_the_clock() -> AsyncIterator[None]:
    """Time in this block does not count against the try's limit."""
    limit = _limit.get()
    until = limit.when() if limit is not None else None
    if limit is None or until is None:
        yield
        return
    loop = asyncio.get_running_loop()
    began = loop.time()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(until + loop.time() - began)
