"""Brief pieces of work, written at once in the caller's thread where nobody else writes.

Way:     sqlite.py asks here first, then its writer's thread
Rule 1:  the caller is the event loop: it waits for nobody's lock and for no disk.
Rule 2:  what is not done here has left nothing behind, and is the thread's to do.
"""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from bookline.stores.write_ahead_log import NO_CHECKPOINTS

T = TypeVar("T")


class BriefWrites:
    """On a connection of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.execute("PRAGMA busy_timeout=0")
        self._connection.execute(NO_CHECKPOINTS)
        self._ours = threading.Lock()

    def do(self, work: Callable[[sqlite3.Connection], T], done: "Future[T]") -> bool:
        """Whether ``done`` has an answer: what the work returned, or what of ours it raised."""
        if not self._ours.acquire(blocking=False):
            return False
        try:
            answer = self._answer(work)
        finally:
            self._ours.release()
        if answer is None:
            return False
        value, failure = answer
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(value)  # type: ignore[arg-type]
        return True

    def close(self) -> None:
        with self._ours:
            self._connection.close()

    def _answer(
        self, work: Callable[[sqlite3.Connection], T]
    ) -> tuple[T, None] | tuple[None, Exception] | None:
        failure: Exception | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            value = work(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            failure = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            failure = error
        else:
            return value, None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        return None if failure is None else (None, failure)
