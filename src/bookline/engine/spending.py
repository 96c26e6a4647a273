"""How much of its deadline a job has spent: tries and retry waits, and nothing else.

Way:      job_run.py and tries.py → here
Rule 1:   side by side, time counts once: while at least one try or wait is under way.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
Units:    seconds of ``passed``, a clock that nobody sets.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spending:
    """One run's. ``spent_ms`` is what executions before this one have spent."""

    def __init__(self, spent_ms: int, limit_seconds: float, passed: Callable[[], float]) -> None:
        self.limit_seconds = limit_seconds
        self._spent = spent_ms / 1000
        self._passed = passed
        self._since = 0.0
        self._under_way = 0
        self._cuts: set[asyncio.Timeout] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def spent_seconds(self) -> float:
        return self._spent + (self._passed() - self._since if self._under_way else 0.0)

    @property
    def spent_ms(self) -> int:
        return round(self.spent_seconds * 1000)

    @property
    def left_seconds(self) -> float:
        return self.limit_seconds - self.spent_seconds

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """A try or a wait."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """A stretch within ``under_way`` that does not count."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    @contextmanager
    def cuts(self, limit: asyncio.Timeout) -> Iterator[None]:
        """The limit expires when all is spent."""
        self._cuts.add(limit)
        try:
            yield
        finally:
            self._cuts.discard(limit)

    def _begin(self) -> None:
        self._under_way += 1
        if self._under_way == 1:
            self._since = self._passed()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self.left_seconds), self.cut)

    def _end(self) -> None:
        self._under_way -= 1
        if self._under_way == 0:
            self._spent += self._passed() - self._since
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def cut(self) -> None:
        """Lets all limits expire now."""
        now = asyncio.get_running_loop().time()
        for limit in self._cuts:
            limit.reschedule(now)
