"""What time it is, and how old something is where the wall clock may have been set.

Way:     stores/opening.py says whose time holds → app.py hands it to all who keep a time;
         resources.py makes a ``Steady`` of it → whatever removes or judges by age
Rule 1:  a time that is kept for other processes is by one clock: this machine's where they share a
         folder, the database server's where they share one.
Rule 2:  a clock that jumps makes nothing old: what removes or judges by age asks ``Steady``.
Units:   epoch milliseconds.
"""

import time
from collections.abc import Callable


def now_ms() -> int:
    """By the wall clock of this machine."""
    return time.time_ns() // 1_000_000


class SharedClock:
    """The time for all processes of a deployment: this machine's, until a server says its own.

    Then it is the server's, read without asking: what it said last, and the time since by a clock
    that nobody sets. It may be off by half of the fastest round trip, which is less than all else
    that a write waits for. ``passed`` gives seconds that only rise. May be called in any thread.
    """

    def __init__(
        self,
        here: Callable[[], int] = now_ms,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._here = here
        self.passed = passed
        self._ahead_ms: float | None = None

    def __call__(self) -> int:
        ahead_ms = self._ahead_ms
        return self._here() if ahead_ms is None else round(self.passed() * 1000 + ahead_ms)

    def hear(self, said_ms: int, asked_at: float) -> None:
        """The server said this, to a question that was asked at this time by ``passed``.

        Changes no more than that proves wrong.
        """
        least = said_ms - self.passed() * 1000
        most = said_ms - asked_at * 1000
        known = self._ahead_ms
        self._ahead_ms = (least + most) / 2 if known is None else min(max(known, least), most)


class Steady:
    """The time by the wall clock, but never later than what was last kept before this start and
    the time since. So a time in which nothing ran counts only from the start after the next.

    ``last_ms`` is the last moment that was kept, None where nothing was; ``passed`` gives seconds.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        last_ms: int | None,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._passed = passed
        self._last_ms = clock() if last_ms is None else last_ms
        self._began = passed()

    def __call__(self) -> int:
        here_ms = round((self._passed() - self._began) * 1000)
        return min(self._clock(), self._last_ms + here_ms)
