"""How often a caller may ask: each caller's allowances in a Durable Object of its own.

Way:      http.py → ``Callers`` → ``CallerLimitsDO`` → caller_limits.py, stores/limits.py
Rule 1:   a start writes one row. Reads are counted in the object's memory, which lives while they
          come: they write nothing.
Rule 2:   an object that cannot be asked stops nobody.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from object_schema import OF_LIMITS
from workers import DurableObject

from bookline.api import limit_rules
from bookline.caller_limits import CallerLimits
from bookline.limits import Turn
from bookline.rates import Rate
from bookline.stores.limits import FORGET_SECONDS, SqlLimits
from on_cloudflare.durable import DurableDatabase
from on_cloudflare.plain import dump, load, now_ms

log = logging.getLogger(__name__)


class _NobodyElse:
    """Fills the port Allowances: an object is the only one that counts its caller's reads."""

    async def take(self, key: str, count: int, seconds: float) -> Turn:
        raise NotImplementedError("starts are kept in the object's table")

    async def spend(self, key: str, seconds: float) -> None:
        """It is counted already."""

    async def ahead(self, key: str) -> float:
        return 0.0


class CallerLimitsDO(DurableObject):
    """Named by the caller: his key or his address."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._database = DurableDatabase(ctx.storage, OF_LIMITS)
        self._starts = SqlLimits(self._database, now_ms)
        self._reads = CallerLimits(_NobodyElse())

    async def take(self, text: str) -> str:
        """``{"key", "count", "seconds", "starts"}`` → the turn."""
        asked = load(text)
        wanted = asked["key"], asked["count"], asked["seconds"]
        if not asked["starts"]:
            return dump(asdict(await self._reads.take_lightly(*wanted)))
        if self._database.is_empty:
            self._database.prepare()
            await self.ctx.storage.setAlarm(now_ms() + round(FORGET_SECONDS * 1000))
        return dump(asdict(await self._starts.take(*wanted)))

    async def give_back(self, key: str, seconds: float) -> None:
        """The start did not count."""
        await self._starts.spend(key, -seconds)

    async def alarm(self, info: Any = None) -> None:
        """Once in a while a caller is forgotten; one who still comes has his last starts again."""
        await self.ctx.storage.deleteAll()
        self._database.is_empty = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """``namespace`` is the binding CALLER_LIMITS; None for a rate is no limit."""

    namespace: Any
    start: Rate | None
    read: Rate | None

    async def take(
        self, caller: str, method: str, path: str, route: str, *, starts: bool
    ) -> tuple[Rate, Turn] | None:
        """What the limit says, if there is one."""
        rate = self.start if starts else self.read
        if self.namespace is None or rate is None or not limit_rules.is_limited(path):
            return None
        key = limit_rules.key_of(caller, method, route, starts=starts)
        asked = {"key": key, "count": rate.count, "seconds": rate.seconds, "starts": starts}
        try:
            told = await self.namespace.getByName(caller or "nobody").take(dump(asked))
        except Exception as error:
            log.warning("a caller is not limited: %s", str(error).splitlines()[-1])
            return None
        return rate, Turn(**load(told))

    async def give_back(self, caller: str, method: str) -> None:
        """The caller's last start was refused."""
        if self.namespace is None or self.start is None:
            return
        key = limit_rules.key_of(caller, method, None, starts=True)
        each = self.start.seconds / self.start.count
        try:
            await self.namespace.getByName(caller or "nobody").give_back(key, each)
        except Exception as error:
            log.warning("a refused start counts: %s", str(error).splitlines()[-1])
