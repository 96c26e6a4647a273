"""The legacy importer: who has which job, and what continues after a crash.

Way:      imports.py starts it, engine/upkeep.py sweeps → here → state_machine.py, one a job
Rule 1:   a row has one owner. A job is run only by the process that has won its row.
Rule 2:   what the journal has open continues, whatever the row says: unknown, ended, not retried.
Source:   the plan's phase 3.3, "before" (docs/plan-checklist.md).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from functools import partial

from bookline.engine.places import Slot
from bookline.engine.world import World
from bookline.errors import StoreDown
from bookline.job import CANCELLED, ImportInput, Job
from bookline.logs import job_id as job_id_of_logs
from bookline.migration.legacy.state_machine import STEP_NAMES, StateMachine
from bookline.migration.legacy.state_table import OPEN, PENDING, RUNNING, JobState, StateTable
from bookline.patience import until_it_is_back
from bookline.stores.database import Database
from bookline.traces import span

log = logging.getLogger(__name__)
Living = Callable[[], Awaitable[Set[str]]]
LeftBy = Callable[..., Awaitable[Sequence[Job]]]

LOST_MS = 15_000  # an own job, open but not running here, is looked at again after this long
LOST_MOST = 1_000  # our choice: looked after in one sweep
SETTLE_SECONDS = 5.0
NOBODY = ""  # the owner of a job that the next sweep of any process takes


class JobStateManager:
    """Fills the port OtherImporter.

    ``living`` gives the ids of the processes that are alive; ``left_by`` is the journal's.
    """

    def __init__(
        self,
        database: Database,
        world: World,
        living: Living,
        left_by: LeftBy,
        *,
        does_imports: bool = True,
    ) -> None:
        """Without ``does_imports`` what is restarted here goes on in another process."""
        self._world = world
        self._does_imports = does_imports
        self._table = StateTable(database)
        self._living = living
        self._left_by = left_by
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}
        self._closing = False

    # ------------------------------------------------------------------ what imports.py asks
    @property
    def running(self) -> Sequence[str]:
        return list(self._tasks)

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        job = JobState(order=order, owner=self._world.node, updated_ms=self._world.clock())
        if await self._table.add(job):
            self._spawn(order.job_id)

    async def restart(self, job_id: str) -> None:
        job = await self._table.find(job_id)
        if job is None or not await self._take(job):
            raise StoreDown(f"{job_id} continues later", code="WORKFLOW_FAILED")
        await self._begin_anew(job)

    async def settle(self, job_id: str) -> None:
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            job = await self._table.find(job_id)
            if job is None or (job.state not in OPEN and job_id not in self._tasks):
                return
            await asyncio.sleep(0.02)
        raise StoreDown(f"the end of {job_id} is still being recorded", code="UNAVAILABLE")

    def wake(self, job_id: str) -> None:
        event = self._cancels.get(job_id)
        if event is not None:
            event.set()

    async def remove(self, job_ids: Sequence[str]) -> None:
        await self._table.remove(job_ids)

    async def close(self) -> None:
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._table.close()

    # ------------------------------------------------------------------ after a crash
    async def sweep(self) -> int:
        alive, own = await self._living(), self._world.node
        before_ms = self._world.clock() - LOST_MS
        again = 0
        waiting = await self._table.left_by(alive, own, before_ms, LOST_MOST)
        lost = await self._left_by(alive, own, before_ms, method="legacy", limit=LOST_MOST)
        if not (waiting or lost):
            return 0
        alive = await self._living() - {own}  # who began since has nothing left
        for job in waiting:
            is_left = job.owner not in alive and job.order.job_id not in self._tasks
            if is_left and await self._take(job):
                self._spawn(job.order.job_id)
                again += 1
        for left in lost:
            is_left = left.node not in alive and left.job_id not in self._tasks
            if is_left:
                again += await self._mend(left)
        if again:
            log.info("%d legacy imports continue after a restart", again)
        return again

    async def _mend(self, left: Job) -> bool:
        """Open in the journal; here it is unknown, or has ended, or is to begin anew."""
        job = await self._table.find(left.job_id)
        if job is None:
            await self.start(left.order)
            return True
        if job.state in OPEN or not await self._take(job):
            return False  # the own table's rows are looked after first
        if job.run < left.run:
            await self._begin_anew(job)
        else:  # its end is known, and written once more
            job.state = RUNNING
            await self._keep(job)
            self._spawn(left.job_id)
        return True

    async def _take(self, job: JobState) -> bool:
        """False when another process was quicker."""
        is_taken = await self._table.take(job.order.job_id, job.owner, self._world.node)
        if is_taken:
            job.owner = self._world.node
        return is_taken

    async def _begin_anew(self, job: JobState) -> None:
        """An explicit retry: from the step that failed, with what was done before it."""
        if job.ending is not None:
            failed = (job.ending["error"] or {}).get("step")
            job.current_step = STEP_NAMES.index(failed) if failed in STEP_NAMES else 0
        for name in STEP_NAMES[job.current_step :]:
            for kept in (job.retry_counts, job.results, job.failures):
                kept.pop(name, None)
        job.state, job.next_wake_ms, job.last_retry, job.ending = PENDING, None, None, None
        await self._keep(job)
        if self._does_imports:
            self._spawn(job.order.job_id)
        else:
            await self._table.take(job.order.job_id, job.owner, NOBODY)

    async def _keep(self, job: JobState) -> None:
        job.updated_ms = self._world.clock()
        await self._table.keep(job)

    # ------------------------------------------------------------------ one job
    def _spawn(self, job_id: str) -> None:
        if self._closing or job_id in self._tasks:
            return
        self._cancels[job_id] = asyncio.Event()
        task = asyncio.create_task(self._run(job_id), name=f"legacy {job_id}")
        self._tasks[job_id] = task
        task.add_done_callback(partial(self._ended, job_id))

    def _ended(self, job_id: str, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(job_id, None)
        self._cancels.pop(job_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s stopped and is taken up again: %s", job_id, task.exception())

    async def _run(self, job_id: str) -> None:
        """From wherever the job stands to its end."""
        job_id_of_logs.set(job_id)
        async with Slot(self._world.places) as slot:
            with span("import", job=job_id):
                job = await self._table.find(job_id)
                if job is None or job.state not in OPEN:
                    return
                claim = await until_it_is_back(
                    partial(self._world.runs.claim, job_id, self._world.node)
                )
                if claim is None:  # over in the journal, or gone from it
                    job.state = (job.ending or {}).get("status", CANCELLED)
                    await self._keep(job)
                    return
                job.state, job.run = RUNNING, claim.run
                cancel = self._cancels[job_id]
                await StateMachine(job, claim, self._world, self._table, cancel, slot).run()
