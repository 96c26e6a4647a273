"""How often somebody may ask, counted for all processes of a deployment together.

Way:      caller_limits.py, api/ and net/ speak to these ports; stores/limits.py fills them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether one more is allowed now."""

    is_allowed: bool
    remaining: int
    """How many more could follow at once."""
    wait_seconds: float
    """Until the next is allowed; 0 when this one is."""
    reset_seconds: float
    """Until the whole allowance is there again."""


class Allowances(Protocol):
    """How often callers may ask, shared by all processes of a deployment.

    A clock that is set back makes no wait longer.
    """

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        """One of ``count`` in ``seconds``, all of which may come at once. Raises: StoreDown."""
        ...

    async def spend(self, key: str, seconds: float) -> None:
        """Takes so many seconds of a key's allowance, whatever is left of it; below 0 gives back.

        Raises: StoreDown.
        """
        ...

    async def ahead(self, key: str) -> float:
        """Seconds until a key's whole allowance is back; asks, and writes nothing.

        Raises: StoreDown.
        """
        ...


class Limits(Allowances, Protocol):
    """The same for what we ask: turns, and until when somebody is left alone."""

    async def reserve(self, key: str, count: int, seconds: float, turns: int = 1) -> Lease:
        """So many turns, which are ours now: ``count`` at once, then evenly spaced."""
        ...

    def give_back(self, key: str, lease: Lease, turns: int) -> None:
        """The last ones of a lease were not used; nothing happens where others come after them.

        Returns at once and never fails.
        """
        ...

    async def hold(self, key: str, seconds: float) -> None:
        """From now on ``held`` says so many seconds, and counts down. Raises: StoreDown."""
        ...

    async def held(self, keys: Collection[str]) -> Mapping[str, float]:
        """Seconds left of each last hold; 0 where it is over or the clock was set back since.

        Raises: StoreDown.
        """
        ...

    async def hold_anew(self, key: str, seconds: Callable[[float | None], float]) -> bool:
        """A hold of so many seconds, given the length of the last one (None: there was none), of
        which one of all processes gets True; False while a hold lasts. Raises: StoreDown.
        """
        ...

    async def free(self, key: str) -> None:
        """There was no hold. Raises: StoreDown."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """Some turns, in their order."""

    waits: Sequence[float]
    """Seconds until each of them."""
    each_seconds: float
    """What one of them takes of the rate."""
    until: float
    """The row's mark, by which it is known that nobody came after them."""
