"""What a dead process left: no more at once than there is room for, the rest behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bookline.engine.recovery import Recovery
from bookline.job import ImportInput, Job
from bookline.stores.opening import stores_in_memory


class Alone:
    """The only process that is alive."""

    node_id = "node"

    async def living(self) -> set[str]:
        return {self.node_id}

    @asynccontextmanager
    async def only_one(self, chore: str) -> AsyncIterator[bool]:
        yield True


@dataclass
class Engine:
    """Knows what it was told to; notes what is asked of it."""

    known: dict[str, tuple[str, str | None, Any]] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    unrecorded: set[str] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    broken: str = ""
    """A job at which it stumbles."""

    async def look_up(self, job_ids: Sequence[str]) -> dict[str, tuple[str, str | None, Any]]:
        self.asked.append(len(job_ids))
        return {job_id: self.known[job_id] for job_id in job_ids if job_id in self.known}

    async def start(self, order: ImportInput) -> None:
        if order.job_id == self.broken:
            raise RuntimeError("broken")
        self.running.append(order.job_id)

    async def resume(self, job_ids: Sequence[str]) -> None:
        self.resumed += job_ids

    async def unfinished(self, most: int) -> dict[str, str | None]:
        return {job_id: node for job_id, (_, node, _) in self.known.items()}

    async def end(self, job_ids: Sequence[str]) -> None:
        self.ended += job_ids


class Bench:
    def __init__(self) -> None:
        self.journal = stores_in_memory(lambda: 1_000).journal
        self.engine = Engine()
        self.room = 2
        self.recovery = Recovery(
            Alone(),  # type: ignore[arg-type]
            self.engine,  # type: ignore[arg-type]
            self.journal,
            lambda: 1_000,
            lambda: self.room,
        )

    async def left(self, count: int, *, known: bool = True) -> None:
        for number in range(count):
            order = ImportInput(job_id=f"job-{number}", isbn="9780142437247", input_isbn="x")
            await self.journal.open(
                Job(order=order, method="workflow", node="dead", created_ms=number, updated_ms=1)
            )
            if known:
                self.engine.known[order.job_id] = ("PENDING", "dead", None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_no_more_is_taken_up_than_there_is_room_for_and_in_order(bench: Bench) -> None:
    await bench.left(5)

    await bench.recovery.sweep()

    assert bench.engine.resumed == ["job-0", "job-1"]
    assert bench.engine.asked == [2]  # however many are left
    assert bench.recovery.is_behind


async def test_what_is_on_its_way_takes_room(bench: Bench) -> None:
    await bench.left(5)
    await bench.recovery.sweep()

    await bench.recovery.sweep()

    assert bench.engine.resumed == ["job-0", "job-1"]
    assert bench.recovery.coming == 2


async def test_when_all_is_taken_up_nothing_is_behind(bench: Bench) -> None:
    await bench.left(2)

    await bench.recovery.sweep()

    assert not bench.recovery.is_behind


async def test_what_the_engine_never_heard_of_is_started(bench: Bench) -> None:
    await bench.left(1, known=False)

    await bench.recovery.sweep()

    assert bench.engine.running == ["job-0"]


async def test_one_that_cannot_be_taken_up_holds_up_no_other(bench: Bench) -> None:
    await bench.left(3, known=False)
    bench.engine.broken, bench.room = "job-0", 1

    for _ in range(3):
        await bench.recovery.sweep()

    assert bench.engine.running == ["job-1", "job-2"]


async def test_one_that_cannot_be_taken_up_holds_up_nothing_that_is_new(bench: Bench) -> None:
    await bench.left(1, known=False)
    bench.engine.broken = "job-0"
    await bench.recovery.sweep()

    bench.room = 0
    await bench.recovery.sweep()

    assert not bench.recovery.is_behind


async def test_what_the_journal_has_ended_is_closed_in_the_engines_book(bench: Bench) -> None:
    await bench.left(2)
    await bench.journal.request_cancel("job-0")

    await bench.recovery.sweep()

    assert bench.engine.ended == ["job-0"]


async def test_an_outcome_that_was_not_recorded_is_closed_later(bench: Bench) -> None:
    await bench.left(1, known=False)
    await bench.journal.request_cancel("job-0")
    bench.engine.unrecorded = {"job-0"}

    await bench.recovery.sweep()

    assert bench.engine.ended == ["job-0"]
    assert bench.engine.unrecorded == set()
