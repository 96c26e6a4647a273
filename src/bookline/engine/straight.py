"""Imports of a batch without a record of the engine for each try, as long as all goes well.

Way:      dbos.py, for a job of a batch → here → job_run.py; what does not go plainly → dbos.py
Rule 1:   the outcomes are kept in the job's own row, each in the transaction of the next mark; many
          jobs' marks are one commit.
Rule 2:   no retry, no wait and no failure happens here. At the first outcome that is no value the
          outcomes so far are kept, and the import continues as an ordinary one: it finds them in
          its row and does none of those tries again.
Rule 3:   what a dead process leaves here, recovery.py takes up as an ordinary import.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from bookline.engine.job_run import JobRun, claim_of
from bookline.engine.places import Slot
from bookline.engine.tries import ended_well
from bookline.engine.world import World
from bookline.errors import JobStopped, StoreDown
from bookline.job import ImportInput
from bookline.logs import job_id
from bookline.values import Json
from bookline.workflow import import_book

log = logging.getLogger(__name__)

END_SECONDS = 5.0  # our choice: what a store has not taken by then is found again all the same

ContinueWith = Callable[[ImportInput, Slot], Awaitable[None]]
"""Starts the ordinary import, which has its place already.

Raises: StoreDown; recovery starts it later.
"""


class _NotPlain(BaseException):
    """A try did not come to a value. No Exception: the workflow must not take it for a failure."""


class Straight:
    """One in a process."""

    def __init__(self, world: World, continue_with: ContinueWith) -> None:
        self._world = world
        self._continue_with = continue_with
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}

    @property
    def running(self) -> Sequence[str]:
        """Ids of the jobs that are here now."""
        return list(self._tasks)

    def start(self, order: ImportInput) -> None:
        """Begins it; safe twice. When the process dies, the job's row says how far it came."""
        if order.job_id in self._tasks:
            return
        self._cancels[order.job_id] = asyncio.Event()
        task = asyncio.create_task(self._run(order), name=order.job_id)
        self._tasks[order.job_id] = task
        task.add_done_callback(lambda _: self._over(order.job_id))

    def wake(self, of_job: str) -> None:
        """Somebody wants it cancelled."""
        if of_job in self._cancels:
            self._cancels[of_job].set()

    async def close(self) -> None:
        """Stops them in good order: they continue after the next start, without losing a try."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    def _over(self, of_job: str) -> None:
        del self._tasks[of_job], self._cancels[of_job]

    async def _run(self, order: ImportInput) -> None:
        job_id.set(order.job_id)
        slot, is_over = Slot(self._world.places), True
        await slot.take()
        try:
            with self._world.span("import", job=order.job_id):
                is_over = await self._is_plain(order, slot)
        finally:
            if is_over:
                slot.give()
        if not is_over:
            await self._continue(order, slot)

    async def _continue(self, order: ImportInput, slot: Slot) -> None:
        try:
            await self._continue_with(order, slot)
        except StoreDown as error:
            slot.give()
            log.warning("%s continues later: %s", order.job_id, error)

    async def _is_plain(self, order: ImportInput, slot: Slot) -> bool:
        """Whether it has ended here."""
        claim = await claim_of(order, self._world)
        if claim is None:
            return True
        cancel = self._cancels[order.job_id]
        run = JobRun(order, claim, _Plainly(), self._world, cancel, slot, keeps_outcomes=True)
        try:
            await run.finish(
                ended_well(claim.run, await import_book(order, run, self._world.steps))
            )
        except asyncio.CancelledError:
            with contextlib.suppress(StoreDown):
                await asyncio.shield(run.leave(continues=False))
            raise
        except (_NotPlain, JobStopped):
            await run.leave(continues=True)
        except Exception:
            log.exception("the workflow of %s broke; it continues as an import alone", order.job_id)
            await run.leave(continues=True)
        else:
            return True
        finally:
            run.close()
        return False


class _Plainly:
    """Fills Records: keeps nothing, as the row does."""

    def reserve(self) -> None:
        return None

    async def record(
        self, name: str, body: Callable[[], Awaitable[Json]], place: None = None
    ) -> Json:
        outcome = await body()
        if "value" not in outcome:
            raise _NotPlain
        return outcome
