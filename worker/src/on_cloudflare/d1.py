"""D1 behind the port Database: what is read is asked at once, what is written goes as one batch.

Way:      stores/library.py, records.py, rollout.py and the list of jobs → here
Rule 1:   D1 has no transaction that reads and writes. A piece of work that names a key counts that
          key's writes up in the same batch; the batch fails when another has counted since, and the
          work is done again. So nothing is lost between two imports of one book.
Rule 2:   the SQL is the stores' own; what D1 takes in another form is translated here.
Source:   https://developers.cloudflare.com/d1/worker-api/d1-database/#batch
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pyodide.ffi import run_sync

from bookline.errors import BooklineError, StoreDown
from bookline.stores.database import Keys, Row, Work
from on_cloudflare.sql import positional

T = TypeVar("T")
TRIES = 10  # of a piece of work that another one overtakes

_SEEN = "SELECT number FROM writes WHERE key = :key"
_FIRST = "INSERT INTO writes (key, number) VALUES (:key, 1)"
# A number that is not the one that was seen becomes NULL, which the column refuses.
_NEXT = "UPDATE writes SET number = CASE WHEN number = :seen THEN number + 1 END WHERE key = :key"
_OVERTAKEN = ("UNIQUE constraint failed: writes.key", "NOT NULL constraint failed: writes.number")


class Overtaken(Exception):
    """Another write of the same key came between."""


class D1Session:
    """Fills the port Session. A statement that writes and answers nothing waits for the batch."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.waiting: list[Any] = []

    def execute(self, sql: str, values: Mapping[str, object] = {}) -> Sequence[Row]:
        text, bound = positional(sql, values)
        statement = self._database.prepare(text)
        if bound:
            statement = statement.bind(*bound)
        words = text.split(None, 1)[0].upper()
        if words not in {"SELECT", "WITH"} and "RETURNING" not in text:
            self.waiting.append(statement)
            return ()
        return [_read(row) for row in run_sync(statement.all())["results"]]

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
        for values in rows:
            self.execute(sql, values)


class D1Database:
    """``database`` is the binding DB."""

    name = "D1"

    def __init__(self, database: Any) -> None:
        self._database = database

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        if not isinstance(key, str):
            raise NotImplementedError("no work on D1 has several keys")
        for _ in range(TRIES):
            try:
                return self._once(work, key)
            except Overtaken:
                continue
        raise StoreDown(f"D1: {TRIES} others wrote {key} at the same time")

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
        raise NotImplementedError("nothing that is kept in D1 is written without waiting")

    async def read(self, work: Work[T]) -> T:
        return self._asked(lambda: work(D1Session(self._database)))

    async def look_up(self, work: Work[T]) -> T:
        return await self.read(work)

    def close(self) -> None:
        """Nothing waits."""

    def _once(self, work: Work[T], key: str) -> T:
        def run() -> T:
            session = D1Session(self._database)
            seen = session.execute(_SEEN, {"key": key}) if key else ()
            value = work(session)
            if not session.waiting:
                return value
            if key:
                number = seen[0]["number"] if seen else None
                count = (_NEXT, {"key": key, "seen": number}) if seen else (_FIRST, {"key": key})
                session.execute(*count)
            run_sync(self._database.batch(session.waiting))
            return value

        return self._asked(run)

    def _asked(self, run: Callable[[], T]) -> T:
        try:
            return run()
        except BooklineError:
            raise
        except Exception as error:
            said = str(error).strip().splitlines()[-1]
            if any(one in said for one in _OVERTAKEN):
                raise Overtaken from error
            raise StoreDown(f"D1: {said}") from error


def _read(row: Mapping[str, Any]) -> Row:
    """Bytes come as a list of numbers."""
    return {name: bytes(value) if isinstance(value, list) else value for name, value in row.items()}
