"""Turns at one provider: this process' line, which takes some of the deployment's at a time.

Way:      pace.py → here → stores/limits.py
Rule 1:   a statement takes as many turns as there are questions in line here, and no more than the
          rate gives in half a second: so a busy line costs no round trip a question, no process
          holds the others up for longer, and a dead one takes no more than that with it.
Rule 2:   turns that nobody in line uses go back.
"""

import asyncio
from collections import deque
from functools import partial

from bookline.limits import Lease, Limits
from bookline.patience import from_store
from bookline.rates import Rate

LEASE_SECONDS = 0.5  # our choice


class Turns:
    """One provider's, in one process. Whoever uses it is alone at that time."""

    def __init__(self, limits: Limits, key: str, rate: Rate) -> None:
        self._limits = limits
        self._key = key
        self._rate = rate
        self._most = max(1, int(rate.count / rate.seconds * LEASE_SECONDS))
        self._lease: Lease | None = None
        self._due: deque[float] = deque()

    async def until_next(self, in_line: int) -> float:
        """Seconds until the next turn, which is ours; ``in_line`` are those who want one.

        Raises: StoreDown.
        """
        if not self._due:
            turns = max(1, min(in_line, self._most))
            self._lease = await from_store(
                partial(
                    self._limits.reserve, self._key, self._rate.count, self._rate.seconds, turns
                )
            )
            now = asyncio.get_running_loop().time()
            self._due.extend(now + wait for wait in self._lease.waits)
        return max(0.0, self._due[0] - asyncio.get_running_loop().time())

    def use(self) -> None:
        """The turn that has come is over."""
        self._due.popleft()

    def give_back(self) -> None:
        """Nobody wants those that are left."""
        if self._due and self._lease is not None:
            self._limits.give_back(self._key, self._lease, len(self._due))
        self._due.clear()
