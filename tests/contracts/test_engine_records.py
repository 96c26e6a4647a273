"""Records that are not written by DBOS' step: the rows that DBOS writes, and nobody waits.

In the event loop on SQLite, many in one transaction on PostgreSQL.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from test_engine import DOWN, METADATA, SAVE, UPLOAD, DbosBench, reboot

from bookline.engine import dbos_at_once
from bookline.engine.dbos import DbosEngine
from bookline.engine.dbos_at_once import AtOnce
from bookline.engine.dbos_together import Together
from bookline.errors import ProviderDown, StoreDown
from bookline.job import CANCELLED, COMPLETED, FAILED, RUNNING
from postgres_server import PostgresServer
from store_fixtures import PRODUCTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_A_MOMENT = {
    "created_at", "updated_at", "completed_at", "retention_timestamp", "started_at_epoch_ms",
    "completed_at_epoch_ms",
}  # fmt: skip
OF_A_PROCESS = {"creator_xid", "owner_xid", "executor_id"}


class Kept:
    """What the keepers answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[bool] = []
        self._listen(monkeypatch, AtOnce)
        self._listen(monkeypatch, Together)

    def _listen(self, monkeypatch: pytest.MonkeyPatch, keeper: Any) -> None:
        real = keeper.record

        async def record(*args: Any) -> bool:
            answer: bool = await real(*args)
            self.answers.append(answer)
            return answer

        monkeypatch.setattr(keeper, "record", record)


@pytest.fixture(params=PRODUCTS)
def new_url(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Where the next engine's database is: a new one on PostgreSQL; empty for a file."""
    if request.param == "sqlite":
        yield lambda: ""
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    made: list[str] = []

    def new() -> str:
        made.append(server.new_database())
        return made[-1]

    yield new
    for url in made:
        server.drop_database(url)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(monkeypatch)


class OtherBench(DbosBench):
    """One whose engine may be left DBOS' own way."""

    prepared = True

    async def boot(self) -> None:
        self.open_stores()
        self.engine = DbosEngine(
            self.url or self.folder / "engine.db",
            self.world(),
            self.node.living,
            prepared=self.prepared,
        )
        await self.engine.launch()


@asynccontextmanager
async def booted(
    folder: Path, url: str = "", *, prepared: bool = True
) -> AsyncIterator[OtherBench]:
    bench = OtherBench(folder, url)
    bench.prepared = prepared
    bench.clear()
    bench.story_of = "here"
    await bench.boot()
    try:
        yield bench
    finally:
        bench.steps.held.clear()
        await bench.stop()


async def test_what_is_written_at_once_is_what_dbos_writes(
    tmp_path: Path, kept: Kept, new_url: Callable[[], str]
) -> None:
    """Success, retries, an optional part that fails, a failure and its retry, a cancel, a stop."""
    rows = []
    for prepared in (False, True):
        folder, url = tmp_path / str(prepared), new_url()
        async with booted(folder, url, prepared=prepared) as bench:
            await whole_story(bench)
            rows.append(all_rows(bench))

    assert rows[0] == rows[1]
    assert len(rows[0]["operation_outputs"]) > 15
    assert kept.answers.count(True) > 12


async def test_who_writes_elsewhere_holds_nobody_up(tmp_path: Path, kept: Kept) -> None:
    """The record is made by DBOS in its thread; the loop does other things meanwhile."""
    async with booted(tmp_path) as bench:
        bench.steps.held = {METADATA}
        await bench.start()
        await bench.reached(METADATA)

        with locked(tmp_path / "engine.db"):
            bench.steps.held.clear()
            while not kept.answers:
                await asyncio.sleep(0.002)
            assert kept.answers == [False]
            assert (await bench.job()).status == RUNNING

        assert (await bench.end()).status == COMPLETED
        assert bench.steps.calls.count(METADATA) == 1
        assert len(recorded(bench)) == 4


async def test_no_start_and_no_end_waits_in_the_event_loop(
    tmp_path: Path, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """DBOS sleeps, and says so, where it reads that a database is locked; here it never does."""
    async with booted(tmp_path) as bench:
        waits = pytest.raises(StoreDown, match="another process is writing")
        with locked(tmp_path / "engine.db"), waits:
            await bench.start()

        bench.steps.held = {SAVE}
        await bench.start("other")
        await bench.reached(SAVE)
        with locked(tmp_path / "engine.db"):
            bench.steps.held.clear()
            while len(kept.answers) < 4:
                await asyncio.sleep(0.002)
        assert (await bench.end("other")).status == COMPLETED
        await bench.engine.settle(bench.id("other"))

    assert "Database connection failed" not in caplog.text


async def test_what_is_anothers_now_is_not_recorded(
    tmp_path: Path, kept: Kept, new_url: Callable[[], str]
) -> None:
    """As of a process that was frozen, and whose import another one has taken up."""
    async with booted(tmp_path, new_url()) as bench:
        bench.steps.held = {METADATA}
        await bench.start()
        await bench.reached(METADATA)
        with opened(bench) as db:
            db.execute("UPDATE workflow_status SET owner_xid = 'another'")
            db.commit()

        bench.steps.held.clear()
        while not kept.answers:
            await asyncio.sleep(0.002)

        assert kept.answers == [False]
        assert recorded(bench) == []


async def test_what_was_taken_up_is_replayed_by_dbos(
    tmp_path: Path, kept: Kept, new_url: Callable[[], str]
) -> None:
    async with booted(tmp_path, new_url()) as bench:
        bench.steps.held = {SAVE}
        await bench.start()
        await bench.reached(SAVE)
        before = list(kept.answers)

        await reboot(bench)

        assert (await bench.end()).status == COMPLETED
        assert bench.steps.calls.count(METADATA) == 1
        assert kept.answers == before == [True, True, True]


async def test_the_log_is_taken_into_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would grow for ever: the loop's connection never does it."""
    monkeypatch.setattr(dbos_at_once, "CHECKPOINT_WRITES", 4)  # of six, some may be DBOS' own
    done: list[Any] = []
    monkeypatch.setattr(dbos_at_once, "checkpoint", done.append)
    async with booted(tmp_path) as bench:
        await bench.start()
        await bench.end()

    assert len(done) == 1


async def whole_story(bench: DbosBench) -> None:
    await bench.start("good")
    assert (await bench.end("good")).status == COMPLETED
    bench.steps.fail(METADATA, DOWN, DOWN)
    await bench.start("retried")
    assert (await bench.end("retried")).status == COMPLETED
    bench.steps.fail(UPLOAD, *[ProviderDown("down")] * 6)
    await bench.start("without-cover")
    assert (await bench.end("without-cover")).status == COMPLETED
    bench.steps.fail(METADATA, *[DOWN] * 4)
    await bench.start()
    assert (await bench.end()).status == FAILED
    await bench.retry()
    assert (await bench.end(run=2)).status == COMPLETED
    bench.steps.held = {METADATA}
    await bench.start("cancelled")
    await bench.reached(METADATA, 10)
    await bench.cancel("cancelled")
    bench.steps.held.clear()
    assert (await bench.end("cancelled")).status == CANCELLED
    await bench.engine.settle(bench.id("cancelled"))


@contextmanager
def opened(bench: DbosBench) -> Iterator[Any]:
    """The engine's tables, whatever product they are in."""
    if bench.url:
        with psycopg.connect(bench.url) as db:
            db.execute("SET search_path = dbos")
            yield db
        return
    with closing(sqlite3.connect(bench.folder / "engine.db", timeout=120)) as db:
        yield db


def recorded(bench: DbosBench) -> list[Any]:
    with opened(bench) as db:
        found: list[Any] = db.execute("SELECT function_name FROM operation_outputs").fetchall()
        return found


def all_rows(bench: DbosBench) -> dict[str, list[dict[str, Any]]]:
    """Every row, without what is another one in each process and at each moment."""
    with opened(bench) as db:
        found = {}
        for table in (
            "workflow_status", "workflow_input", "workflow_output", "operation_outputs"
        ):  # fmt: skip
            rows = db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            names = [column[0] for column in rows.description]
            found[table] = [plain(dict(zip(names, row, strict=True))) for row in rows.fetchall()]
        return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: bool(value) if name in OF_A_MOMENT else value for name, value in row.items()}
    row = {name: value is None if name in OF_A_PROCESS else value for name, value in row.items()}
    if isinstance(row.get("output"), str):
        row["output"] = row["output"].partition('"wakeMs"')[0]
    return row


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process that writes."""
    with closing(sqlite3.connect(path, timeout=120, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
