"""A limit for a try that stops its clock while the try waits for its turn, or for a store.

Way:     engine/tries.py sets the limit; net/pace.py and patience.py stop the clock
Rule 1:  the clock stands still while the whole process does (it was stopped, or has so much to do
         that it does not come round): an answer that lies there is read, not cut.
Units:   seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar

LOOK_SECONDS = 1.0  # our choice: how often a try looks whether the process comes round
LATE_SECONDS = 0.1  # our choice: what is usual

Aside = Callable[[bool], AbstractAsyncContextManager[None]]
"""What else stands still meanwhile; told whether the try stays at work."""

_limits: ContextVar[tuple[asyncio.Timeout, ...]] = ContextVar("_limits", default=())
_gives_way: ContextVar[bool] = ContextVar("_gives_way", default=False)
_others: ContextVar[bool | None] = ContextVar("_others", default=None)
_aside: ContextVar[Aside] = ContextVar("_aside", default=lambda at_work: nullcontext())


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cuts the block after ``seconds``, less the time spent ``off_the_clock`` and that in which the
    process did not come round.

    Raises: TimeoutError.
    """
    async with asyncio.timeout(seconds) as limit:
        token = _limits.set((*_limits.get(), limit))
        looks = _Looks(limit)
        try:
            yield
        finally:
            looks.end()
            _limits.reset(token)


class _Looks:
    """Puts a limit off by as much as the event loop comes late."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._plan()

    def end(self) -> None:
        self._timer.cancel()

    def _plan(self) -> None:
        self._due = self._loop.time() + LOOK_SECONDS
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        late, until = self._loop.time() - self._due, self._limit.when()
        if self._limit.expired():
            return
        if until is not None and late > LATE_SECONDS:
            self._limit.reschedule(until + late)
        self._plan()


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


@contextmanager
def comes_again(*, with_others: bool) -> Iterator[None]:
    """Who asks in this block does not wait for a provider that answers nobody: it is sent away
    (``Resting``) and comes again. ``with_others``: so do others, and a probe that fails is nobody's
    try.
    """
    token = _others.set(with_others)
    try:
        yield
    finally:
        _others.reset(token)


def is_coming_again() -> bool:
    return _others.get() is not None


def is_coming_with_others() -> bool:
    return bool(_others.get())


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
