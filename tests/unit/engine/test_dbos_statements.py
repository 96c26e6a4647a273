"""The engine's statements, prepared once: active, and the same rows as DBOS' own way."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dbos._error import DBOSBaseException
from dbos._sys_db import SystemDatabase

from bookline.engine import dbos_known, dbos_statements
from bookline.engine.dbos_records import JsonRecords

OWNER, OTHER = "execution-1", "execution-2"


def test_the_installed_dbos_is_the_one_that_the_statements_were_written_for() -> None:
    """Fails after an update of DBOS: read its new source, adapt, then write the new hash down."""
    assert dbos_known.fingerprint() == dbos_known.READ
    assert dbos_known.files_fingerprint() == dbos_known.READ_FILES
    assert dbos_known.why_not() is None


def test_of_known_files_no_source_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 6 MB and a twentieth of a start."""
    monkeypatch.setattr(dbos_known, "fingerprint", lambda: pytest.fail("it was"))

    assert dbos_known.why_not() is None


def test_other_files_with_the_same_parts_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbos_known, "READ_FILES", "another")

    assert dbos_known.why_not() is None


def test_another_dbos_is_left_its_own_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(dbos_known, "READ_FILES", "another")
    monkeypatch.setattr(dbos_known, "READ", "another")
    database = handle(tmp_path / "engine.db")

    assert not dbos_statements.prepare(database)

    assert "not the one" in (dbos_known.why_not() or "")
    assert not set(dbos_known.REPLACED) & set(vars(database))
    database.destroy()


def test_one_handle_is_prepared_and_no_class(tmp_path: Path) -> None:
    database = handle(tmp_path / "engine.db")

    assert dbos_statements.prepare(database)

    assert set(dbos_known.REPLACED) <= set(vars(database))
    database.destroy()
    assert dbos_known.fingerprint() == dbos_known.READ


def test_a_statement_is_built_once(tmp_path: Path) -> None:
    database = handle(tmp_path / "engine.db")
    dbos_statements.prepare(database)
    story_of_one(database, "first")
    known = dict(database._prepared_statements)

    story_of_one(database, "second")

    assert database._prepared_statements == known
    assert len(known) >= 7
    database.destroy()


def test_both_ways_answer_the_same_and_leave_the_same_rows(tmp_path: Path) -> None:
    """Success, failure, replay, rewind, cancel, conflict and fencing, one after the other."""
    answers, rows = [], []
    for name, prepared in (("own", False), ("prepared", True)):
        path = tmp_path / f"{name}.db"
        database = handle(path)
        assert not prepared or dbos_statements.prepare(database)
        answers.append(whole_story(database))
        database.destroy()
        rows.append(all_rows(path))

    assert answers[0] == answers[1]
    assert rows[0] == rows[1]
    assert {answer[0] for answer in answers[0] if isinstance(answer, tuple)} >= {
        "DBOSConflictingWorkflowError",
        "DBOSStepNondeterminismError",
        "DBOSUnexpectedStepError",
        "DBOSWorkflowCancelledError",
        "DBOSWorkflowConflictIDError",
    }
    assert {"SUCCESS", "ERROR", "CANCELLED", "ENQUEUED"} <= {
        row["status"] for row in rows[0]["workflow_status"]
    }
    assert len(rows[0]["operation_outputs"]) > 5


def handle(path: Path) -> SystemDatabase:
    """A database of DBOS, migrated, as the engine opens it."""
    database = SystemDatabase.create(
        system_database_url=f"sqlite:///{path}",
        engine_kwargs={},
        engine=None,
        schema=None,
        serializer=JsonRecords(),
        executor_id="node",
        app_name="bookline",
    )
    database.run_migrations()
    return database


def whole_story(database: SystemDatabase) -> list[Any]:
    return [
        *story_of_one(database, "success"),
        *failure(database, "failure"),
        *cancelled(database, "cancelled"),
        *rewound(database, "rewound"),
        *handed_over(database, "handed-over"),
        *never_ended(database, "running"),
    ]


def story_of_one(database: SystemDatabase, name: str) -> list[Any]:
    """Start, start again, steps, the same again, conflicts, replay, two ends."""
    return [
        begin(database, name),
        begin(database, name, creator=OTHER),
        told(lambda: begin(database, name, workflow="another")),
        look(database, name, 1),
        record(database, name, 1, output='{"value":"ü – \\u0000"}'),
        record(database, name, 1, output='{"value":1}'),  # the same try again: its lost answer
        record(database, name, 1, output='{"value":1}', at=8),
        record(database, name, 2, error='{"__error__":"down"}'),
        record(database, name, 3, output=None),
        record(database, name, 4, output="late", owner=OTHER),
        record(database, name, 4, output="of nobody in particular", owner=None),
        look(database, name, 1),
        look(database, name, 2),
        look(database, name, 3),
        look(database, name, 9),
        look(database, name, 1, step="another-step"),
        look(database, "unknown", 1),
        end(database, name, "SUCCESS", owner=OTHER),
        end(database, name, "SUCCESS", output='{"ok":true}'),
        end(database, name, "SUCCESS", output='{"ok":false}'),
        record(database, name, 5, output="after its end"),
        look(database, name, 1),
    ]


def failure(database: SystemDatabase, name: str) -> list[Any]:
    return [
        begin(database, name),
        record(database, name, 1, error="no"),
        end(database, name, "ERROR", error='{"__error__":"x"}', owner=None),
        begin(database, name, creator=OTHER),
    ]


def cancelled(database: SystemDatabase, name: str) -> list[Any]:
    return [
        begin(database, name),
        record(database, name, 1, output="1"),
        told(lambda: database.cancel_workflows([name])),
        look(database, name, 1),
        look(database, name, 2),
        record(database, name, 2, output="2"),
        end(database, name, "SUCCESS", output="3"),
    ]


def rewound(database: SystemDatabase, name: str) -> list[Any]:
    return [
        begin(database, name),
        *(record(database, name, place, output=str(place)) for place in (1, 2, 3)),
        end(database, name, "SUCCESS", output="first"),
        told(lambda: database.rewind_workflow(name, 2)),
        look(database, name, 1),
        look(database, name, 2),
        record(database, name, 2, output="by the one that was"),
    ]


def handed_over(database: SystemDatabase, name: str) -> list[Any]:
    """A frozen node's import goes to another; the first one wakes."""
    return [
        begin(database, name),
        record(database, name, 1, output="1"),
        told(lambda: database.resume_workflows([name])),
        record(database, name, 2, output="late"),
        end(database, name, "SUCCESS", output="late"),
        begin(database, name, creator=OTHER),
    ]


def never_ended(database: SystemDatabase, name: str) -> list[Any]:
    return [begin(database, name), record(database, name, 1, output="x" * 200_000)]


def told(act: Callable[[], Any]) -> Any:
    """The answer, or the error's kind and sentence."""
    try:
        return act()
    except (Exception, DBOSBaseException) as error:  # noqa: BLE001 - whatever it answers
        return type(error).__name__, str(error)


def begin(
    database: SystemDatabase, name: str, *, creator: str = OWNER, workflow: str = "book-import"
) -> Any:
    status: dict[str, Any] = dict.fromkeys(STATUS_FIELDS)
    status |= {
        "workflow_uuid": name,
        "status": "PENDING",
        "name": workflow,
        "executor_id": "node",
        "app_version": "book-import-1",
        "inputs": '{"isbn":"9780142437247"}',
        "serialization": "bookline_json",
        "priority": 0,
        "is_debounced": False,
        "application_name": "bookline",
    }
    return database.init_workflow(status, creator_xid=creator)  # type: ignore[arg-type]


def look(database: SystemDatabase, name: str, place: int, *, step: str = "a-step") -> Any:
    return told(lambda: database.check_operation_execution(name, place, step))


def record(
    database: SystemDatabase, name: str, place: int,
    *, output: str | None = None, error: str | None = None, owner: str | None = OWNER, at: int = 7,
) -> Any:  # fmt: skip
    result: Any = {
        "workflow_uuid": name,
        "function_id": place,
        "function_name": "a-step",
        "output": output,
        "error": error,
        "serialization": "bookline_json",
        "started_at_epoch_ms": 5,
        "child_workflow_id": None,
    }
    return told(
        lambda: database.record_operation_result(result, completed_at_epoch_ms=at, owner_xid=owner)
    )


def end(
    database: SystemDatabase, name: str, status: Any,
    *, output: str | None = None, error: str | None = None, owner: str | None = OWNER,
) -> Any:  # fmt: skip
    return told(
        lambda: database.update_workflow_outcome(
            name, status, output=output, error=error, owner_xid=owner
        )
    )


def all_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table; of times only whether there is one."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        table: [timeless(dict(row)) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for table in tables
        if table != "dbos_migrations" and not table.startswith("sqlite_")
    }
    db.close()
    return found


TIMES = ("created_at", "updated_at", "completed_at", "retention_timestamp")
STATUS_FIELDS = (
    "class_name", "config_name", "authenticated_user", "assumed_role", "authenticated_roles",
    "created_at", "updated_at", "queue_name", "app_id", "recovery_attempts", "workflow_timeout_ms",
    "workflow_deadline_epoch_ms", "deduplication_id", "queue_partition_key", "forked_from",
    "parent_workflow_id", "started_at_epoch_ms", "delay_until_epoch_ms", "attributes",
    "schedule_name", "debounce_deadline_epoch_ms", "shard_key",
)  # fmt: skip


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value is not None and value > 1_700_000_000_000 if name in TIMES else value
        for name, value in row.items()
    }
