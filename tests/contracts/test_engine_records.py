"""Records that are written in the event loop: the rows that DBOS writes, and nobody waits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_engine import DOWN, METADATA, SAVE, UPLOAD, DbosBench, reboot

from bookline.engine import dbos_at_once
from bookline.engine.dbos import DbosEngine
from bookline.engine.dbos_at_once import AtOnce
from bookline.errors import ProviderDown, StoreDown
from bookline.job import CANCELLED, COMPLETED, FAILED, RUNNING

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_A_MOMENT = {
    "created_at", "updated_at", "completed_at", "retention_timestamp", "started_at_epoch_ms",
    "completed_at_epoch_ms",
}  # fmt: skip
OF_A_PROCESS = {"creator_xid", "owner_xid", "executor_id"}


class Kept:
    """What ``AtOnce.record`` answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[bool] = []
        real = AtOnce.record

        def record(*args: Any) -> bool:
            self.answers.append(real(*args))
            return self.answers[-1]

        monkeypatch.setattr(AtOnce, "record", record)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(monkeypatch)


class OtherBench(DbosBench):
    """One whose engine may be left DBOS' own way."""

    prepared = True

    async def boot(self) -> None:
        self.open_stores()
        self.engine = DbosEngine(
            self.folder / "engine.db", self.world(), self.node.living, prepared=self.prepared
        )
        await self.engine.launch()


@asynccontextmanager
async def booted(folder: Path, *, prepared: bool = True) -> AsyncIterator[OtherBench]:
    bench = OtherBench(folder)
    bench.prepared = prepared
    bench.clear()
    bench.story_of = "here"
    await bench.boot()
    try:
        yield bench
    finally:
        bench.steps.held.clear()
        await bench.stop()


async def test_what_is_written_at_once_is_what_dbos_writes(tmp_path: Path, kept: Kept) -> None:
    """Success, retries, an optional part that fails, a failure and its retry, a cancel, a stop."""
    rows = []
    for prepared in (False, True):
        folder = tmp_path / str(prepared)
        async with booted(folder, prepared=prepared) as bench:
            await whole_story(bench)
        rows.append(all_rows(folder / "engine.db"))

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
        assert len(recorded(tmp_path)) == 4


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


async def test_what_is_anothers_now_is_not_recorded(tmp_path: Path, kept: Kept) -> None:
    """As of a process that was frozen, and whose import another one has taken up."""
    async with booted(tmp_path) as bench:
        bench.steps.held = {METADATA}
        await bench.start()
        await bench.reached(METADATA)
        with closing(sqlite3.connect(tmp_path / "engine.db", timeout=10)) as db:
            db.execute("UPDATE workflow_status SET owner_xid = 'another'")
            db.commit()

        bench.steps.held.clear()
        while not kept.answers:
            await asyncio.sleep(0.002)

        assert kept.answers == [False]
        assert recorded(tmp_path) == []


async def test_what_was_taken_up_is_replayed_by_dbos(tmp_path: Path, kept: Kept) -> None:
    async with booted(tmp_path) as bench:
        bench.steps.held = {SAVE}
        await bench.start()
        await bench.reached(SAVE)
        before = list(kept.answers)

        await reboot(bench)

        assert (await bench.end()).status == COMPLETED
        assert bench.steps.calls.count(METADATA) == 1
        assert kept.answers == before == [True, True, True]


async def test_the_log_is_taken_into_the_file(
    tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would grow for ever: the loop's connection never does it."""
    monkeypatch.setattr(dbos_at_once, "CHECKPOINT_WRITES", 6)
    done: list[Any] = []
    monkeypatch.setattr(dbos_at_once, "checkpoint", done.append)
    async with booted(tmp_path) as bench:
        await bench.start()
        await bench.end()

    assert kept.answers == [True] * 4
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


def recorded(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "engine.db")) as db:
        return db.execute("SELECT function_name FROM operation_outputs").fetchall()


def all_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row, without what is another one in each process and at each moment."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {
            table: [plain(dict(row)) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in (
                "workflow_status",
                "workflow_input",
                "workflow_output",
                "operation_outputs",
            )
        }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: bool(value) if name in OF_A_MOMENT else value for name, value in row.items()}
    row = {name: value is None if name in OF_A_PROCESS else value for name, value in row.items()}
    if isinstance(row.get("output"), str):
        row["output"] = row["output"].partition('"wakeMs"')[0]
    return row


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process that writes."""
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
