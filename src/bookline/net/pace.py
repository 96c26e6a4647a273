"""Questions to a provider, no faster than it allows, over all processes of a deployment.

Way:      providers/ → net/aiohttp_http.py → here, before each question
Rule 1:   waiting for a turn is not the provider's slowness: the try's clock stands still.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bookline.progress.journal import Limits
from bookline.settings import Rate
from bookline.time_limit import off_the_clock


class SharedPace:
    """Fills the port Pace. A provider without a rate is asked at once."""

    def __init__(self, limits: Limits, rates: Mapping[str, Rate | None]) -> None:
        self._limits = limits
        self._rates = rates

    @asynccontextmanager
    async def turn(self, provider: str) -> AsyncIterator[None]:
        rate = self._rates.get(provider)
        if rate is not None:
            wait = await self._limits.reserve(f"ask:{provider}", rate.count, rate.seconds)
            if wait > 0:
                async with off_the_clock():
                    await asyncio.sleep(wait)
        yield
