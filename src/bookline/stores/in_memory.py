"""SQLite's tables without a file, for tests and for trying things out.

Way:     opening.py opens them; the stores speak to them as Database
"""

import threading
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from bookline.errors import StoreDown
from bookline.stores.database import Keys, Migration, Work
from bookline.stores.sqlite import polled
from bookline.stores.sqlite_session import do_one, migrate, open_file

T = TypeVar("T")


class InMemory:
    """The same tables without a file: each piece of work is done at once, in the caller's thread.

    Fills the port SharedDatabase, for tests and for trying things out.
    """

    commits_in_order = True

    def __init__(self, migrations: Sequence[Migration]) -> None:
        self.name = "memory"
        self._closed = False
        self._connection = open_file(":memory:")
        self._session = threading.RLock()
        migrate(self._connection, migrations)

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        return self.write_soon(work).result()

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
        done: Future[T] = Future()
        if self._closed:
            done.set_exception(StoreDown("memory is closed"))
            return done
        with self._session:
            self._connection.execute("BEGIN")
            value, failure = do_one(self._connection, self.name, work)
            self._connection.execute("COMMIT")
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(value)  # type: ignore[arg-type]
        return done

    async def read(self, work: Work[T]) -> T:
        return self.write_soon(work).result()

    async def look_up(self, work: Work[T]) -> T:
        return self.write_soon(work).result()

    def announce(self, names: Iterable[str]) -> None:
        """Nobody else is there."""

    def changes(self) -> AsyncGenerator[Collection[str] | None, None]:
        return polled(self._version)

    def _version(self) -> int:
        if self._closed:
            raise StoreDown("memory is closed")
        return self._connection.total_changes

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close()
