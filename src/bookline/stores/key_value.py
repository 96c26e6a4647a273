"""The fallback store by its URL, and the one form in which every such store holds a value.

Way:     app.py → ``open_key_value``; the adapters → ``write_value``, ``read_value``
Rule 1:  equal values have equal text, so that a store can compare without reading.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bookline.errors import Refused
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.stores.memory_key_value import MemoryKeyValue
    from bookline.stores.redis_key_value import RedisKeyValue
    from bookline.stores.sqlite_key_value import SqliteKeyValue

log = logging.getLogger(__name__)

FILE_NAME = "fallback.db"
Clock = Callable[[], int]
"""Epoch milliseconds."""


def open_key_value(
    url: str | None, data_dir: Path, *, clock: Clock | None = None
) -> "SqliteKeyValue | RedisKeyValue | MemoryKeyValue":
    """The store that ``BOOKLINE_KV_URL`` names; without one, a file below ``data_dir``.

    ``sqlite:///file`` (relative) or ``sqlite:////file`` (absolute), ``redis://…``, ``rediss://…``,
    ``unix://…``, ``memory://``. By ``clock`` an entry's time is over; Redis has its own.

    Raises: Refused for another URL; StoreDown when the file cannot be opened.
    """
    from bookline.stores.memory_key_value import MemoryKeyValue
    from bookline.stores.sqlite_key_value import SqliteKeyValue

    clock = clock or _now_ms
    scheme, _, rest = (url or "").partition("://")
    if not url:
        return SqliteKeyValue(data_dir / FILE_NAME, clock=clock)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteKeyValue(Path(rest[1:]), clock=clock)
    if scheme in {"redis", "rediss", "unix"}:
        from bookline.stores.redis_key_value import RedisKeyValue

        return RedisKeyValue(url)
    if scheme == "memory":
        return MemoryKeyValue(clock=clock)
    # The URL itself may hold a password: only its scheme is told.
    message = f"a fallback store is sqlite:///…, redis://… or memory://, not {scheme or '?'}://"
    raise Refused("INVALID_REQUEST", message)


def write_value(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def read_value(key: str, text: str) -> Json | None:
    """None, with a warning in the log, for text that ``write_value`` did not write."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    log.warning("the fallback store holds something unreadable under %s", key)
    return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
