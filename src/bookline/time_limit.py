"""A limit for a try that stops its clock while the try waits for its turn, or for a store.

Way:     engine/tries.py sets the limit; net/pace.py and patience.py stop the clock
Units:   seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar

Aside = Callable[[bool], AbstractAsyncContextManager[None]]
"""What else stands still meanwhile; told whether the try stays at work."""

_limits: ContextVar[tuple[asyncio.Timeout, ...]] = ContextVar("_limits", default=())
_gives_way: ContextVar[bool] = ContextVar("_gives_way", default=False)
_aside: ContextVar[Aside] = ContextVar("_aside", default=lambda at_work: nullcontext())


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


@contextmanager
def goes_aside(aside: Aside) -> Iterator[None]:
    """Each time spent ``off_the_clock`` in this block is spent within ``aside``, too."""
    token = _aside.set(aside)
    try:
        yield
    finally:
        _aside.reset(token)


@contextmanager
def gives_way(does: bool = True) -> Iterator[None]:
    """Who waits for a turn in this block lets others go first: it is one of many."""
    token = _gives_way.set(does)
    try:
        yield
    finally:
        _gives_way.reset(token)


def is_giving_way() -> bool:
    return _gives_way.get()


def is_over_time() -> bool:
    """Whether what is being cancelled here is cut by a limit around it."""
    return any(limit.expired() for limit in _limits.get())


@asynccontextmanager
async def off_the_clock(*, at_work: bool = False) -> AsyncIterator[None]:
    """Time in this block counts against no limit around it.

    ``at_work`` says that it is no mere wait: the import keeps its place.
    """
    loop = asyncio.get_running_loop()
    stopped = [(limit, until) for limit in _limits.get() if (until := limit.when()) is not None]
    began = loop.time()
    for limit, _ in stopped:
        limit.reschedule(None)
    try:
        async with _aside.get()(at_work):
            yield
    finally:
        for limit, until in stopped:
            limit.reschedule(until + loop.time() - began)
