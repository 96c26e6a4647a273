"""A step's policy: how often it is tried again, after how long, and how long a try may take.

Rule 1:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

CONSTANT, LINEAR, EXPONENTIAL = "constant", "linear", "exponential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a step is tried again, and after how long. ``limit`` counts retries, not tries."""

    limit: int
    delay_seconds: float
    backoff: str = EXPONENTIAL

    def delay_after(self, failure: int) -> float:
        """Seconds to wait after the n-th failure (from 1): d, d·n or d·2^(n-1); no jitter."""
        if self.backoff == CONSTANT:
            return self.delay_seconds
        if self.backoff == LINEAR:
            return self.delay_seconds * failure
        return self.delay_seconds * float(2 ** (failure - 1))


def wait_left_seconds(wake_ms: int, delay_ms: int, now_ms: int) -> float:
    """Of a wait that was kept: never more than it was meant to be, wherever the clock was set."""
    return min(wake_ms - now_ms, delay_ms) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step's stored name and its policy."""

    name: str
    retries: Retries
    limit_seconds: float
    """For each try."""
    failed_code: str
    """The error code when a try fails in a way that has no code of its own."""
    timeout_code: str
