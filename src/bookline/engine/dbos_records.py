"""Records of tries in DBOS' own table: by DBOS' step, or written at once where that is the same.

Way:      job_run.py → here → DBOS; or dbos_statements.py on a connection of the event loop's own
Rule 1:   written at once only what began in this process: nothing of it was recorded before, so
          there is nothing to replay. What was resumed or rewound is DBOS' own step in all.
Rule 2:   the same row in the same transaction as DBOS', with the same check of its owner. Whatever
          is in the way (another process writes, the disk is full, the import is another's now), the
          record is DBOS' to make, with its own errors and in its own thread.
Rule 3:   the event loop waits for nobody's lock, and never writes a checkpoint.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dbos import DBOS, StepReservation
from dbos._error import DBOSBaseException
from dbos._serialization import Serializer
from dbos._sys_db import SystemDatabase

from bookline.engine.dbos_database import BUSY_MS
from bookline.engine.dbos_statements import OneConnection, owner_of
from bookline.errors import StoreDown
from bookline.patience import until_it_is_back
from bookline.stores.write_ahead_log import CHECKPOINT_WRITES, NO_CHECKPOINTS, checkpoint
from bookline.threads import in_thread
from bookline.values import Json

begins_here: ContextVar[bool] = ContextVar("begins_here", default=False)
"""Whether the import of this task began in this process, and not before."""


class JsonRecords(Serializer):
    """Records as plain JSON text: nobody who can write the database can run code."""

    def name(self) -> str:
        return "bookline_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805 - as DBOS spells it
        value = json.loads(serialized_data)
        if isinstance(value, dict) and set(value) == {"__error__"}:
            return RuntimeError(value["__error__"])
        return value


def _plain(value: object) -> Json:
    """Raises: StoreDown for itself: what keeps DBOS from recording is no outcome of the step."""
    if isinstance(value, StoreDown):
        raise value
    if isinstance(value, BaseException):
        return {"__error__": f"{type(value).__name__}: {value}"}
    raise TypeError(f"{type(value).__name__} does not belong in a record")


class AtOnce:
    """Writes records from the event loop's thread, on a connection of its own."""

    def __init__(self, path: Path, database: SystemDatabase) -> None:
        self._path = path
        self._database = database
        self._json = JsonRecords()
        self._connection = _open(path, timeout_seconds=0)
        self._connection.execute(NO_CHECKPOINTS)
        self._session: Any = OneConnection(self._connection, database)
        self._writes = 0
        self._checkpoint: asyncio.Future[None] | None = None

    def keep(self, place: StepReservation, name: str, began_ms: int, outcome: Json) -> bool:
        """Whether the record is there now; if not, nothing is."""
        if self._checkpoint is not None:
            return False
        workflow_id = str(DBOS.workflow_id)
        result: Any = {
            "workflow_uuid": workflow_id,
            "function_id": place.step_id,
            "function_name": name,
            "started_at_epoch_ms": began_ms,
            "output": self._json.serialize(outcome),
            "error": None,
            "serialization": self._json.name(),
            "child_workflow_id": None,
        }
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._database._record_operation_result_txn(
                result, _now_ms(), self._session, owner_xid=owner_of(workflow_id)
            )
            self._connection.execute("COMMIT")
        except (Exception, DBOSBaseException):  # noqa: BLE001 - DBOS meets it again, and says so
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return False
        self._writes += 1
        if self._writes % CHECKPOINT_WRITES == 0:
            self._checkpoint = asyncio.ensure_future(in_thread(self._make_checkpoint))
            self._checkpoint.add_done_callback(self._go_on)
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


def _open(path: Path, *, timeout_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class DbosRecords:
    """Fills the port Records, within a workflow of DBOS."""

    def __init__(self, at_once: AtOnce | None = None) -> None:
        self._at_once = at_once if begins_here.get() else None

    def reserve(self) -> StepReservation:
        return DBOS.reserve_step()

    async def record(
        self,
        name: str,
        body: Callable[[], Awaitable[Json]],
        place: StepReservation | None = None,
    ) -> Json:
        place = place or DBOS.reserve_step()
        outcomes: list[Json] = []

        async def recorded() -> Json:
            if not outcomes:
                outcomes.append(await body())
            return outcomes[0]

        async def ask() -> Json:
            place._used = False  # once more, where the database did not take it
            return await place.run_async({"name": name}, recorded)

        if self._at_once is not None:
            began_ms = _now_ms()
            outcome = await recorded()
            if self._at_once.keep(place, name, began_ms, outcome):
                return outcome
        return await until_it_is_back(ask)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
