"""For all tests: no statement reads through a table that grows with history.

Rule 1:  SQLite is asked for the plan of each statement the first time that any test makes it; a
         test that makes one with a scan fails, whatever it is about.
Rule 2:  what may scan stands in ``ALLOWED``, with its reason.
Rule 3:  PostgreSQL is asked too, with its scans of whole tables forbidden: where one is left in the
         plan, there is no index that it could take.
Source:  https://sqlite.org/eqp.html, https://www.postgresql.org/docs/current/using-explain.html
"""

import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from psycopg.pq import TransactionStatus

from bookline.stores import postgres_session, sqlite_session

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
OPEN = "status IN ('queued', 'running')"
A_METHODS_HISTORY = "USING INDEX jobs_method (method=?)"
"""An index, and yet all that a method ever did: not for who asks what is open."""
SMALL = {"nodes", "moments", "json_each", "sqlite_master"}
"""Tables of a handful of rows."""
_SCAN = re.compile(r"SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")
_READS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)

_known: set[str] = set()
_scans: list[str] = []
_execute = sqlite_session.SqliteSession.execute
_execute_many = sqlite_session.SqliteSession.execute_many


def scans_of(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> list[str]:
    """The steps of the plan that read through something that grows."""
    text, lists = sqlite_session.translated(sql)
    values = {**values, **{name: json.dumps(list(values[name])) for name in lists}}  # type: ignore[call-overload]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    steps = [str(row["detail"]) for row in plan]
    if "LIMIT" in sql and "WHERE" not in sql and not any("TEMP B-TREE" in one for one in steps):
        return []  # the first page, in an index's order
    found = [(step, _SCAN.match(step)) for step in steps]
    walks = [step for step in steps if OPEN in sql and A_METHODS_HISTORY in step]
    return walks + [
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
    self: sqlite_session.SqliteSession,
    sql: str,
    values: Mapping[str, object] = sqlite_session.NOTHING,
) -> Sequence[sqlite3.Row]:
    asker = sys._getframe(1).f_globals["__name__"]
    if _is_watched(asker, sql, _known):
        _scans.extend(f"{one}: {sql}" for one in scans_of(self._connection, sql, values))
    return _execute(self, sql, values)


def _watched_many(
    self: sqlite_session.SqliteSession, sql: str, rows: Sequence[Mapping[str, object]]
) -> None:
    asker = sys._getframe(1).f_globals["__name__"]
    if rows and _is_watched(asker, sql, _known):
        _scans.extend(f"{one}: {sql}" for one in scans_of(self._connection, sql, rows[0]))
    _execute_many(self, sql, rows)


def _is_watched(asker: str, sql: str, known: set[str]) -> bool:
    """Whether it is to be looked at, for the first time."""
    is_a_move = asker.endswith(("_schema", "stores.moving", "stores.database"))  # a migration may
    is_ours = asker.startswith("bookline.") and not is_a_move
    if not is_ours or sql in known or not _READS.match(sql):
        return False
    known.add(sql)
    return not any(part in sql for part in ALLOWED)


sqlite_session.SqliteSession.execute = _watched  # type: ignore[method-assign]
sqlite_session.SqliteSession.execute_many = _watched_many  # type: ignore[method-assign]

# ------------------------------------------------------------------ PostgreSQL
_known_there: set[str] = set()
_execute_there = postgres_session.PostgresSession.execute
_execute_many_there = postgres_session.PostgresSession.execute_many


def scans_on_postgres(
    connection: postgres_session.Connection, sql: str, values: Mapping[str, object]
) -> list[str]:
    """The steps that read through a table that grows, for want of an index."""
    text = b"EXPLAIN (FORMAT JSON) " + postgres_session._translated(sql)
    is_within = connection.info.transaction_status == TransactionStatus.INTRANS
    begin, end = ("SAVEPOINT plans", "ROLLBACK TO plans") if is_within else ("BEGIN", "ROLLBACK")
    connection.execute(begin)
    try:
        connection.execute("SET LOCAL enable_seqscan = off")
        [row] = connection.execute(text, values, prepare=False)
    finally:
        connection.execute(end)
    return [
        f"Seq Scan on {step['Relation Name']}"
        for step in _steps(row["QUERY PLAN"][0]["Plan"])
        if step["Node Type"] == "Seq Scan" and step["Relation Name"] not in SMALL
    ]


def _steps(plan: Any) -> Iterator[Any]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _steps(part)


def _watched_there(
    self: postgres_session.PostgresSession,
    sql: str,
    values: Mapping[str, object] = postgres_session._NOTHING,
) -> Sequence[Any]:
    asker = sys._getframe(1).f_globals["__name__"]
    if _is_watched(asker, sql, _known_there):
        found = scans_on_postgres(self.connection, sql, values)
        _scans.extend(f"{one}: {sql}" for one in found)
    return _execute_there(self, sql, values)


def _watched_many_there(
    self: postgres_session.PostgresSession, sql: str, rows: Sequence[Mapping[str, object]]
) -> None:
    asker = sys._getframe(1).f_globals["__name__"]
    if rows and _is_watched(asker, sql, _known_there):
        found = scans_on_postgres(self.connection, sql, rows[0])
        _scans.extend(f"{one}: {sql}" for one in found)
    _execute_many_there(self, sql, rows)


postgres_session.PostgresSession.execute = _watched_there  # type: ignore[method-assign]
postgres_session.PostgresSession.execute_many = _watched_many_there  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _no_scans() -> Iterator[None]:
    yield
    found = _scans.copy()
    _scans.clear()
    assert not found, "\n".join(
        ["statements that grow with history (tests/query_plans.py)", *found]
    )
