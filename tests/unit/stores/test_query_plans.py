"""The watch over all tests' statements sees what reads through history, and nothing else."""

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from bookline.stores.database import Session
from bookline.stores.opening import journal_tables_in_memory, open_storage, stores_in
from bookline.stores.postgres_session import PostgresSession
from query_plans import scans_of, scans_on_postgres

ALL = {"x": 1, "xs": [1], "limit": 5}


# In the order of an index that has all of the method, finished ones, too.
OPEN = "SELECT * FROM jobs WHERE status IN ('queued', 'running') AND method = :x"


@pytest.fixture
def connection() -> sqlite3.Connection:
    return journal_tables_in_memory()._connection


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM events WHERE message = :x",
        "SELECT count(*) FROM events",
        "SELECT job_id FROM jobs WHERE status NOT IN ('queued', 'running')",
        "DELETE FROM import_records WHERE code = :x",
        "UPDATE jobs SET restarts = 0 WHERE input_isbn = :x",
        "SELECT * FROM jobs ORDER BY restarts LIMIT :limit",
        f"{OPEN} ORDER BY created_ms",
    ],
)
def test_what_reads_through_a_table_is_seen(connection: sqlite3.Connection, sql: str) -> None:
    assert scans_of(connection, sql, ALL)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM events WHERE job_id = :x AND seq > :x",
        "SELECT * FROM events WHERE job_id IN :xs",
        "SELECT method, count(*) FROM jobs WHERE status IN ('queued', 'running') GROUP BY method",
        f"{OPEN} ORDER BY +created_ms",
        "INSERT INTO moments VALUES (:x, :x)",
        "SELECT * FROM jobs ORDER BY created_ms, job_id LIMIT :limit",
    ],
)
def test_what_goes_by_an_index_is_not(connection: sqlite3.Connection, sql: str) -> None:
    assert scans_of(connection, sql, ALL) == []


async def test_what_has_no_index_on_postgresql_is_seen(postgres_url: str, tmp_path: Path) -> None:
    storage = open_storage(postgres_url, tmp_path)
    journal = stores_in(storage, lambda: 1).journal

    def plans(session: Session) -> list[list[str]]:
        assert isinstance(session, PostgresSession)
        ask = partial(scans_on_postgres, session.connection)
        return [
            ask("SELECT * FROM events WHERE message = :x", {"x": "x"}),
            ask("DELETE FROM import_records WHERE code = :x", {"x": "x"}),
            ask("SELECT * FROM events WHERE job_id = :x AND seq > :n", {"x": "x", "n": 1}),
            ask("SELECT * FROM events WHERE job_id IN :xs", {"xs": ["x"]}),
        ]

    read, written = await journal.database.read(plans), await journal.database.write(plans)

    storage.close()
    assert read == written == [["Seq Scan on events"], ["Seq Scan on import_records"], [], []]


async def test_a_statement_of_a_test_may_read_through(connection: sqlite3.Connection) -> None:
    def look(session: Session) -> None:
        session.execute("SELECT message FROM events WHERE message = 'x'")

    await journal_tables_in_memory().read(look)
