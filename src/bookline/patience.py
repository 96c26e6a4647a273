"""A store that is away for a while is asked again: a full disk, a locked file, a restarted server.

Way:      steps/ ask ``from_store``, engine/ ``until_it_is_back`` → here → stores, journal, records
Rule 1:   this wait is no try. It counts for neither a limit nor the deadline.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, repeat
from typing import TypeVar

from bookline.errors import StoreDown
from bookline.time_limit import off_the_clock

T = TypeVar("T")
log = logging.getLogger(__name__)

STORE_SECONDS = 60.0  # docs/contract.md: how long a step waits for a store that is away
PAUSES_SECONDS = (0.1, 0.25, 0.5, 1.0)  # our choice; the last one from then on
SAY_SECONDS = 60.0  # our choice: a line a minute while it goes on
_said_at = -SAY_SECONDS


class Patience:
    """One step's with its stores: an outage is waited out once, then the step's tries begin."""

    def __init__(self) -> None:
        self.is_at_an_end = False


_patience: ContextVar[Patience | None] = ContextVar("_patience", default=None)


@contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """Whoever asks ``from_store`` in this block has that patience."""
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)


async def from_store(ask: Callable[[], Awaitable[T]]) -> T:
    """What the store answers, asked again while it is away and the step has patience.

    ``ask`` must be safe twice. Raises: StoreDown.
    """
    patience = _patience.get()
    if patience is None or patience.is_at_an_end:
        return await ask()
    down = StoreDown(f"a store gave no answer within {STORE_SECONDS:g} s")
    limit = asyncio.timeout(STORE_SECONDS)
    is_pause = False
    try:
        async with limit:
            for pause_seconds in _pauses():
                try:
                    async with off_the_clock(at_work=True):
                        return await ask()
                except StoreDown as error:
                    down = error
                _say(down)
                is_pause = True
                async with off_the_clock():
                    await asyncio.sleep(pause_seconds)
                is_pause = False
    except TimeoutError:
        if not limit.expired():
            raise
    patience.is_at_an_end = True
    if is_pause:  # an outage of just the limit is over by now
        return await ask()
    raise down


async def until_it_is_back(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a store that nothing goes on without, however long it is away."""
    for pause_seconds in _pauses():
        try:
            return await ask()
        except StoreDown as down:
            _say(down)
        await asyncio.sleep(pause_seconds)
    raise AssertionError  # the pauses have no end


def _pauses() -> Iterator[float]:
    return chain(PAUSES_SECONDS, repeat(PAUSES_SECONDS[-1]))


def _say(down: StoreDown) -> None:
    global _said_at
    if time.monotonic() - _said_at >= SAY_SECONDS:
        _said_at = time.monotonic()
        log.warning("a store is away and is asked again: %s", down)
