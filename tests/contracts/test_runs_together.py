"""What a batch's jobs write together is what each of them would write alone."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from bookline.batches.items import items_of_json
from bookline.errors import StoreDown
from bookline.job import CANCELLED, COMPLETED, RUNNING, ImportInput, Job
from bookline.progress.batches import Batch
from bookline.progress.events import completed, milestone
from bookline.progress.journal import Attempt, Claim, Runs
from bookline.stores.opening import Stores
from bookline.stores.runs_together import RunsTogether
from bookline.values import Json
from store_fixtures import OpenStores

NODE = "node-1"
BATCH = "batch-1700000000000-abcdefghijklmnop"
ISBNS = ["9780451524935", "9780142437247", "9780140328721"]
RESULT = {"isbn": ISBNS[0], "saved": True, "title": "T", "source": "isbndb", "storedIn": "database",
          "warnings": []}  # fmt: skip
OF_A_MARK = (
    "status", "step", "attempt", "marks", "done", "spent_ms", "epoch", "node", "last_seq",
)  # fmt: skip
SIDE_BY_SIDE = ("upload-cover", "generate-embedding")


def now_ms() -> int:
    return 1_700_000_000_000


@dataclass
class Bench:
    stores: Stores
    together: RunsTogether
    jobs: list[Job]

    async def rows(self, job_id: str) -> dict[str, Any]:
        """All that the journal has of a job."""

        def work(session: Any) -> dict[str, Any]:
            asked = {"job_id": job_id}
            jobs = session.execute("SELECT * FROM jobs WHERE job_id = :job_id", asked)
            events = session.execute(
                "SELECT * FROM events WHERE job_id = :job_id ORDER BY seq", asked
            )
            items = session.execute("SELECT * FROM batch_items WHERE job_id = :job_id", asked)
            row = {name: jobs[0][name] for name in jobs[0].keys()}  # noqa: SIM118 - a row, no dict
            return {
                **row,
                "events": [(one["seq"], one["key"], json.loads(one["message"])) for one in events],
                "items": [(one["state"], one["todo"], one["title"]) for one in items],
            }

        return await self.stores.journal.database.read(work)

    async def batch(self) -> Batch:
        batch = await self.stores.batches.find(BATCH)
        assert batch is not None
        return batch


@pytest.fixture
async def bench(open_stores: OpenStores) -> Bench:
    """A batch of three, whose jobs wait to be claimed."""
    stores = open_stores(now_ms)
    journal = stores.journal
    items = items_of_json(list(ISBNS), "auto", lambda source: None)
    batch = Batch(batch_id=BATCH, created_ms=now_ms(), updated_ms=now_ms())
    await stores.batches.open(batch, items)
    opened = await stores.batches.begin(BATCH, {item.index: _job(item.index) for item in items}, {})
    return Bench(stores, RunsTogether(journal, journal, now_ms), list(opened))


def _job(index: int) -> Job:
    order = ImportInput(job_id=f"job-{index}", isbn=ISBNS[index], input_isbn=ISBNS[index])
    return Job(order=order, method="workflow", created_ms=now_ms(), updated_ms=now_ms(), node=NODE,
               batch_id=BATCH)  # fmt: skip


async def claimed(runs: Runs, job_id: str) -> Claim:
    claim = await runs.claim(job_id, NODE)
    assert claim is not None
    return claim


async def mark(runs: Runs, claim: Claim, step: str, **more: Any) -> Attempt:
    return await runs.begin(
        claim.job_id, claim.run, step, 1, epoch=claim.epoch, token=f"{step}-1", limit_ms=15_000,
        spent_ms=12, **more,
    )  # fmt: skip


async def import_all(runs: Runs, job_id: str) -> str | None:
    """What an import writes, from its claim to its end."""
    claim = await claimed(runs, job_id)
    await mark(runs, claim, "fetch-metadata", news=[milestone("started", {})], done="{}")
    done = '{"fetch-metadata":[{"value":{}}]}'
    lines = [
        mark(
            runs, claim, step, news=[milestone("metadata_fetched", {"a": 1})], done=done,
            beside=SIDE_BY_SIDE, at=(SIDE_BY_SIDE[0], 1),
        )
        for step in SIDE_BY_SIDE
    ]  # fmt: skip
    await asyncio.gather(*lines)
    told = runs.tell(job_id, milestone("cover_uploaded", {}), run=claim.run, epoch=claim.epoch)
    await asyncio.wrap_future(told)
    await mark(runs, claim, "save-to-database", done=done)
    return await finish(runs, claim)


async def finish(runs: Runs, claim: Claim) -> str | None:
    return await runs.finish(
        claim.job_id, completed(1, RESULT), run=claim.run, epoch=claim.epoch, result=RESULT,
        error=None, before=[milestone("embedding_generated", {})],
    )  # fmt: skip


async def test_what_is_kept_together_is_what_the_journal_keeps_alone(bench: Bench) -> None:
    assert await import_all(bench.stores.journal, "job-0") == COMPLETED
    assert await import_all(bench.together, "job-1") == COMPLETED

    alone, together = await bench.rows("job-0"), await bench.rows("job-1")

    for told in (alone, together):
        for name in ("job_id", "isbn", "input_isbn"):
            del told[name]
        for _, _, message in told["events"]:
            del message["jobId"]
    assert together == alone
    assert [key for _, key, _ in together["events"]] == [
        "started", "metadata_fetched", "cover_uploaded", "embedding_generated", "end:1",
    ]  # fmt: skip
    assert together["items"] == [("completed", "", "T")]


async def test_a_row_on_its_way_is_what_the_journal_would_have(bench: Bench) -> None:
    rows = []
    for runs, job_id in ((bench.stores.journal, "job-0"), (bench.together, "job-1")):
        claim = await claimed(runs, job_id)
        await mark(runs, claim, "fetch-metadata", news=[milestone("started", {})], done='{"a":1}')
        row = await bench.rows(job_id)
        rows.append({name: row[name] for name in OF_A_MARK})

    assert rows[0] == rows[1]
    assert rows[1]["status"] == RUNNING


async def test_many_jobs_take_no_more_writes_than_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = _counted(bench, monkeypatch)

    await asyncio.gather(*(import_all(bench.together, job.job_id) for job in bench.jobs))

    assert len(writes) <= 8  # claim, three marks, what is told between, the end
    assert (await bench.batch()).counts["completed"] == 3
    assert (await bench.batch()).is_over


async def test_marks_and_events_of_many_jobs_are_as_many_statements_as_those_of_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [await claimed(bench.together, job.job_id) for job in bench.jobs]
    asked = _statements(bench, monkeypatch)
    news = [milestone("started", {}), milestone("metadata_fetched", {})]

    await mark(bench.together, claims[0], "fetch-metadata", news=news)
    of_one = asked.copy()
    asked.clear()
    await asyncio.gather(
        *(mark(bench.together, one, "fetch-metadata", news=news) for one in claims[1:])
    )

    assert asked == of_one
    assert len(asked) == 3  # which are ours, their marks, their events


async def test_a_batch_tells_the_ends_of_one_write_one_by_one(bench: Bench) -> None:
    await asyncio.gather(*(import_all(bench.together, job.job_id) for job in bench.jobs))

    told = [json.loads(one.message) for one in await bench.stores.journal.read(BATCH, 0, 100)]

    items = [one["data"]["index"] for one in told if one["type"] == "batch_item"]
    assert sorted(items) == [0, 1, 2]
    assert told[-1]["type"] == "batch_completed"
    assert told[-1]["data"]["counts"]["completed"] == 3


@pytest.mark.parametrize("lost", ["claim", "mark", "end"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["refused", "answer lost"])
async def test_a_store_that_is_away_loses_nothing_and_tells_nothing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: str, is_kept: bool
) -> None:
    """What is asked again after StoreDown is kept once, also where it was kept and the connection
    broke before the answer.
    """
    real = bench.stores.journal.write_soon_and_tell
    down = _away_once(real, is_kept=is_kept)

    async def again(ask: Callable[[], Any]) -> Any:
        try:
            return await ask()
        except StoreDown:
            return await ask()

    def away(when: str) -> None:
        if when == lost:
            monkeypatch.setattr(bench.stores.journal, "write_soon_and_tell", down)

    away("claim")
    claim = await again(lambda: claimed(bench.together, "job-0"))
    away("mark")
    news = [milestone("started", {})]
    assert (
        await again(lambda: mark(bench.together, claim, "fetch-metadata", news=news, done="{}"))
        == Attempt()
    )
    away("end")
    ended = await again(lambda: finish(bench.together, claim))
    assert ended == (None if is_kept and lost == "end" else COMPLETED)  # None: it has ended already

    row = await bench.rows("job-0")
    assert [(seq, key) for seq, key, _ in row["events"]] == [
        (1, "started"), (2, "embedding_generated"), (3, "end:1"),
    ]  # fmt: skip
    assert row["status"] == COMPLETED


async def test_a_cancel_that_came_between_is_seen_at_the_next_mark(bench: Bench) -> None:
    claim = await claimed(bench.together, "job-0")
    other = await claimed(bench.together, "job-1")
    await bench.stores.journal.request_cancel("job-0")

    mine, others = await asyncio.gather(
        mark(bench.together, claim, "fetch-metadata"), mark(bench.together, other, "fetch-metadata")
    )

    assert (mine, others) == (Attempt(cancelled=True), Attempt())


async def test_an_end_after_a_cancel_is_what_the_journal_says(bench: Bench) -> None:
    claim = await claimed(bench.together, "job-0")
    await mark(bench.together, claim, "fetch-metadata")
    await bench.stores.journal.request_cancel("job-0")
    error = {"code": "SAVE_FAILED", "message": "full", "step": "save-to-database", "attempts": 4}
    end = milestone("failed", {"error": error})

    status = await bench.together.finish(
        "job-0", end, run=1, epoch=claim.epoch, result=None, error=error
    )

    assert status == CANCELLED


async def test_who_lost_its_job_to_another_writes_nothing_any_more(bench: Bench) -> None:
    claim = await claimed(bench.together, "job-0")
    await bench.stores.journal.claim("job-0", "node-2")

    answer = await mark(bench.together, claim, "fetch-metadata", news=[milestone("started", {})])

    assert answer == Attempt(cancelled=True)
    assert await finish(bench.together, claim) is None
    row = await bench.rows("job-0")
    assert row["marks"] == "{}"
    assert "end:1" not in [key for _, key, _ in row["events"]]


async def test_a_job_that_was_begun_before_is_claimed_as_the_journal_claims(bench: Bench) -> None:
    first = await claimed(bench.stores.journal, "job-0")
    await mark(bench.stores.journal, first, "fetch-metadata", news=[milestone("started", {})])

    claim = await claimed(bench.together, "job-0")

    assert claim.restarts == 1
    keys = [key for _, key, _ in (await bench.rows("job-0"))["events"]]
    assert keys == ["started", "resumed:restart:1"]


async def test_what_is_told_of_a_lost_job_is_not_said_to_be_kept(bench: Bench) -> None:
    claim = await claimed(bench.together, "job-0")
    await bench.stores.journal.request_cancel("job-0")
    news = milestone("started", {})

    told = bench.together.tell("job-0", news, run=1, epoch=claim.epoch)
    with pytest.raises(StoreDown):
        await asyncio.wrap_future(told)
    await asyncio.wrap_future(bench.together.tell("job-0", news, run=1, epoch=claim.epoch))

    assert [key for _, key, _ in (await bench.rows("job-0"))["events"]] == ["started"]


async def test_who_leaves_a_job_has_nothing_on_its_way(bench: Bench) -> None:
    claim = await claimed(bench.together, "job-0")
    told = milestone("started", {})
    marked = asyncio.create_task(mark(bench.together, claim, "fetch-metadata", news=[told]))
    await asyncio.sleep(0)

    await bench.together.leave(
        "job-0", run=1, epoch=claim.epoch, done="{}", spent_ms=20, news=[told], continues=True
    )

    assert await marked == Attempt()
    row = await bench.rows("job-0")
    assert (row["marks"], row["done"], row["is_left"], row["spent_ms"]) == ("{}", "{}", 1, 20)
    assert [(seq, key) for seq, key, _ in row["events"]] == [(1, "started")]


def _counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    real, writes = bench.stores.journal.write_soon_and_tell, []

    def counted(work: Any, keys: Any, **more: Any) -> Any:
        writes.append(keys)
        return real(work, keys, **more)

    monkeypatch.setattr(bench.stores.journal, "write_soon_and_tell", counted)
    return writes


def _statements(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of all writes from now on."""
    real, asked = bench.stores.journal.write_soon_and_tell, []

    class Watched:
        def __init__(self, session: Any) -> None:
            self._session = session

        def execute(self, sql: str, *values: Any) -> Any:
            asked.append(sql)
            return self._session.execute(sql, *values)

        def execute_many(self, sql: str, rows: Any) -> None:
            asked.append(sql)
            self._session.execute_many(sql, rows)

    def watched(work: Any, keys: Any, **more: Any) -> Any:
        return real(lambda session, told: work(Watched(session), told), keys, **more)

    monkeypatch.setattr(bench.stores.journal, "write_soon_and_tell", watched)
    return asked


def _away_once(real: Callable[..., Any], *, is_kept: bool) -> Callable[..., Any]:
    """The store does the work, loses it or only its answer, and is back at the next write."""
    left = ["once"]

    def write(work: Any, keys: Any, **more: Any) -> Any:
        if not left:
            return real(work, keys, **more)
        left.clear()

        def lose(session: Any, told: list[Json]) -> None:
            work(session, told)
            if not is_kept:
                raise StoreDown("away")

        done: Future[Any] = real(lose, keys)
        return _without_answer(done)

    return write


def _without_answer(done: "Future[Any]") -> "Future[Any]":
    lost: Future[Any] = Future()
    done.add_done_callback(lambda _: lost.set_exception(StoreDown("away")))
    return lost
