"""So many in so many seconds: what callers are limited to, and how fast providers are asked.

Way:      setting_values.py and the Cloudflare Worker read it; limits and turns take it
"""

import re
from dataclasses import dataclass

_RATE = re.compile(r"^(\d+)/(s|second|m|minute|h|hour)$")
_SECONDS = {"s": 1, "second": 1, "m": 60, "minute": 60, "h": 3600, "hour": 3600}
_UNITS: dict[float, str] = {1: "s", 60: "minute", 3600: "hour"}
_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """All of ``count`` may come at once."""

    count: int
    seconds: float

    def __str__(self) -> str:
        """As ``read_rate`` reads it."""
        return f"{self.count}/{_UNITS.get(self.seconds, f'{self.seconds:g}s')}"


def read_rate(text: str) -> Rate | None:
    """``10/s``, ``120/minute``, or None for ``off``. Raises: ValueError."""
    if text.strip().lower() == "off":
        return None
    match = _RATE.match(text.strip().lower())
    if match is None:
        raise ValueError("must look like 10/s, 120/minute or off")
    if not 1 <= int(match[1][:9]) <= _MOST:
        raise ValueError(f"must allow 1 to {_MOST}, or be off")
    return Rate(count=int(match[1]), seconds=_SECONDS[match[2]])


START_RATE, READ_RATE = "60/minute", "600/minute"
"""docs/contract.md: of starts and of reads, for each caller and route."""
