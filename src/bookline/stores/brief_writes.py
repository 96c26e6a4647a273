"""Brief pieces of work of one pass of the event loop, written there where nobody else writes.

Way:     sqlite.py asks here first, then its writer's thread
Rule 1:  the event loop waits for nobody's lock and for no disk.
Rule 2:  what cannot be begun here is the thread's to do, in the order in which it came.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from bookline.stores.database import Work
from bookline.stores.write_ahead_log import NO_CHECKPOINTS

Item = tuple[Work[object], Future[object]]
GROUP_MOST = 16  # our choice: some 2 ms of the event loop, then others have their turn


class BriefWrites:
    """On a connection of its own. ``write`` ends a transaction with these pieces of work."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        write: Callable[[sqlite3.Connection, Sequence[Item]], None],
        hand_over: Callable[[Sequence[Item]], None],
    ) -> None:
        self._connection = connection
        self._connection.execute("PRAGMA busy_timeout=0")
        self._connection.execute(NO_CHECKPOINTS)
        self._write = write
        self._hand_over = hand_over
        self._lock = threading.Lock()
        self._waiting: list[Item] = []

    def put(self, item: Item) -> bool:
        """False where no event loop runs: then it is the thread's."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        with self._lock:
            self._waiting.append(item)
            if len(self._waiting) == 1:
                loop.call_soon(self._flush, loop)
        return True

    def take_back(self) -> Sequence[Item]:
        """What waits here, for other work is behind it now."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return waiting

    def close(self) -> None:
        self._connection.close()

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            group = self._waiting[:GROUP_MOST]
            del self._waiting[:GROUP_MOST]
            if self._waiting:
                loop.call_soon(self._flush, loop)
        if not group:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            self._hand_over([*group, *self.take_back()])
            return
        self._write(self._connection, group)
