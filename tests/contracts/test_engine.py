"""What every engine promises: each step once, tries and waits that outlive a stop, one end."""

import asyncio
import json
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from dbos import DBOS
from dbos._workflow_commands import BACKGROUND_JOBS_THREAD_NAME

from bookline.book import DESCRIPTION_CHARS, Cover, Embedding, Metadata
from bookline.engine.dbos import DbosEngine
from bookline.engine.leases import Leases
from bookline.engine.locks import Locks
from bookline.engine.memory import MemoryEngine
from bookline.engine.nodes import Nodes
from bookline.engine.places import Places
from bookline.engine.queue import Queue
from bookline.engine.recovery import Recovery
from bookline.engine.tries import Policy
from bookline.engine.world import World
from bookline.errors import (
    BooklineError,
    BookNotFound,
    CoverRefused,
    EmbeddingRefused,
    ProviderDown,
    SlowDown,
    StoreDown,
    WrongKey,
)
from bookline.job import CANCELLED, COMPLETED, FAILED, RUNNING, ImportInput, Job
from bookline.progress.events import ending
from bookline.progress.journal import Attempt, Runs
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import open_storage, stores_in, stores_in_memory
from bookline.stores.runs_together import RunsTogether
from bookline.values import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISBN = "9780142437247"
BOOK = Metadata(
    isbn=ISBN,
    title="Moby Dick",
    authors=("Herman Melville",),
    description="A whale.",
    cover_url="https://covers.openlibrary.org/b/id/1-L.jpg",
    source="openlibrary",
    source_id="OL1M",
)
COVER = Cover(
    key=f"covers/{ISBN}.jpg",
    content_type="image/jpeg",
    width=300,
    height=480,
    sha256="ab" * 32,
    source_url="https://covers.openlibrary.org/b/id/1-L.jpg",
    fetched_at="2026-01-01T00:00:00.000Z",
).to_json()
VECTOR = Embedding.of("m", [0.5] * 256).to_json()
METADATA, UPLOAD, EMBEDDING = "fetch-metadata", "upload-cover", "generate-embedding"
SAVE, ASIDE = "save-to-database", "save-to-fallback"
DOWN = ProviderDown("down")
PATIENCE_SECONDS = 120.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class FakeSteps:
    """Steps that do what the test says: fail some times, or wait to be let go."""

    failures: dict[str, list[Exception]] = field(default_factory=dict)
    """What the next calls of a step raise; behind them it works."""
    held: set[str] = field(default_factory=set)
    """Steps that wait for ever."""
    book: Metadata = BOOK
    vector: Json | None = field(default_factory=lambda: dict(VECTOR))
    saved: Json = field(default_factory=lambda: {"storedIn": "database", "hasEmbedding": True})
    done: list[str] = field(default_factory=list)

    async def fetch_metadata(self, order: ImportInput) -> Metadata:
        await self._do(METADATA)
        return self.book

    async def upload_cover(self, isbn: str, url: str) -> Json:
        await self._do(UPLOAD)
        return COVER

    async def generate_embedding(self, metadata: Metadata) -> Json | None:
        await self._do(EMBEDDING)
        return self.vector

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        await self._do(SAVE)
        return self.saved

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        await self._do(ASIDE)
        return {"storedIn": "kv", "hasEmbedding": embedding is not None}

    @property
    def calls(self) -> list[str]:
        """What was done; the two that may be side by side in the table's order."""
        calls = list(self.done)
        for place in range(1, len(calls)):
            if calls[place - 1 : place + 1] == [EMBEDDING, UPLOAD]:
                calls[place - 1 : place + 1] = [UPLOAD, EMBEDDING]
        return calls

    def fail(self, step: str, *failures: Exception) -> None:
        self.failures[step] = list(failures)

    async def _do(self, step: str) -> None:
        self.done.append(step)
        failures = self.failures.get(step)
        if failures:
            raise failures.pop(0)
        while step in self.held:
            await asyncio.sleep(0.002)


class Bench:
    """An engine with its journal; ``reboot`` plays a stop in good order and a new process."""

    journal: SqlJournal
    engine: Any
    node_id = "node-1"
    method = "workflow"
    in_batch = False

    @property
    def runs(self) -> Runs:
        """By what its imports write."""
        return self.journal

    def clear(self) -> None:
        """For the next test: other steps, other names of jobs."""
        self.steps = FakeSteps()
        self.story_of = uuid.uuid4().hex[:8]
        self.names: list[str] = []
        self.slots = 8
        self.policy = Policy(retry_scale=0.001)

    def world(self) -> World:
        return World(
            runs=self.journal,
            steps=self.steps,
            policy=self.policy,
            node=self.node_id,
            clock=now_ms,
            places=Places(self.slots),
            chance=lambda: 0.0,
        )

    def set_policy(self, **policy: float) -> None:
        """For imports that start from now on."""
        self.policy = Policy(**{"retry_scale": 0.001, **policy})
        self.engine._world = self.world()

    async def boot(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def go_on(self) -> None:
        raise NotImplementedError

    def id(self, name: str = "job") -> str:
        return f"{name}-{self.story_of}"

    async def start(self, name: str = "job") -> None:
        await self.engine.start((await self.open(name)).order, in_batch=self.in_batch)

    async def open(self, name: str = "job", node: str | None = "") -> Job:
        """A job of this node, or nobody's yet."""
        self.names.append(name)
        order = ImportInput(job_id=self.id(name), isbn=ISBN, input_isbn="0142437247")
        at = now_ms()
        node = self.node_id if node == "" else node
        job = Job(order=order, method=self.method, created_ms=at, updated_ms=at, node=node)
        return await self.journal.open(job)

    async def retry(self) -> None:
        await self.engine.settle(self.id())
        await self.journal.reopen(self.id(), "node")
        await self.engine.restart(self.id())

    async def cancel(self, name: str = "job") -> None:
        await self.journal.request_cancel(self.id(name))
        self.engine.wake(self.id(name))

    async def job(self, name: str = "job") -> Job:
        job = await self.journal.find(self.id(name))
        assert job is not None
        return job

    async def end(self, name: str = "job", *, run: int = 1) -> Job:
        """The job when that run of it is over."""

        async def is_over() -> bool:
            job = await self.job(name)
            return job.is_over and job.run == run

        await until(is_over)
        return await self.job(name)

    async def reached(self, step: str, calls: int = 1) -> None:
        async def is_there() -> bool:
            return self.steps.calls.count(step) >= calls

        await until(is_there)

    async def told(self, kind: str) -> list[Json]:
        return [event["data"] for event in await self.story() if event["type"] == kind]

    async def waits(self, retries: int = 1) -> None:
        """Until so many tries have failed and the next is waited for."""

        async def has_told() -> bool:
            return len(await self.told("workflow_retry")) >= retries

        await until(has_told)

    async def story(self) -> list[Json]:
        events = await self.journal.read(self.id(), 0, 1_000)
        return [json.loads(event.message) for event in events]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.002)


class MemoryBench(Bench):
    async def boot(self) -> None:
        self.journal = stores_in_memory(now_ms).journal
        self.engine = MemoryEngine(self.world())

    async def stop(self) -> None:
        await self.engine.stop()

    async def go_on(self) -> None:
        self.engine.resume()


class KeptBench(Bench):
    """One whose stores outlive its process: in a folder, or in a PostgreSQL."""

    journal: SqlJournal

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url

    def open_stores(self) -> None:
        self.storage = open_storage(self.url, self.folder)
        self.journal = stores_in(self.storage, now_ms).journal
        self.node: Nodes = (
            Leases(self.journal.database, self.storage.clock)
            if self.url
            else Locks(self.folder / "nodes")
        )
        self.node.open()
        self.node_id = self.node.node_id

    async def stop(self) -> None:
        await self.engine.close()
        self.node.close()
        self.journal.close()
        self.storage.close()


class DbosBench(KeptBench):
    @property
    def runs(self) -> Runs:
        return self.engine._straight._world.runs if self.in_batch else self.journal

    def batch_world(self) -> World:
        return replace(self.world(), runs=RunsTogether(self.journal, self.journal, now_ms))

    def set_policy(self, **policy: float) -> None:
        super().set_policy(**policy)
        self.engine._straight._world = self.batch_world()

    async def boot(self) -> None:
        self.open_stores()
        where = self.url or self.folder / "engine.db"
        self.engine = DbosEngine(
            where, self.world(), self.node.living, batch_world=self.batch_world()
        )
        await self.engine.launch()

    async def go_on(self) -> None:
        await self.boot()
        await Recovery(self.node, self.engine, self.journal, now_ms).sweep()


class LegacyBench(KeptBench):
    """The importer by hand, while it is there: it promises the same."""

    method = "legacy"

    async def boot(self) -> None:
        legacy = pytest.importorskip("bookline.migration.legacy")
        self.open_stores()
        tables = self.storage.tables("legacy", legacy.MIGRATIONS)
        self.engine = legacy.JobStateManager(
            tables, self.world(), self.node.living, self.journal.left_by
        )

    async def go_on(self) -> None:
        await self.boot()
        await self.engine.sweep()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def launched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DbosBench]:
    """One for all tests: DBOS takes a second to stop."""
    made = DbosBench(tmp_path_factory.mktemp("engine"))
    made.clear()
    await made.boot()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def on_dbos(launched: DbosBench) -> AsyncIterator[DbosBench]:
    launched.clear()
    launched.set_policy()
    launched.in_batch = False
    yield launched
    launched.steps.held.clear()
    for name in launched.names:
        run = (await launched.job(name)).run
        await launched.end(name, run=run)


@pytest_asyncio.fixture(params=["memory", "dbos", "in_batch", "legacy"], loop_scope="module")
async def bench(
    request: pytest.FixtureRequest, on_dbos: DbosBench, tmp_path: Path
) -> AsyncIterator[Bench]:
    if request.param in {"dbos", "in_batch"}:
        on_dbos.in_batch = request.param == "in_batch"
        yield on_dbos
        return
    made = MemoryBench() if request.param == "memory" else LegacyBench(tmp_path)
    made.clear()
    await made.boot()
    yield made
    await made.stop()


async def reboot(bench: Bench) -> None:
    await bench.stop()
    bench.steps.held.clear()
    await bench.go_on()


# ------------------------------------------------------------------ the good way
async def test_an_import_does_each_step_once(bench: Bench) -> None:
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls == [METADATA, UPLOAD, EMBEDDING, SAVE]
    assert job.status == COMPLETED
    assert job.result == {
        "success": True,
        "isbn": ISBN,
        "title": "Moby Dick",
        "source": "openlibrary",
        "saved": True,
        "storedIn": "database",
        "coverR2Key": f"covers/{ISBN}.jpg",
        "coverUrl": f"/v2/covers/{ISBN}?v={'ab' * 8}",
        "hasEmbedding": True,
        "warnings": [],
    }


async def test_an_import_tells_its_story_in_order(bench: Bench) -> None:
    await bench.start()
    await bench.end()

    told = await bench.story()

    assert [(event["seq"], event["status"], event["progress"]) for event in told] == [
        (1, "started", 0.0),
        (2, "metadata_fetched", 0.25),
        (3, "cover_uploaded", 0.5),
        (4, "embedding_generated", 0.75),
        (5, "completed", 1.0),
    ]


async def test_a_book_without_a_cover_skips_that_step(bench: Bench) -> None:
    bench.steps.book = Metadata(isbn=ISBN, title="Moby Dick", source="isbndb")
    bench.steps.vector = None
    await bench.start()

    await bench.end()

    assert bench.steps.calls == [METADATA, EMBEDDING, SAVE]
    statuses = [event["status"] for event in await bench.story()]
    assert statuses == ["started", "metadata_fetched", "completed"]


async def test_a_job_that_is_started_twice_is_imported_once(bench: Bench) -> None:
    job = await bench.open()

    await asyncio.gather(*(bench.engine.start(job.order) for _ in range(5)))

    await bench.end()
    assert bench.steps.calls == [METADATA, UPLOAD, EMBEDDING, SAVE]
    assert len(await bench.story()) == 5


async def test_what_was_handed_over_counts_until_it_has_ended(on_dbos: DbosBench) -> None:
    """Also before the engine has come to it: the queue counts by it how many are at work."""
    on_dbos.steps.held = {METADATA}

    await on_dbos.start()

    assert on_dbos.id() in on_dbos.engine.running
    await on_dbos.reached(METADATA)
    assert on_dbos.engine.running.count(on_dbos.id()) == 1
    on_dbos.steps.held.clear()
    await on_dbos.end()
    await on_dbos.engine.settle(on_dbos.id())
    assert on_dbos.id() not in on_dbos.engine.running


async def test_what_is_started_while_it_is_at_work_counts_once(on_dbos: DbosBench) -> None:
    on_dbos.steps.held = {METADATA}
    await on_dbos.start()
    await on_dbos.reached(METADATA)

    await on_dbos.engine.start((await on_dbos.job()).order)

    assert on_dbos.engine.running.count(on_dbos.id()) == 1


async def test_what_the_engine_did_not_take_does_not_count(
    on_dbos: DbosBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = (await on_dbos.open()).order
    with monkeypatch.context() as down:
        down.setattr(DBOS, "start_workflow_async", _refuse)
        with pytest.raises(StoreDown):
            await on_dbos.engine.start(order)

    assert on_dbos.id() not in on_dbos.engine.running
    await on_dbos.engine.start(order)


async def _refuse(*_: object) -> None:
    raise StoreDown("full")


async def test_a_burst_begins_no_more_of_a_source_than_may_be_at_work(
    on_dbos: DbosBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.engine.queue.MOST_OF_A_SOURCE", 4)
    on_dbos.steps.held = {METADATA}
    names = [f"job-{number}" for number in range(20)]
    jobs = [await on_dbos.open(name, node=None) for name in names]
    recovery = Recovery(on_dbos.node, on_dbos.engine, on_dbos.journal, now_ms)
    recovery.is_behind = False
    queue = Queue(
        on_dbos.journal, {"workflow": on_dbos.engine}, Places(100), recovery, on_dbos.node_id
    )

    while await queue.feed():
        pass

    begun = len(on_dbos.engine.running)
    for job in jobs[begun:]:
        await on_dbos.journal.request_cancel(job.job_id)
    assert begun == 4


async def test_many_imports_at_once_all_end(bench: Bench) -> None:
    bench.slots = 3
    bench.set_policy()
    names = [f"job-{number}" for number in range(12)]

    await asyncio.gather(*(bench.start(name) for name in names))

    ends = [await bench.end(name) for name in names]
    assert {job.status for job in ends} == {COMPLETED}
    assert bench.steps.calls.count(SAVE) == 12


# ------------------------------------------------------------------ retries
@pytest.mark.parametrize(
    ("step", "delays"),
    [
        (METADATA, [1, 2, 3]),
        (UPLOAD, [0.5, 1, 2, 4, 8]),
        (EMBEDDING, [2, 4]),
        (SAVE, [1, 2, 4]),
    ],
)
async def test_a_step_that_works_in_the_last_try_is_done(
    bench: Bench, step: str, delays: list[float]
) -> None:
    """A limit of 3 is up to 4 tries: it counts the retries."""
    bench.steps.fail(step, *[DOWN] * len(delays))
    await bench.start()

    job = await bench.end()

    assert job.status == COMPLETED
    assert bench.steps.calls.count(step) == len(delays) + 1
    told = await bench.told("workflow_retry")
    assert [(one["step"], one["attempt"]) for one in told] == [
        (step, attempt) for attempt in range(1, len(delays) + 1)
    ]
    assert [one["delayMs"] for one in told] == [round(delay) for delay in delays]  # in 1/1000
    assert {one["error"]["code"] for one in told} == {"PROVIDER_ERROR"}


async def test_metadata_that_never_come_fail_the_job(bench: Bench) -> None:
    bench.steps.fail(METADATA, *[DOWN] * 9)
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls == [METADATA] * 4
    assert job.status == FAILED
    assert job.error == {
        "code": "PROVIDER_ERROR",
        "message": "down",
        "step": METADATA,
        "attempts": 4,
    }
    last = (await bench.story())[-1]
    assert (last["status"], last["data"], last["progress"]) == (FAILED, {"error": job.error}, 0.0)


@pytest.mark.parametrize("answer", [BookNotFound("no"), WrongKey("bad key")])
async def test_an_answer_that_is_final_takes_one_try(bench: Bench, answer: BooklineError) -> None:
    bench.steps.fail(METADATA, answer)
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls == [METADATA]
    assert job.error is not None
    assert (job.error["code"], job.error["attempts"]) == (answer.code, 1)
    assert await bench.told("workflow_retry") == []


@pytest.mark.parametrize(
    ("step", "failures", "code", "tries"),
    [
        (UPLOAD, [CoverRefused("too small")], "COVER_REFUSED", 1),
        (UPLOAD, [DOWN] * 6, "PROVIDER_ERROR", 6),
        (EMBEDDING, [EmbeddingRefused("odd")], "EMBEDDING_REFUSED", 1),
        (EMBEDDING, [SlowDown("busy")] * 3, "PROVIDER_RATE_LIMITED", 3),
    ],
)
async def test_an_optional_step_that_fails_for_good_is_a_warning(
    bench: Bench, step: str, failures: list[Exception], code: str, tries: int
) -> None:
    bench.steps.fail(step, *failures)
    await bench.start()

    job = await bench.end()

    assert job.status == COMPLETED
    assert bench.steps.calls.count(step) == tries
    warned = await bench.told("workflow_warning")
    assert [(one["step"], one["code"]) for one in warned] == [(step, code)]
    assert job.result is not None
    assert job.result["warnings"] == warned


async def test_a_mistake_in_a_step_is_tried_again_and_then_fails(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.steps.fail(METADATA, *[ZeroDivisionError("secret")] * 9)
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls == [METADATA] * 4
    assert job.error is not None
    assert job.error["code"] == "PROVIDER_ERROR"
    assert job.error["message"] == "unexpected ZeroDivisionError; see the log"
    assert "secret" in caplog.text


async def test_a_mistake_in_the_workflow_fails_the_job(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.steps.saved = {}  # no "storedIn": what comes after the step breaks
    await bench.start()

    job = await bench.end()

    assert job.status == FAILED
    assert job.error is not None
    assert job.error["code"] == "INTERNAL_ERROR"
    assert "broke" in caplog.text


# ------------------------------------------------------------------ the fallback store
async def test_a_book_that_the_library_does_not_take_goes_aside(bench: Bench) -> None:
    bench.steps.fail(SAVE, *[StoreDown("disk full")] * 9)
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls[3:] == [SAVE] * 4 + [ASIDE]
    assert job.result is not None
    assert job.result["storedIn"] == "kv"
    assert [warned["step"] for warned in job.result["warnings"]] == [SAVE]


async def test_a_book_that_nobody_takes_fails_at_the_library(bench: Bench) -> None:
    for step in (SAVE, ASIDE):
        bench.steps.fail(step, *[StoreDown("disk full")] * 9)
    await bench.start()

    job = await bench.end()

    assert bench.steps.calls[3:] == [SAVE] * 4 + [ASIDE] * 4
    assert job.error == {
        "code": "SAVE_FAILED",
        "message": "disk full",
        "step": SAVE,
        "attempts": 4,
    }


# ------------------------------------------------------------------ cancel
async def test_a_cancel_takes_effect_at_the_next_step(bench: Bench) -> None:
    bench.steps.held.add(UPLOAD)
    await bench.start()
    await bench.reached(UPLOAD)

    await bench.cancel()
    bench.steps.held.clear()

    job = await bench.end()
    assert job.status == CANCELLED
    beside = [] if bench.method == "legacy" else [EMBEDDING]
    assert bench.steps.calls == [METADATA, UPLOAD, *beside]  # nothing is saved
    assert job.error is not None
    following = SAVE if beside else EMBEDDING
    assert (job.error["code"], job.error["step"]) == ("CANCELLED", following)
    assert (await bench.story())[-1]["progress"] == (0.75 if beside else 0.5)


async def test_a_cancel_ends_a_wait_at_once(bench: Bench) -> None:
    bench.set_policy(retry_scale=100)
    bench.steps.fail(METADATA, DOWN)
    await bench.start()
    await bench.waits()

    await bench.cancel()

    job = await bench.end()
    assert job.status == CANCELLED
    assert bench.steps.calls == [METADATA]
    assert job.error is not None
    assert job.error["attempts"] == 1


async def test_a_cancel_ends_a_wait_though_everybody_is_at_work(bench: Bench) -> None:
    bench.slots = 1
    bench.set_policy(retry_scale=100)
    bench.steps.fail(METADATA, DOWN)
    await bench.start("waits")
    await bench.reached(METADATA)
    bench.steps.held.add(METADATA)
    await bench.start("works")
    await bench.reached(METADATA, 2)

    await bench.cancel("waits")

    assert (await bench.end("waits")).status == CANCELLED
    assert (await bench.job("works")).status == RUNNING


async def test_a_cancel_of_an_import_that_is_not_here_is_let_pass(bench: Bench) -> None:
    bench.engine.wake("elsewhere")


async def test_a_cancelled_job_stays_cancelled(bench: Bench) -> None:
    await bench.open()
    await bench.journal.request_cancel(bench.id())

    await bench.engine.start((await bench.job()).order)

    job = await bench.end()
    assert job.status == CANCELLED
    assert bench.steps.calls == []
    assert job.error is not None
    assert job.error["attempts"] == 0


# ------------------------------------------------------------------ the deadline
async def test_the_deadline_cuts_a_running_try(bench: Bench) -> None:
    bench.set_policy(deadline_seconds=0.05)
    bench.steps.held.add(UPLOAD)
    await bench.start()

    job = await bench.end()

    assert job.status == FAILED
    assert job.error is not None
    assert (job.error["code"], job.error["step"]) == ("DEADLINE_EXCEEDED", UPLOAD)
    assert await bench.told("workflow_retry") == []


async def test_a_wait_that_would_pass_the_deadline_is_not_begun(bench: Bench) -> None:
    bench.set_policy(deadline_seconds=0.3, retry_scale=1)
    bench.steps.fail(METADATA, DOWN)
    await bench.start()

    job = await bench.end()

    assert job.error is not None
    assert job.error["code"] == "DEADLINE_EXCEEDED"
    assert job.error["attempts"] == 1
    assert "down" in job.error["message"]
    assert await bench.told("workflow_retry") == []


async def test_a_retry_starts_the_deadline_anew(bench: Bench) -> None:
    bench.set_policy(deadline_seconds=0.5)
    bench.steps.held.add(UPLOAD)
    await bench.start()
    await bench.end()
    bench.steps.held.clear()
    bench.set_policy()

    await bench.retry()

    assert (await bench.end(run=2)).status == COMPLETED
    assert sorted(bench.steps.calls) == sorted([METADATA, UPLOAD, UPLOAD, EMBEDDING, SAVE])


# ------------------------------------------------------------------ retry of a failed job
async def test_a_retry_keeps_what_was_done(bench: Bench) -> None:
    for step in (SAVE, ASIDE):
        bench.steps.fail(step, *[StoreDown("disk full")] * 4)
    await bench.start()
    await bench.end()
    before = list(bench.steps.calls)

    await bench.retry()

    job = await bench.end(run=2)
    assert bench.steps.calls == [*before, SAVE]
    assert job.result is not None
    assert job.result["storedIn"] == "database"
    assert job.result["coverR2Key"] == f"covers/{ISBN}.jpg"
    assert job.error is None


async def test_a_retried_jobs_story_goes_on_behind_its_failure(bench: Bench) -> None:
    bench.steps.fail(METADATA, BookNotFound("no"))
    await bench.start()
    await bench.end()

    await bench.retry()

    assert (await bench.end(run=2)).status == COMPLETED
    told = await bench.story()
    assert [event["seq"] for event in told] == list(range(1, 8))
    assert [event["status"] for event in told] == [
        "started", FAILED, None,
        "metadata_fetched", "cover_uploaded", "embedding_generated", COMPLETED,
    ]  # fmt: skip
    assert told[2]["type"] == "workflow_resumed"
    assert told[2]["data"] == {"by": "retry"}


async def test_a_retry_that_fails_again_can_be_retried(bench: Bench) -> None:
    bench.steps.fail(METADATA, BookNotFound("no"), BookNotFound("still no"))
    await bench.start()
    await bench.end()

    await bench.retry()
    again = await bench.end(run=2)
    await bench.retry()

    assert again.error is not None
    assert again.error["message"] == "still no"
    assert (await bench.end(run=3)).status == COMPLETED
    assert bench.steps.calls.count(METADATA) == 3


# ------------------------------------------------------------------ stop and go on
async def test_a_stopped_import_goes_on_where_it_was(bench: Bench) -> None:
    bench.steps.held.add(EMBEDDING)
    await bench.start()
    await bench.reached(EMBEDDING)

    async def cover_is_told() -> bool:
        return any(event["status"] == "cover_uploaded" for event in await bench.story())

    await until(cover_is_told)

    await reboot(bench)

    job = await bench.end()
    assert job.status == COMPLETED
    assert bench.steps.calls == [METADATA, UPLOAD, EMBEDDING, EMBEDDING, SAVE]
    assert job.attempt == 1  # a try that was stopped in good order does not count
    assert await bench.told("workflow_resumed") == [{"by": "restart"}]
    assert [event["seq"] for event in await bench.story()] == [1, 2, 3, 4, 5, 6]


async def test_a_stop_while_a_try_is_marked_does_not_count_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark may be written already when the stop comes."""
    real, marked = bench.runs.begin, asyncio.Event()

    async def slow(*args: Any, **named: Any) -> Attempt:
        began = await real(*args, **named)
        if args[2] == UPLOAD and not marked.is_set():
            marked.set()
            await asyncio.sleep(60)
        return began

    with monkeypatch.context() as patched:
        patched.setattr(bench.runs, "begin", slow)
        await bench.start()
        await asyncio.wait_for(marked.wait(), PATIENCE_SECONDS)
        await bench.stop()
    await bench.go_on()

    job = await bench.end()
    assert (job.status, job.attempt) == (COMPLETED, 1)
    assert await bench.told("workflow_retry") == []


async def test_tries_and_waits_outlive_a_stop(bench: Bench) -> None:
    bench.set_policy(retry_scale=0.05)
    bench.steps.fail(METADATA, *[DOWN] * 9)
    await bench.start()
    await bench.waits(2)

    await reboot(bench)

    job = await bench.end()
    assert bench.steps.calls == [METADATA] * 4
    assert job.error is not None
    assert job.error["attempts"] == 4
    told = await bench.told("workflow_retry")
    assert [one["attempt"] for one in told] == [1, 2, 3]
    assert [one["delayMs"] for one in told] == [50, 100, 150]


async def test_a_try_that_the_process_died_in_counts(bench: Bench) -> None:
    job = await bench.open()
    await bench.journal.claim(bench.id(), "dead")
    assert await bench.journal.begin(bench.id(), 1, METADATA, 1) == Attempt()
    bench.steps.fail(METADATA, *[DOWN] * 9)

    await bench.engine.start(job.order)

    ended = await bench.end()
    assert bench.steps.calls == [METADATA] * 3
    assert ended.error is not None
    assert ended.error["attempts"] == 4
    told = await bench.told("workflow_retry")
    assert told[0]["error"]["message"] == "the process died in this try"


async def test_an_import_that_takes_its_process_down_each_time_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.engine.job_run.MOST_RESTARTS", 2)
    job = await bench.open()
    for _ in range(3):
        await bench.journal.claim(bench.id(), "dead")

    await bench.engine.start(job.order)

    ended = await bench.end()
    assert ended.status == FAILED
    assert bench.steps.calls == []


async def test_a_job_that_is_over_is_not_imported_again(bench: Bench) -> None:
    job = await bench.open()
    await bench.start("other")
    await bench.end("other")
    calls = list(bench.steps.calls)
    await bench.journal.claim(bench.id(), "elsewhere")
    await bench.journal.finish(bench.id(), ending(1, FAILED, {}), run=1, result=None, error={})

    await bench.engine.start(job.order)
    await bench.engine.settle(bench.id())

    assert bench.steps.calls == calls
    assert len(await bench.story()) == 1


@pytest.mark.parametrize("ask", ["claim", "begin", "finish"])
async def test_a_journal_that_is_down_for_a_moment_does_no_harm(
    bench: Bench, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(bench.runs, ask)
    downs = [StoreDown("busy"), StoreDown("busy")]

    async def flaky(*args: Any, **named: Any) -> Any:
        if downs:
            raise downs.pop()
        return await real(*args, **named)

    monkeypatch.setattr("bookline.patience.PAUSES_SECONDS", (0.001,))
    monkeypatch.setattr(bench.runs, ask, flaky)
    await bench.start()

    job = await bench.end()

    assert job.status == COMPLETED
    assert bench.steps.calls == [METADATA, UPLOAD, EMBEDDING, SAVE]


# ------------------------------------------------------------------ what a dead process left
async def sweep(on_dbos: DbosBench, lose: str) -> int:
    """A sweep after the job's process has died, and ``lose`` has become of its row."""
    await on_dbos.journal.database.write(
        lambda db: db.execute(f"UPDATE jobs SET {lose} WHERE job_id = :id", {"id": on_dbos.id()})
    )
    recovery = Recovery(on_dbos.node, on_dbos.engine, on_dbos.journal, now_ms)
    return await recovery.sweep()


async def test_a_job_that_the_engine_never_heard_of_is_started(on_dbos: DbosBench) -> None:
    await on_dbos.open()

    assert await sweep(on_dbos, "node = 'dead'") == 1

    assert (await on_dbos.end()).status == COMPLETED
    assert on_dbos.steps.calls == [METADATA, UPLOAD, EMBEDDING, SAVE]


async def test_an_end_that_the_journal_has_lost_is_written_again(on_dbos: DbosBench) -> None:
    await on_dbos.start()
    before = await on_dbos.end()
    await on_dbos.engine.settle(on_dbos.id())

    await sweep(on_dbos, "node = 'dead', status = 'queued', result = NULL")

    job = await on_dbos.end()
    assert (job.status, job.result) == (COMPLETED, before.result)
    assert on_dbos.steps.calls == [METADATA, UPLOAD, EMBEDDING, SAVE]


async def test_a_retry_that_the_engine_never_heard_of_is_begun(on_dbos: DbosBench) -> None:
    on_dbos.steps.fail(METADATA, BookNotFound("no"))
    await on_dbos.start()
    await on_dbos.end()
    await on_dbos.engine.settle(on_dbos.id())
    await on_dbos.journal.reopen(on_dbos.id(), "node")

    await sweep(on_dbos, "node = 'dead'")

    assert (await on_dbos.end(run=2)).status == COMPLETED


async def test_a_sweep_leaves_alone_what_a_living_process_runs(on_dbos: DbosBench) -> None:
    on_dbos.steps.held.add(METADATA)
    await on_dbos.start()
    await on_dbos.reached(METADATA)

    assert await sweep(on_dbos, "source = source") == 0

    assert await on_dbos.told("workflow_resumed") == []


# ------------------------------------------------------------------ what is kept
async def test_the_engines_file_holds_plain_json(on_dbos: DbosBench) -> None:
    """Nobody who can write the file can run code, and no renamed class breaks a replay."""
    on_dbos.steps.fail(METADATA, DOWN, ValueError("x"))
    on_dbos.steps.fail(SAVE, *[StoreDown("full")] * 9)
    await on_dbos.start()
    await on_dbos.end()
    await on_dbos.engine.settle(on_dbos.id())

    kept = [text for text in stored(on_dbos.folder / "engine.db") if text["is_data"]]

    assert len(kept) > 8
    for text in kept:
        json.loads(text["text"])


@pytest.mark.parametrize(
    ("description", "most_bytes"),
    [("The whale. " * 100, 16_000), ("𝄞" * DESCRIPTION_CHARS, 128_000)],
)
async def test_an_imports_state_stays_small(
    on_dbos: DbosBench, description: str, most_bytes: int
) -> None:
    on_dbos.steps.book = replace(BOOK, description=description)
    empty = {name: size(on_dbos.folder / name) for name in ("engine.db", "journal.db")}
    await on_dbos.start()
    await on_dbos.end()
    await on_dbos.engine.settle(on_dbos.id())

    grown = sum(size(on_dbos.folder / name) - before for name, before in empty.items())

    assert 1_000 < grown < most_bytes


def stored(path: Path) -> list[dict[str, Any]]:
    """Every text of a file; ``is_data`` for what a serializer wrote."""
    with sqlite3.connect(path) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
        texts = []
        for table in tables:
            cursor = db.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor:
                for name, value in zip(names, row, strict=True):
                    is_data = name in {"inputs", "output", "error"} and value is not None
                    texts.append({"text": str(value), "is_data": is_data})
    db.close()
    return texts


def size(path: Path) -> int:
    return sum(len(one["text"].encode()) for one in stored(path))


async def test_what_is_just_being_taken_over_is_not_taken_over_again(
    on_dbos: DbosBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between DBOS handing it to us and our claim, it is ours and not yet in the journal so."""
    on_dbos.steps.held.add(METADATA)
    await on_dbos.start()
    await on_dbos.reached(METADATA)

    with monkeypatch.context() as unclaimed:
        unclaimed.setattr(DbosEngine, "running", property(lambda engine: []))
        await sweep(on_dbos, "node = 'dead'")
    states = await on_dbos.engine.look_up([on_dbos.id()])

    assert states[on_dbos.id()][0] == "PENDING"  # and not queued once more
    assert await on_dbos.told("workflow_resumed") == []


# ------------------------------------------------------------------ in a batch
async def test_dbos_looks_for_no_deadlines_and_delays(on_dbos: DbosBench) -> None:
    """No import has any, and looking each second is a tenth of what an idle node takes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(one.name == BACKGROUND_JOBS_THREAD_NAME for one in threading.enumerate()):
            await asyncio.sleep(0.01)


async def test_what_goes_well_in_a_batch_costs_the_engine_nothing(on_dbos: DbosBench) -> None:
    on_dbos.in_batch = True
    await on_dbos.start()

    assert (await on_dbos.end()).status == COMPLETED

    assert await on_dbos.engine.look_up([on_dbos.id()]) == {}


async def test_a_retry_behind_the_cover_does_no_embedding_again(on_dbos: DbosBench) -> None:
    """It was made beside the cover in which the deadline came."""
    on_dbos.set_policy(deadline_seconds=0.5)
    on_dbos.steps.held = {UPLOAD}
    await on_dbos.start()
    assert (await on_dbos.end()).status == FAILED
    on_dbos.steps.held.clear()
    on_dbos.set_policy()

    await on_dbos.retry()

    assert (await on_dbos.end(run=2)).status == COMPLETED
    assert [on_dbos.steps.calls.count(step) for step in (UPLOAD, EMBEDDING, SAVE)] == [2, 1, 1]
    assert [event["status"] for event in await on_dbos.story() if "status" in event][-3:] == [
        "cover_uploaded",
        "embedding_generated",
        "completed",
    ]


async def test_what_fails_in_a_batch_continues_where_it_was(on_dbos: DbosBench) -> None:
    on_dbos.in_batch = True
    on_dbos.steps.fail(UPLOAD, DOWN)
    await on_dbos.start()

    assert (await on_dbos.end()).status == COMPLETED

    assert on_dbos.id() in await on_dbos.engine.look_up([on_dbos.id()])
    calls = on_dbos.steps.calls
    assert [calls.count(step) for step in (METADATA, UPLOAD, SAVE)] == [1, 2, 1]
    assert [one["attempt"] for one in await on_dbos.told("workflow_retry")] == [1]
    assert await on_dbos.told("workflow_resumed") == []


async def test_a_journal_that_is_away_keeps_nobody_from_stopping(
    on_dbos: DbosBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is asked to end ends; what it could not leave in good order continues."""

    async def away(*_: object, **__: object) -> None:
        raise StoreDown("full")

    on_dbos.in_batch = True
    on_dbos.steps.held = {METADATA}
    await on_dbos.start()
    await on_dbos.reached(METADATA)

    with monkeypatch.context() as full:
        full.setattr(on_dbos.runs, "leave", away)
        async with asyncio.timeout(5):
            await on_dbos.engine._straight.close()

    on_dbos.steps.held.clear()
    assert await sweep(on_dbos, "node = 'dead'") == 1
    assert (await on_dbos.end()).status == COMPLETED


# ------------------------------------------------------------------ the engine's database
async def test_a_record_that_was_refused_once_is_made_and_is_no_failure(
    on_dbos: DbosBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DBOS takes what kept it from recording for the step's outcome, and may get that recorded."""
    monkeypatch.setattr(on_dbos.engine, "_keeper", None)  # by DBOS' step alone
    refusals = [StoreDown("the engine's database is away: disk full")]

    def refuse(*asked: Any) -> None:
        if refusals and re.search("INSERT.*operation_outputs", asked[2], re.DOTALL):
            raise refusals.pop()

    database = on_dbos.engine._database.engine
    sa.event.listen(database, "before_cursor_execute", refuse)
    try:
        await on_dbos.start()
        job = await on_dbos.end()
    finally:
        sa.event.remove(database, "before_cursor_execute", refuse)

    assert refusals == []
    assert (job.status, on_dbos.steps.calls.count(METADATA)) == (COMPLETED, 1)
