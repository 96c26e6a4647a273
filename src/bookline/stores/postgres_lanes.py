"""The threads in which a process speaks to PostgreSQL, each with a connection of its own.

Way:     postgres.py → here → postgres_session.py
Rule 1:  a lane writes in the order in which it is asked to: what waits in it goes into one
         transaction, and where that fails, each piece by itself.
Rule 2:  a connection that broke is left and another one opened; what had not begun is done there,
         what had may have been kept: it is StoreDown.
"""

import asyncio
import hashlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import psycopg

from bookline.errors import StoreDown
from bookline.stores.database import Session, Work
from bookline.stores.postgres_session import Connection, PostgresSession, connect

T = TypeVar("T")
log = logging.getLogger(__name__)
_Item = tuple[Work[object], Sequence[str], Future[object]]

GROUP_MOST = 100  # pieces of work in one transaction: bounds how long its locks are held
QUEUE_MOST = 50_000  # waiting pieces; more is refused, not kept
TRIES = 3  # of one piece of work: on a new connection, or after a deadlock
AGAIN_SECONDS = 0.5  # our choice: after a connection that was refused, the next one waits so long


class Line:
    """How a connection is opened. A server that just refused one is not asked again at once."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._refused: tuple[float, psycopg.Error] | None = None

    def open(self) -> Connection:
        """Raises: psycopg.Error."""
        refused = self._refused
        if refused is not None and time.monotonic() < refused[0]:
            raise psycopg.OperationalError(*refused[1].args)
        try:
            connection = connect(self._url, self._schema)
        except psycopg.Error as error:
            if refused is None:
                log.warning("PostgreSQL cannot be reached: %s", in_words(error))
            self._refused = (time.monotonic() + AGAIN_SECONDS, error)
            raise
        if refused is not None:
            log.warning("PostgreSQL can be reached again")
        self._refused = None
        return connection


class _Holder:
    """One thread's connection, opened when it is needed."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._connection: Connection | None = None

    def get(self) -> Connection:
        """Raises: psycopg.Error when none can be had."""
        if self._connection is None:
            self._connection = self._line.open()
        return self._connection

    def drop(self) -> None:
        """Safe twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def can_repeat(self, error: psycopg.Error) -> bool:
        """Whether the same may work again; leaves a connection that is of no use any more."""
        assert self._connection is not None  # noqa: S101 - it gave the error
        is_stale = isinstance(error, psycopg.errors.FeatureNotSupported)  # plans of an older schema
        is_standby = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
        if self._connection.broken or self._connection.closed or is_stale or is_standby:
            self.drop()
            return True
        return isinstance(
            error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure
        )


class Readers:
    """Threads with a connection each, for work that only reads."""

    def __init__(self, line: Line, count: int, name: str) -> None:
        self._line = line
        self._mine = threading.local()
        self._holders: list[_Holder] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def ask(self, work: Work[T]) -> T:
        """Raises: StoreDown, ours."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, work)

    def close(self) -> None:
        self._threads.shutdown(wait=True)
        for holder in self._holders:
            holder.drop()

    def _ask(self, work: Work[T]) -> T:
        holder = self._holder()
        for left in reversed(range(TRIES)):
            try:
                connection = holder.get()
            except psycopg.Error as error:
                raise down(error) from error
            try:
                return work(PostgresSession(connection))
            except psycopg.Error as error:
                if not holder.can_repeat(error) or not left:
                    raise down(error) from error
        raise AssertionError  # the last try returns or raises

    def _holder(self) -> _Holder:
        holder: _Holder | None = getattr(self._mine, "holder", None)
        if holder is None:
            holder = self._mine.holder = _Holder(self._line)
            self._holders.append(holder)
        return holder


class _Lost(StoreDown):
    """The connection is gone: whatever was done on it fails together."""


class Lane:
    """One thread that writes, in the order in which it is asked to."""

    def __init__(self, line: Line, name: str) -> None:
        self._holder = _Holder(line)
        self._queue: queue.Queue[_Item | None] = queue.Queue(QUEUE_MOST)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"postgres-{name}", daemon=True)
        self._thread.start()

    def put(self, work: Work[T], keys: Sequence[str]) -> "Future[T]":
        done: Future[T] = Future()
        if self._is_closed:
            done.set_exception(StoreDown("the database is closed"))
            return done
        try:
            self._queue.put_nowait((work, keys, done))  # type: ignore[arg-type]
        except queue.Full:
            done.set_exception(StoreDown(f"{QUEUE_MOST} writes wait for the database"))
        return done

    def close(self) -> None:
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()
        self._holder.drop()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            live = [item for item in group if item[2].set_running_or_notify_cancel()]
            if live:
                self._settle(live)

    def _next_group(self) -> tuple[list[_Item], bool]:
        group: list[_Item] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP_MOST:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _settle(self, group: Sequence[_Item]) -> None:
        """Each future gets its value or its error."""
        try:
            values = self._write(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to its caller
            if len(group) > 1 and not isinstance(error, _Lost):
                for item in group:  # one of them: the others are not to suffer
                    self._settle([item])
                return
            for _, _, done in group:
                done.set_exception(error)
            return
        for (_, _, done), value in zip(group, values, strict=True):
            done.set_result(value)

    def _write(self, group: Sequence[_Item]) -> list[object]:
        """What the pieces of work return, after their commit. Raises: _Lost, what they raise."""
        for left in reversed(range(TRIES)):
            has_begun = False
            try:
                connection = self._holder.get()
            except psycopg.Error as error:
                raise _Lost(*down(error).args) from error
            try:
                connection.execute(_begin({key for _, keys, _ in group for key in keys if key}))
                has_begun = True
                session = PostgresSession(connection)
                values = [work(session) for work, _, _ in group]
                connection.execute("COMMIT")
            except psycopg.Error as error:
                is_gone = connection.broken or connection.closed
                may_repeat = self._holder.can_repeat(error) and left
                if not is_gone:
                    self._roll_back()
                if may_repeat and not (is_gone and has_begun):  # else it may have been kept
                    continue
                raise (_Lost if is_gone else StoreDown)(*down(error).args) from error
            except BaseException:
                self._roll_back()
                raise
            return values
        raise AssertionError  # the last try returns or raises

    def _roll_back(self) -> None:
        try:
            self._holder.get().execute("ROLLBACK")
        except psycopg.Error:
            self._holder.drop()


def nothing(session: Session) -> None:
    """Only takes its turn."""


def _begin(keys: set[str]) -> str:
    """One round trip: a transaction, and its locks in an order that all nodes keep."""
    if not keys:
        return "BEGIN"
    locks = ",".join(map(str, sorted(map(lock_of, keys))))
    # One answer, however many they are; unnest keeps the order.
    each = f"unnest('{{{locks}}}'::bigint[]) AS lock"
    return f"BEGIN; SELECT count(pg_advisory_xact_lock(lock)) FROM {each}"


def lock_of(key: str) -> int:
    """The number of a key's advisory lock."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def down(error: psycopg.Error) -> StoreDown:
    """Clients read this: it does not say where the server stands. The log does."""
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return StoreDown("PostgreSQL cannot be reached")
    return StoreDown(f"PostgreSQL: {in_words(error)}")


def in_words(error: psycopg.Error) -> str:
    """Its first line, which never holds the password."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
