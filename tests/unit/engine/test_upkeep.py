"""What is past its retention is removed by one process at a time."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bookline.engine.locks import Locks
from bookline.engine.upkeep import DAY_MS, Upkeep
from bookline.job import ImportInput, Job
from bookline.progress.journal import Journal
from bookline.stores.opening import stores_in_memory


class Engine:
    """Forgets jobs as soon as it may; notes how often it was asked to."""

    def __init__(self, may: asyncio.Event) -> None:
        self.may = may
        self.asked = asyncio.Semaphore(0)
        self.forgotten: list[str] = []

    async def remove(self, job_ids: Sequence[str]) -> None:
        self.asked.release()
        await self.may.wait()
        self.forgotten += job_ids


async def no_batches(before_ms: int, now_ms: int) -> int:
    return 0


def upkeep_in(folder: Path, journal: Journal, engine: Engine) -> Upkeep:
    return Upkeep(
        Locks(folder / "nodes"), engine, journal, None,  # type: ignore[arg-type]
        steady=lambda: 2 * DAY_MS, retention_days=1, fallback=None,  # type: ignore[arg-type]
        library=None, objects=None, remove_batches=no_batches,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_who_finds_another_one_removing_leaves_it_to_that(tmp_path: Path) -> None:
    journal = stores_in_memory(lambda: 1).journal
    order = ImportInput(job_id="job", isbn="9780142437247", input_isbn="x")
    await journal.open(Job(order=order, method="workflow", node=None, created_ms=1, updated_ms=1))
    await journal.request_cancel("job")
    engine = Engine(asyncio.Event())
    one, other = (upkeep_in(tmp_path, journal, engine) for _ in range(2))
    removing = asyncio.create_task(one.remove_old())
    await engine.asked.acquire()

    skipped = await asyncio.wait_for(other.remove_old(), 10)
    engine.may.set()

    assert (skipped, await removing) == (0, 1)
    assert engine.forgotten == ["job"]
    assert await journal.find("job") is None
