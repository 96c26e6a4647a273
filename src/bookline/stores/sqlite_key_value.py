"""The fallback store in a SQLite file.

Rule 1:  an entry whose time is over is never given, and goes at the next write.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

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

_AFTER_ALL = "\U0010ffff"  # sorts behind every character that our keys have


class SqliteKeyValue:
    """One file of entries. Raises: StoreDown, also from its making."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._file = Sqlite(path, MIGRATIONS)
        self._clock = clock

    async def keep(self, key: str, value: Json, *, ttl_seconds: float) -> None:
        """In place of an older value; the time to live begins anew."""
        now, text = self._clock(), write_value(value)
        ends = now + round(ttl_seconds * 1000)

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entries WHERE expires_at_ms <= ?", (now,))
            connection.execute("REPLACE INTO entries VALUES (?, ?, ?)", (key, text, ends))

        await self._file.write(keep)

    async def find(self, key: str) -> Json | None:
        query = "SELECT value FROM entries WHERE key = ? AND expires_at_ms > ?"
        values = (key, self._clock())
        row = await self._file.read(lambda connection: connection.execute(query, values).fetchone())
        return None if row is None else read_value(key, row["value"])

    async def keys(self, prefix: str) -> Sequence[str]:
        """Sorted."""
        query = (
            "SELECT key FROM entries WHERE key >= ? AND key < ? AND expires_at_ms > ? ORDER BY key"
        )
        values = (prefix, prefix + _AFTER_ALL, self._clock())
        rows = await self._file.read(
            lambda connection: connection.execute(query, values).fetchall()
        )
        return [row["key"] for row in rows]

    async def remove(self, key: str, *, if_value: Json) -> bool:
        """False, and nothing removed, when the value is another by now."""
        query = "DELETE FROM entries WHERE key = ? AND value = ? AND expires_at_ms > ?"
        values = (key, write_value(if_value), self._clock())
        removed = await self._file.write(
            lambda connection: connection.execute(query, values).rowcount
        )
        return removed == 1

    async def close(self) -> None:
        """What waits goes to disk first. Safe twice."""
        await in_thread(self._file.close)
