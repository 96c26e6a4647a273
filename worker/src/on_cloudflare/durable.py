"""A Durable Object's own SQLite. Fills the port Database.

Way:     room.py opens it; the journal speaks to it as Database
Rule 1:  one object is one thread: a piece of work is done when it is asked for, in one transaction.
Source:  https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pyodide.ffi import JsException, create_once_callable

from bookline.errors import StoreDown
from bookline.stores.database import Keys, Session, Work
from on_cloudflare.sql import positional

T = TypeVar("T")
_SCHEMA = "schema"
# The platform's own tables begin with an underscore, SQLite's with its name.
_TABLES = """SELECT name FROM sqlite_master WHERE type = 'table'
             AND substr(name, 1, 1) <> '_' AND substr(name, 1, 7) <> 'sqlite_'"""


class DurableSession:
    """Fills the port Session."""

    def __init__(self, sql: Any) -> None:
        self._sql = sql

    def execute(self, sql: str, values: Mapping[str, object] = {}) -> Sequence[dict[str, Any]]:
        text, bound = positional(sql, values)
        return list(self._sql.exec(text, *bound).toArray())

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        for values in rows:
            self.execute(sql, values)


class DurableDatabase:
    """``storage`` is the object's ``ctx.storage``; it has no tables until ``prepare``.

    ``statements`` make the tables, each of which begins with ``CREATE``.
    """

    name = "the Durable Object"

    def __init__(self, storage: Any, statements: Sequence[str]) -> None:
        self._storage = storage
        self._statements = statements
        self._session = DurableSession(storage.sql)
        kept = storage.kv.get(_SCHEMA)
        self.is_empty = kept is None
        if kept is not None and kept != self._schema:
            self._in_transaction(self._make_anew)
            storage.kv.put(_SCHEMA, self._schema)

    @property
    def _schema(self) -> str:
        return hashlib.sha256("\n".join(self._statements).encode()).hexdigest()

    def prepare(self) -> None:
        """Makes the tables where there are none."""
        if self.is_empty:
            self._in_transaction(self._make)
            self._storage.kv.put(_SCHEMA, self._schema)
            self.is_empty = False

    def _make(self, session: Session) -> None:
        for statement in self._statements:
            session.execute(statement)

    def _make_anew(self, _: Session) -> None:
        """The tables as a newer Worker has them, with what the older one kept in them."""
        session, kept = self._session, {}
        for table in session.execute(_TABLES):
            name = table["name"]
            kept[name] = session.execute(f"SELECT * FROM {name}")
            session.execute(f"DROP TABLE {name}")
        self._make(session)
        for name, rows in kept.items():
            known = {row["name"] for row in session.execute(f"PRAGMA table_info({name})")}
            for row in rows:
                columns = [column for column in row if column in known]
                values = ", ".join(f":{column}" for column in columns)
                session.execute(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({values})", row)

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        return self._in_transaction(work)

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
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
