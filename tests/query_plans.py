"""For all tests: no statement reads through a table that grows with history.

Rule 1:  SQLite is asked for the plan of each statement the first time that any test makes it; a
         test that makes one with a scan fails, whatever it is about.
Rule 2:  what may scan stands in ``ALLOWED``, with its reason.
Source:  https://sqlite.org/eqp.html
"""

import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence

import pytest

from bookline.stores import sqlite

ALLOWED = {
    "SELECT status, count(*) AS n FROM jobs GROUP BY status": "asked by hand (doctor), of an index",
    "FROM catalogue": "as big as the library, and narrow: a search finds any part of a word",
    "INSERT INTO numbered_vectors": "a migration",
    "vec_distance_cosine": "a search by meaning compares with each book, never with history",
    "count(*) AS n FROM batches": "a list's total, of an index: people drop files by the dozen",
}
"""Part of a statement → why it may scan."""
OF_WHAT_IS_OPEN = {"jobs_open", "jobs_open_method", "batches_open", "legacy_jobs_open"}
"""Partial indexes that may be read through: they do not grow with history."""
SMALL = {"nodes", "moments", "json_each", "sqlite_master"}
"""Tables of a handful of rows."""
_SCAN = re.compile(r"SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")
_READS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)

_known: set[str] = set()
_scans: list[str] = []
_execute = sqlite.SqliteSession.execute


def scans_of(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> list[str]:
    """The steps of the plan that read through something that grows."""
    text, lists = sqlite._translated(sql)
    values = {**values, **{name: json.dumps(list(values[name])) for name in lists}}  # type: ignore[call-overload]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    steps = [str(row["detail"]) for row in plan]
    if "LIMIT" in sql and "WHERE" not in sql and not any("TEMP B-TREE" in one for one in steps):
        return []  # the first page, in an index's order
    found = [(step, _SCAN.match(step)) for step in steps]
    return [
        step
        for step, scan in found
        if scan
        and scan["table"] not in SMALL
        and "CONSTANT ROW" not in step
        and not scan["table"].isdigit()  # rows that stand in the statement
        and not _is_subquery(sql, scan["table"])
        and scan["index"] not in OF_WHAT_IS_OPEN
    ]


def _is_subquery(sql: str, name: str) -> bool:
    """What it reads shows up in the plan by itself."""
    return re.search(rf"\)\s*(AS\s+)?{name}\b", sql) is not None


def _watched(
    self: sqlite.SqliteSession, sql: str, values: Mapping[str, object] = sqlite._NOTHING
) -> Sequence[sqlite3.Row]:
    asker = sys._getframe(1).f_globals["__name__"]
    is_a_move = asker.endswith(("_schema", "stores.moving"))  # a migration may
    is_ours = asker.startswith("bookline.") and not is_a_move
    if is_ours and sql not in _known and _READS.match(sql):
        _known.add(sql)
        if not any(part in sql for part in ALLOWED):
            _scans.extend(f"{one}: {sql}" for one in scans_of(self._connection, sql, values))
    return _execute(self, sql, values)


sqlite.SqliteSession.execute = _watched  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _no_scans() -> Iterator[None]:
    yield
    found = _scans.copy()
    _scans.clear()
    assert not found, "\n".join(
        ["statements that grow with history (tests/query_plans.py)", *found]
    )
