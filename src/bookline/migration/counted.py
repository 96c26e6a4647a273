"""What a window's imports come to, counted once for all who ask for it soon after.

Way:      migration/rollouts.py → here
Rule 1:   the more imports a window has, the longer counting them takes and the less the next ones
          change: so the longer the same figures are told.
Rule 2:   one window is counted at a time, so that lists find a connection.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from bookline.values import Json

FEW = 1_000  # our choice: so many are counted each time
A_SECOND = 100_000  # our choice: the figures of so many are told for a second
WINDOWS_MOST = 100  # our choice: that are remembered


class Counted:
    """The figures of each window that was asked for. ``passed`` gives seconds that only rise."""

    def __init__(self, passed: Callable[[], float] = time.monotonic) -> None:
        self._passed = passed
        self._known: dict[str, tuple[float, Json]] = {}
        """Window → until when its figures are told, and these."""
        self._counting = asyncio.Lock()

    async def of(self, window: str, count: Callable[[], Awaitable[Json]]) -> Json:
        """What ``count`` gives, the public ``metrics``; or what it gave a little while ago."""
        async with self._counting:
            until, told = self._known.get(window, (0.0, None))
            if told is not None and self._passed() < until:
                return told
            told = await count()
            imports = _imports(told)
            self._known.pop(window, None)
            if imports > FEW:
                if len(self._known) >= WINDOWS_MOST:
                    self._known.clear()
                self._known[window] = (self._passed() + imports / A_SECOND, told)
            return told


def _imports(told: Json) -> int:
    return sum(sum(method["byOutcome"].values()) for method in told["methods"].values())
