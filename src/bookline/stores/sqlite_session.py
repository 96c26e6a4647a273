"""What a piece of work gets on SQLite, on one connection: our SQL, a savepoint of its own.

Way:     sqlite.py and in_memory.py → here → sqlite3
Rule 1:  values are bound, never written into the text; a list is one JSON value, of any length.
"""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from bookline.errors import StoreDown
from bookline.stores.database import BooklineNewer, Migration, PerProduct, Work, run_script

T = TypeVar("T")

BUSY_SECONDS = 30.0
NOTHING: Mapping[str, object] = {}
_LIST = re.compile(r"\bIN (:\w+)")


class SqliteSession:
    """Fills the port Session on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Mapping[str, object] = NOTHING) -> Sequence[sqlite3.Row]:
        text, lists = translated(sql)
        if lists:
            values = {**values, **{name: json.dumps(list(values[name])) for name in lists}}  # type: ignore[call-overload]
        return self._connection.execute(text, values).fetchall()

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        self._connection.executemany(sql, rows)


@cache
def translated(sql: str) -> tuple[str, Sequence[str]]:
    """SQLite's text, and the names of its lists: one JSON value each, so they have no limit."""
    lists = [name[1:] for name in _LIST.findall(sql)]
    return _LIST.sub(r"IN (SELECT value FROM json_each(\1))", sql), lists


def open_file(path: str) -> sqlite3.Connection:
    """``:memory:`` is one that goes with its connection. Raises: sqlite3.Error."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def do_one(
    connection: sqlite3.Connection, name: str, work: Work[T]
) -> tuple[T, None] | tuple[None, BaseException]:
    """What the work returned or raised; what raised has left nothing behind."""
    connection.execute("SAVEPOINT one")
    try:
        value = work(SqliteSession(connection))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to its caller
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        if isinstance(error, sqlite3.Error):
            down = StoreDown(f"{name}: {error}")
            down.__cause__ = error
            return None, down
        return None, error
    connection.execute("RELEASE one")
    return value, None


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Brings the schema to the newest version; several processes may start at once."""
    session = SqliteSession(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise BooklineNewer(version, len(migrations))
        for number, migration in enumerate(migrations[version:], version + 1):
            script = migration.sqlite if isinstance(migration, PerProduct) else migration
            run_script(session, script)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
