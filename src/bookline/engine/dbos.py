"""The workflow on DBOS Transact. Imports dbos, as only dbos_*.py do besides.

Way:     imports.py starts, retries → here → job_run.py; recovery.py and retention.py use the rest
Rule 1:  one DBOS step a try; our own JSON in its records, never pickle.
Rule 2:  DBOS leaves alone what began under another application version, so that is one for ever;
         the version of an import's rules stands in its input.
Rule 3:  the executor id is new for each process: what a dead one left is found by recovery.py.
Rule 4:  nothing else may use the loop's default threads: DBOS makes them its own (``threads``).
Source:  https://docs.dbos.dev/python.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos._core import WorkflowHandleAsyncTask
from dbos._error import DBOSException

from bookline import workflow
from bookline.engine import dbos_known, dbos_statements
from bookline.engine.dbos_at_once import AtOnce, Begun, begun, expect_end
from bookline.engine.dbos_database import AWAY, open_engine_database
from bookline.engine.dbos_records import DbosRecords, JsonRecords, Keeper
from bookline.engine.dbos_together import Together
from bookline.engine.job_run import execute
from bookline.engine.passing_on import Living, PassingOn
from bookline.engine.places import Slot
from bookline.engine.straight import Straight
from bookline.engine.world import World
from bookline.errors import StoreDown
from bookline.job import ImportInput
from bookline.values import Json
from bookline.workflow import OPTIONAL

log = logging.getLogger(__name__)

WORKFLOW_NAME = "book-import"
APPLICATION = "book-import-1"  # stored by DBOS with each import; never changed
SETTLE_SECONDS = 5.0
END_SECONDS = 5.0
BESIDE_MOST = 1_000  # our choice: retries on their way here; for more it is done once again
RUNNING_STATES = ("PENDING", "ENQUEUED", "DELAYED")
TAKEN_STATES = ("PENDING", "ENQUEUED")  # an import is never delayed; these have an index
ENDED_FOR_THE_JOURNAL = "CANCELLED"
"""The state of what nobody ran any more: the journal alone knows how it ended."""


class DbosEngine:
    """Fills the port Engine. One in a process at a time: DBOS is a singleton."""

    def __init__(
        self,
        where: Path | str,
        world: World,
        living: Living,
        *,
        batch_world: World | None = None,
        prepared: bool = True,
        does_imports: bool = True,
    ) -> None:
        """``where`` is a file of SQLite or the URL of a PostgreSQL that processes share;
        ``living`` gives the ids of the processes that are alive. ``batch_world`` is the world of
        a batch's imports, where it is another.

        Without ``does_imports`` what is restarted here goes on in another process.
        ``prepared=False`` leaves DBOS its own statements, to compare with.
        """
        self._world = world
        self._where = where
        self._living = living
        self._prepared = prepared
        # DBOS takes from its queue only what is of its own application version.
        self._version = APPLICATION if does_imports else f"{APPLICATION}-not-here"
        self._cancels: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}  # until DBOS has recorded the outcome too
        self._given: set[str] = set()
        """Jobs that were started here, until DBOS has ended them."""
        self._closing = False
        self._keeper: Keeper | None = None
        self._straight = Straight(batch_world or world, self._continue)
        self._slots: dict[str, Slot] = {}
        """The places of jobs that begin here, where they have one already."""
        self._beside: dict[str, Mapping[str, Json]] = {}
        """Of jobs that are retried here: what was done beside the step that failed."""
        self.unrecorded: set[str] = set()
        """Jobs that have ended here, and whose outcome DBOS' database did not take."""
        self._passing_on = PassingOn(living, self.resume, world.passed)

    async def launch(self) -> None:
        """Opens the database and begins to take up work that is queued in it."""
        self._database = open_engine_database(self._where)
        config: DBOSConfig = {
            "name": "bookline",
            "system_database_url": self._database.url,
            "system_database_engine": self._database.engine,
            "use_listen_notify": False,  # nobody here waits for what it would tell
            "serializer": JsonRecords(),
            "application_version": self._version,
            "executor_id": self._world.node,
            "max_executor_threads": self._database.threads,
            "log_level": "WARNING",
            # Nobody here waits for its notifications; its listener takes this long to stop.
            "notification_listener_polling_interval_sec": 0.2,
        }
        dbos = DBOS(config=config)
        _quiet()

        @DBOS.workflow(name=WORKFLOW_NAME, max_recovery_attempts=None)
        async def book_import(order: Json) -> Json:
            return await self._execute(order)

        self._workflow = book_import
        # In this thread, so that recovered imports run in this event loop too.
        with _ours():
            DBOS.launch()
        _save_idle_work(dbos)
        if self._prepared:
            self._prepare(self._where, dbos)

    def _prepare(self, where: Path | str, dbos: DBOS) -> None:
        if dbos_statements.prepare(dbos._sys_db):
            self._keeper = AtOnce(where, dbos) if isinstance(where, Path) else Together(where, dbos)
        else:
            log.warning("imports take more CPU: %s", dbos_known.why_not())

    async def close(self) -> None:
        """Stops all imports in good order; they go on after the next start."""
        self._closing = True
        await self._straight.close()
        self._passing_on.close()
        for job_id in self._cancels:
            self._tasks[job_id].cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=END_SECONDS)
        # Not in DBOS' own thread, which is being stopped.
        with ThreadPoolExecutor(1) as stopper:
            stop = partial(DBOS.destroy, destroy_registry=True)
            await asyncio.get_running_loop().run_in_executor(stopper, stop)
        # DBOS leaves its own, stopped threads as the loop's default.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
        self._database.engine.dispose()
        if self._keeper is not None:
            await self._keeper.close()

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        if in_batch:
            if not self._closing:
                self._straight.start(order)
            return
        with _ours(), SetWorkflowID(order.job_id):
            stored = {**order.to_json(), "version": workflow.VERSION}
            await self._give(order.job_id, stored)

    async def _give(self, job_id: str, stored: Json) -> None:
        """To DBOS, which comes to it a little later; from now on it is ``running``."""
        token, is_new, handle = begun.set(Begun()), job_id not in self._given, None
        self._given.add(job_id)
        try:
            handle = await DBOS.start_workflow_async(self._workflow, stored)
        finally:
            begun.reset(token)
            if isinstance(handle, WorkflowHandleAsyncTask):
                handle.task.add_done_callback(lambda _: self._given.discard(job_id))
            elif is_new:  # refused, or known to DBOS already
                self._given.discard(job_id)

    async def _continue(self, order: ImportInput, slot: Slot) -> None:
        self._slots[order.job_id] = slot
        try:
            await self.start(order)
        except StoreDown:
            del self._slots[order.job_id]
            raise

    async def restart(self, job_id: str) -> None:
        with _ours():
            steps = await DBOS.list_workflow_steps_async(job_id)
            first = _first_undone(steps)
            if len(self._beside) < BESIDE_MOST:
                self._beside[job_id] = _done_beside(steps, first)
            await DBOS.rewind_workflow_async(job_id, start_step=first)

    async def settle(self, job_id: str) -> None:
        for _ in range(int(SETTLE_SECONDS / 0.05)):
            state, executor, _ = (await self.look_up([job_id])).get(job_id, (None, None, None))
            if state not in RUNNING_STATES:
                return
            if not await self._is_run(job_id, executor):
                await self.end([job_id])
                return
            await asyncio.sleep(0.05)
        raise StoreDown(f"the end of {job_id} is still being recorded", code="UNAVAILABLE")

    async def _is_run(self, job_id: str, executor: str | None) -> bool:
        if executor == self._world.node:
            return job_id in self._tasks
        return executor in await self._living()

    async def end(self, job_ids: Sequence[str]) -> None:
        """Closes what nobody runs any more and has ended in the journal; it can be restarted."""
        if job_ids:
            with _ours():
                await DBOS.cancel_workflows_async(list(job_ids))

    async def unfinished(self, most: int) -> Mapping[str, str | None]:
        """Jobs that DBOS has not ended, at most so many of the oldest, and who had them last."""
        with _ours():
            found = await DBOS.list_workflows_async(
                status=list(TAKEN_STATES), limit=most, load_input=False, load_output=False
            )
        return {row.workflow_id: row.executor_id for row in found}

    async def check(self) -> None:
        """Raises: StoreDown when its database does not answer."""
        with _ours():
            await asyncio.get_running_loop().run_in_executor(None, self._database.check)

    def wake(self, job_id: str) -> None:
        self._straight.wake(job_id)
        event = self._cancels.get(job_id)
        if event is not None:
            event.set()

    @property
    def running(self) -> Sequence[str]:
        """Ids of the jobs that this process was given and has not ended."""
        return list(self._given.union(self._cancels, self._straight.running))

    async def look_up(self, job_ids: Sequence[str]) -> dict[str, tuple[str, str | None, Any]]:
        """State, executor and output of each job that DBOS knows."""
        if not job_ids:
            return {}
        with _ours():
            found = await DBOS.list_workflows_async(
                workflow_ids=list(job_ids), load_input=False, load_output=True
            )
        return {row.workflow_id: (row.status, row.executor_id, row.output) for row in found}

    async def resume(self, job_ids: Sequence[str]) -> None:
        """Queues what a dead process left; whichever process is free takes it."""
        if job_ids:
            with _ours():
                await DBOS.resume_workflows_async(list(job_ids))

    async def remove(self, job_ids: Sequence[str]) -> None:
        """Forgets finished jobs."""
        if job_ids:
            with _ours():
                await DBOS.delete_workflows_async(list(job_ids))

    async def _execute(self, stored: Json) -> Json:
        order = ImportInput.from_json(stored)
        version = stored.get("version", workflow.FIRST_VERSION)
        task = asyncio.current_task()
        if self._closing or task is None or await self._is_for_others(order.job_id, version):
            raise asyncio.CancelledError
        rules = workflow.rules(version)
        cancel = self._cancels.setdefault(order.job_id, asyncio.Event())
        self._tasks[order.job_id] = task
        task.add_done_callback(partial(self._ended, order.job_id))
        try:
            slot = self._slots.pop(order.job_id, None)
            records = DbosRecords(self._keeper, self._beside.pop(order.job_id, {}))
            outcome = await execute(order, records, self._world, cancel, rules, slot)
            expect_end()
            return outcome
        finally:
            self._cancels.pop(order.job_id, None)

    async def _is_for_others(self, job_id: str, version: str) -> bool:
        return not workflow.is_known(version) and await self._passing_on.takes(job_id)

    def _ended(self, job_id: str, task: "asyncio.Task[Any]") -> None:
        if self._tasks.get(job_id) is task:
            del self._tasks[job_id]
        if not task.cancelled() and task.exception() is not None:
            log.warning("the outcome of %s is recorded later: %s", job_id, task.exception())
            self.unrecorded.add(job_id)


def _first_undone(steps: Sequence[Mapping[str, Any]]) -> int:
    """The place from which a failed run is done anew: where the step that failed it began.

    What a run is finished without stays as it is: its failure is told already.
    """
    last = {one["function_name"]: one["output"] or {} for one in steps}
    undone = {
        name
        for name, outcome in last.items()
        if "value" not in outcome and not ("wakeMs" in outcome and name in OPTIONAL)
    }
    places = [one["function_id"] for one in steps if one["function_name"] in undone]
    return min(places, default=1)


def _done_beside(steps: Sequence[Mapping[str, Any]], first: int) -> Mapping[str, Json]:
    """Step → its outcome, of those that are done at a later place than the first undone one."""
    return {
        one["function_name"]: one["output"]
        for one in steps
        if one["function_id"] > first and "value" in (one["output"] or {})
    }


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """No error of DBOS or SQLAlchemy leaves this file."""
    try:
        yield
    except (DBOSException, sa.exc.SQLAlchemyError) as error:
        raise StoreDown(f"engine: {error}", code="WORKFLOW_FAILED") from error


def _save_idle_work(dbos: DBOS) -> None:
    """Ends DBOS' thread for workflows with deadlines or delays: no import has either.

    It asks its database for them each second, and on PostgreSQL holds a connection for good.
    """
    is_over = getattr(dbos, "_background_jobs_stop_event", None)
    if is_over is not None:
        is_over.set()


def _quiet() -> None:
    """DBOS has a handler of its own, logs every start and advertises; its warnings are ours."""
    logger = logging.getLogger("dbos")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Not what is expected: a stop, and a database that is away, which is told elsewhere."""
    text = record.getMessage()
    is_away = bool(record.exc_info) and isinstance((record.exc_info or (None, None))[1], StoreDown)
    return not (is_away or "task cancelled for workflow" in text or AWAY in text)
