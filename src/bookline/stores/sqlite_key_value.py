"""The fallback store in a SQLite file.

Rule 1:  an entry whose time is over is never given, and goes at the next write.
"""

from collections.abc import Sequence
from pathlib import Path

from bookline.stores.database import Session
from bookline.stores.key_value import Clock, read_value, write_value
from bookline.stores.sqlite import Sqlite
from bookline.threads import in_thread
from bookline.values import Json

MIGRATIONS = (
    """
    CREATE TABLE entries (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL
    );
    CREATE INDEX entries_by_end ON entries (expires_at_ms);
    """,
)

_INSERT = """
    INSERT INTO entries (key, value, expires_at_ms) VALUES (:key, :value, :ends)
    ON CONFLICT (key) DO NOTHING RETURNING key
"""
_REPLACE = """
    UPDATE entries SET value = :value, expires_at_ms = :ends
    WHERE key = :key AND value = :seen RETURNING key
"""
_AFTER_ALL = "\U0010ffff"  # sorts behind every character that our keys have


class SqliteKeyValue:
    """One file of entries. Raises: StoreDown, also from its making."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._file = Sqlite(path, MIGRATIONS)
        self._clock = clock

    async def keep(
        self, key: str, value: Json, *, ttl_seconds: float, if_value: Json | None
    ) -> bool:
        """False, and nothing kept, unless ``if_value`` is there now (None: nothing is).

        The time to live begins anew.
        """
        now = self._clock()
        values = {"key": key, "value": write_value(value), "ends": now + round(ttl_seconds * 1000)}
        seen = None if if_value is None else write_value(if_value)

        def work(session: Session) -> bool:
            session.execute("DELETE FROM entries WHERE expires_at_ms <= :now", {"now": now})
            if seen is not None:
                return bool(session.execute(_REPLACE, {**values, "seen": seen}))
            if session.execute(_INSERT, values):
                return True
            there = session.execute("SELECT value FROM entries WHERE key = :key", {"key": key})
            if read_value(key, there[0]["value"]) is not None:
                return False
            return bool(session.execute(_REPLACE, {**values, "seen": there[0]["value"]}))

        return await self._file.write(work)

    async def find(self, key: str) -> Json | None:
        query = "SELECT value FROM entries WHERE key = :key AND expires_at_ms > :now"
        values = {"key": key, "now": self._clock()}
        rows = await self._file.look_up(lambda session: session.execute(query, values))
        return read_value(key, rows[0]["value"]) if rows else None

    async def keys(self, prefix: str) -> Sequence[str]:
        """Sorted."""
        query = """SELECT key FROM entries WHERE key >= :first AND key < :last
                   AND expires_at_ms > :now ORDER BY key"""
        values = {"first": prefix, "last": prefix + _AFTER_ALL, "now": self._clock()}
        rows = await self._file.read(lambda session: session.execute(query, values))
        return [row["key"] for row in rows]

    async def remove(self, key: str, *, if_value: Json) -> bool:
        """False, and nothing removed, when the value is another by now."""
        query = """DELETE FROM entries WHERE key = :key AND value = :value
                   AND expires_at_ms > :now RETURNING key"""
        values = {"key": key, "value": write_value(if_value), "now": self._clock()}
        return bool(await self._file.write(lambda session: session.execute(query, values)))

    async def close(self) -> None:
        """What waits goes to disk first. Safe twice."""
        await in_thread(self._file.close)
