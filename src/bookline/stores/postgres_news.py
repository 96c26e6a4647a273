"""What processes tell one another through PostgreSQL: names that have news, nothing else.

Way:     postgres.py → here → NOTIFY and LISTEN
Rule 1:  told after the commit and many at once: a transaction with a NOTIFY commits under one lock
         of the whole server, so no write of ours holds one.
Rule 2:  a name may be lost (a process dies between commit and NOTIFY, a connection breaks): whoever
         listens is told now and then, and after each gap, to look at all it watches.
Source:  https://www.postgresql.org/docs/current/sql-notify.html
"""

import asyncio
import contextlib
import os
import selectors
import threading
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence

import psycopg

from bookline.stores.postgres_lanes import AGAIN_SECONDS, Line
from bookline.stores.postgres_session import Connection

PAUSE_SECONDS = 0.005  # our choice: between two NOTIFYs of one process
LOOK_SECONDS = 5.0  # our choice: how late a name that was lost may be noticed
PAYLOAD_BYTES = 7_900  # PostgreSQL takes less than 8,000
WAITING_MOST = 100_000  # names that wait for a server that is away; then the looking tells all

_Told = Collection[str] | None


class Messenger:
    """A thread with a connection that both tells and listens, from the first use on."""

    def __init__(self, line: Line, channel: str) -> None:
        self._line = line
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: dict[str, None] = {}
        self._hearers: dict[asyncio.Queue[_Told], asyncio.AbstractEventLoop] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def announce(self, names: Iterable[str]) -> None:
        with self._lock:
            if self._is_closed:
                return
            if len(self._waiting) < WAITING_MOST:
                self._waiting.update(dict.fromkeys(names))
            self._start()
            self._wake()

    async def changes(self) -> AsyncGenerator[_Told, None]:
        told: asyncio.Queue[_Told] = asyncio.Queue()
        with self._lock:
            self._hearers[told] = asyncio.get_running_loop()
            self._start()
        try:
            yield None
            while True:
                yield await told.get()
        finally:
            with self._lock:
                del self._hearers[told]

    def close(self) -> None:
        """Tells what waits, if the server is there."""
        with self._lock:
            self._is_closed = True
            self._wake()
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _start(self) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._run, name="postgres-news", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is awake, or has no connection
            os.write(self._wake_write, b".")

    def _run(self) -> None:
        while not self._is_closed:
            try:
                with self._line.open() as connection:
                    self._speak(connection)
            except (psycopg.Error, OSError):
                time.sleep(AGAIN_SECONDS)

    def _speak(self, connection: Connection) -> None:
        own = connection.info.backend_pid
        # What is told may be lost anyway: nobody waits for the disk.
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"LISTEN {self._channel}".encode())
        self._hear(None)
        look_at, told_at = time.monotonic() + LOOK_SECONDS, 0.0
        both = selectors.DefaultSelector()
        both.register(connection.fileno(), selectors.EVENT_READ)
        both.register(self._wake_read, selectors.EVENT_READ)
        while True:
            is_closing = self._is_closed
            now = time.monotonic()
            if self._waiting and now >= told_at + PAUSE_SECONDS:
                self._tell(connection)
                told_at = now
            if is_closing:
                return
            if heard := _heard(connection, own):
                self._hear(heard)
            if now >= look_at:
                self._hear(None)
                look_at = now + LOOK_SECONDS
            due = told_at + PAUSE_SECONDS if self._waiting else look_at
            pause = max(0.0, due - time.monotonic())
            if any(key.fd == self._wake_read for key, _ in both.select(pause)):
                os.read(self._wake_read, 65_536)

    def _tell(self, connection: Connection) -> None:
        with self._lock:
            names, self._waiting = list(self._waiting), {}
        try:
            for payload in _payloads(names):
                connection.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))
        except psycopg.Error:
            with self._lock:
                if len(self._waiting) < WAITING_MOST:
                    self._waiting = {**dict.fromkeys(names), **self._waiting}
            raise

    def _hear(self, told: _Told) -> None:
        with self._lock:
            for queue, loop in self._hearers.items():
                with contextlib.suppress(RuntimeError):  # its loop is closed
                    loop.call_soon_threadsafe(queue.put_nowait, told)


def _heard(connection: Connection, own: int) -> Sequence[str]:
    """The names that other processes have told by now. Raises: psycopg.Error when it is gone."""
    told = connection.notifies(timeout=0)
    return [name for one in told if one.pid != own for name in one.payload.split("\n")]


def _payloads(names: Iterable[str]) -> Iterable[str]:
    """The names in as few texts as PostgreSQL takes."""
    some: list[str] = []
    size = 0
    for name in names:
        if size + len(name) + 1 > PAYLOAD_BYTES:
            yield "\n".join(some)
            some, size = [], 0
        some.append(name)
        size += len(name) + 1
    if some:
        yield "\n".join(some)
