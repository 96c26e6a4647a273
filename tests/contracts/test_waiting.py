"""Jobs that wait as rows: taken once, in fair turns, and cancelled by one write."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from bookline.job import CANCELLED, QUEUED, RUNNING, ImportInput, Job
from bookline.stores.journal import SqlJournal
from store_fixtures import OpenStores

NOW_MS = 1_700_000_000_000
ALL = {"auto": 99, "google_books": 99, "isbndb": 99, "openlibrary": 99}


@pytest.fixture
def journal(open_stores: OpenStores) -> Iterator[SqlJournal]:
    made = open_stores(lambda: NOW_MS).journal
    yield made
    made.close()


async def open_jobs(
    journal: SqlJournal, names: list[str], *, flow: str = "", source: str = "auto"
) -> None:
    for name in names:
        order = ImportInput(job_id=name, isbn="9780142437247", input_isbn="x", source=source)
        await journal.open(
            Job(order=order, method="workflow", flow=flow, created_ms=NOW_MS, updated_ms=NOW_MS)
        )


def named(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def take(journal: SqlJournal, most: int = 99, sources: dict[str, int] = ALL) -> list[str]:
    return [job.job_id for job in await journal.take("node", sources, most)]


async def test_what_waits_is_taken_once_and_in_order(journal: SqlJournal) -> None:
    await open_jobs(journal, named("job", 5))

    first, second = await take(journal, 3), await take(journal, 3)

    assert first + second == named("job", 5)
    assert await take(journal) == []
    job = await journal.find("job-0")
    assert job is not None
    assert (job.status, job.node) == (QUEUED, "node")


async def test_looking_for_what_waits_writes_nothing_while_nothing_does(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process looks twice a second."""
    await open_jobs(journal, ["elsewhere"], source="isbndb")
    monkeypatch.setattr(journal, "write", None, raising=False)
    monkeypatch.setattr(journal.database, "write", None)

    assert await journal.take("node", {"auto": 99}, 99) == ()


async def test_processes_that_take_at_once_take_each_job_once(journal: SqlJournal) -> None:
    await open_jobs(journal, named("job", 40))

    taken = await asyncio.gather(*(journal.take(f"node-{n}", ALL, 7) for n in range(8)))

    ids = [job.job_id for some in taken for job in some]
    assert sorted(ids) == sorted(named("job", 40))


async def test_a_newcomer_waits_for_no_long_flow(journal: SqlJournal) -> None:
    await open_jobs(journal, named("long", 50), flow="a")
    await take(journal, 10)

    await open_jobs(journal, named("short", 2), flow="b")

    assert set(await take(journal, 4)) == {"long-10", "short-0", "long-11", "short-1"}


async def test_one_source_s_queue_holds_up_no_other(journal: SqlJournal) -> None:
    await open_jobs(journal, named("slow", 50), source="isbndb")
    await open_jobs(journal, named("quick", 3), source="google_books")

    assert await take(journal, 4) == ["quick-0", "slow-0", "quick-1", "slow-1"]
    assert await take(journal, 99, {**ALL, "isbndb": 0}) == ["quick-2"]


async def test_a_cancel_of_what_waits_is_its_end(journal: SqlJournal) -> None:
    await open_jobs(journal, ["job-0"])

    job = await journal.request_cancel("job-0")

    assert (job.status, job.error and job.error["code"]) == (CANCELLED, "CANCELLED")
    assert await take(journal) == []
    [event] = await journal.read("job-0", 0, 9)
    assert event.is_terminal
    assert json.loads(event.message)["status"] == CANCELLED
    assert await journal.claim("job-0", "node") is None
    assert [record.outcome for record in await journal.records(0)] == ["cancelled"]


async def test_a_cancel_of_what_runs_only_marks_it(journal: SqlJournal) -> None:
    await open_jobs(journal, ["job-0"])
    await journal.claim("job-0", "node")

    job = await journal.request_cancel("job-0")

    assert (job.status, job.cancel_requested) == (RUNNING, True)
