"""PostgreSQL: the same tables for any number of nodes.

Way:     opening.py opens it; the stores speak to it as Database
Rule 1:  a piece of work is a transaction that first locks its key (an advisory lock, freed by the
         commit or by the end of the connection): one key, one at a time, on all nodes. A key has
         its lane, so its order holds.
Rule 2:  a BLOB of ours is a vector of 32-bit floats: pgvector's ``vector`` here.
Source:  https://www.psycopg.org/psycopg3/docs/, https://www.postgresql.org/docs/current/
"""

import itertools
import zlib
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql as quoting

from bookline.clocks import SharedClock
from bookline.errors import StoreDown
from bookline.stores.database import BooklineNewer, Keys, Migration, PerProduct, Work, run_script
from bookline.stores.postgres_lanes import Lane, Line, Readers, in_words, nothing
from bookline.stores.postgres_news import Messenger
from bookline.stores.postgres_session import (
    NOW_MS,
    Connection,
    PostgresSession,
    translated_schema,
)
from bookline.threads import result_of

T = TypeVar("T")

LANES = 2  # our choice: as many transactions at once as one process has use for
READERS = 2  # our choice: lists and searches at once
FINDERS = 1  # look-ups by key, which no list holds up
CONNECTIONS: Final = LANES + READERS + FINDERS + 1  # and one to tell and listen
MIGRATING = 0x626F6F6B  # the advisory lock of whoever changes the schema


class Connections:
    """The lanes and readers of one process, shared by all its stores. ``close`` ends all."""

    def __init__(self, url: str, clock: SharedClock, schema: str = "bookline") -> None:
        """``clock`` hears the server's."""
        self.url = url
        self._clock = clock
        self.schema = schema
        self.is_closed = False
        self._line = Line(url, schema)
        self._lanes = [Lane(self._line, f"writer-{number}") for number in range(LANES)]
        self.news = Messenger(self._line, f"{schema}_news")
        self._turns = itertools.count()
        self._readers = Readers(self._line, READERS, "postgres-reader")
        self._finders = Readers(self._line, FINDERS, "postgres-finder")

    def write(self, work: Work[T], key: Keys) -> "Future[T]":
        keys = [key] if isinstance(key, str) else key
        place = zlib.crc32(keys[0].encode()) if keys and keys[0] else next(self._turns)
        return self._lanes[place % LANES].put(work, keys)

    async def read(self, work: Work[T]) -> T:
        return await self._readers.ask(work)

    async def look_up(self, work: Work[T]) -> T:
        return await self._finders.ask(work)

    def settle(self) -> None:
        """Returns when all that waits to be written has been."""
        for done in [lane.put(nothing, ()) for lane in self._lanes]:
            done.exception()

    def migrate(self, name: str, migrations: Sequence[Migration]) -> None:
        """Brings these tables to their newest version; several nodes may start at once."""
        try:
            with self._line.open() as connection:
                _migrate(connection, self.schema, name, migrations)
                _tell_time(connection, self._clock)
        except psycopg.Error as error:
            raise StoreDown(f"cannot open {name}: {in_words(error)}") from error

    def close(self) -> None:
        """Keeps what waits, then closes. Safe twice."""
        if self.is_closed:
            return
        self.is_closed = True
        for lane in self._lanes:
            lane.close()
        self.news.close()
        self._readers.close()
        self._finders.close()


class Postgres:
    """The tables of one store. Fills the port SharedDatabase.

    Raises: StoreDown when they cannot be opened, BooklineNewer for tables of a later version.
    """

    commits_in_order = False

    def __init__(
        self, connections: Connections, name: str, migrations: Sequence[Migration]
    ) -> None:
        self.name = name
        self.connections = connections
        self._is_closed = False
        connections.migrate(name, migrations)

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        return await result_of(self.write_soon(work, key))

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
        if not self._is_closed:
            return self.connections.write(work, key)
        done: Future[T] = Future()
        done.set_exception(StoreDown(f"{self.name} is closed"))
        return done

    async def read(self, work: Work[T]) -> T:
        self._check_open()
        return await self.connections.read(work)

    async def look_up(self, work: Work[T]) -> T:
        self._check_open()
        return await self.connections.look_up(work)

    def announce(self, names: Iterable[str]) -> None:
        self.connections.news.announce(names)

    def changes(self) -> AsyncGenerator[Collection[str] | None, None]:
        self._check_open()
        return self.connections.news.changes()

    def close(self) -> None:
        """Keeps what waits. The connections are shared: whoever opened them closes them."""
        if not self._is_closed:
            self._is_closed = True
            self.connections.settle()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreDown(f"{self.name} is closed")


def _migrate(
    connection: Connection, schema: str, name: str, migrations: Sequence[Migration]
) -> None:
    session = PostgresSession(connection)
    connection.execute("BEGIN")
    connection.execute("SET LOCAL statement_timeout = 0")  # an index of a large table takes longer
    session.execute("SELECT pg_advisory_xact_lock(:lock)", {"lock": MIGRATING})
    _want_vectors(connection)
    connection.execute(
        quoting.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(quoting.Identifier(schema))
    )
    session.execute(
        """CREATE TABLE IF NOT EXISTS schema_versions (
               name TEXT PRIMARY KEY, version BIGINT NOT NULL)"""
    )
    rows = session.execute("SELECT version FROM schema_versions WHERE name = :name", {"name": name})
    version: Any = rows[0]["version"] if rows else 0
    if version > len(migrations):
        raise BooklineNewer(version, len(migrations))
    for migration in migrations[version:]:
        script = migration.postgres if isinstance(migration, PerProduct) else migration
        run_script(session, script, translated_schema)
    session.execute(
        """INSERT INTO schema_versions (name, version) VALUES (:name, :version)
           ON CONFLICT (name) DO UPDATE SET version = excluded.version""",
        {"name": name, "version": len(migrations)},
    )
    connection.execute("COMMIT")


def _tell_time(connection: Connection, clock: SharedClock) -> None:
    asked_at = clock.passed()
    row = connection.execute(f"SELECT {NOW_MS} AS now_ms").fetchone()
    if row is not None:
        clock.hear(row["now_ms"], asked_at)


def _want_vectors(connection: Connection) -> None:
    """Raises: StoreDown when pgvector is not there."""
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
        return
    try:
        connection.execute("CREATE EXTENSION vector SCHEMA public")
    except psycopg.Error as error:
        raise StoreDown(
            f"PostgreSQL has no pgvector ({in_words(error)}): install it on the server, and let "
            "somebody who may run CREATE EXTENSION vector in this database"
        ) from error
