"""A SQLite file: one writer that commits in groups, one reader, migrations.

Way:     sqlite_journal, sqlite_library, sqlite_key_value → here
Rule 1:  one writer per file and process: a thread takes all that waits, in order, into one
         transaction. A group's commit costs what one costs, so load makes it cheaper.
Rule 2:  each piece of work stands alone: one that fails is rolled back to its savepoint.
Rule 3:  no sqlite3 error leaves: StoreDown.
Source:  https://sqlite.org/wal.html; ``synchronous=NORMAL`` in WAL survives a killed process, and
         loses at most the last commits (never the file) when the machine loses power.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bookline.errors import BooklineError, StoreDown

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
_Item = tuple[Work[object], Future[object]]

BUSY_SECONDS = 30.0
GROUP_MOST = 500  # pieces of work in one transaction: bounds the time one commit may take
QUEUE_MOST = 50_000  # waiting pieces; more is refused, not kept


class Sqlite:
    """One database file. ``write`` and ``read`` may be called from any event loop or thread."""

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        *,
        on_connect: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = path
        self._on_connect = on_connect
        self._queue: queue.Queue[_Item | None] = queue.Queue(QUEUE_MOST)
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            _migrate(self._writer, migrations)
            self._reader = self._connect(read_only=True)
        except (sqlite3.Error, OSError) as error:
            raise StoreDown(f"cannot open {path.name}: {error}") from error
        self._read_lock = threading.Lock()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-reader")
        self._thread = threading.Thread(
            target=self._write_groups, name=f"{path.stem}-writer", daemon=True
        )
        self._thread.start()

    async def write(self, work: Work[T]) -> T:
        """What ``work`` returns, after its commit.

        Raises: what of ours ``work`` raises; StoreDown when SQLite does not take it.
        """
        return await asyncio.wrap_future(self.write_soon(work))

    def write_soon(self, work: Work[T]) -> "Future[T]":
        """The same without waiting: work is done in the order of these calls."""
        done: Future[T] = Future()
        if self._closed:
            done.set_exception(StoreDown(f"{self.path.name} is closed"))
            return done
        try:
            self._queue.put_nowait((work, done))  # type: ignore[arg-type]
        except queue.Full:
            done.set_exception(StoreDown(f"{QUEUE_MOST} writes wait for {self.path.name}"))
        return done

    async def read(self, work: Work[T]) -> T:
        """What ``work`` returns, in the reader's thread. Raises: StoreDown, ours."""
        if self._closed:
            raise StoreDown(f"{self.path.name} is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self.read_now, work)

    def read_now(self, work: Work[T]) -> T:
        """The same in the caller's thread: for look-ups by key (about 20 µs), not for lists."""
        with self._read_lock:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise StoreDown(f"{self.path.name}: {error}") from error

    def close(self) -> None:
        """Takes what waits to disk, then closes. Safe twice."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown(wait=True)
        with self._read_lock:
            self._reader.close()
        self._writer.close()

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        if self._on_connect is not None:
            self._on_connect(connection)
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _write_groups(self) -> None:
        while True:
            group = self._next_group()
            live = [item for item in group if item is not None]
            if live:
                self._write_group(live)
            if len(live) < len(group):
                return

    def _next_group(self) -> list[_Item | None]:
        group = [self._queue.get()]
        while len(group) < GROUP_MOST and group[-1] is not None:
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return group

    def _write_group(self, group: Sequence[_Item]) -> None:
        results: list[tuple[Future[object], object, BaseException | None]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for work, done in group:
                if done.set_running_or_notify_cancel():
                    results.append((done, *self._one(work)))
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            down = StoreDown(f"{self.path.name}: {error}")
            for _, done in group:
                if not done.done() and not done.cancelled():
                    with contextlib.suppress(Exception):
                        done.set_exception(down)
            return
        for done, value, failure in results:
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(value)

    def _one(self, work: Work[object]) -> tuple[object, BaseException | None]:
        self._writer.execute("SAVEPOINT one")
        try:
            value = work(self._writer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to its caller
            self._writer.execute("ROLLBACK TO one")
            self._writer.execute("RELEASE one")
            if isinstance(error, sqlite3.Error):
                down = StoreDown(f"{self.path.name}: {error}")
                down.__cause__ = error
                return None, down
            return None, error
        self._writer.execute("RELEASE one")
        return value, None


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Brings the schema to the newest version; several processes may start at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(migrations):
            raise BooklineNewer(version, len(migrations))
        for number, script in enumerate(migrations[version:], version + 1):
            for statement in filter(None, map(str.strip, script.split(";\n"))):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


class BooklineNewer(BooklineError):
    """The file was written by a newer Bookline."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return (
            f"the database has schema {self.found}, this Bookline knows {self.known}: "
            "run the newer Bookline, or restore a backup from before it"
        )
