"""How long a host may take until there is a connection to it: less, when just now there was none.

Way:      aiohttp_http.py and its name look-up → here
Units:    seconds.
Rule 1:   an import whose three sources are all out of reach ends within 17 s, its waits included:
          whoever is offline is told so while they still look.
"""

import time
from collections.abc import Callable

REACH_SECONDS = 2.5  # our choice: for the name, and for the connection; a lost packet comes again
AGAIN_SECONDS = 0.7  # our choice: three ways to the other side of the world and back
REMEMBERED_SECONDS = 15.0  # our choice: about as long as one import tries


class Reach:
    """Which hosts could not be reached just now. One for each session."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost_at: dict[str, float] = {}
        self._is_offline = False

    def limit_seconds(self, host: str) -> float:
        """For the next look-up of its name, or the next connection to it."""
        self._forget()
        is_lost = host in self._lost_at or (self._is_offline and self._lost_at)
        return AGAIN_SECONDS if is_lost else REACH_SECONDS

    def lost(self, host: str) -> None:
        """There was no way to it; until a host answers, most likely there is none to any."""
        self._lost_at.setdefault(host, self._clock())
        self._is_offline = True

    def found(self, host: str) -> None:
        """It answered."""
        self._lost_at.pop(host, None)
        self._is_offline = False

    def _forget(self) -> None:
        """From time to time a host has the whole limit: there are slow lines, too."""
        now = self._clock()
        kept = {host: at for host, at in self._lost_at.items() if now - at < REMEMBERED_SECONDS}
        self._lost_at = kept
