"""The fallback store in memory: for tests, and for trying things out."""

from collections.abc import Sequence

from bookline.stores.key_value import Clock, read_value, write_value
from bookline.values import Json


class MemoryKeyValue:
    """Promises what ``SqliteKeyValue`` does, except that nothing outlives the process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[str, int]] = {}

    async def keep(
        self, key: str, value: Json, *, ttl_seconds: float, if_value: Json | None
    ) -> bool:
        self._purge()
        there = self._entries.get(key)
        if (there and there[0]) != (None if if_value is None else write_value(if_value)):
            return False
        self._entries[key] = write_value(value), self._clock() + round(ttl_seconds * 1000)
        return True

    async def find(self, key: str) -> Json | None:
        self._purge()
        entry = self._entries.get(key)
        return None if entry is None else read_value(key, entry[0])

    async def keys(self, prefix: str) -> Sequence[str]:
        """Sorted."""
        self._purge()
        return sorted(key for key in self._entries if key.startswith(prefix))

    async def remove(self, key: str, *, if_value: Json) -> bool:
        self._purge()
        entry = self._entries.get(key)
        if entry is None or entry[0] != write_value(if_value):
            return False
        del self._entries[key]
        return True

    async def close(self) -> None:
        """Nothing to do."""

    def _purge(self) -> None:
        now = self._clock()
        self._entries = {key: one for key, one in self._entries.items() if one[1] > now}
