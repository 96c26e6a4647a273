"""What every engine promises, on PostgreSQL: the tests of test_engine.py once more."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import test_engine
from sqlalchemy import event
from test_engine import Bench, DbosBench, LegacyBench, on_dbos

from postgres_server import PostgresServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOK_INTO_FILES = {"test_the_engines_file_holds_plain_json", "test_an_imports_state_stays_small"}
globals().update(
    (name, test)
    for name, test in vars(test_engine).items()
    if name.startswith("test_") and name not in LOOK_INTO_FILES
)
__all__ = ["on_dbos"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def launched(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DbosBench]:
    url = postgres_server.new_database()
    made = DbosBench(tmp_path_factory.mktemp("engine"), url)
    made.clear()
    await made.boot()
    yield made
    await made.stop()
    postgres_server.drop_database(url)


@pytest_asyncio.fixture(params=["dbos", "in_batch", "legacy"], loop_scope="module")
async def bench(
    request: pytest.FixtureRequest, on_dbos: DbosBench, tmp_path: Path
) -> AsyncIterator[Bench]:
    if request.param in {"dbos", "in_batch"}:
        on_dbos.in_batch = request.param == "in_batch"
        yield on_dbos
        return
    made = LegacyBench(tmp_path, request.getfixturevalue("migrated_url"))
    made.clear()
    await made.boot()
    yield made
    await made.stop()


async def test_what_is_not_ended_is_found_without_reading_what_is(on_dbos: DbosBench) -> None:
    """DBOS has an index of the states that are asked for, all of them; of a longer list none."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, sql: str, values: Any, *_rest: Any) -> None:
        if "workflow_status.status IN" in sql:
            asked.append((sql, values))

    pool = on_dbos.engine._database.engine
    event.listen(pool, "before_cursor_execute", note)
    try:
        await on_dbos.engine.unfinished(10)
    finally:
        event.remove(pool, "before_cursor_execute", note)

    with psycopg.connect(on_dbos.url) as connection:
        connection.execute("SET enable_seqscan = off")
        for sql, values in asked:
            plan = connection.execute(f"EXPLAIN {sql}".encode(), values).fetchall()
            assert any("workflow_status_in_flight" in line for (line,) in plan), plan
    assert asked
