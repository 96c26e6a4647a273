"""Events from a store's threads to the hearers in the event loop, after their commit, in order.

Rule 1:  many that come together wake the loop once.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from bookline.progress.events import Event

Hear = Callable[[Sequence[Event]], None]


class Fanout:
    """``tell`` may be called from any thread; hearers are called in the loop they came from.

    Told in that very loop, they hear at once.
    """

    def __init__(self) -> None:
        self.measure_lag: Callable[[float], None] = lambda seconds: None
        """Called with the seconds from a commit to its fan-out, once for each wake-up."""
        self._hearers: list[Hear] = []
        self._told: deque[Event] = deque()
        self._wake = threading.Lock()
        self._is_waking = False
        self._committed = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def subscribe(self, hear: Hear) -> Callable[[], None]:
        """The answer ends it."""
        self._loop = asyncio.get_running_loop()
        self._hearers.append(hear)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._hearers.remove(hear)

        return end

    def tell(self, events: Sequence[Event]) -> None:
        """Hands events on. Nothing is kept for those who come later."""
        with self._wake:
            if self._loop is None:
                return
            self._told.extend(events)
            if self._is_waking:
                return
            self._is_waking = True
            self._committed = time.perf_counter()
        if _running_loop() is self._loop:
            self._deliver()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._wake:
            events = list(self._told)
            lag = time.perf_counter() - self._committed
            self._told.clear()
            self._is_waking = False
        self.measure_lag(lag)
        for hear in list(self._hearers):
            hear(events)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
