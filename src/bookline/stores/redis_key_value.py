"""The fallback store in Redis, or what speaks its protocol (Valkey, KeyDB).

Rule 1:  every wait is limited; a server that does not answer is StoreDown, not a hanging import.
Rule 2:  KEYS is never used: it stops a big server. SCAN may give a key twice, so a set is made.
Source:  https://redis.io/docs/latest/commands/ (SET PX, SCAN, EVAL)
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NoAnswer

from bookline.errors import Refused, StoreDown
from bookline.stores.key_value import read_value, write_value
from bookline.values import Json

CONNECT_SECONDS = 2.0  # our choice
READ_SECONDS = 5.0  # our choice; a third of what a try of the save step may take
MOST_CONNECTIONS = 8  # our choice; more questions at once wait for a free one
SCAN_COUNT = 500  # keys looked at in one question
_REASONS: Mapping[type[Exception], str] = {
    NoConnection: "it could not be reached",
    NoAnswer: "it did not answer in time",
}
"""Why it failed, in words; else the name of the error, which names no secret either."""

_KEEP_IF = (
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"
)
_REMOVE_IF = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class RedisKeyValue:
    """Entries of one Redis database. Connects at the first use. Raises: StoreDown.

    Raises: Refused from its making, for a URL that cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=MOST_CONNECTIONS,
                timeout=read_seconds,
                decode_responses=True,
                encoding_errors="replace",
                socket_connect_timeout=connect_seconds,
                socket_timeout=read_seconds,
                retry=Retry(NoBackoff(), 1),  # a connection that died idle; steps do the rest
            )
        except ValueError as error:
            raise Refused("INVALID_REQUEST", "the redis:// address cannot be read") from error
        self._redis: Redis = Redis.from_pool(pool)

    async def keep(
        self, key: str, value: Json, *, ttl_seconds: float, if_value: Json | None
    ) -> bool:
        """False, and nothing kept, unless ``if_value`` is there now (None: nothing is).

        The time to live begins anew.
        """
        text, ttl_ms = write_value(value), max(1, round(ttl_seconds * 1000))
        async with _ours("keep"):
            if if_value is None:
                is_kept = bool(await self._redis.set(key, text, px=ttl_ms, nx=True))
                if is_kept or await self.find(key) is not None:
                    return is_kept
                return bool(await self._redis.set(key, text, px=ttl_ms))  # over what is no value
            seen = write_value(if_value)
            return bool(await self._redis.eval(_KEEP_IF, 1, key, seen, text, ttl_ms))

    async def find(self, key: str) -> Json | None:
        async with _ours("find"):
            text = await self._redis.get(key)
        return None if text is None else read_value(key, str(text))

    async def keys(self, prefix: str) -> Sequence[str]:
        """Sorted."""
        pattern = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix) + "*"
        async with _ours("list"):
            found = {key async for key in self._redis.scan_iter(match=pattern, count=SCAN_COUNT)}
        return sorted(found)

    async def remove(self, key: str, *, if_value: Json) -> bool:
        """False, and nothing removed, when the value is another by now."""
        async with _ours("remove"):
            removed = await self._redis.eval(_REMOVE_IF, 1, key, write_value(if_value))
        return bool(removed == 1)

    async def close(self) -> None:
        """Safe twice."""
        async with _ours("close"):
            await self._redis.aclose()


@asynccontextmanager
async def _ours(what: str) -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        reason = _REASONS.get(type(error), type(error).__name__)
        raise StoreDown(f"Redis did not {what}: {reason}") from error
