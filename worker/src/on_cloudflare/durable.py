"""A Durable Object's own SQLite. Fills the port Database.

Way:     room.py opens it; the journal speaks to it as Database
Rule 1:  one object is one thread: a piece of work is done when it is asked for, in one transaction.
Source:  https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pyodide.ffi import JsException, create_once_callable

from bookline.errors import StoreDown
from bookline.stores.database import (
    BooklineNewer,
    Migration,
    PerProduct,
    Row,
    Work,
    run_script,
)
from on_cloudflare.sql import positional

T = TypeVar("T")
_VERSION = "schema"


class DurableSession:
    """Fills the port Session."""

    def __init__(self, sql: Any) -> None:
        self._sql = sql

    def execute(self, sql: str, values: Mapping[str, object] = {}) -> Sequence[Row]:
        text, bound = positional(sql, values)
        return list(self._sql.exec(text, *bound).toArray())


class DurableDatabase:
    """``storage`` is the object's ``ctx.storage``; it has no tables until ``prepare``."""

    name = "the Durable Object"

    def __init__(self, storage: Any, migrations: Sequence[Migration]) -> None:
        self._storage = storage
        self._migrations = migrations
        self._session = DurableSession(storage.sql)
        self.is_empty = storage.kv.get(_VERSION) is None

    def prepare(self) -> None:
        """Makes the tables, or brings them to the newest version. Raises: BooklineNewer."""
        version = self._storage.kv.get(_VERSION) or 0
        if version > len(self._migrations):
            raise BooklineNewer(version, len(self._migrations))
        if version < len(self._migrations):
            self._in_transaction(lambda session: _migrate(session, self._migrations[version:]))
            self._storage.kv.put(_VERSION, len(self._migrations))
        self.is_empty = False

    async def write(self, work: Work[T], key: str = "") -> T:
        return self._in_transaction(work)

    def write_soon(self, work: Work[T], key: str = "") -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(self._in_transaction(work))
        except Exception as error:
            done.set_exception(error)
        return done

    async def read(self, work: Work[T]) -> T:
        return self._in_transaction(work)

    async def look_up(self, work: Work[T]) -> T:
        return self._in_transaction(work)

    commits_in_order = True

    def announce(self, names: Iterable[str]) -> None:
        """Nobody else has these tables."""

    async def changes(self) -> AsyncIterator[Collection[str] | None]:
        return
        yield None

    def close(self) -> None:
        """Nothing waits."""

    def _in_transaction(self, work: Work[T]) -> T:
        """What the work returns. What it raises rolls back, and comes out as it was raised."""
        kept: list[T] = []
        raised: list[Exception] = []

        def run() -> None:
            try:
                kept.append(work(self._session))
            except Exception as error:
                raised.append(error)
                raise

        try:
            self._storage.transactionSync(create_once_callable(run))
        except JsException as error:
            if not raised or isinstance(raised[0], JsException):
                raise StoreDown(f"{self.name}: {str(error).splitlines()[-1]}") from error
        if raised:
            raise raised[0]
        return kept[0]


def _migrate(session: DurableSession, migrations: Sequence[Migration]) -> None:
    for migration in migrations:
        run_script(session, migration.sqlite if isinstance(migration, PerProduct) else migration)
