"""The importer by hand does what the workflow does, and loses nothing wherever it is cut off."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engine import (
    ASIDE,
    BOOK,
    DOWN,
    EMBEDDING,
    ISBN,
    METADATA,
    SAVE,
    UPLOAD,
    VECTOR,
    FakeSteps,
    now_ms,
    until,
)

from bookline.book import Metadata
from bookline.engine.memory import MemoryEngine
from bookline.engine.places import Places
from bookline.engine.tries import Policy
from bookline.engine.world import World
from bookline.errors import BookNotFound, CoverRefused, SlowDown, StoreDown
from bookline.job import COMPLETED, FAILED, ImportInput, Job
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import open_stores, stores_in_memory
from bookline.stores.sqlite import Sqlite
from bookline.values import Json
from bookline.workflow import import_in_order

legacy = pytest.importorskip("bookline.migration.legacy")

FULL = StoreDown("disk full")
NO_BOOK = BookNotFound("no")


def world_of(runs: Any, steps: FakeSteps, node: str) -> World:
    return World(
        runs=runs,
        steps=steps,
        policy=Policy(retry_scale=0.001),
        node=node,
        clock=now_ms,
        places=Places(8),
        chance=lambda: 0.0,
    )


def only(*nodes: str) -> Callable[[], Awaitable[set[str]]]:
    """These are alive, and no others."""

    async def living() -> set[str]:
        return set(nodes)

    return living


async def opened(journal: Any, node: str) -> ImportInput:
    order = ImportInput(job_id=f"job-{uuid.uuid4().hex}", isbn=ISBN, input_isbn=ISBN)
    at = now_ms()
    await journal.open(Job(order=order, method="legacy", created_ms=at, updated_ms=at, node=node))
    return order


async def over(journal: Any, job_id: str, run: int) -> Job:
    async def is_over() -> bool:
        job = await journal.find(job_id)
        return bool(job.is_over and job.run == run)

    await until(is_over)
    job: Job = await journal.find(job_id)
    return job


async def story(journal: Any, job_id: str) -> list[Json]:
    return [json.loads(event.message) for event in await journal.read(job_id, 0, 1_000)]


# ------------------------------------------------------------------ the same as the workflow
@dataclass
class CancellingSteps(FakeSteps):
    """Somebody cancels during that call."""

    cancel_at: int | None = None
    cancel: Callable[[], Awaitable[None]] | None = None

    async def _do(self, step: str) -> None:
        if self.cancel is not None and len(self.calls) == self.cancel_at:
            await self.cancel()
        await super()._do(step)


FAILURES = st.lists(
    st.sampled_from(
        [DOWN, DOWN, FULL, SlowDown("429", retry_after_seconds=0.003), NO_BOOK, ValueError("x")]
    ),
    max_size=7,
)
SCRIPTS = st.fixed_dictionaries(
    {
        "failures": st.fixed_dictionaries(
            {}, optional=dict.fromkeys((METADATA, UPLOAD, EMBEDDING, SAVE, ASIDE), FAILURES)
        ),
        "book": st.sampled_from([BOOK, Metadata(isbn=ISBN, title="Moby Dick", source="isbndb")]),
        "vector": st.sampled_from([VECTOR, None]),
        "cancel_at": st.one_of(st.none(), st.integers(0, 6)),
        "retries": st.integers(0, 2),
    }
)


async def play(script: Json, make: Callable[[World], Any]) -> Json:
    """All that can be seen of an import, and of its retries while it fails."""
    journal = stores_in_memory(now_ms).journal
    steps = CancellingSteps(
        failures={name: list(failures) for name, failures in script["failures"].items()},
        book=script["book"],
        vector=script["vector"],
        cancel_at=script["cancel_at"],
    )
    engine = make(world_of(journal, steps, "node"))
    order = await opened(journal, "node")

    async def cancel() -> None:
        await journal.request_cancel(order.job_id)
        engine.wake(order.job_id)

    steps.cancel = cancel
    await engine.start(order)
    job = await over(journal, order.job_id, 1)
    for run in range(2, script["retries"] + 2):
        if job.status == FAILED:
            await engine.settle(order.job_id)
            await journal.reopen(order.job_id, "node")
            await engine.restart(order.job_id)
            job = await over(journal, order.job_id, run)
    await engine.settle(order.job_id)
    told = await story(journal, order.job_id)
    return {
        "calls": steps.calls,
        "status": job.status,
        "step": (job.step, job.attempt, job.progress),
        "result": job.result,
        "error": job.error,
        "story": [(one["type"], one["status"], one["progress"], one["data"]) for one in told],
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=SCRIPTS)
def test_whatever_fails_it_does_and_tells_what_the_workflow_does(
    tmp_path_factory: pytest.TempPathFactory, script: Json
) -> None:
    """The workflow by its rules that do one step after the other, as the legacy importer does."""
    path = tmp_path_factory.mktemp("legacy") / "legacy.db"

    async def both() -> tuple[Json, Json]:
        made: list[Any] = []

        def by_hand(world: World) -> Any:
            tables = Sqlite(path, legacy.MIGRATIONS)
            made.append(legacy.JobStateManager(tables, world, only("node"), None))
            return made[0]

        workflow = await play(script, partial(MemoryEngine, rules=import_in_order))
        old = await play(script, by_hand)
        await made[0].close()
        return workflow, old

    workflow, old = asyncio.run(both())

    assert old == workflow


# ------------------------------------------------------------------ cut off at every write
BEFORE, AFTER, STOPPED = "before", "after", "stopped"
NEVER = 10**9


@dataclass
class Mains:
    """The power of a process. It goes at the ``last`` write, before that is made or after; or
    the process is stopped in good order while it makes that write.
    """

    last: int
    edge: str
    writes: int = 0
    out: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, work: Callable[[], Awaitable[Any]]) -> Any:
        made = await work() if self._is_made() else None
        if self.writes >= self.last and self.edge != STOPPED:
            raise StoreDown("no power")
        return made

    def tell(self, work: Callable[[], "Future[None]"]) -> "Future[None]":
        if self._is_made():
            return work()
        refused: Future[None] = Future()
        refused.set_exception(StoreDown("no power"))
        return refused

    def _is_made(self) -> bool:
        self.writes += 1
        if self.writes >= self.last:
            self.out.set()
        if self.edge == STOPPED or self.writes < self.last:
            return True
        return self.edge == AFTER and self.writes == self.last


class Powered:
    """A store whose writes need the mains."""

    def __init__(self, real: Any, mains: Mains, *writes: str) -> None:
        self._real, self._mains, self._writes = real, mains, writes

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name == "tell":
            return lambda *args, **named: self._mains.tell(lambda: real(*args, **named))
        if name not in self._writes:
            return real
        return lambda *args, **named: self._mains.write(lambda: real(*args, **named))


@asynccontextmanager
async def process(
    folder: Path, journal: SqlJournal, steps: FakeSteps, mains: Mains
) -> AsyncIterator[Any]:
    """An importer whose process is gone, without a word, when the block ends."""
    node = f"node-{uuid.uuid4().hex}"
    runs = Powered(journal, mains, "claim", "begin", "release", "finish")
    manager = legacy.JobStateManager(
        Sqlite(folder / "legacy.db", legacy.MIGRATIONS), world_of(runs, steps, node), only(node),
        journal.left_by,
    )  # fmt: skip
    manager._table = Powered(manager._table, mains, "add", "keep", "take")
    yield manager
    mains.last = 0  # no power from here on, unless it is stopped in good order
    await manager.close()


async def drive(manager: Any, journal: SqlJournal, order: ImportInput, runs: int) -> None:
    """What the service does: a start, and retries of the failure."""
    job = await over(journal, order.job_id, (await journal.find(order.job_id)).run)  # type: ignore[union-attr]
    while job.run < runs:
        await manager.settle(order.job_id)
        await journal.reopen(order.job_id, manager._world.node)
        await manager.restart(order.job_id)
        job = await over(journal, order.job_id, job.run + 1)
    await manager.settle(order.job_id)


@dataclass(frozen=True)
class Cut:
    """What came of an import that was cut off once."""

    was_cut: bool
    job: Job
    told: list[Json]
    calls: Counter[str]
    state: str


async def cut_off(
    folder: Path, journal: SqlJournal, failures: dict[str, list[Exception]], runs: int,
    mains: Mains,
) -> Cut:  # fmt: skip
    steps = FakeSteps(failures={name: list(some) for name, some in failures.items()})
    async with process(folder, journal, steps, mains) as first:
        order = await opened(journal, first._world.node)

        async def begin() -> None:
            await first.start(order)
            await drive(first, journal, order, runs)

        driver = asyncio.create_task(begin())
        gone = asyncio.create_task(mains.out.wait())
        await asyncio.wait([driver, gone], return_when=asyncio.FIRST_COMPLETED)
        was_cut = mains.out.is_set()
        for task in (driver, gone):
            task.cancel()
        await asyncio.gather(driver, gone, return_exceptions=True)
    async with process(folder, journal, steps, Mains(NEVER, AFTER)) as second:
        await second.sweep()
        await drive(second, journal, order, runs)
        row = await second._table.find(order.job_id)
    job = await over(journal, order.job_id, runs)
    told = await story(journal, order.job_id)
    return Cut(was_cut, job, told, Counter(steps.calls), row.state)


@pytest.mark.parametrize(
    ("failures", "runs", "status"),
    [
        ({}, 1, COMPLETED),
        ({METADATA: [DOWN], UPLOAD: [CoverRefused("grey")] * 2, SAVE: [FULL] * 9}, 1, COMPLETED),
        ({METADATA: [NO_BOOK] * 2}, 1, FAILED),
        ({METADATA: [DOWN], SAVE: [FULL] * 4, ASIDE: [NO_BOOK] * 2}, 2, COMPLETED),
    ],
    ids=["good", "warned", "failed", "retried"],
)
@pytest.mark.parametrize("edge", [BEFORE, AFTER, STOPPED])
async def test_a_process_that_goes_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, failures: dict[str, list[Exception]], runs: int, status: str, edge: str
) -> None:
    journal = open_stores(tmp_path, now_ms).journal
    whole = await cut_off(tmp_path, journal, failures, runs, Mains(NEVER, AFTER))

    for last in range(1, 200):
        cut = await cut_off(tmp_path, journal, failures, runs, Mains(last, edge))
        if not cut.was_cut:
            break
        where = f"write {last}"
        assert cut.job.status == cut.state == whole.job.status == status, where
        assert [one["seq"] for one in cut.told] == list(range(1, len(cut.told) + 1)), where
        assert milestones(cut) == milestones(whole), where
        extra = kinds(cut)["workflow_retry"] - kinds(whole)["workflow_retry"]
        assert extra in ({0} if edge == STOPPED else {0, 1}), where  # the try that it died in
        resumed = kinds(cut)["workflow_resumed"] - kinds(whole)["workflow_resumed"]
        assert resumed in {0, 1}, where
        again = cut.calls - whole.calls
        assert sum(again.values()) <= 1, where

    assert last > 5
    records = await journal.records(0)
    assert len(records) == last + 1
    assert {record.method for record in records} == {"legacy"}
    journal.close()


def milestones(cut: Cut) -> list[tuple[str, str | None]]:
    return [
        (one["type"], one["status"])
        for one in cut.told
        if one["type"] not in {"workflow_retry", "workflow_resumed"}
    ]


def kinds(cut: Cut) -> Counter[str]:
    return Counter(one["type"] for one in cut.told)


# ------------------------------------------------------------------ several processes
async def test_what_a_dead_process_left_is_taken_up_by_one_of_the_others(tmp_path: Path) -> None:
    journal = open_stores(tmp_path, now_ms).journal
    steps, mains = FakeSteps(held={UPLOAD}), Mains(NEVER, AFTER)
    async with process(tmp_path, journal, steps, mains) as dead:
        left = [await opened(journal, dead._world.node) for _ in range(6)]
        for order in left[:3]:  # it heard of these only
            await dead.start(order)
        await until(at_least(steps, UPLOAD, 3))
    steps.held.clear()
    async with (
        process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as one,
        process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as other,
    ):
        alive = {one._world.node, other._world.node}
        one._living = other._living = only(*alive)
        await asyncio.gather(*(manager.sweep() for manager in (one, other) * 2))

        jobs = [await over(journal, order.job_id, 1) for order in left]
        await asyncio.gather(*(one.settle(order.job_id) for order in left))

        assert {job.status for job in jobs} == {COMPLETED}
        assert {job.node for job in jobs} <= alive
        assert steps.calls.count(METADATA) == 6
        assert steps.calls.count(UPLOAD) == 6 + 3  # three died in it
        assert len(await journal.records(0)) == 6
        assert await one.sweep() == await other.sweep() == 0
    journal.close()


async def test_a_process_leaves_alone_what_another_one_runs(tmp_path: Path) -> None:
    journal = open_stores(tmp_path, now_ms).journal
    steps = FakeSteps(held={METADATA})
    async with (
        process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as one,
        process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as other,
    ):
        alive = {one._world.node, other._world.node}
        one._living = other._living = only(*alive)
        order = await opened(journal, one._world.node)
        await one.start(order)
        await until(at_least(steps, METADATA, 1))

        assert await other.sweep() == await one.sweep() == 0

        steps.held.clear()
        assert (await over(journal, order.job_id, 1)).node == one._world.node
        await other.settle(order.job_id)
        assert steps.calls.count(METADATA) == 1
    journal.close()


async def test_an_end_that_the_journal_has_lost_is_written_again(tmp_path: Path) -> None:
    journal = open_stores(tmp_path, now_ms).journal
    steps = FakeSteps()
    async with process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as manager:
        order = await opened(journal, manager._world.node)
        await manager.start(order)
        before = await over(journal, order.job_id, 1)
        await manager.settle(order.job_id)
        lose = "UPDATE jobs SET status = 'running', result = NULL, node = 'dead'"
        await journal.database.write(lambda db: db.execute(lose))

        assert await manager.sweep() == 1

        assert (await over(journal, order.job_id, 1)).result == before.result
        assert len(steps.calls) == 4
    journal.close()


@pytest.mark.parametrize("set_by_ms", [-3 * 3_600_000, 3 * 3_600_000])
async def test_a_wait_is_never_longer_than_it_was_meant_to_be(
    tmp_path: Path, set_by_ms: int
) -> None:
    """Wherever the clock was set while nothing ran."""
    journal = open_stores(tmp_path, now_ms).journal
    steps = FakeSteps(failures={METADATA: [DOWN]})
    async with process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as first:
        order = await opened(journal, first._world.node)
        first._world = replace(first._world, policy=Policy(retry_scale=0.05))
        await first.start(order)
        await until(at_least(steps, METADATA, 1))
        await until(lambda: has_told(journal, order.job_id, "workflow_retry"))
    async with process(tmp_path, journal, steps, Mains(NEVER, AFTER)) as second:
        second._world = replace(second._world, clock=lambda: now_ms() + set_by_ms)

        await second.sweep()

        await over(journal, order.job_id, 1)
        await second.settle(order.job_id)
    journal.close()


async def test_what_is_removed_is_forgotten(tmp_path: Path) -> None:
    journal = open_stores(tmp_path, now_ms).journal
    async with process(tmp_path, journal, FakeSteps(), Mains(NEVER, AFTER)) as manager:
        order = await opened(journal, manager._world.node)
        await manager.start(order)
        await over(journal, order.job_id, 1)
        await manager.settle(order.job_id)

        await manager.remove([order.job_id, "unknown"])

        assert await manager._table.find(order.job_id) is None
    journal.close()


async def test_own_rows_are_looked_through_in_turns(tmp_path: Path) -> None:
    """However many wait: a look reads so many, and those behind them are not hidden."""
    tables = pytest.importorskip("bookline.migration.legacy.state_table")
    table = tables.StateTable(Sqlite(tmp_path / "legacy.db", legacy.MIGRATIONS))
    for number, owner in enumerate(["own"] * 5 + ["gone"] * 3):
        order = ImportInput(job_id=f"job-{number}", isbn=ISBN, input_isbn=ISBN)
        await table.add(tables.JobState(order=order, owner=owner, updated_ms=1_000))

    looks = [await table.left_by({"own"}, "own", 2_000, 2) for _ in range(3)]
    table.close()

    assert [[job.owner for job in look][:2] for look in looks] == [["gone", "gone"]] * 3
    own = [job.order.job_id for look in looks for job in look[2:]]
    assert own == [f"job-{number}" for number in range(5)]


async def has_told(journal: Any, job_id: str, kind: str) -> bool:
    return any(one["type"] == kind for one in await story(journal, job_id))


def at_least(steps: FakeSteps, step: str, calls: int) -> Callable[[], Awaitable[bool]]:
    async def are_made() -> bool:
        return steps.calls.count(step) >= calls

    return are_made
