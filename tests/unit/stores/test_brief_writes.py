"""Brief writes of a SQLite file: at once where nobody else writes, in order, never waiting."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bookline.errors import Refused, StoreDown
from bookline.stores import sqlite
from bookline.stores.database import Session, Work
from bookline.stores.sqlite import Sqlite

TABLE = "CREATE TABLE notes (text TEXT UNIQUE)"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Sqlite]:
    opened = Sqlite(tmp_path / "notes.db", [TABLE])
    yield opened
    opened.close()


def adding(text: str) -> Work[str]:
    def work(session: Session) -> str:
        session.execute("INSERT INTO notes VALUES (:text)", {"text": text})
        return text

    return work


async def notes(file: Sqlite) -> list[str]:
    rows = await file.read(lambda session: session.execute("SELECT text FROM notes ORDER BY rowid"))
    return [row["text"] for row in rows]


@contextmanager
def another_writes(file: Sqlite) -> Iterator[None]:
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_brief_work_is_done_in_the_same_pass_of_the_loop(file: Sqlite) -> None:
    done = [file.write_soon(adding(name), brief=True) for name in ("one", "two")]
    await asyncio.sleep(0)

    assert [one.result(0) for one in done] == ["one", "two"]
    assert await notes(file) == ["one", "two"]


async def test_other_work_is_the_threads(file: Sqlite) -> None:
    threads: list[int] = []

    await file.write(lambda session: threads.append(threading.get_ident()))
    while file._queue.unfinished_tasks:  # what it wrote is known before it is at rest
        await asyncio.sleep(0)
    await file.write(lambda session: threads.append(threading.get_ident()), brief=True)

    assert threads[0] != threading.get_ident() == threads[1]


async def test_brief_work_does_not_overtake_what_waits(file: Sqlite) -> None:
    go = threading.Event()
    waits = file.write_soon(lambda session: go.wait(10) and adding("first")(session))

    behind = file.write_soon(adding("second"), brief=True)
    await asyncio.sleep(0)
    assert not behind.done()
    go.set()

    await asyncio.wrap_future(behind)
    assert waits.result() == "first"
    assert await notes(file) == ["first", "second"]


async def test_other_work_does_not_overtake_brief_work(file: Sqlite) -> None:
    brief = [file.write_soon(adding(f"{number}"), brief=True) for number in range(40)]

    await file.write(adding("last"))

    assert [one.result(0) for one in brief] == [f"{number}" for number in range(40)]
    assert (await notes(file))[-1] == "last"


async def test_brief_work_that_waits_when_the_file_is_closed_is_kept(tmp_path: Path) -> None:
    closing_file = Sqlite(tmp_path / "notes.db", [TABLE])
    done = closing_file.write_soon(adding("one"), brief=True)

    closing_file.close()

    assert done.result(0) == "one"


async def test_while_another_process_writes_the_caller_does_not_wait(file: Sqlite) -> None:
    with another_writes(file):
        done = file.write_soon(adding("late"), brief=True)
        await asyncio.sleep(0)
        assert not done.done()

    assert await asyncio.wrap_future(done) == "late"
    assert await notes(file) == ["late"]


async def test_brief_work_that_raises_leaves_nothing_behind(file: Sqlite) -> None:
    def work(session: Session) -> None:
        adding("gone")(session)
        raise Refused("INVALID_STATE", "no")

    with pytest.raises(Refused):
        await file.write(work, brief=True)

    assert await notes(file) == []


async def test_what_the_file_refuses_is_told_as_by_the_thread(file: Sqlite) -> None:
    await file.write(adding("one"), brief=True)

    with pytest.raises(StoreDown, match="UNIQUE"):
        await file.write(adding("one"), brief=True)


async def test_the_log_is_taken_into_the_file(
    file: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would grow for ever: who writes in the event loop never does it."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_WRITES", 10)
    log = file.path.with_name("notes.db-wal")
    sizes = []

    for number in range(100):
        await file.write(adding(f"{number}"), brief=True)
        sizes.append(log.stat().st_size)

    assert max(sizes) <= 3 * sizes[9]
