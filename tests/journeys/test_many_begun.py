"""However many imports had begun when a process died, they continue: no statement grows with them.

SQLite takes 32,766 values in one statement by itself (Debian's build takes 250,000). Here it takes
200, and 250 imports had begun: more than go into one statement, as 40,000 would be.
Source: sqlite.org/limits.html, "Maximum Number Of Host Parameters In A Single SQL Statement".
"""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from stack import server

from bookline_sandbox import Sandbox

BEGUN, VALUES = 250, 200  # no more than one source may have at work (engine/queue.py)
FEW_VALUES = f"""
import sqlite3
real = sqlite3.dbapi2.connect
def connect(*args, **kwargs):
    made = real(*args, **kwargs)
    made.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, {VALUES})
    return made
sqlite3.connect = sqlite3.dbapi2.connect = connect
"""
WAIT_SECONDS = 120.0


@pytest.mark.slow
async def test_more_begun_imports_than_go_into_one_statement_continue(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with Sandbox() as sandbox:
        isbns = sandbox.make(BEGUN)
        env = sandbox.settings() | {"BOOKLINE_EMBEDDER": "none"}
        sandbox.faults.add(kind="hang", route="covers", isbn="*", times=None)
        async with server(env | {"BOOKLINE_AT_WORK": str(BEGUN)}, data) as api:
            orders = [{"isbn": isbn, "source": "google_books"} for isbn in isbns]
            started = [await api.post("/v2/import/workflow", order) for order in orders]
            await until(data, "running", BEGUN)
            await api.kill()
        sandbox.faults.clear()

        async with server(env, data, before=FEW_VALUES) as api:
            await until(data, "completed", BEGUN)
            _, books, _ = await api.get("/v2/books?limit=1")
            told = await api.story(started[0][1]["data"]["jobId"])

    assert [status for status, _, _ in started] == [202] * BEGUN
    assert books["data"]["total"] == BEGUN
    assert [message["type"] for message in told].count("workflow_resumed") == 1


async def until(data: Path, status: str, count: int) -> None:
    """So many jobs have this status."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with contextlib.closing(sqlite3.connect(data / "journal.db")) as journal:
                [found] = journal.execute("SELECT count(*) FROM jobs WHERE status = ?", (status,))
            if found[0] == count:
                return
            await asyncio.sleep(0.2)
