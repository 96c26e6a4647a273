"""A SQLite file: a writer that commits in groups, a reader for lists, another for look-ups.

Way:     opening.py opens it; the stores speak to it as Database
Rule 1:  one thread writes per file and process: it takes all that waits, in order, into one
         transaction. A group's commit costs what one costs, so load makes it cheaper.
Rule 2:  each piece of work stands alone: one that fails is rolled back to its savepoint.
         SQLite has one writer, so no two pieces of work run at the same time, whatever their key.
Rule 3:  brief work of one pass of the event loop is done there (brief_writes.py), but never before
         work that waits for the writer's thread.
Rule 4:  look-ups by key (about 20 µs) run in the caller's thread, on a connection of their own.
Source:  https://sqlite.org/wal.html; ``synchronous=NORMAL`` in WAL survives a killed process, and
         loses at most the last commits (never the file) when the machine loses power.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bookline.errors import StoreDown
from bookline.stores.brief_writes import BriefWrites, Item
from bookline.stores.database import (
    Keys,
    Migration,
    Session,
    Work,
)
from bookline.stores.sqlite_session import SqliteSession, do_one, migrate, open_file
from bookline.stores.write_ahead_log import CHECKPOINT_WRITES, checkpoint
from bookline.threads import result_of

T = TypeVar("T")

GROUP_MOST = 500  # pieces of work in one transaction: bounds the time one commit may take
POLL_SECONDS = 0.02  # how late another process' commit may be noticed
QUIET_POLLS = 50  # without one, until whoever looks is asked whether to look further
LOG_PAGES = 10_000  # our choice: 40 MB, where write_ahead_log.py has come to nothing
QUEUE_MOST = 50_000  # waiting pieces; more is refused, not kept


class Sqlite:
    """One database file. Fills the port SharedDatabase.

    Raises: StoreDown when it cannot be opened, BooklineNewer for tables of a later version.
    """

    commits_in_order = True

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self.path = path
        self.name = path.name
        self._queue: queue.Queue[Item | None] = queue.Queue(QUEUE_MOST)
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            migrate(self._writer, migrations)
            self._reader = self._connect(read_only=True)
            self._finder = self._connect(read_only=True)
            self._brief = BriefWrites(self._connect(), self._write_in_loop, self._hand_over)
        except (sqlite3.Error, OSError) as error:
            raise StoreDown(f"cannot open {path.name}: {error}") from error
        self._since_checkpoint = 0
        """Pieces of work. Counted without care: it only says when it is time."""
        self._finding = threading.Lock()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix=f"{path.stem}-reader")
        self._thread = threading.Thread(
            target=self._write_groups, name=f"{path.stem}-writer", daemon=True
        )
        self._thread.start()

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        done = self.write_soon(work, key, brief=brief)
        return await result_of(done)

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
        done: Future[T] = Future()
        if self._closed:
            done.set_exception(StoreDown(f"{self.name} is closed"))
            return done
        item: Item = (work, done)  # type: ignore[assignment]
        if brief and not self._queue.unfinished_tasks and self._brief.put(item):
            return done
        self._hand_over([*self._brief.take_back(), item])
        return done

    def _hand_over(self, items: Sequence[Item]) -> None:
        """To the writer's thread."""
        for item in items:
            try:
                self._queue.put_nowait(item)
            except queue.Full:
                item[1].set_exception(StoreDown(f"{QUEUE_MOST} writes wait for {self.name}"))

    def _write_in_loop(self, connection: sqlite3.Connection, group: Sequence[Item]) -> None:
        self._write_begun(connection, group)
        self._since_checkpoint += 1
        if self._since_checkpoint >= CHECKPOINT_WRITES:
            self._hand_over([(_nothing, Future())])  # the thread looks after the log

    async def read(self, work: Work[T]) -> T:
        if self._closed:
            raise StoreDown(f"{self.name} is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._ask, self._reader, work)

    async def look_up(self, work: Work[T]) -> T:
        return self._find(work)

    def announce(self, names: Iterable[str]) -> None:
        """Nothing to do: the file itself shows that something was committed."""

    def changes(self) -> AsyncGenerator[Collection[str] | None, None]:
        return polled(lambda: self._find(_data_version))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._hand_over(self._brief.take_back())
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown(wait=True)
        with self._finding:
            self._finder.close()
        self._reader.close()
        self._brief.close()
        self._writer.close()

    def _find(self, work: Work[T]) -> T:
        with self._finding:
            return self._ask(self._finder, work)

    def _ask(self, connection: sqlite3.Connection, work: Work[T]) -> T:
        try:
            return work(SqliteSession(connection))
        except sqlite3.Error as error:
            raise StoreDown(f"{self.name}: {error}") from error

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = open_file(str(self.path))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _write_groups(self) -> None:
        while True:
            group = self._next_group()
            live = [item for item in group if item is not None]
            if live:
                self._write_group(live)
            self._look_after_the_log(len(live))
            for _ in group:
                self._queue.task_done()  # from here brief work is done at once again
            if len(live) < len(group):
                return

    def _look_after_the_log(self, writes: int) -> None:
        self._since_checkpoint += writes
        if self._since_checkpoint >= CHECKPOINT_WRITES:
            self._since_checkpoint = 0
            with contextlib.suppress(sqlite3.Error):  # whoever writes next says so
                checkpoint(self._writer)

    def _next_group(self) -> list[Item | None]:
        group = [self._queue.get()]
        while len(group) < GROUP_MOST and group[-1] is not None:
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return group

    def _write_group(self, group: Sequence[Item]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._refuse(group, error)
            return
        self._write_begun(self._writer, group)

    def _write_begun(self, connection: sqlite3.Connection, group: Sequence[Item]) -> None:
        """Ends the transaction that has begun, with all of it or nothing."""
        results: list[tuple[Future[object], object, BaseException | None]] = []
        try:
            for work, done in group:
                if done.set_running_or_notify_cancel():
                    results.append((done, *do_one(connection, self.name, work)))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._refuse(group, error)
            return
        for done, value, failure in results:
            if failure is not None:
                done.set_exception(failure)
            else:
                done.set_result(value)

    def _refuse(self, group: Sequence[Item], error: sqlite3.Error) -> None:
        for _, done in group:
            if not done.done() and not done.cancelled():
                with contextlib.suppress(Exception):
                    done.set_exception(StoreDown(f"{self.name}: {error}"))


async def polled(
    version: Callable[[], object],
) -> AsyncGenerator[Collection[str] | None, None]:
    """The port's ``changes`` where a number says that there are some."""
    seen, quiet = object(), 0
    while True:
        now = version()  # 4 µs to know
        quiet = 0 if now != seen else quiet + 1
        if quiet % QUIET_POLLS == 0:
            yield None if now != seen else ()
        seen = now
        await asyncio.sleep(POLL_SECONDS)


def _data_version(session: Session) -> object:
    return session.execute("PRAGMA data_version")[0]["data_version"]


def _nothing(_: object) -> None:
    """For who waits until the thread has come by."""
