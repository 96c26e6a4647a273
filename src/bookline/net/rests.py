"""Until when which provider is left alone, as all processes of a deployment know it.

Way:      pace.py asks before each question; app.py asks for ``/readyz`` and the metrics
Rule 1:   what this process learns holds here at once; what others learn, a tenth of a second later:
          no longer than a question of ours may be under way anyway.
Rule 2:   a store that is away keeps no provider from being asked.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bookline.circuit import pause_after, state_of
from bookline.errors import StoreDown
from bookline.job import TITLES
from bookline.limits import Limits

FRESH_SECONDS = 0.1
LONGEST_HOLD_SECONDS = 60.0  # as long as a retry waits when it is told to
LONGEST_QUOTA_SECONDS = 86_400.0  # our choice; no quota is counted over more than a day
HOLD, CIRCUIT, QUOTA = "hold", "circuit", "quota"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Why one provider is left alone, and for how many seconds still."""

    hold: float = 0.0
    """It said when to come back."""
    quota: float = 0.0
    """Its quota of the day is used up."""
    circuit: float | None = None
    """Its circuit is open; at 0 somebody may look whether it answers again. None: it is closed."""

    @property
    def is_none(self) -> bool:
        return self.hold <= 0 and self.quota <= 0 and self.circuit is None

    @property
    def state(self) -> str:
        """The circuit's."""
        return state_of(self.circuit)


class Rests:
    """``passed`` gives seconds that only rise."""

    def __init__(self, limits: Limits, passed: Callable[[], float]) -> None:
        self._limits = limits
        self._passed = passed
        self._names: set[str] = set()
        self._known: Mapping[str, Rest] = {}
        self._read_at = 0.0
        self._reading = asyncio.Lock()
        self._changes = 0

    def known(self, provider: str) -> Rest | None:
        """What was read a moment ago; None when it must be read anew."""
        is_fresh = self._passed() - self._read_at < FRESH_SECONDS
        return self._known.get(provider) if is_fresh else None

    async def of(self, provider: str) -> Rest:
        """What holds now."""
        async with self._reading:
            if (known := self.known(provider)) is not None:
                return known
            self._names.add(provider)
            try:
                return (await self.read(self._names))[provider]
            except StoreDown:
                return Rest()

    async def read(self, providers: set[str]) -> Mapping[str, Rest]:
        """Raises: StoreDown."""
        changes, now = self._changes, self._passed()
        keys = [f"{kind}:{name}" for kind in (HOLD, QUOTA, CIRCUIT) for name in providers]
        held = await self._limits.held(keys)
        rests = {
            name: Rest(
                hold=held.get(f"{HOLD}:{name}", 0.0),
                quota=held.get(f"{QUOTA}:{name}", 0.0),
                circuit=held.get(f"{CIRCUIT}:{name}"),
            )
            for name in providers
        }
        if changes == self._changes and self._names <= providers:
            self._known, self._read_at = rests, now
        return rests

    async def hold(self, provider: str, seconds: float) -> None:
        """Nobody asks it for so long, at most a minute. Never fails."""
        await self._keep(HOLD, provider, min(seconds, LONGEST_HOLD_SECONDS))

    async def spend(self, provider: str, seconds: float) -> None:
        """Nobody asks it until its quota begins anew. Never fails."""
        wait = min(seconds, LONGEST_QUOTA_SECONDS)
        log.warning("%s: the quota of the day is used up", title(provider))
        await self._keep(QUOTA, provider, wait)

    async def open(self, provider: str) -> None:
        """It does not answer: imports wait. Raises: StoreDown."""
        if (await self.read({provider}))[provider].circuit is None:
            log.warning("%s is not answering; imports wait for it", title(provider))
            await self._limits.hold_anew(f"{CIRCUIT}:{provider}", pause_after)
        self._forget()

    async def probe(self, provider: str) -> bool:
        """Whether the question that finds out is ours; one of all processes asks it, and the pause
        behind it is kept before. Raises: StoreDown.
        """
        is_ours = await self._limits.hold_anew(f"{CIRCUIT}:{provider}", pause_after)
        self._forget()
        return is_ours

    async def close(self, provider: str) -> None:
        """It answers again. Never fails."""
        log.warning("%s answers again", title(provider))
        try:
            await self._limits.free(f"{CIRCUIT}:{provider}")
        except StoreDown as error:
            log.warning("this is not kept, the next answer tells it again: %s", error)
        self._forget()

    async def _keep(self, kind: str, provider: str, seconds: float) -> None:
        try:
            await self._limits.hold(f"{kind}:{provider}", seconds)
        except StoreDown as error:
            log.warning("%s wants %g s of rest; not kept: %s", title(provider), seconds, error)
        self._forget()

    def _forget(self) -> None:
        self._changes += 1
        self._known = {}


def title(provider: str) -> str:
    """Its name for people."""
    return TITLES.get(provider, provider)


def check_answering(rests: Mapping[str, Rest]) -> None:
    """Raises: StoreDown that says which providers do not answer."""
    silent = [title(provider) for provider, rest in rests.items() if rest.circuit is not None]
    if silent:
        are = "is" if len(silent) == 1 else "are"
        raise StoreDown(f"{' and '.join(silent)} {are} not answering; imports wait")
