"""Whether the installed DBOS is the one that dbos_statements.py was written for, line by line.

Way:      dbos_statements.py before it replaces anything, ``bookline doctor`` → here
Rule 1:   what is replaced or relied on is compared by its source, never by a version's number.
"""

import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dbos import DBOS, StepReservation
from dbos._context import current_owner_xid
from dbos._core import _init_workflow, invoke_step, start_workflow_async
from dbos._dbos import _SharedExecutor
from dbos._schemas.system_database import SystemSchema
from dbos._sys_db import SystemDatabase

READ = "009ba3a38c9ec20e"
"""What ``fingerprint`` gave for the DBOS that dbos_statements.py was written for."""
READ_FILES = "7f43913c08747f1b"
"""What ``files_fingerprint`` gave for it: known at a glance, where nothing else changed either."""

REPLACED = (
    "_execute_prepared",
    "_check_operation_execution_txn",
    "_check_owner_txn",
    "_record_operation_result_txn",
    "_update_workflow_outcome_in_transaction",
)
RELIED_ON = (
    "_now_ms_sql",
    "_wf",
    "_wf_values",
    "_key_conflict",
    "_key_column",
    "_child_values",
    "_insert_workflow_status",
    "init_workflow",
    "update_workflow_outcome",
    "record_operation_result",
    "check_operation_execution",
)


def fingerprint() -> str:
    """A hash over the source of everything here that belongs to DBOS. Takes 0.1 s and 6 MB."""
    return _hash("".join(map(inspect.getsource, _parts())).encode())


def files_fingerprint() -> str:
    """The same over the files in which it stands; takes 2 ms."""
    files = sorted({inspect.getfile(part) for part in _parts()})
    return _hash(b"".join(Path(file).read_bytes() for file in files))


def _parts() -> list[Any]:
    parts = [getattr(SystemDatabase, name) for name in (*REPLACED, *RELIED_ON)]
    parts += [current_owner_xid, SystemSchema, invoke_step, StepReservation, _SharedExecutor]
    parts += [start_workflow_async, _init_workflow, DBOS._configure_asyncio_thread_pool]
    return parts


def _hash(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()[:16]


def why_not() -> str | None:
    """Why DBOS is left its own way, slower and just as right; None while it is not."""
    try:
        is_known = files_fingerprint() == READ_FILES or fingerprint() == READ
    except (AttributeError, OSError, TypeError) as error:
        return f"the source of DBOS {version('dbos')} cannot be read ({error})"
    if not is_known:
        return f"DBOS {version('dbos')} is not the one that Bookline's statements were written for"
    return None
