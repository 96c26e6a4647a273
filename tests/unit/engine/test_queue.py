"""What is handed over: as much as there is room for, and what a dead process left first."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bookline.engine.places import Places
from bookline.engine.queue import Queue
from bookline.errors import StoreDown
from bookline.job import ImportInput, Job
from bookline.stores.opening import stores_in_memory


@dataclass
class Importer:
    """Takes a place for each job that it gets, until told that it is over."""

    places: Places
    running: list[str] = field(default_factory=list)
    fault: Exception | None = None

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        if self.fault is not None:
            raise self.fault
        self.running.append(order.job_id)
        await self.places.take()

    def end(self) -> None:
        self.running.pop(0)
        self.places.give()


@dataclass
class Recovery:
    is_behind: bool = False
    coming: int = 0


class Bench:
    def __init__(self, places: int = 2) -> None:
        self.places = Places(places)
        self.journal = stores_in_memory(lambda: 1).journal
        self.importer = Importer(self.places)
        self.recovery = Recovery()
        self.queue = Queue(
            self.journal,
            {"workflow": self.importer},  # type: ignore[dict-item]
            self.places,
            self.recovery,  # type: ignore[arg-type]
            "node",
        )

    def job(self, name: str, source: str = "auto") -> Job:
        order = ImportInput(job_id=name, isbn="9780142437247", input_isbn="x", source=source)
        return Job(order=order, method="workflow", created_ms=1, updated_ms=1)

    async def wait(self, count: int, source: str = "auto") -> None:
        for number in range(count):
            await self.journal.open(self.job(f"{source}-{number}", source))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_no_more_is_handed_over_than_there_is_room_for(bench: Bench) -> None:
    await bench.wait(5)

    await bench.queue.feed()

    assert bench.importer.running == ["auto-0", "auto-1"]
    job = await bench.journal.find("auto-2")
    assert job is not None
    assert job.node is None


async def test_an_end_makes_room_for_the_next(bench: Bench) -> None:
    await bench.wait(3)
    await bench.queue.feed()

    bench.importer.end()
    await bench.queue.feed()

    assert bench.importer.running == ["auto-1", "auto-2"]


@pytest.mark.parametrize("is_told", [True, False], ids=["of this process", "of another process"])
async def test_each_end_makes_room_at_once_for_jobs_that_came_when_nothing_waited(
    monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    monkeypatch.setattr("bookline.engine.queue.LOOK_SECONDS", 3600 if is_told else 0.01)
    bench = Bench()
    feeding = asyncio.create_task(bench.queue.run())
    await reached(lambda: bench.queue.reserve(bench.job("nothing waits")))
    bench.queue.release(bench.job("nothing waits"))

    await bench.wait(3)
    if is_told:
        bench.queue.stir()
    await reached(lambda: bench.importer.running == ["auto-0", "auto-1"])
    monkeypatch.setattr("bookline.engine.queue.LOOK_SECONDS", 3600)
    bench.importer.end()
    await reached(lambda: bench.importer.running == ["auto-1", "auto-2"])
    feeding.cancel()


async def reached(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_job_goes_to_its_engine_at_once_where_nothing_waits(bench: Bench) -> None:
    await bench.queue.feed()

    assert bench.queue.reserve(bench.job("new"))


async def test_room_is_given_away_once(bench: Bench) -> None:
    await bench.queue.feed()

    reserved = [bench.queue.reserve(bench.job(f"new-{number}")) for number in range(3)]

    assert reserved == [True, True, False]


async def test_nobody_overtakes_what_waits(bench: Bench) -> None:
    await bench.wait(3)
    await bench.queue.feed()
    bench.importer.end()

    assert not bench.queue.reserve(bench.job("new"))


async def test_what_a_dead_process_left_goes_first(bench: Bench) -> None:
    bench.recovery.is_behind = True
    await bench.wait(3)

    assert await bench.queue.feed() == 0
    assert not bench.queue.reserve(bench.job("new"))


async def test_what_is_on_its_way_from_recovery_has_its_room(bench: Bench) -> None:
    bench.recovery.coming = 1
    await bench.wait(3)

    assert await bench.queue.feed() == 1


async def test_imports_that_wait_for_one_source_leave_room_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bookline.engine.queue.MOST_OF_A_SOURCE", 2)
    bench = Bench(places=9)
    await bench.wait(5, "isbndb")
    await bench.wait(3, "google_books")

    await bench.queue.feed()
    for _ in range(4):
        bench.places.give()  # all of them wait for their turns
    await bench.queue.feed()

    assert sorted(bench.importer.running) == [
        "google_books-0", "google_books-1", "isbndb-0", "isbndb-1",
    ]  # fmt: skip


async def test_an_engine_that_is_away_loses_no_room(bench: Bench) -> None:
    await bench.wait(1)
    bench.importer.fault = StoreDown("full")

    await bench.queue.feed()

    assert [bench.queue.reserve(bench.job(f"new-{number}")) for number in range(2)] == [True, True]


async def test_nor_does_one_that_breaks(bench: Bench) -> None:
    """What was taken with it is looked for like all that stands still; its room is free again."""
    await bench.wait(2)
    bench.importer.fault = RuntimeError("broken")

    with pytest.raises(RuntimeError):
        await bench.queue.feed()

    bench.importer.fault = None
    await bench.queue.feed()
    assert [bench.queue.reserve(bench.job(f"new-{number}")) for number in range(2)] == [True, True]
