"""What batches promise in the store: kept whole, items that follow their jobs, one rising story."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bookline.batches.items import items_of_json
from bookline.errors import Refused, StoreDown
from bookline.job import CANCELLED, COMPLETED, FAILED, ImportInput, Job
from bookline.progress.batches import ITEM_STATES, REFUSED, Batch, Item
from bookline.progress.events import Event, ending
from bookline.progress.journal import Idempotency
from bookline.stores import batches as batches_module
from bookline.stores.opening import Stores
from store_fixtures import OpenStores

A, B, C = "9780451524935", "9780142437247", "9780140328721"
NODE = "node-1"
BATCH = "batch-1700000000000-abcdefghijklmnop"
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
KEY = Idempotency(key="k", body="b")
ERROR = {"code": "SAVE_FAILED", "message": "full", "step": "save-to-database", "attempts": 4}


@dataclass
class Clock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Bench:
    """A batch's store with the journal beside it, and what watchers are told."""

    stores: Stores
    clock: Clock
    told: list[Event] = field(default_factory=list)

    async def open(
        self, *values: object, batch_id: str = BATCH, key: Idempotency | None = None
    ) -> str:
        items = items_of_json(list(values), "auto", lambda source: None)
        batch = Batch(batch_id=batch_id, created_ms=self.clock(), updated_ms=self.clock())
        return await self.stores.batches.open(batch, items, key)

    async def begin(self, *indexes: int, batch_id: str = BATCH) -> list[Job]:
        """Jobs for the items at these places."""
        items = {item.index: item for item in await self.items(batch_id)}
        jobs = {index: _job(items[index], batch_id) for index in indexes}
        return list(await self.stores.batches.begin(batch_id, jobs, {}))

    async def end(self, job: Job, status: str, *, run: int = 1, warned: bool = False) -> None:
        journal = self.stores.journal
        await journal.claim(job.job_id, NODE)
        result = {"title": "Moby-Dick", "warnings": [{"step": "upload-cover"}] if warned else []}
        good = status == COMPLETED
        await journal.finish(
            job.job_id, ending(run, status, {}), run=run,
            result=result if good else None, error=None if good else ERROR,
        )  # fmt: skip

    async def items(self, batch_id: str = BATCH, **more: Any) -> Sequence[Item]:
        asked = {"states": None, "limit": 1_000, "cursor": None, **more}
        return (await self.stores.batches.items(batch_id, **asked))[0].items

    async def states(self) -> list[str]:
        return [item.state for item in await self.items()]

    async def batch(self, batch_id: str = BATCH) -> Batch:
        found = await self.stores.batches.find(batch_id)
        assert found is not None
        return found

    async def remove_old(self, before_ms: int, now_ms: int = NOW_MS) -> None:
        while await self.stores.batches.remove_old(before_ms, now_ms):
            pass

    async def story(self, after: int = 0) -> list[dict[str, Any]]:
        events = await self.stores.journal.read(BATCH, after, 1_000)
        return [json.loads(event.message) for event in events]

    async def kinds(self, after: int = 0) -> list[str]:
        return [message["type"] for message in await self.story(after)]


def _job(item: Item, batch_id: str) -> Job:
    order = ImportInput(
        job_id=f"import-{item.isbn}-{item.index}", isbn=item.isbn or "", input_isbn=item.input,
        source=item.source, user_id=item.user_id,
    )  # fmt: skip
    return Job(
        order=order, method="workflow", created_ms=NOW_MS, updated_ms=NOW_MS, node=NODE,
        batch_id=batch_id,
    )  # fmt: skip


@pytest.fixture
async def bench(open_stores: OpenStores) -> Bench:
    clock = Clock()
    made = Bench(open_stores(clock), clock)
    made.stores.journal.subscribe(made.told.extend)
    return made


# ------------------------------------------------------------------ the list
async def test_the_whole_list_is_kept_in_its_order(bench: Bench) -> None:
    await bench.open(A, {"isbn": B, "userId": "ada", "reading": {"rating": 4}}, "no ISBN")

    items = await bench.items()

    assert [item.index for item in items] == [0, 1, 2]
    assert [item.input for item in items] == [A, B, "no ISBN"]
    assert [item.state for item in items] == ["queued", "queued", REFUSED]
    assert items[1].user_id == "ada"
    assert items[1].reading is not None
    assert items[1].reading["rating"] == 4


async def test_jobs_that_begin_together_wait_in_the_order_of_their_items(bench: Bench) -> None:
    """Whatever their sources; behind those of their batch that wait already."""
    sources = ("auto", "isbndb", "auto", "isbndb", "openlibrary")
    isbns = (A, B, C, "9780486415864", "9780743273565")
    items = [{"isbn": isbn, "source": one} for isbn, one in zip(isbns, sources, strict=True)]
    await bench.open(*items)

    for indexes in ((0, 1, 2), (3, 4)):
        jobs = {n: _waiting((await bench.items())[n]) for n in indexes}
        await bench.stores.batches.begin(BATCH, jobs, {})

    rows = await bench.stores.journal.database.read(
        lambda db: db.execute("SELECT turn FROM jobs ORDER BY job_id")
    )
    turns = [row["turn"] for row in rows]
    assert turns == sorted(set(turns))


def _waiting(item: Item) -> Job:
    job = _job(item, BATCH)
    order = replace(job.order, job_id=f"waiting-{item.index}")
    return replace(job, order=order, node=None, flow=BATCH)


async def test_each_item_is_counted_in_exactly_one_state(bench: Bench) -> None:
    await bench.open(A, A, "no ISBN")

    counts = (await bench.batch()).to_json()["counts"]

    assert counts["total"] == 3
    assert sum(counts[state] for state in ITEM_STATES) == 3
    assert (counts["queued"], counts["refused"]) == (2, 1)


async def test_a_batch_of_refused_items_alone_is_completed_at_once(bench: Bench) -> None:
    await bench.open("x", "y")

    batch = await bench.batch()

    assert batch.status == COMPLETED
    assert batch.to_json()["progress"] == 1
    assert await bench.kinds() == ["batch_progress", "batch_completed"]


async def test_a_list_that_is_not_whole_is_seen_by_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between two portions of the list."""
    monkeypatch.setattr(batches_module, "PORTION", 1)
    store, kept = bench.stores.batches, 0
    keep = store.add

    async def die_at_the_second(batch_id: str, items: Sequence[Item]) -> None:
        nonlocal kept
        kept += 1
        if kept == 2:
            raise KeyboardInterrupt
        await keep(batch_id, items)

    monkeypatch.setattr(store, "add", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        await bench.open(A, B, key=KEY)
    monkeypatch.setattr(store, "add", keep)

    assert await store.find(BATCH) is None
    assert await store.running() == []
    assert (await store.list(limit=10, cursor=None))[1] == 0
    again = await bench.open(A, B, batch_id=f"{BATCH}2", key=KEY)
    assert again == f"{BATCH}2"
    await bench.remove_old(0, bench.clock() + DAY_MS)
    assert await bench.items() == []


async def test_a_clock_that_jumps_ahead_removes_no_list_that_is_being_received(
    bench: Bench,
) -> None:
    """What is removed is old by time that has passed."""
    store = bench.stores.batches
    batch = Batch(batch_id=BATCH, created_ms=bench.clock(), updated_ms=bench.clock())
    await store.receive(batch)
    bench.clock.now_ms += DAY_MS

    await bench.remove_old(0, now_ms=NOW_MS + 5_000)

    for _ in range(2):  # the first answer may have been lost
        assert await store.let_begin(batch) == BATCH
    assert await bench.kinds() == ["batch_progress", "batch_completed"]


async def test_a_list_that_was_removed_meanwhile_is_kept_in_no_part(bench: Bench) -> None:
    """Its process stood still for an hour: whoever sent it is told to send it again."""
    store = bench.stores.batches
    batch = Batch(batch_id=BATCH, created_ms=bench.clock(), updated_ms=bench.clock())
    await store.receive(batch)
    await bench.remove_old(0, now_ms=NOW_MS + DAY_MS)

    with pytest.raises(StoreDown):
        await store.add(BATCH, list(items_of_json([A], "auto", lambda source: None)))
    with pytest.raises(StoreDown):
        await store.let_begin(batch, KEY)

    assert await bench.items() == []
    assert await bench.open(A, batch_id=f"{BATCH}2", key=KEY) == f"{BATCH}2"


async def test_a_key_whose_batch_is_gone_stands_for_the_next_one(bench: Bench) -> None:
    """Batches may be kept for a shorter time than keys."""
    await bench.open("x", key=KEY)
    await bench.remove_old(bench.clock() + 1)

    again = await bench.open("x", batch_id=f"{BATCH}2", key=KEY)

    assert again == f"{BATCH}2"
    assert await bench.open("x", batch_id=f"{BATCH}3", key=KEY) == again


async def test_the_same_key_and_body_give_the_same_batch(bench: Bench) -> None:
    first = await bench.open(A, key=KEY)
    second = await bench.open(A, batch_id=f"{BATCH}2", key=KEY)

    assert second == first
    with pytest.raises(Refused) as refused:
        await bench.open(B, batch_id=f"{BATCH}3", key=Idempotency(key="k", body="other"))
    assert refused.value.code == "INVALID_STATE"


async def test_pages_hold_each_batch_and_item_once(bench: Bench) -> None:
    for number in range(5):
        bench.clock.now_ms += 1
        await bench.open(*[A] * 5, batch_id=f"batch-{number}")
    store, cursor, ids = bench.stores.batches, None, []
    while True:
        page, total = await store.list(limit=2, cursor=cursor)
        assert total == 5
        ids += [batch.batch_id for batch in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    first, total = await store.items("batch-1", states=["queued"], limit=3, cursor=None)
    rest, _ = await store.items("batch-1", states=["queued"], limit=3, cursor=first.next_cursor)

    assert ids == [f"batch-{number}" for number in (4, 3, 2, 1, 0)]
    assert [item.index for item in (*first.items, *rest.items)] == [0, 1, 2, 3, 4]
    assert (total, rest.next_cursor) == (5, None)


# ------------------------------------------------------------------ items and their jobs
async def test_an_item_stands_as_its_job_does(bench: Bench) -> None:
    await bench.open(A, B, C)
    [one, two, three] = await bench.begin(0, 1, 2)

    assert await bench.states() == ["queued"] * 3
    await bench.stores.journal.claim(one.job_id, NODE)
    assert await bench.states() == ["running", "queued", "queued"]
    await bench.end(one, COMPLETED)
    await bench.end(two, COMPLETED, warned=True)
    await bench.end(three, FAILED)

    assert await bench.states() == ["completed", "completedWithWarnings", "failed"]
    items = await bench.items()
    assert items[0].title == "Moby-Dick"
    assert items[2].error == {"code": "SAVE_FAILED", "message": "full"}
    assert (await bench.batch()).status == COMPLETED


async def test_equal_isbns_are_one_job_of_the_first_and_end_together(bench: Bench) -> None:
    await bench.open({"isbn": A, "source": "isbndb"}, "0451524934", B)

    opened = await bench.begin(0, 1, 2)
    await bench.end(opened[0], COMPLETED)

    items = await bench.items()
    assert [job.order.source for job in opened] == ["isbndb", "auto"]
    assert items[0].job_id == items[1].job_id != items[2].job_id
    assert await bench.states() == ["completed", "completed", "queued"]
    ends = [one["data"] for one in await bench.story() if one["type"] == "batch_item"]
    assert [(end["index"], end["state"]) for end in ends] == [(0, "completed"), (1, "completed")]


async def test_an_item_is_begun_once_however_often_it_is_taken(bench: Bench) -> None:
    await bench.open(A)

    first = await bench.begin(0)
    again = await bench.begin(0)

    assert len(first) == 1
    assert again == []


async def test_the_story_rises_by_one_and_ends_with_the_counts(bench: Bench) -> None:
    await bench.open(A, B, C)
    jobs = await bench.begin(0, 1, 2)
    for job in jobs:
        bench.clock.now_ms += 2_000
        await bench.end(job, COMPLETED)

    heard = [json.loads(event.message) for event in bench.told if event.job_id == BATCH]

    assert [one["seq"] for one in heard] == list(range(1, len(heard) + 1))
    assert [one["type"] for one in heard] == [
        "batch_progress",
        "batch_item", "batch_progress",
        "batch_item", "batch_progress",
        "batch_item", "batch_progress", "batch_completed",
    ]  # fmt: skip
    assert heard[-1]["data"]["counts"]["completed"] == 3
    assert heard[-1]["data"]["progress"] == 1
    assert [event.is_terminal for event in bench.told if event.job_id == BATCH][-1]


async def test_a_replay_lacks_only_the_numbers_of_earlier_progress(bench: Bench) -> None:
    await bench.open(A, B)
    for job in await bench.begin(0, 1):
        bench.clock.now_ms += 2_000
        await bench.end(job, COMPLETED)
    heard = {json.loads(event.message)["seq"] for event in bench.told if event.job_id == BATCH}
    progress = [e.seq for e in bench.told if e.job_id == BATCH and "batch_progress" in e.message]

    replayed = {one["seq"] for one in await bench.story()}

    assert heard - replayed == set(progress[:-1])


async def test_progress_comes_at_most_once_a_second_and_at_the_end(bench: Bench) -> None:
    await bench.open(A, B, C)
    for job in await bench.begin(0, 1, 2):
        bench.clock.now_ms += 100
        await bench.end(job, COMPLETED)

    heard = [json.loads(one.message) for one in bench.told if one.job_id == BATCH]

    assert [one["type"] for one in heard].count("batch_progress") == 2  # its begin, its end
    assert [one["type"] for one in heard][-2:] == ["batch_progress", "batch_completed"]


async def test_what_is_left_is_told_by_the_last_ends(bench: Bench) -> None:
    await bench.open(*[A, B, C], *(f"978999{n:06}" for n in range(3)))
    jobs = await bench.begin(0, 1, 2)
    assert (await bench.batch()).eta_seconds is None
    await bench.end(jobs[0], COMPLETED)
    bench.clock.now_ms += 10_000
    await bench.end(jobs[1], COMPLETED)

    assert (await bench.batch()).eta_seconds == 5
    await bench.end(jobs[2], COMPLETED)
    assert (await bench.batch()).eta_seconds is None


# ------------------------------------------------------------------ control
async def test_cancel_takes_what_waits_at_once_and_ends_with_what_runs(bench: Bench) -> None:
    await bench.open(A, B)
    [running] = await bench.begin(0)
    store = bench.stores.batches

    await store.request_cancel(BATCH)
    assert await store.cancel_waiting(BATCH) == 1
    assert await store.cancel_waiting(BATCH) == 0

    assert await bench.states() == ["queued", "cancelled"]
    assert (await bench.batch()).status == "running"
    assert await store.jobs_to_cancel(BATCH) == [running.job_id]
    await bench.end(running, CANCELLED)
    assert (await bench.batch()).status == CANCELLED
    assert (await bench.kinds())[-1] == "batch_cancelled"
    with pytest.raises(Refused) as refused:
        await store.request_cancel(BATCH)
    assert refused.value.code == "INVALID_STATE"


async def test_a_retry_of_all_that_failed_goes_on_behind_the_end(bench: Bench) -> None:
    await bench.open(A, B)
    [one, two] = await bench.begin(0, 1)
    await bench.end(one, FAILED)
    await bench.end(two, COMPLETED)
    before = (await bench.batch()).last_seq
    store, journal = bench.stores.batches, bench.stores.journal

    await store.request_retry(BATCH)

    assert await bench.states() == ["queued", "completed"]
    assert (await bench.batch()).status == "running"
    assert [item.job_id for item in await store.take(BATCH, "retry", 10)] == [one.job_id]
    await journal.reopen(one.job_id, NODE)
    assert await store.take(BATCH, "retry", 10) == []
    await bench.end(one, COMPLETED, run=2)
    assert await bench.kinds(before) == ["batch_item", "batch_progress", "batch_completed"]
    assert await store.request_retry(BATCH) == 0


async def test_a_single_retry_of_its_job_moves_the_item_too(bench: Bench) -> None:
    await bench.open(A)
    [job] = await bench.begin(0)
    await bench.end(job, FAILED)

    await bench.stores.journal.reopen(job.job_id, NODE)

    assert await bench.states() == ["queued"]
    assert (await bench.batch()).status == "running"
    await bench.end(job, COMPLETED, run=2)
    assert (await bench.batch()).status == COMPLETED


async def test_a_single_cancel_of_its_job_moves_the_item_too(bench: Bench) -> None:
    """One that waits ends at once, one that runs when it comes to its next step's edge."""
    await bench.open(A, B)
    [waiting, running] = await bench.begin(0, 1)
    journal = bench.stores.journal
    await journal.claim(running.job_id, NODE)

    await journal.request_cancel(waiting.job_id)
    await journal.request_cancel(running.job_id)

    assert await bench.states() == ["cancelled", "running"]
    await bench.end(running, CANCELLED)
    assert await bench.states() == ["cancelled", "cancelled"]
    assert (await bench.batch()).status == COMPLETED  # nobody cancelled the batch


async def test_a_job_that_somebody_else_retried_is_followed(bench: Bench) -> None:
    """Between the retry of all and the feeder's own, the job came to its end by itself."""
    await bench.open(A)
    [job] = await bench.begin(0)
    await bench.end(job, FAILED)
    await bench.stores.journal.reopen(job.job_id, NODE)
    await bench.end(job, FAILED, run=2)
    await bench.stores.batches.request_retry(BATCH)

    await bench.stores.batches.follow_job(job.job_id)

    assert await bench.states() == ["failed"]
    assert (await bench.batch()).status == COMPLETED


async def test_a_review_is_answered_once(bench: Bench) -> None:
    store = bench.stores.batches
    await _looking_up(bench, "Dune", "Emma")
    for index in (0, 1):
        await store.end_look_up(BATCH, index, candidates=[{"isbn": A, "score": 0.8}])
    assert (await bench.batch()).status == COMPLETED

    chosen = await store.choose(BATCH, 0, A)
    skipped = await store.choose(BATCH, 1, None)

    assert (chosen.state, chosen.isbn, chosen.todo) == ("queued", A, "import")
    assert skipped.state == "skipped"
    assert (await bench.batch()).status == "running"
    never, twice = ((2, "NOT_FOUND"), (-1, "NOT_FOUND"), (10**30, "NOT_FOUND")), "INVALID_STATE"
    for index, code in ((0, twice), (1, twice), *never):
        with pytest.raises(Refused) as refused:
            await store.choose(BATCH, index, B)
        assert refused.value.code == code


async def test_a_choice_that_the_batch_has_already_shares_its_job(bench: Bench) -> None:
    await _looking_up(bench, "Dune", isbns=(A,))
    [job] = await bench.begin(1)
    await bench.end(job, COMPLETED)
    await bench.stores.batches.end_look_up(BATCH, 0, candidates=[{"isbn": A}])
    await bench.stores.batches.choose(BATCH, 0, A)

    opened = await bench.begin(0)

    assert opened == []
    assert await bench.states() == ["completed", "completed"]
    assert (await bench.batch()).status == COMPLETED


async def test_a_failed_look_up_comes_again_when_it_is_due(bench: Bench) -> None:
    store = bench.stores.batches
    await _looking_up(bench, "Dune")

    await store.look_up_later(BATCH, 0, bench.clock() + 5_000)

    assert await store.take(BATCH, "lookup", 10) == []
    bench.clock.now_ms += 5_000
    [item] = await store.take(BATCH, "lookup", 10)
    assert item.tries == 1
    await store.found(BATCH, 0, A)
    assert [item.isbn for item in await store.take(BATCH, "import", 10)] == [A]


async def test_a_clock_that_is_set_back_makes_no_look_up_wait_longer(bench: Bench) -> None:
    await _looking_up(bench, "Dune")
    await bench.stores.batches.look_up_later(BATCH, 0, bench.clock() + 5_000)

    bench.clock.now_ms -= 8 * 3_600_000

    [item] = await bench.stores.batches.take(BATCH, "lookup", 10)
    assert item.tries == 1


# ------------------------------------------------------------------ upkeep
async def test_old_batches_go_but_those_with_open_reviews_stay(bench: Bench) -> None:
    store = bench.stores.batches
    await bench.open("x")
    await _looking_up(bench, "Dune", batch_id="batch-2")
    await store.end_look_up("batch-2", 0, candidates=[{"isbn": A}])
    before_ms = bench.clock() + 1

    await bench.remove_old(before_ms)

    assert await store.find(BATCH) is None
    assert await bench.story() == []
    assert await store.find("batch-2") is not None
    await store.choose("batch-2", 0, None)
    await bench.remove_old(before_ms)
    assert await store.find("batch-2") is None


async def test_an_old_batch_with_its_job_gone_keeps_its_states(bench: Bench) -> None:
    await bench.open(A)
    [job] = await bench.begin(0)
    await bench.end(job, FAILED)

    await bench.stores.journal.remove_finished([job.job_id], bench.clock() + 1)

    assert await bench.states() == ["failed"]
    await bench.stores.batches.request_retry(BATCH)
    await bench.stores.batches.follow_job(job.job_id)
    [item] = await bench.stores.batches.take(BATCH, "import", 10)
    assert item.job_id is None


async def _looking_up(
    bench: Bench, *titles: str, isbns: Sequence[str] = (), batch_id: str = BATCH
) -> None:
    """A batch of rows without an ISBN, and of these ISBNs behind them."""
    rows = [
        Item(index=n, input=title, title=title, todo="lookup") for n, title in enumerate(titles)
    ]
    rows += [
        Item(index=len(rows) + n, input=isbn, isbn=isbn, todo="import")
        for n, isbn in enumerate(isbns)
    ]
    batch = Batch(batch_id=batch_id, created_ms=bench.clock(), updated_ms=bench.clock())
    await bench.stores.batches.open(batch, rows)
