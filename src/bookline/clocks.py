"""What time it is, and how old something is where the wall clock may have been set.

Way:     app.py makes a ``Steady`` at start → engine/upkeep.py, migration/rollouts.py
Rule 1:  a clock that jumps makes nothing old: what removes or judges by age asks ``Steady``.
Units:   epoch milliseconds.
"""

import time
from collections.abc import Callable


def now_ms() -> int:
    """By the wall clock of this machine."""
    return time.time_ns() // 1_000_000


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
