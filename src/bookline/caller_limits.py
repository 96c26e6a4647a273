"""How often a caller may ask: decided here at once, shared by all processes of a deployment.

Way:      app.py makes it → api/gate.py asks it for each request → stores/limits.py
Rule 1:   a read waits for no write: what it spends is written behind it, many reads at once.
Rule 2:   a store that cannot be written stops nobody: this process' own count holds alone then, and
          ``/readyz`` says so.
Source:   GCRA, as in stores/limits.py: one moment a key, at which the whole allowance is back.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from bookline.errors import StoreDown
from bookline.limits import Allowances, Turn

PATIENCE_SECONDS = 0.5  # our choice: how long a request waits to learn of other processes
KEYS_MOST = 10_000  # callers whose allowance is remembered here before old ones are looked through


class CallerLimits:
    """Turns for callers. ``now`` counts seconds and never goes back."""

    def __init__(self, shared: Allowances, now: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._now = now
        self._free_at: dict[str, float] = {}
        self._owed: defaultdict[str, float] = defaultdict(float)
        self._is_owing = asyncio.Event()
        self._paying: dict[str, float] = {}
        """What is being written of it."""
        self._paid = asyncio.Event()
        self._fault: str | None = None
        self._writing_since: float | None = None

    async def run(self) -> None:
        """Until cancelled: writes what reads have spent."""
        while True:
            await self._is_owing.wait()
            self._is_owing.clear()
            self._paying, self._owed = self._owed, defaultdict(float)
            self._writing_since = self._now()
            try:
                await asyncio.gather(*(self._shared.spend(*one) for one in self._paying.items()))
                self._fault = None
            except StoreDown as error:
                self._fault = str(error)
            self._writing_since, self._paying = None, {}
            self._paid.set()

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        """One of ``count`` in ``seconds``, over all processes: for what writes anyway."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._settle(key)
                turn = await self._shared.take(key, count, seconds)
        except (StoreDown, TimeoutError) as error:
            self._fault = str(error) or "it cannot be written"
            return self._take_here(key, count, seconds)
        self._fault = None
        self._free_at[key] = self._now() + turn.reset_seconds
        return turn

    async def take_lightly(self, key: str, count: int, seconds: float) -> Turn:
        """The same without a wait for a write: two processes may each let one through at once."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                ahead = await self._shared.ahead(key)
        except (StoreDown, TimeoutError) as error:
            self._fault = str(error) or "it cannot be read"
        else:
            self._free_at[key] = max(self._free_at.get(key, 0.0), self._now() + ahead)
        turn = self._take_here(key, count, seconds)
        if turn.is_allowed:
            self._owe(key, seconds / count)
        return turn

    def give_back(self, key: str, count: int, seconds: float) -> None:
        """What was taken last for this key did not count."""
        self._free_at[key] = self._free_at.get(key, 0.0) - seconds / count
        self._owe(key, -seconds / count)

    async def check(self) -> None:
        """Raises: StoreDown while other processes cannot hear of what is spent here."""
        since = self._writing_since
        if since is not None and self._now() - since > PATIENCE_SECONDS:
            raise StoreDown("callers are limited by each process alone: the write takes too long")
        if self._fault is not None:
            await self._shared.spend("check", 0.0)
            self._fault = None

    def _take_here(self, key: str, count: int, seconds: float) -> Turn:
        each, now = seconds / count, self._now()
        ahead = max(0.0, self._free_at.get(key, 0.0) - now)
        spare = seconds - each - ahead
        if spare < -1e-6:
            return Turn(False, 0, -spare, ahead)
        self._forget(now)
        self._free_at[key] = now + ahead + each
        return Turn(True, int(spare / each + 1e-6), 0.0, ahead + each)

    async def _settle(self, key: str) -> None:
        """What was given back is written before the next is taken."""
        while key in self._paying:
            self._paid.clear()
            await self._paid.wait()
        if key in self._owed:
            await self._shared.spend(key, self._owed.pop(key))

    def _owe(self, key: str, seconds: float) -> None:
        self._owed[key] += seconds
        self._is_owing.set()

    def _forget(self, now: float) -> None:
        if len(self._free_at) > KEYS_MOST:
            self._free_at = {key: at for key, at in self._free_at.items() if at > now}
