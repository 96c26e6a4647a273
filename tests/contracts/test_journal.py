"""What every journal promises: jobs by their state table, and stories without gaps."""

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookline.errors import Refused, StoreDown
from bookline.job import (
    CANCELLED,
    COMPLETED,
    FAILED,
    JOB_STATUSES,
    NEXT_STATUSES,
    QUEUED,
    RUNNING,
    TERMINAL,
    ImportInput,
    Job,
    Warned,
)
from bookline.progress.events import (
    MESSAGE_BYTES,
    METADATA_FETCHED,
    PROGRESS,
    STARTED,
    Event,
    News,
    completed,
    ending,
    milestone,
    retry,
    warning,
)
from bookline.progress.journal import Attempt, Idempotency, Tally
from bookline.stores import journal_schema, opening, upkeep
from bookline.stores.database import BooklineNewer, Session
from bookline.stores.journal import SqlJournal
from bookline.stores.journal_schema import FIRST
from bookline.stores.opening import stores_in_memory
from bookline.stores.postgres_session import PostgresSession
from bookline.values import Json
from store_fixtures import PRODUCTS, OpenStores

Journal = SqlJournal

ISBN = "9780142437247"
NODE = "node-1"
KEY = Idempotency(key="k", body="b")
ERROR = {"code": "SAVE_FAILED", "message": "full", "step": "save-to-database", "attempts": 4}
RESULT = {"isbn": ISBN, "saved": True, "storedIn": "database", "warnings": []}
HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000
MOST = 1_000


@dataclass
class Clock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", *PRODUCTS])
def journal(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Any:
    with a_journal(request.param, request, clock) as made:
        yield made


@contextmanager
def a_journal(product: str, request: pytest.FixtureRequest, clock: Clock) -> Any:
    """An empty one."""
    if product == "memory":
        made = stores_in_memory(clock).journal
        yield made
        made.close()
    elif product == "sqlite":
        with TemporaryDirectory() as folder:
            made = opening.open_stores(Path(folder), clock).journal
            yield made
            made.close()
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.new_database(like=request.getfixturevalue("migrated"))
        with closing(opening.open_storage(url, Path())) as storage:
            yield opening.stores_in(storage, clock).journal
        server.drop_database(url)


@pytest.fixture
def on_disk(open_stores: OpenStores, clock: Clock) -> Any:
    made = open_stores(clock).journal
    yield made
    made.close()


@pytest.fixture
async def elsewhere(open_stores: OpenStores, clock: Clock, on_disk: SqlJournal) -> Any:
    """Another process' journal on the tables of ``on_disk``."""
    made = open_stores(clock).journal
    yield made
    made.close()


OTHER_ISBN = "9780451524935"


def a_job(name: str = "job-1", *, at_ms: int = NOW_MS, method: str = "workflow") -> Job:
    order = ImportInput(job_id=name, isbn=ISBN, input_isbn="0-14-243724-7", user_id="u")
    return Job(order=order, method=method, created_ms=at_ms, updated_ms=at_ms, node=NODE)


def some(text: str) -> News:
    """News that no other test expects anything of."""
    return News(key=text, type="workflow_progress", status=METADATA_FETCHED, data={"text": text})


async def get(journal: Journal, job_id: str = "job-1") -> Job:
    job = await journal.find(job_id)
    assert job is not None
    return job


async def story(journal: Journal, job_id: str = "job-1") -> list[Json]:
    await journal.counts()  # behind all that was told, also on disk
    await settled(journal)
    return [json.loads(event.message) for event in await journal.read(job_id, 0, MOST)]


async def settled(journal: Journal) -> None:
    """Until what was told so far is kept and heard."""
    keys = map(str, range(20))  # enough to meet whatever writes beside each other
    await asyncio.gather(*(journal.database.write(lambda _: None, key) for key in keys))
    await asyncio.sleep(0.001)


async def run_to(journal: Journal, status: str, job_id: str = "job-1") -> None:
    """Brings an opened job into a status."""
    if status == QUEUED:
        return
    claim = await journal.claim(job_id, NODE)
    assert claim is not None
    if status == COMPLETED:
        await journal.finish(
            job_id, completed(claim.run, RESULT), run=claim.run, result=RESULT, error=None
        )
    elif status != RUNNING:
        end = ending(claim.run, status, {"error": ERROR})
        await journal.finish(job_id, end, run=claim.run, result=None, error=ERROR)


# ------------------------------------------------------------------ open, find, list
async def test_an_opened_job_is_known_at_once_as_queued(journal: Journal) -> None:
    opened = await journal.open(a_job())

    assert await get(journal) == opened == a_job()
    assert opened.status == QUEUED


async def test_who_runs_a_job_knows_whether_it_is_one_of_many(journal: Journal) -> None:
    await journal.open(a_job("single"))
    await journal.open(replace(a_job("many"), batch_id="batch-1"))

    claims = [await journal.claim(name, NODE) for name in ("single", "many")]

    assert [claim and claim.in_batch for claim in claims] == [False, True]


async def test_a_job_that_nobody_opened_is_not_there(journal: Journal) -> None:
    assert await journal.find("job-1") is None
    assert await journal.read("job-1", 0, MOST) == []
    assert await journal.claim("job-1", NODE) is None


async def test_a_list_shows_the_newest_first(journal: Journal) -> None:
    for name, at_ms in [("a", 2), ("b", 3), ("c", 1), ("d", 2)]:
        await journal.open(a_job(name, at_ms=at_ms))

    page = await journal.list(status=None, method=None, limit=10, cursor=None)

    assert [job.job_id for job in page.items] == ["b", "d", "a", "c"]
    assert page.next_cursor is None


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": RUNNING}, ["new", "old"]),
        ({"method": "legacy"}, ["old"]),
        ({"status": QUEUED, "method": "legacy"}, []),
        ({"isbn": OTHER_ISBN}, ["other"]),
        ({"isbn": ISBN, "since_ms": 2}, ["idle", "new"]),
        ({"user_id": "u"}, ["idle", "new", "old"]),
        ({"user_id": "u2", "status": QUEUED}, ["other"]),
        ({"user_id": "nobody"}, []),
        ({"batch_id": "batch-1"}, ["other"]),
        ({"since_ms": 5}, []),
    ],
)
async def test_a_list_can_be_narrowed(
    journal: Journal, filters: dict[str, Any], found: list[str]
) -> None:
    await journal.open(a_job("old", at_ms=1, method="legacy"))
    other = ImportInput(job_id="other", isbn=OTHER_ISBN, input_isbn="x", user_id="u2")
    await journal.open(
        Job(
            order=other,
            method="workflow",
            created_ms=4,
            updated_ms=4,
            node=NODE,
            batch_id="batch-1",
        )
    )
    await journal.open(a_job("new", at_ms=2))
    await journal.open(a_job("idle", at_ms=3))
    await journal.claim("old", NODE)
    await journal.claim("new", NODE)

    given = {"status": None, "method": None, **filters}
    page = await journal.list(**given, limit=10, cursor=None)

    assert [job.job_id for job in page.items] == found


async def test_pages_hold_each_job_once_while_new_ones_come(journal: Journal) -> None:
    for number in range(7):
        await journal.open(a_job(f"job-{number}", at_ms=number // 2))
    seen: list[str] = []
    cursor = None

    while True:
        page = await journal.list(status=None, method=None, limit=3, cursor=cursor)
        seen += [job.job_id for job in page.items]
        await journal.open(a_job(f"late-{len(seen)}", at_ms=100))
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == [f"job-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIiwgMV0", "é", "WzEsIDJd", "e30", "=" * 5])
async def test_a_foreign_cursor_is_refused(journal: Journal, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        await journal.list(status=None, method=None, limit=1, cursor=cursor)

    assert refused.value.code == "INVALID_REQUEST"


async def test_a_found_job_shows_its_last_message(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)

    journal.tell("job-1", milestone(STARTED, {"isbn": ISBN}))

    told = await story(journal)
    assert (await get(journal)).last_event == told[-1]
    assert told[-1]["data"] == {"isbn": ISBN}


# ------------------------------------------------------------------ idempotency
async def test_the_same_key_and_body_is_the_same_job(journal: Journal) -> None:
    await journal.open(a_job("first"), KEY)

    again = await journal.open(a_job("second"), KEY)

    assert again.job_id == "first"
    assert await journal.find("second") is None


async def test_the_same_key_at_the_same_time_is_one_job(journal: Journal) -> None:
    opened = await asyncio.gather(*(journal.open(a_job(f"job-{n}"), KEY) for n in range(20)))

    assert len({job.job_id for job in opened}) == 1
    assert await journal.counts() == {QUEUED: 1}


async def test_the_same_key_with_another_body_is_refused(journal: Journal) -> None:
    await journal.open(a_job("first"), KEY)

    with pytest.raises(Refused) as refused:
        await journal.open(a_job("second"), replace(KEY, body="other"))

    assert refused.value.code == "INVALID_STATE"
    assert await journal.find("second") is None


async def test_a_key_is_free_again_after_a_day(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job("first", at_ms=clock()), KEY)
    clock.now_ms += 24 * HOUR_MS + 1

    opened = await journal.open(a_job("second", at_ms=clock()), replace(KEY, body="other"))

    assert opened.job_id == "second"


async def test_a_clock_that_jumps_ahead_frees_no_key(journal: SqlJournal, clock: Clock) -> None:
    """Who asks again after a broken connection gets the same job, wherever the clock was set."""
    await journal.open(a_job("first", at_ms=clock()), KEY)
    passed_ms = clock() + 5_000
    journal.steady = lambda: passed_ms
    clock.now_ms += 40 * 24 * HOUR_MS

    opened = await journal.open(a_job("second", at_ms=clock()), KEY)

    assert opened.job_id == "first"


async def test_a_key_holds_for_the_whole_day(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job("first", at_ms=clock()), KEY)
    clock.now_ms += 24 * HOUR_MS - 1
    await journal.remove_keys(clock() - 24 * HOUR_MS)

    opened = await journal.open(a_job("second", at_ms=clock()), KEY)

    assert opened.job_id == "first"


# ------------------------------------------------------------------ the state table
@pytest.mark.parametrize("status", JOB_STATUSES)
async def test_only_an_open_job_can_be_claimed(journal: Journal, status: str) -> None:
    await journal.open(a_job())
    await run_to(journal, status)

    claim = await journal.claim("job-1", "node-2")

    assert (claim is not None) == (status not in TERMINAL)
    assert (await get(journal)).status == (RUNNING if claim else status)
    assert (await get(journal)).node == ("node-2" if claim else NODE)


@pytest.mark.parametrize("status", JOB_STATUSES)
@pytest.mark.parametrize("end", [COMPLETED, FAILED, CANCELLED])
async def test_an_end_is_written_only_where_the_state_table_leads(
    journal: Journal, status: str, end: str
) -> None:
    await journal.open(a_job())
    await run_to(journal, status)
    before, told = await get(journal), await story(journal)

    written = await journal.finish("job-1", ending(1, end, {}), run=1, result=None, error=None)

    assert written == (end if end in NEXT_STATUSES[status] else None)
    assert (await get(journal)).status == (end if written else status)
    if not written:
        assert await get(journal) == before
        assert await story(journal) == told


@pytest.mark.parametrize("status", JOB_STATUSES)
async def test_only_a_failed_job_reopens(journal: Journal, status: str) -> None:
    await journal.open(a_job())
    await run_to(journal, status)
    before = await get(journal)

    if status == FAILED:
        job = await journal.reopen("job-1", "node")
        assert (job.status, job.run, job.error) == (QUEUED, 2, None)
    else:
        with pytest.raises(Refused) as refused:
            await journal.reopen("job-1", "node")
        assert refused.value.code == "INVALID_STATE"
        assert await get(journal) == before


@pytest.mark.parametrize("status", JOB_STATUSES)
async def test_only_an_open_job_can_be_cancelled(journal: Journal, status: str) -> None:
    await journal.open(a_job())
    await run_to(journal, status)

    if status in TERMINAL:
        with pytest.raises(Refused) as refused:
            await journal.request_cancel("job-1")
        assert refused.value.code == "INVALID_STATE"
    else:
        assert (await journal.request_cancel("job-1")).cancel_requested
        assert (await get(journal)).status == (CANCELLED if status == QUEUED else status)
    assert (await get(journal)).cancel_requested == (status not in TERMINAL)


async def test_a_cancel_asked_for_twice_does_no_harm(journal: Journal) -> None:
    await journal.open(a_job())
    await run_to(journal, RUNNING)
    await journal.request_cancel("job-1")

    assert (await journal.request_cancel("job-1")).status == RUNNING


async def test_an_unknown_job_cannot_be_controlled(journal: Journal) -> None:
    with pytest.raises(Refused) as no_cancel:
        await journal.request_cancel("job-1")
    with pytest.raises(Refused) as no_retry:
        await journal.reopen("job-1", "node")

    assert no_cancel.value.code == no_retry.value.code == "JOB_NOT_FOUND"


async def test_an_end_that_is_none_is_a_mistake(journal: Journal) -> None:
    await journal.open(a_job())

    with pytest.raises(ValueError, match="no end"):
        await journal.finish("job-1", some("x"), run=1, result=None, error=None)


async def test_the_end_keeps_its_result_as_json_would(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    result = RESULT | {"warnings": ({"step": "upload-cover"},)}

    await journal.finish("job-1", completed(1, result), run=1, result=result, error=None)

    job = await get(journal)
    assert job.result == RESULT | {"warnings": [{"step": "upload-cover"}]}
    assert job.error is None
    assert job.progress == 1.0


async def test_only_one_of_many_ends_is_written(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)

    written = await asyncio.gather(
        *(
            journal.finish(
                "job-1", ending(1, end, {"error": ERROR}), run=1, result=None, error=ERROR
            )
            for end in [FAILED, CANCELLED] * 10
        )
    )

    assert [one is None for one in written].count(False) == 1
    assert len(await story(journal)) == 1


async def test_a_failure_after_an_accepted_cancel_is_a_cancel(journal: Journal) -> None:
    """Whoever was told that the job will be cancelled does not find it failed."""
    await journal.open(a_job())
    await run_to(journal, RUNNING)
    await journal.request_cancel("job-1")

    ended = await journal.finish(
        "job-1", ending(1, FAILED, {"error": ERROR}), run=1, result=None, error=ERROR
    )

    job = await get(journal)
    assert (ended, job.status) == (CANCELLED, CANCELLED)
    assert job.error == {**ERROR, "code": "CANCELLED", "message": "the job was cancelled"}
    assert job.last_event is not None
    assert job.last_event["status"] == CANCELLED
    assert job.last_event["data"] == {"error": job.error}


async def test_an_import_that_was_done_before_its_cancel_came_is_completed(
    journal: Journal,
) -> None:
    await journal.open(a_job())
    await run_to(journal, RUNNING)
    await journal.request_cancel("job-1")

    ended = await journal.finish("job-1", completed(1, RESULT), run=1, result=RESULT, error=None)

    assert ended == COMPLETED


async def test_a_failure_leaves_the_progress_as_it_was(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    journal.tell("job-1", milestone(METADATA_FETCHED, {}))

    await journal.finish(
        "job-1", ending(1, FAILED, {"error": ERROR}), run=1, result=None, error=ERROR
    )

    assert [told["progress"] for told in await story(journal)] == [0.25, 0.25]


# ------------------------------------------------------------------ tries
async def test_a_try_that_the_process_died_in_is_found(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    await journal.begin("job-1", 1, "fetch-metadata", 2)

    await journal.claim("job-1", "node-2")

    assert await journal.begin("job-1", 1, "fetch-metadata", 2) == Attempt(died=True)
    assert await journal.begin("job-1", 1, "fetch-metadata", 3) == Attempt()


async def test_a_released_try_may_begin_again(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    await journal.begin("job-1", 1, "fetch-metadata", 2)

    await journal.release("job-1", 1, "fetch-metadata", 2)

    assert await journal.begin("job-1", 1, "fetch-metadata", 2) == Attempt()


async def test_a_late_release_leaves_the_next_try_alone(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    await journal.begin("job-1", 1, "fetch-metadata", 2)

    await journal.release("job-1", 1, "fetch-metadata", 1)
    await journal.release("job-1", 7, "fetch-metadata", 2)

    assert await journal.begin("job-1", 1, "fetch-metadata", 2) == Attempt(died=True)


async def test_a_begun_try_shows_in_its_job(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)

    await journal.begin("job-1", 1, "upload-cover", 3)

    job = await get(journal)
    assert (job.step, job.attempt, job.updated_ms) == ("upload-cover", 3, clock())


async def test_a_wanted_cancel_stops_the_next_try(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    await journal.request_cancel("job-1")

    assert await journal.begin("job-1", 1, "fetch-metadata", 1) == Attempt(cancelled=True)
    assert await journal.cancel_requests(NODE) == ["job-1"]
    assert await journal.cancel_requests("node-2") == []


@pytest.mark.parametrize("end", [COMPLETED, FAILED, CANCELLED])
async def test_no_try_begins_in_a_job_that_is_over(journal: Journal, end: str) -> None:
    """A frozen process that wakes has the right run, but comes too late."""
    await journal.open(a_job())
    await run_to(journal, end)
    before = await get(journal)

    began = await journal.begin("job-1", 1, "save-to-database", 1)

    assert began == Attempt(cancelled=True)
    assert await get(journal) == before


async def test_an_outdated_run_changes_nothing(journal: Journal) -> None:
    await journal.open(a_job())
    await run_to(journal, FAILED)
    await journal.reopen("job-1", "node")
    await journal.claim("job-1", NODE)
    await journal.begin("job-1", 2, "save-to-database", 1)
    before, told = await get(journal), await story(journal)

    began = await journal.begin("job-1", 1, "save-to-database", 4)
    await journal.release("job-1", 1, "save-to-database", 1)
    ended = await journal.finish("job-1", completed(1, RESULT), run=1, result=RESULT, error=None)

    assert began == Attempt(cancelled=True)
    assert not ended
    assert await get(journal) == before
    assert await story(journal) == told
    assert await journal.begin("job-1", 2, "save-to-database", 1) == Attempt(died=True)


# ------------------------------------------------------------------ claims and restarts
async def test_the_deadline_counts_from_the_first_claim_of_a_run(
    journal: Journal, clock: Clock
) -> None:
    await journal.open(a_job())
    began_ms = clock()
    first = await journal.claim("job-1", NODE)
    clock.now_ms += 5_000

    again = await journal.claim("job-1", "node-2")

    assert first is not None
    assert again is not None
    assert (first.started_ms, again.started_ms) == (began_ms, began_ms)
    assert (first.restarts, again.restarts) == (0, 1)


async def test_a_retry_starts_the_deadline_and_the_restarts_anew(
    journal: Journal, clock: Clock
) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    await run_to(journal, FAILED)
    clock.now_ms += 5_000
    await journal.reopen("job-1", "node")

    claim = await journal.claim("job-1", NODE)

    assert claim is not None
    assert (claim.run, claim.started_ms, claim.restarts) == (2, clock(), 0)


async def test_each_restart_is_told_once(journal: Journal) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    journal.tell("job-1", milestone(STARTED, {}))

    await journal.claim("job-1", "node-2")
    await journal.claim("job-1", "node-3")

    told = await story(journal)
    assert [one["type"] for one in told] == ["workflow_progress"] + ["workflow_resumed"] * 2
    assert [one["data"] for one in told[1:]] == [{"by": "restart"}] * 2


async def test_a_first_claim_is_no_restart(journal: Journal) -> None:
    await journal.open(a_job())

    await journal.claim("job-1", NODE)

    assert await story(journal) == []


async def test_a_retry_goes_on_behind_the_failure(journal: Journal) -> None:
    await journal.open(a_job())
    journal.tell("job-1", milestone(STARTED, {}))
    await run_to(journal, FAILED)

    await journal.reopen("job-1", "node")
    await journal.claim("job-1", NODE)
    journal.tell("job-1", milestone(METADATA_FETCHED, {}))
    await journal.finish("job-1", completed(2, RESULT), run=2, result=RESULT, error=None)

    told = await story(journal)
    assert [one["seq"] for one in told] == [1, 2, 3, 4, 5]
    assert [one["status"] for one in told] == [
        STARTED, FAILED, None, METADATA_FETCHED, COMPLETED,
    ]  # fmt: skip
    assert told[2]["data"] == {"by": "retry"}
    events = await journal.read("job-1", 0, MOST)
    assert [event.is_terminal for event in events] == [False, True, False, False, True]


# ------------------------------------------------------------------ telling
async def test_the_same_key_told_twice_is_one_event(journal: Journal) -> None:
    await journal.open(a_job())
    wake = retry("fetch-metadata", 1, 100, {"code": "X"}, 5)
    warned = warning(Warned(step="upload-cover", code="X", message="x"))

    for news in [milestone(STARTED, {}), wake, warned] * 3:
        journal.tell("job-1", news)

    assert [told["type"] for told in await story(journal)] == [
        "workflow_progress", "workflow_retry", "workflow_warning",
    ]  # fmt: skip


async def test_nothing_is_told_behind_the_end(journal: Journal) -> None:
    await journal.open(a_job())
    await run_to(journal, CANCELLED)

    journal.tell("job-1", milestone(METADATA_FETCHED, {}))

    assert [told["status"] for told in await story(journal)] == [CANCELLED]


async def test_telling_of_an_unknown_job_does_nothing(journal: Journal) -> None:
    journal.tell("job-1", milestone(STARTED, {}))

    assert await story(journal) == []


async def test_progress_never_falls(journal: Journal) -> None:
    await journal.open(a_job())

    for status in sorted(PROGRESS, key=PROGRESS.__getitem__, reverse=True):
        journal.tell("job-1", milestone(status, {}))

    assert {told["progress"] for told in await story(journal)} == {1.0}


async def test_a_story_is_read_in_parts(journal: Journal) -> None:
    await journal.open(a_job())
    for number in range(5):
        journal.tell("job-1", some(str(number)))
    await settled(journal)

    part = await journal.read("job-1", 1, 2)

    assert [event.seq for event in part] == [2, 3]
    assert await journal.read("job-1", 5, 10) == []


async def test_a_message_has_the_shape_that_clients_know(journal: Journal, clock: Clock) -> None:
    clock.now_ms = 1_700_000_000_123
    await journal.open(a_job())

    journal.tell("job-1", milestone(METADATA_FETCHED, {"metadata": {"title": "Моби Дик"}}))

    assert await story(journal) == [
        {
            "type": "workflow_progress",
            "jobId": "job-1",
            "seq": 1,
            "status": METADATA_FETCHED,
            "progress": 0.25,
            "timestamp": "2023-11-14T22:13:20.123Z",
            "data": {"metadata": {"title": "Моби Дик"}},
        }
    ]


async def test_half_a_character_is_told_as_a_question_mark(journal: Journal) -> None:
    """No UTF-8 can hold it; an event must not be lost for it."""
    await journal.open(a_job())

    journal.tell("job-1", milestone(METADATA_FETCHED, {"title": "half \ud83d"}))

    assert [told["data"] for told in await story(journal)] == [{"title": "half \ufffd"}]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)
long = st.builds(
    lambda text, times, items: [text * times] * items,
    st.text(min_size=1, max_size=3),
    st.integers(1, 20_000),
    st.integers(1, 60),
)


@settings(max_examples=25, deadline=None)
@given(data=st.dictionaries(st.text(max_size=40), plain | long, max_size=40))
async def test_a_message_is_below_its_cap_whatever_is_told(data: Json) -> None:
    journal = stores_in_memory(Clock()).journal
    await journal.open(a_job("j" * 100))

    journal.tell("j" * 100, milestone(METADATA_FETCHED, data))

    (event,) = await journal.read("j" * 100, 0, MOST)
    assert len(event.message.encode()) < MESSAGE_BYTES + 1
    assert json.loads(event.message)["seq"] == 1


async def test_a_usual_message_is_not_cut(journal: Journal) -> None:
    await journal.open(a_job())
    data = {"description": "ж" * 2_000, "authors": ["a" * 200] * 10}

    journal.tell("job-1", milestone(METADATA_FETCHED, data))

    assert (await story(journal))[0]["data"] == data


@settings(max_examples=15, deadline=None)
@given(
    tellings=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=80),
    product=st.sampled_from(["memory", *PRODUCTS]),
)
async def test_many_tellers_leave_each_story_whole(
    request: pytest.FixtureRequest, tellings: list[tuple[int, int]], product: str
) -> None:
    """``seq`` is 1, 2, 3 … without gaps, in the order told, each key once, heard as it is kept."""
    with a_journal(product, request, Clock()) as journal:
        heard: dict[str, list[Event]] = defaultdict(list)

        def hear(events: Sequence[Event]) -> None:
            for event in events:
                heard[event.job_id].append(event)

        end = journal.subscribe(hear)
        await asyncio.gather(*(journal.open(a_job(f"job-{number}")) for number in range(4)))

        async def tell(job: int, key: int) -> None:
            journal.tell(f"job-{job}", some(str(key)))

        await asyncio.gather(*(tell(*telling) for telling in tellings))
        await settled(journal)

        for number in range(4):
            events = await journal.read(f"job-{number}", 0, MOST)
            told = [json.loads(event.message)["data"]["text"] for event in events]
            wanted = [str(key) for job, key in tellings if job == number]
            assert told == list(dict.fromkeys(wanted))
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert heard[f"job-{number}"] == events
        end()


ACTS = ["claim", "begin", "release", "tell", "complete", "fail", "cancel", "want", "reopen"]


@settings(max_examples=15, deadline=None)
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 3)), max_size=25))
async def test_all_journals_tell_the_same_story(
    request: pytest.FixtureRequest, acts: list[tuple[str, int]]
) -> None:
    """Whatever happens to a job, in whatever order, at whatever run: all products agree."""
    outcomes = []
    for product in ("memory", *PRODUCTS):
        with a_journal(product, request, Clock()) as journal:
            await journal.open(a_job())
            trace: list[object] = []
            for act, number in acts:
                before = (await get(journal)).status
                trace.append(await do(journal, act, number))
                await settled(journal)
                job = await get(journal)
                assert job.status in NEXT_STATUSES[before] | {before}
                trace.append(job)
            outcomes.append((trace, await story(journal)))

    assert all(outcome == outcomes[0] for outcome in outcomes)


async def do(journal: Journal, act: str, number: int) -> object:
    ends = {"complete": COMPLETED, "fail": FAILED, "cancel": CANCELLED}
    try:
        match act:
            case "claim":
                return await journal.claim("job-1", f"node-{number}")
            case "begin":
                return await journal.begin("job-1", number, "fetch-metadata", number)
            case "release":
                await journal.release("job-1", number, "fetch-metadata", number)
                return None
            case "tell":
                journal.tell("job-1", some(str(number)))
                return None
            case "want":
                return await journal.request_cancel("job-1")
            case "reopen":
                return await journal.reopen("job-1", "node")
            case _:
                news = ending(number, ends[act], {"error": ERROR})
                return await journal.finish("job-1", news, run=number, result=None, error=ERROR)
    except Refused as refused:
        return refused.code


# ------------------------------------------------------------------ hearing
async def test_a_subscriber_hears_in_order_what_is_kept_already(journal: Journal) -> None:
    await journal.open(a_job())
    heard: list[Event] = []
    end = journal.subscribe(heard.extend)

    await journal.claim("job-1", NODE)
    for number in range(50):
        journal.tell("job-1", some(str(number)))
    await journal.finish("job-1", completed(1, RESULT), run=1, result=RESULT, error=None)
    await settled(journal)

    assert heard == await journal.read("job-1", 0, MOST)
    assert len(heard) == 51
    end()


async def test_what_was_not_kept_is_heard_by_nobody(journal: SqlJournal) -> None:
    await journal.open(a_job())
    heard: list[Event] = []
    journal.subscribe(heard.extend)

    def refused(session: Any, told: list[Event]) -> None:
        told.append(Event("job-1", 1, "{}", is_terminal=False))
        raise StoreDown("full")

    with pytest.raises(StoreDown):
        await journal.write_and_tell(refused, "job-1")
    await asyncio.wrap_future(journal.tell("job-1", milestone("started", {})))

    assert [event.seq for event in heard] == [1]
    assert json.loads(heard[0].message)["status"] == "started"


async def test_who_has_left_hears_no_more(journal: Journal) -> None:
    await journal.open(a_job())
    heard: list[Event] = []
    stayed: list[Event] = []
    end = journal.subscribe(heard.extend)
    journal.subscribe(stayed.extend)

    end()
    end()  # twice does no harm
    journal.tell("job-1", some("x"))
    await settled(journal)

    assert heard == []
    assert [event.seq for event in stayed] == [1]


async def until_heard(heard: list[Event], *seqs: int) -> None:
    """Waits until these were heard, in whatever order, once or more."""
    async with asyncio.timeout(120):
        while {event.seq for event in heard} != set(seqs):
            await asyncio.sleep(0.002)


@asynccontextmanager
async def listening(journal: SqlJournal, *ids: str) -> AsyncIterator[list[Event]]:
    """What is heard of these jobs, of this process and of others."""
    heard: list[Event] = []
    end = journal.subscribe(heard.extend)
    task = asyncio.create_task(journal.listen(lambda: ids))
    yield heard
    end()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_another_process_hears_each_event(on_disk: SqlJournal, elsewhere: SqlJournal) -> None:
    await on_disk.open(a_job())

    async with listening(elsewhere, "job-1") as heard:
        await asyncio.sleep(0.05)
        for number in range(30):
            on_disk.tell("job-1", some(str(number)))
            if number % 7 == 0:
                await asyncio.sleep(0.03)

        await until_heard(heard, *range(1, 31))


async def test_who_listens_late_finds_that_something_was_missed(
    on_disk: SqlJournal, elsewhere: SqlJournal
) -> None:
    """The last event of the story comes: who has not seen those before it reads them."""
    await on_disk.open(a_job())
    for number in range(3):
        on_disk.tell("job-1", some(str(number)))
    await settled(on_disk)

    async with listening(elsewhere, "job-1") as heard:
        await until_heard(heard, 3)


async def test_what_nobody_wants_is_not_read(on_disk: SqlJournal, elsewhere: SqlJournal) -> None:
    await on_disk.open(a_job())
    await on_disk.open(a_job("quiet"))

    async with listening(elsewhere, "quiet") as heard:
        on_disk.tell("job-1", some("x"))
        on_disk.tell("quiet", some("y"))
        await settled(on_disk)

        async with asyncio.timeout(120):
            while not any(event.job_id == "quiet" for event in heard):
                await asyncio.sleep(0.002)


async def test_listening_ends_when_nobody_wants_anything_any_more(
    on_disk: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a change too: nobody has to write before it is noticed."""
    monkeypatch.setattr("bookline.stores.sqlite.QUIET_POLLS", 2)
    monkeypatch.setattr("bookline.stores.postgres_news.LOOK_SECONDS", 0.05)
    wanted = ["job-1"]
    listens = asyncio.create_task(on_disk.listen(lambda: wanted))
    await asyncio.sleep(0.1)
    assert not listens.done()

    wanted.clear()

    async with asyncio.timeout(120):
        await listens


async def test_more_events_than_one_look_takes_are_heard(
    on_disk: SqlJournal, elsewhere: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.stores.event_log.OTHERS_MOST", 4)
    await on_disk.open(a_job())

    async with listening(elsewhere, "job-1") as heard:
        await asyncio.sleep(0.05)
        for number in range(9):
            on_disk.tell("job-1", some(str(number)))
        await settled(on_disk)

        async with asyncio.timeout(120):
            while 9 not in {event.seq for event in heard}:
                await asyncio.sleep(0.002)


async def test_another_process_hears_what_comes_after_a_clean_up(
    on_disk: SqlJournal, elsewhere: SqlJournal, clock: Clock
) -> None:
    """An event's place must not be given again, or others take the new one for a known one."""
    await on_disk.open(a_job("old"))
    async with listening(elsewhere, "old", "new") as heard:
        await run_to(on_disk, FAILED, "old")
        await until_heard(heard, 1)
        await on_disk.remove_finished(["old"], clock() + 1)
        await on_disk.open(a_job("new"))

        on_disk.tell("new", some("x"))

        async with asyncio.timeout(120):
            while "new" not in {event.job_id for event in heard}:
                await asyncio.sleep(0.002)


async def test_two_processes_share_the_jobs(on_disk: SqlJournal, elsewhere: SqlJournal) -> None:
    await on_disk.open(a_job(), KEY)

    assert (await elsewhere.open(a_job("other"), KEY)).job_id == "job-1"
    await on_disk.claim("job-1", NODE)
    assert (await elsewhere.request_cancel("job-1")).job_id == "job-1"
    assert await on_disk.cancel_requests(NODE) == ["job-1"]


# ------------------------------------------------------------------ upkeep
async def test_open_jobs_of_dead_processes_are_found(journal: Journal, clock: Clock) -> None:
    for name, node in [("dead", "gone"), ("alive", "well"), ("over", "gone")]:
        await journal.open(replace(a_job(name), node=node))
    await run_to(journal, FAILED, "over")

    left = await journal.left_by({"well", "own"}, "own", 0, method="workflow", limit=9)

    assert [job.job_id for job in left] == ["dead"]


async def test_of_what_is_left_the_oldest_of_the_method_come_first(journal: Journal) -> None:
    """However many there are: a sweep takes up so many, and the next one others."""
    for at_ms, name in ((3_000, "third"), (1_000, "first"), (2_000, "second")):
        await journal.open(replace(a_job(name, at_ms=at_ms), node="gone"))
    other = replace(a_job("other", at_ms=500), node="gone", method="legacy")
    await journal.open(other)

    left = await journal.left_by(set(), "own", 0, method="workflow", limit=2)
    of_the_other = await journal.left_by(set(), "own", 0, method="legacy", limit=2)

    assert [job.job_id for job in left] == ["first", "second"]
    assert [job.job_id for job in of_the_other] == ["other"]


async def test_own_jobs_that_nothing_has_moved_for_long_are_found(journal: Journal) -> None:
    await journal.open(replace(a_job("moved", at_ms=2_000), node="own"))
    await journal.open(replace(a_job("stuck", at_ms=1_999), node="own"))
    set_back = replace(a_job("before-the-clock-was-set-back", at_ms=3_600_000), node="own")
    await journal.open(set_back)

    left = await journal.left_by({"own"}, "own", 2_000, method="workflow", limit=9)

    assert [job.job_id for job in left] == ["stuck", set_back.job_id]


async def test_own_jobs_are_looked_through_in_turns(journal: Journal) -> None:
    """However many wait: a look reads so many, and those behind them are not hidden."""
    names = {f"own-{number}" for number in range(5)}
    for name in names:
        await journal.open(replace(a_job(name, at_ms=1_000), node="own"))
    await journal.open(replace(a_job("own-moved", at_ms=2_000), node="own"))
    await journal.open(replace(a_job("own-other", at_ms=1_000), node="own", method="legacy"))

    looks = [
        await journal.left_by({"own"}, "own", 2_000, method="workflow", limit=2) for _ in range(8)
    ]

    assert all(len(look) <= 2 for look in looks)
    for round_ in (looks[:4], looks[4:]):
        assert sorted(job.job_id for look in round_ for job in look) == sorted(names)


async def test_retention_removes_finished_jobs_with_their_events_and_nothing_else(
    journal: Journal, clock: Clock
) -> None:
    for status in JOB_STATUSES:
        await journal.open(a_job(status, at_ms=clock()))
        journal.tell(status, milestone(STARTED, {}))
        await run_to(journal, status, status)
    clock.now_ms += HOUR_MS
    await journal.open(a_job("late", at_ms=clock()))
    await run_to(journal, COMPLETED, "late")

    removed = await journal.finished_before(clock(), MOST)

    assert sorted(removed) == sorted(TERMINAL)
    assert await journal.remove_finished([*removed, QUEUED, "late"], clock()) == len(TERMINAL)
    assert await journal.counts() == {QUEUED: 1, RUNNING: 1, COMPLETED: 1}
    assert [await journal.read(name, 0, MOST) for name in removed] == [[], [], []]
    assert [len(await journal.read(name, 0, MOST)) for name in (QUEUED, RUNNING, "late")] == [1] * 3


async def test_retention_goes_in_steps(journal: Journal, clock: Clock) -> None:
    for number in range(5):
        await journal.open(a_job(f"job-{number}"))
        await run_to(journal, FAILED, f"job-{number}")

    steps = []
    while ids := await journal.finished_before(clock() + 1, 2):
        steps.append(await journal.remove_finished(ids, clock() + 1))

    assert steps == [2, 2, 1]


async def test_a_job_that_is_retried_meanwhile_is_not_removed(
    journal: Journal, clock: Clock
) -> None:
    await journal.open(a_job())
    await run_to(journal, FAILED)
    ids = await journal.finished_before(clock() + 1, MOST)
    await journal.reopen("job-1", NODE)

    assert await journal.remove_finished(ids, clock() + 1) == 0

    assert await journal.find("job-1") is not None


async def test_the_last_moment_is_that_of_the_newest_job_or_end(
    journal: Journal, clock: Clock
) -> None:
    assert await journal.last_moment() is None
    await journal.open(a_job(at_ms=clock()))
    assert await journal.last_moment() == clock()

    clock.now_ms += HOUR_MS
    await run_to(journal, COMPLETED)

    assert await journal.last_moment() == clock()


# ------------------------------------------------------------------ the file
async def test_one_failing_write_does_not_take_its_group_down(on_disk: SqlJournal) -> None:
    await on_disk.open(a_job("there"))

    opened = await asyncio.gather(
        *(on_disk.open(a_job(name)) for name in ["a", "there", "b", "c"]), return_exceptions=True
    )

    assert [type(one) for one in opened] == [Job, StoreDown, Job, Job]
    assert await on_disk.counts() == {QUEUED: 4}


async def test_a_writes_own_error_reaches_its_caller_alone(on_disk: SqlJournal) -> None:
    def broken(db: Session) -> None:
        db.execute("INSERT INTO turns (key, free_at) VALUES ('half', 1)")
        raise LookupError("mine")

    failed, opened = await asyncio.gather(
        on_disk.database.write(broken), on_disk.open(a_job()), return_exceptions=True
    )

    assert isinstance(failed, LookupError)
    assert opened == a_job()
    rows = await on_disk.database.read(lambda db: db.execute("SELECT * FROM turns"))
    assert rows == []


async def test_a_caller_that_stops_waiting_harms_no_other(on_disk: SqlJournal) -> None:
    tasks = [asyncio.create_task(on_disk.open(a_job(f"job-{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()

    opened = await asyncio.gather(*tasks, return_exceptions=True)

    assert [one for one in opened[1::2] if not isinstance(one, Job)] == []


ASKS: dict[str, Callable[[SqlJournal], Any]] = {
    "open": lambda journal: journal.open(a_job("new")),
    "find": lambda journal: journal.find("job-1"),
    "list": lambda journal: journal.list(status=None, method=None, limit=1, cursor=None),
    "claim": lambda journal: journal.claim("job-1", NODE),
    "read": lambda journal: journal.read("job-1", 0, 1),
    "listen": lambda journal: journal.listen(tuple),
    "counts": lambda journal: journal.counts(),
}


@pytest.mark.parametrize("ask", ASKS)
async def test_a_closed_file_says_so(on_disk: SqlJournal, ask: str) -> None:
    on_disk.close()
    on_disk.close()  # twice does no harm

    with pytest.raises(StoreDown):
        await ASKS[ask](on_disk)


async def test_news_that_is_not_kept_is_said_to_its_teller(on_disk: SqlJournal) -> None:
    await on_disk.open(a_job())
    on_disk.close()

    told = on_disk.tell("job-1", some("x"))

    assert isinstance(told.exception(), StoreDown)


async def test_closing_takes_what_waits_to_disk(open_stores: OpenStores, clock: Clock) -> None:
    first = open_stores(clock).journal
    await first.open(a_job())
    for number in range(200):
        first.tell("job-1", some(str(number)))

    first.close()

    second = open_stores(clock).journal
    assert len(await second.read("job-1", 0, MOST)) == 200
    second.close()


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "journal.db"
    opening.open_stores(tmp_path, clock).journal.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(Exception, match="newer Bookline"):
        opening.open_stores(tmp_path, clock)


async def test_tables_of_a_newer_version_are_refused(
    open_stores: OpenStores, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_stores(clock).journal.close()
    monkeypatch.setattr(journal_schema, "MIGRATIONS", journal_schema.MIGRATIONS[:-1])

    with pytest.raises(BooklineNewer, match="newer Bookline"):
        open_stores(clock)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database at all" * 100)

    with pytest.raises(StoreDown):
        opening.open_stores(tmp_path, clock)


# ------------------------------------------------------------------ records
async def end_one(journal: Journal, name: str, method: str, status: str = COMPLETED) -> None:
    await journal.open(a_job(name, method=method))
    await run_to(journal, status, name)


async def test_each_end_leaves_one_record(journal: Journal, clock: Clock) -> None:
    await end_one(journal, "job-1", "workflow")
    clock.now_ms += 250
    await end_one(journal, "job-2", "legacy", FAILED)
    await end_one(journal, "job-3", "legacy", CANCELLED)

    records = await journal.records(0)

    assert [(one.method, one.outcome) for one in records] == [
        ("workflow", "done"),
        ("legacy", "ours"),
        ("legacy", "cancelled"),
    ]
    assert records[1].code == "SAVE_FAILED"
    assert records[1].duration_ms == 250


async def test_a_records_times_are_those_of_the_story(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job())
    await journal.claim("job-1", NODE)
    for status, ms in [(STARTED, 10), (METADATA_FETCHED, 100)]:
        clock.now_ms += ms
        journal.tell("job-1", milestone(status, {}))
        await settled(journal)
    clock.now_ms += 5

    await journal.finish("job-1", completed(1, RESULT), run=1, result=RESULT, error=None)

    [record] = await journal.records(0)
    assert record.stages == {"fetch-metadata": 100, "save-to-database": 5}
    assert record.duration_ms == 115


async def test_a_retried_job_keeps_one_record_its_last(journal: Journal) -> None:
    await end_one(journal, "job-1", "workflow", FAILED)
    await journal.reopen("job-1", NODE)
    await run_to(journal, COMPLETED)

    [record] = await journal.records(0)
    assert record.outcome == "done"


async def test_an_end_that_comes_twice_is_counted_once(journal: Journal) -> None:
    await end_one(journal, "job-1", "workflow")

    await journal.finish("job-1", ending(1, FAILED, {}), run=1, result=None, error=ERROR)

    assert [one.outcome for one in await journal.records(0)] == ["done"]


async def test_records_are_asked_for_by_time_and_removed_by_it(
    journal: Journal, clock: Clock
) -> None:
    for name in ("job-1", "job-2", "job-3"):
        await end_one(journal, name, "workflow")
        clock.now_ms += HOUR_MS

    assert len(await journal.records(NOW_MS + HOUR_MS)) == 2
    await journal.remove_records(NOW_MS + 2 * HOUR_MS)
    assert [one.finished_ms for one in await journal.records(0)] == [NOW_MS + 2 * HOUR_MS]


async def test_old_keys_and_records_go_a_portion_at_a_time(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: what else is to be written comes in between."""
    monkeypatch.setattr(upkeep, "REMOVED_AT_ONCE", 2)
    for number in range(5):
        name = f"job-{number}"
        await journal.open(a_job(name), Idempotency(key=name, body="same"))
        await run_to(journal, COMPLETED, name)
    write, removed = journal.database.write, list[int]()

    monkeypatch.setattr(
        journal.database, "write", lambda *args, **more: counted(write(*args, **more), removed)
    )
    await journal.remove_keys(NOW_MS + 1)
    await journal.remove_records(NOW_MS + HOUR_MS)

    assert removed == [2, 2, 1, 0, 2, 2, 1, 0]


async def counted(write: Any, counts: list[int]) -> int:
    counts.append(await write)
    return counts[-1]


async def test_of_many_records_the_newest_can_be_asked_for(journal: Journal, clock: Clock) -> None:
    for name in ("job-1", "job-2", "job-3"):
        await end_one(journal, name, "workflow")
        clock.now_ms += 1

    assert [one.finished_ms for one in await journal.records(0, 2)] == [NOW_MS + 1, NOW_MS + 2]


async def test_the_records_of_one_method_can_be_asked_for(journal: Journal, clock: Clock) -> None:
    for number, method in enumerate(("workflow", "legacy", "legacy", "workflow", "workflow")):
        await end_one(journal, f"job-{number}", method)
        clock.now_ms += 1

    legacy = await journal.records(NOW_MS + 1, 1, method="legacy")

    assert [(one.method, one.finished_ms) for one in legacy] == [("legacy", NOW_MS + 2)]


async def test_the_newest_endings_of_one_method_are_counted(journal: Journal, clock: Clock) -> None:
    ends = [("workflow", FAILED), ("workflow", FAILED), ("workflow", COMPLETED), ("legacy", FAILED)]
    for number, (method, status) in enumerate([*ends, *ends, ("workflow", COMPLETED)]):
        clock.now_ms = NOW_MS + number // 4
        await end_one(journal, f"job-{number}", method, status)

    since = await journal.endings(NOW_MS + 1, 9, method="workflow")

    assert since == {("ours", 1): 2, ("done", 1): 1, ("done", 2): 1}
    all_of_them = await journal.endings(0, 9, method="workflow")
    assert all_of_them == {("ours", 0): 2, ("done", 0): 1, **since}
    assert await journal.endings(0, 1, method="workflow") == {("done", 2): 1}
    assert await journal.endings(0, 1, method="legacy") == {("ours", 1): 1}


async def test_records_outlive_their_jobs(journal: Journal, clock: Clock) -> None:
    await end_one(journal, "job-1", "workflow")

    assert await journal.remove_finished(["job-1"], clock() + 1) == 1

    assert len(await journal.records(0)) == 1


async def test_a_tally_knows_what_is_open_and_what_is_lost(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job("old", method="legacy"))
    await run_to(journal, RUNNING, "old")
    clock.now_ms += HOUR_MS
    await journal.open(a_job("new", method="legacy", at_ms=clock()))
    await journal.open(a_job("queued", at_ms=clock()))
    await end_one(journal, "over", "workflow")

    tally = await journal.tally(moved_before_ms=clock(), queued_before_ms=clock(), since_ms=0)

    assert tally == {"legacy": Tally(open=2, lost=1), "workflow": Tally(open=1)}


async def test_a_job_that_is_queued_for_too_long_is_lost(journal: Journal, clock: Clock) -> None:
    await journal.open(a_job())

    tally = await journal.tally(
        moved_before_ms=clock() + HOUR_MS, queued_before_ms=clock() + 1, since_ms=0
    )

    assert tally == {"workflow": Tally(open=1, lost=1)}


async def test_an_old_job_that_is_just_retried_is_not_lost(journal: Journal, clock: Clock) -> None:
    await end_one(journal, "job-1", "workflow", FAILED)
    clock.now_ms += 10 * HOUR_MS
    await journal.reopen("job-1", NODE)

    tally = await journal.tally(
        moved_before_ms=clock() - HOUR_MS, queued_before_ms=clock() - HOUR_MS, since_ms=0
    )

    assert tally == {"workflow": Tally(open=1)}


async def test_a_job_that_ended_as_often_as_it_ran_is_not_doubled(journal: Journal) -> None:
    await end_one(journal, "job-1", "workflow", FAILED)
    await journal.reopen("job-1", NODE)
    await run_to(journal, FAILED)

    assert await journal.tally(moved_before_ms=0, queued_before_ms=0, since_ms=0) == {}


async def test_a_job_with_two_ends_in_a_run_is_doubled(on_disk: SqlJournal) -> None:
    """Nothing here writes that; if anything ever did, the gate must see it."""
    await end_one(on_disk, "job-1", "workflow")
    await on_disk.database.write(
        lambda db: db.execute(
            """INSERT INTO events (job_id, seq, key, terminal, message, at_ms)
               VALUES ('job-1', 2, 'end:again', 1, '{}', 0)"""
        )
    )

    tally = await on_disk.tally(moved_before_ms=0, queued_before_ms=0, since_ms=0)

    assert tally == {"workflow": Tally(doubled=1)}


async def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "journal.db"
    old = sqlite3.connect(path)
    old.executescript(FIRST)
    old.execute("PRAGMA user_version = 1")
    old.execute(
        """INSERT INTO jobs (job_id, isbn, input_isbn, source, method, status, created_ms,
                             updated_ms, run_started_ms, node, last_seq)
           VALUES ('job-1', ?, ?, 'auto', 'workflow', 'running', 1, 1, 1, 'gone', 1)""",
        (ISBN, ISBN),
    )
    old.execute(
        """INSERT INTO events (job_id, seq, key, terminal, message)
           VALUES ('job-1', 1, 'started', 0, '{"seq": 1}')"""
    )
    old.commit()
    old.close()

    journal = opening.open_stores(tmp_path, clock).journal
    await journal.claim("job-1", NODE)
    await journal.finish("job-1", completed(1, RESULT), run=1, result=RESULT, error=None)

    assert (await get(journal)).status == COMPLETED
    [record] = await journal.records(0)
    assert sum(record.stages.values()) <= record.duration_ms
    journal.close()


DONE = '{"a":[{"value":1}]}'


async def test_what_is_left_is_continued_with_its_outcomes_and_is_no_restart(
    journal: Journal,
) -> None:
    await journal.open(a_job())
    first = await journal.claim("job-1", NODE)
    assert first is not None
    await journal.begin(
        "job-1", 1, "fetch-metadata", 1, epoch=first.epoch, done='{"a":[{"value":1}]}'
    )

    await journal.leave(
        "job-1", run=1, epoch=first.epoch, done='{"a":[{"value":1}],"b":[]}', spent_ms=7,
        news=(), continues=True,
    )  # fmt: skip

    second = await journal.claim("job-1", NODE)
    assert second is not None
    assert (second.done, second.restarts, second.spent_ms) == ({"a": [{"value": 1}], "b": []}, 0, 7)
    assert await journal.begin("job-1", 1, "fetch-metadata", 1, epoch=second.epoch) == Attempt()


async def test_outcomes_ride_with_the_next_mark(journal: Journal) -> None:
    await journal.open(a_job())
    first = await journal.claim("job-1", NODE)
    assert first is not None
    await journal.begin(
        "job-1", 1, "upload-cover", 1, epoch=first.epoch, done='{"a":[{"value":1}]}'
    )

    second = await journal.claim("job-1", "other")

    assert second is not None
    assert (second.done, second.restarts) == ({"a": [{"value": 1}]}, 1)


async def test_an_outdated_claim_leaves_nothing(journal: Journal) -> None:
    await journal.open(a_job())
    first = await journal.claim("job-1", NODE)
    second = await journal.claim("job-1", "other")
    assert first is not None
    assert second is not None

    await journal.leave(
        "job-1", run=1, epoch=first.epoch, done='{"a":[]}', spent_ms=7, news=(), continues=True
    )

    third = await journal.claim("job-1", "other")
    assert third is not None
    assert (third.done, third.restarts, third.spent_ms) == ({}, 2, 0)


async def test_failed_jobs_of_one_method_are_found_past_those_of_another(
    migrated_url: str, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL looks at their entries in the index, not at each job."""
    plans: list[str] = []
    execute = PostgresSession.execute

    def explained(self: PostgresSession, sql: str, *values: Any) -> Any:
        explain = f"EXPLAIN (ANALYZE, TIMING off) {sql}"
        plans.extend(row["QUERY PLAN"] for row in execute(self, explain, *values))
        return execute(self, sql, *values)

    storage = opening.open_storage(migrated_url, tmp_path)
    journal = opening.stores_in(storage, clock).journal
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO bookline.jobs (job_id, isbn, input_isbn, source, method, status,
                                          created_ms, updated_ms)
               SELECT 'job-' || n, 'x', 'x', 'auto', method, status, n, n
               FROM generate_series(1, 10000) AS n
               JOIN (VALUES (true, 'workflow', 'failed'), (false, 'legacy', 'completed'))
                   AS kind (fails, method, status) ON fails = (n % 10 = 0)"""
        )
        connection.execute("VACUUM ANALYZE bookline.jobs")
    monkeypatch.setattr(PostgresSession, "execute", explained)

    page = await journal.list(status="failed", method="legacy", limit=5, cursor=None)

    storage.close()
    assert page.items == []
    assert plans
    assert not [line for line in plans if "Rows Removed by Filter" in line], "\n".join(plans)
