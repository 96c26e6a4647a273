"""DBOS' own statements of one workflow, built and compiled once instead of at every call.

Way:      engine/dbos.py after launch → ``prepare`` → the database handle of DBOS;
          dbos_at_once.py uses them on a connection of its own
Rule 1:   the statements, their order and their transactions are those of DBOS; only the building
          and compiling is kept. A test compares the rows of both ways.
Rule 2:   active only while the source of everything that is replaced or relied on is the very one
          that was read (dbos_known.py); else DBOS works its own way.
Source:   DBOS 3.4, ``_sys_db.py``; docs/decisions/0009-prepared-statements.md, with the same change
          as a patch for DBOS.
"""

import sqlite3
from collections.abc import Callable
from types import MethodType
from typing import Any

import sqlalchemy as sa
from dbos._context import current_owner_xid
from dbos._error import (
    DBOSStepNondeterminismError,
    DBOSUnexpectedStepError,
    DBOSWorkflowCancelledError,
    DBOSWorkflowConflictIDError,
)
from dbos._schemas.system_database import SystemSchema
from dbos._sys_db import SystemDatabase, WorkflowStatusString
from dbos._sys_db_sqlite import SQLiteSystemDatabase
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bookline.engine.dbos_known import why_not


def prepare(database: SystemDatabase) -> bool:
    """Whether this handle now uses the statements below. Touches this one object, no class."""
    if why_not() is not None:
        return False
    for replacement in (
        _check_operation_execution_txn,
        _check_owner_txn,
        _record_operation_result_txn,
        _update_workflow_outcome_in_transaction,
    ):
        setattr(database, replacement.__name__, MethodType(replacement, database))
    if type(database) is SQLiteSystemDatabase:  # on PostgreSQL DBOS has its own
        database._execute_prepared = MethodType(_execute_prepared, database)  # type: ignore[method-assign]
    return True


def _execute_prepared(
    self: SystemDatabase,
    conn: sa.Connection | Session,
    name: str,
    values: dict[str, Any],
    build: Callable[[], Any],
    *,
    insert_columns: bool = True,
) -> Any:
    """As DBOS does it for PostgreSQL; SQLite's parameters go by place."""
    connection: Any = conn.connection() if isinstance(conn, Session) else conn
    if connection.dialect is not self.engine.dialect:
        return conn.execute(build(), values)
    key = (name, tuple(values))
    prepared: Any = self._prepared_statements.get(key)
    if prepared is None:
        prepared = self._prepared_statements[key] = _compiled(  # type: ignore[assignment]
            build(), values, self.engine.dialect, insert_columns=insert_columns
        )
    sql, places = prepared
    return connection.exec_driver_sql(
        sql,
        tuple(
            [
                constant if name is None else values[name] if to is None else to(values[name])
                for name, to, constant in places
            ]
        ),
    )


class OneConnection:
    """A plain connection of SQLite's, as far as DBOS asks SQLAlchemy's for more."""

    def __init__(self, connection: sqlite3.Connection, database: SystemDatabase) -> None:
        connection.row_factory = _Row
        self.exec_driver_sql = connection.execute
        self.dialect = database.engine.dialect


class _Row(tuple[Any, ...]):  # noqa: SLOT001 - it has its columns too
    """A row with its columns by name."""

    _mapping: dict[str, Any]

    def __new__(cls, cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> "_Row":
        row = super().__new__(cls, values)
        row._mapping = {
            column[0]: value for column, value in zip(cursor.description, values, strict=True)
        }
        return row


def _compiled(
    statement: Any, values: dict[str, Any], dialect: sa.Dialect, *, insert_columns: bool
) -> tuple[str, list[tuple[str | None, Callable[[Any], Any] | None, Any]]]:
    """The SQL, and for each of its parameters the value's name and processor, or a constant."""
    compiled = statement.compile(
        dialect=dialect,
        column_keys=list(values) if insert_columns else None,
        schema_translate_map={SystemSchema.metadata_obj.schema: None},
        render_schema_translate=True,
    )
    places: list[tuple[str | None, Callable[[Any], Any] | None, Any]] = []
    for name in compiled.positiontup:
        bind = compiled.binds[name]
        to = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if name in values:
            places.append((name, to, None))
        else:
            places.append((None, None, bind.value if to is None else to(bind.value)))
    return str(compiled), places


def _check_operation_execution_txn(
    self: SystemDatabase,
    workflow_id: str,
    function_id: int,
    function_name: str,
    conn: sa.Connection | Session,
) -> Any:
    ws, steps = self.tables.workflow_status, self.tables.operation_outputs

    def build_status() -> Any:
        return sa.select(ws.c.status).where(ws.c.workflow_uuid == sa.bindparam("wf_id"))

    def build_output() -> Any:
        return sa.select(
            steps.c.output,
            steps.c.error,
            steps.c.function_name,
            steps.c.child_workflow_id,
            steps.c.serialization,
        ).where(
            steps.c.workflow_uuid == sa.bindparam("wf_id"),
            steps.c.function_id == sa.bindparam("place"),
        )

    key = {"wf_id": workflow_id}
    place = {**key, "place": function_id}
    status = self._execute_prepared(
        conn, "select_status", key, build_status, insert_columns=False
    ).fetchall()
    found = self._execute_prepared(
        conn, "select_step", place, build_output, insert_columns=False
    ).fetchall()
    if not status:
        raise AssertionError(f"Error: Workflow {workflow_id} does not exist")
    if status[0][0] == WorkflowStatusString.CANCELLED.value:
        raise DBOSWorkflowCancelledError(f"Workflow {workflow_id} is cancelled. Aborting function.")
    if not found:
        return None
    output, error, recorded_name, child_workflow_id, serialization = found[0]
    if function_name != recorded_name:
        raise DBOSUnexpectedStepError(
            workflow_id=workflow_id,
            step_id=function_id,
            expected_name=function_name,
            recorded_name=recorded_name,
        )
    return {
        "output": output,
        "error": error,
        "serialization": serialization,
        "child_workflow_id": child_workflow_id,
        "child_shard_key": None,
    }


def _check_owner_txn(
    self: SystemDatabase, conn: sa.Connection | Session, workflow_id: str, owner_xid: str
) -> None:
    ws = self.tables.workflow_status

    def build() -> Any:
        return (
            sa.update(ws)
            .where(ws.c.workflow_uuid == sa.bindparam("wf_id"))
            .values(owner_xid=ws.c.owner_xid)
            .returning(ws.c.owner_xid)
        )

    key = {"wf_id": workflow_id}
    found = self._execute_prepared(conn, "check_owner", key, build, insert_columns=False)
    if found.fetchall() != [(owner_xid,)]:
        raise DBOSWorkflowConflictIDError(workflow_id)


def _record_operation_result_txn(
    self: SystemDatabase,
    result: Any,
    completed_at_epoch_ms: int,
    conn: sa.Connection | Session,
    *,
    owner_xid: str | None = None,
    child_values: dict[str, Any] | None = None,
) -> None:
    workflow_id = result["workflow_uuid"]
    if result["error"] is not None and result["output"] is not None:
        raise AssertionError("Only one of error or output can be set")
    if owner_xid is None:
        owner_xid = current_owner_xid(workflow_id)
    if owner_xid is not None:
        self._check_owner_txn(conn, workflow_id, owner_xid)
    steps = self.tables.operation_outputs

    def build() -> Any:
        return (
            self.dialect.insert(steps)
            .values(retention_timestamp=self._now_ms_sql())
            .on_conflict_do_update(
                index_elements=self._key_conflict("workflow_uuid", "function_id"),
                set_={"completed_at_epoch_ms": steps.c.completed_at_epoch_ms},
            )
            .returning(steps.c.completed_at_epoch_ms)
        )

    values = {
        "workflow_uuid": workflow_id,
        "function_id": result["function_id"],
        "function_name": result["function_name"],
        "started_at_epoch_ms": result["started_at_epoch_ms"],
        "completed_at_epoch_ms": completed_at_epoch_ms,
        "output": result["output"],
        "error": result["error"],
        "child_workflow_id": result["child_workflow_id"],
        "serialization": result["serialization"],
        "application_name": self.app_name,
        **(child_values or {}),
    }
    try:
        kept = self._execute_prepared(conn, "record_step", values, build).fetchall()
    except DBAPIError as error:
        if self._is_unique_constraint_violation(error):
            raise DBOSStepNondeterminismError(workflow_id, result["function_id"]) from error
        raise
    if kept and (kept[0][0] is None or int(kept[0][0]) != completed_at_epoch_ms):
        raise DBOSStepNondeterminismError(workflow_id, result["function_id"])


def _update_workflow_outcome_in_transaction(
    self: SystemDatabase, workflow_id: str, status: str, **told: Any
) -> bool:
    with self.engine.begin() as conn:
        return end_workflow(self, conn, workflow_id, status, **told)


def start_workflow(self: SystemDatabase, conn: Any, status: Any, **told: Any) -> Any:
    """What DBOS' ``init_workflow`` does in its transaction."""
    return self._insert_workflow_status(status, conn, **told)


def end_workflow(
    self: SystemDatabase,
    conn: Any,
    workflow_id: str,
    status: str,
    *,
    output: str | None,
    error: str | None,
    owner_xid: str | None,
) -> bool:
    """What ``_update_workflow_outcome_in_transaction`` does in its transaction."""
    ws, outputs = self.tables.workflow_status, self.tables.workflow_output
    values = {"wf_id": workflow_id, "new_status": status}
    if owner_xid is not None:
        values["owner"] = owner_xid

    def build_end() -> Any:
        now_ms = self._now_ms_sql()
        update = (
            sa.update(ws)
            .values(
                status=sa.bindparam("new_status"),
                deduplication_id=None,
                owner_xid=None,
                updated_at=now_ms,
                completed_at=now_ms,
            )
            .where(ws.c.workflow_uuid == sa.bindparam("wf_id"))
            .where(ws.c.status == WorkflowStatusString.PENDING.value)
        )
        return (
            update if owner_xid is None else update.where(ws.c.owner_xid == sa.bindparam("owner"))
        )

    def build_output() -> Any:
        insert = self.dialect.insert(outputs)
        return insert.on_conflict_do_update(
            index_elements=self._key_conflict("workflow_uuid"),
            set_={"output": insert.excluded.output, "error": insert.excluded.error},
        )

    told = {"workflow_uuid": workflow_id, "output": output, "error": error}
    ended = self._execute_prepared(conn, "end_workflow", values, build_end, insert_columns=False)
    if ended.rowcount == 0:
        return False
    self._execute_prepared(conn, "upsert_workflow_output", told, build_output)
    return True
