"""DBOS' writes for an import that began here, done at once in the event loop.

Way:      dbos.py after launch → here: DBOS' start and end of a workflow come by its own executor,
          the record of a try by dbos_records.py
Rule 1:   the rows and transactions are those of DBOS, with the same check of the owner, made by
          dbos_statements.py on a connection of the event loop's own.
Rule 2:   the event loop waits for nobody's lock and for no disk. Whatever is in the way (another
          process writes, the disk is full) leaves nothing behind, and DBOS does it in its thread.
"""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbos import DBOS
from dbos._dbos import _SharedExecutor
from dbos._error import DBOSBaseException

from bookline.engine import dbos_statements
from bookline.engine.dbos_database import BUSY_MS, away
from bookline.errors import StoreDown
from bookline.stores.write_ahead_log import CHECKPOINT_WRITES, NO_CHECKPOINTS, checkpoint
from bookline.threads import in_thread


@dataclass(slots=True)
class Begun:
    """An import that began in this process: nothing of it was recorded before."""

    brief_calls: int = 2
    """Of DBOS' next calls so many are brief: at its begin the start, and one that does nothing."""


begun: ContextVar[Begun | None] = ContextVar("begun", default=None)
"""Of the import whose task this is; None for one that was taken up or rewound."""


def expect_end() -> None:
    """DBOS' next call for this import is the one that records its end."""
    import_ = begun.get()
    if import_ is not None:
        import_.brief_calls = 1


class AtOnce:
    """For the thread that makes it, the event loop's, alone."""

    def __init__(self, path: Path, dbos: DBOS) -> None:
        self._path = path
        self._database: Any = dbos._sys_db
        self._thread = threading.get_ident()
        self._connection = _open(path, timeout_seconds=0)
        self._connection.execute(NO_CHECKPOINTS)
        self._session = dbos_statements.OneConnection(self._connection, dbos._sys_db)
        self._writes = 0
        self._checkpoint: asyncio.Future[None] | None = None
        for name, here in (
            ("init_workflow", dbos_statements.start_workflow),
            ("_update_workflow_outcome_in_transaction", dbos_statements.end_workflow),
        ):
            setattr(
                self._database, name, partial(self._either, getattr(self._database, name), here)
            )
        dbos._shared_executor_field = _Executor(dbos._executor)

    def _either(
        self, in_thread: Callable[..., Any], here: Callable[..., Any], *args: Any, **named: Any
    ) -> Any:
        """DBOS' own way, unless it is the event loop that asks."""
        if threading.get_ident() != self._thread:
            return in_thread(*args, **named)
        with self.transaction() as session:
            return here(self._database, session, *args, **named)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """One, for these statements. Raises: StoreDown, at once, where somebody else writes."""
        if self._checkpoint is not None:
            raise StoreDown("the engine's file is being looked after", code="UNAVAILABLE")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._session
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise away(error) from error
            raise
        self._writes += 1
        if self._writes % CHECKPOINT_WRITES == 0:
            self._checkpoint = asyncio.ensure_future(in_thread(self._make_checkpoint))
            self._checkpoint.add_done_callback(self._go_on)

    async def record(self, result: Any) -> bool:
        """Whether DBOS' ``result`` of a step is recorded now; if not, nothing is."""
        ended_ms = time.time_ns() // 1_000_000
        try:
            with self.transaction() as session:
                self._database._record_operation_result_txn(result, ended_ms, session)
        except (Exception, DBOSBaseException):  # noqa: BLE001 - DBOS meets it again, and says so
            return False
        return True

    async def close(self) -> None:
        if self._checkpoint is not None:
            await self._checkpoint
        self._connection.close()

    def _go_on(self, _: object) -> None:
        self._checkpoint = None

    def _make_checkpoint(self) -> None:
        with (
            contextlib.suppress(sqlite3.Error),  # whoever writes next says so
            contextlib.closing(_open(self._path, timeout_seconds=BUSY_MS / 1000)) as connection,
        ):
            checkpoint(connection)


class _Executor(_SharedExecutor):
    """DBOS' threads, without their way for the brief calls of an import that began here."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
        import_ = begun.get()
        if import_ is None or import_.brief_calls == 0:
            return super().submit(call, *args, **named)
        import_.brief_calls -= 1
        done: Future[Any] = Future()
        try:
            done.set_result(call(*args, **named))
        except StoreDown:
            return super().submit(call, *args, **named)
        except (Exception, DBOSBaseException) as error:  # noqa: BLE001 - it belongs to who waits
            done.set_exception(error)
        return done


def _open(path: Path, *, timeout_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection
