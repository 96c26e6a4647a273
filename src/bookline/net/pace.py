"""Questions to a provider, no faster than it allows, over all processes of a deployment.

Way:      providers/ → net/aiohttp_http.py → here, before each question
Rule 1:   waiting for a turn is not the provider's slowness: the try's clock stands still.
Rule 2:   who said when to come back is not asked before, by no import of the deployment.
Rule 3:   a store that is away costs a question no try: the turn is asked for again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from bookline.errors import StoreDown
from bookline.patience import from_store
from bookline.progress.journal import Limits
from bookline.setting_values import Rate
from bookline.time_limit import off_the_clock

LONGEST_HOLD_SECONDS = 60.0  # as long as a retry waits when it is told to

log = logging.getLogger(__name__)


class SharedPace:
    """Fills the port Pace. A provider without a rate is asked at once."""

    def __init__(self, limits: Limits, rates: Mapping[str, Rate | None]) -> None:
        self._limits = limits
        self._rates = rates

    @asynccontextmanager
    async def turn(self, provider: str) -> AsyncIterator[None]:
        async with off_the_clock():  # the store's time is not the provider's either
            held = await self.held_seconds(provider)
            if held > 0:
                await asyncio.sleep(held)
        rate = self._rates.get(provider)
        if rate is not None:
            reserve = partial(self._limits.reserve, f"ask:{provider}", rate.count, rate.seconds)
            wait = await from_store(reserve)
            if wait > 0:
                async with off_the_clock():
                    await asyncio.sleep(wait)
        yield

    async def hold(self, provider: str, seconds: float) -> None:
        wait = min(seconds, LONGEST_HOLD_SECONDS)
        try:
            await self._limits.hold(f"hold:{provider}", wait)
        except StoreDown as error:
            log.warning("%s asked for %g s of rest; not kept: %s", provider, wait, error)

    async def held_seconds(self, provider: str) -> float:
        try:
            return await self._limits.held(f"hold:{provider}")
        except StoreDown:
            return 0.0
