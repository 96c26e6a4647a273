"""The legacy importer: a job state machine by hand. What the workflow and its engine replace.

Way:      imports.py starts it, engine/upkeep.py sweeps → here → steps/, the journal
Rule 1:   states, order of steps, retries, waits, time limits, what is optional, and what goes on
          after a crash are all decided here, and kept in a table of its own.
Rule 2:   it tells the same events and makes the same books as the workflow, from the same steps.
Rule 3:   the journal's end is written first, the own row after it: a row that is open after a crash
          is looked at again, an end that is written twice does no harm.
Source:   PLAN phase 3.3, "before".
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from bookline.engine import job_run
from bookline.engine.job_run import Slot, World, measure
from bookline.errors import GiveUp, StepFailed, StoreDown, TryLater
from bookline.logs import job_id as job_id_of_logs
from bookline.migration.legacy.state_table import OPEN, PENDING, RUNNING, JobState, StateTable
from bookline.model import (
    CANCELLED,
    COMPLETED,
    COVER_UPLOADED,
    EMBEDDING_GENERATED,
    FAILED,
    METADATA_FETCHED,
    STARTED,
    Cover,
    ImportInput,
    ImportResult,
    Job,
    Json,
    Metadata,
    Step,
    Warned,
)
from bookline.ports import Claim
from bookline.progress.events import completed, ending, milestone, retry, warning
from bookline.time_limit import time_limit
from bookline.workflow import (
    FETCH_METADATA,
    GENERATE_EMBEDDING,
    SAVE_TO_DATABASE,
    SAVE_TO_FALLBACK,
    UPLOAD_COVER,
    cover_facts,
    metadata_facts,
)

T = TypeVar("T")
log = logging.getLogger(__name__)
LeftBy = Callable[[Collection[str], str, int], Awaitable[Sequence[Job]]]

STEPS = (FETCH_METADATA, UPLOAD_COVER, GENERATE_EMBEDDING, SAVE_TO_DATABASE, SAVE_TO_FALLBACK)
METADATA, COVER, EMBEDDING, SAVE, SAVE_ASIDE = range(len(STEPS))
OPTIONAL = frozenset({COVER, EMBEDDING})
MOST_RETRY_AFTER_SECONDS = 60.0  # SPEC §2
JITTER = 0.1  # SPEC §2: up to 10 % is added
MESSAGE_CHARS = 500  # as in the workflow's events
STORE_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # our choice: how long a store may be down
LOST_MS = 15_000  # an own job, open but not running here, is looked at again after this long
SETTLE_SECONDS = 5.0


class TakenOver(Exception):
    """Another process has the job: nothing of it is written here any more."""


class JobStateManager:
    """Fills the port OtherImporter. ``living`` gives the ids of the processes that are alive."""

    def __init__(
        self, path: Path, world: World, living: Callable[[], Collection[str]], left_by: LeftBy
    ) -> None:
        self._world = world
        self._table = StateTable(path)
        self._living = living
        self._left_by = left_by
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancels: dict[str, asyncio.Event] = {}
        self._closing = False

    # ------------------------------------------------------------------ what imports.py asks
    @property
    def running(self) -> Sequence[str]:
        return list(self._tasks)

    async def start(self, order: ImportInput) -> None:
        if await self._table.add(self._stamped(JobState(order=order, owner=self._world.node))):
            self._spawn(order.job_id)

    async def restart(self, job_id: str) -> None:
        job = await self._table.find(job_id)
        if job is None:
            raise StoreDown(f"the legacy importer does not know {job_id}", code="WORKFLOW_FAILED")
        if job.owner != self._world.node:
            await self._table.take(job_id, job.owner, self._world.node)
        await self._begin_anew(job)
        self._spawn(job_id)

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
        alive, now = self._living(), self._world.clock()
        own = self._world.node
        again = 0
        for job in await self._table.open_jobs():
            job_id = job.order.job_id
            is_stale = job.owner == own and job.updated_ms < now - LOST_MS
            if job_id not in self._tasks and (job.owner not in alive or is_stale):
                again += await self._take_over(job)
        for left in await self._left_by(alive, own, now - LOST_MS):
            if left.method == "legacy" and left.job_id not in self._tasks:
                again += await self._mend(left)
        if again:
            log.info("%d legacy imports go on after a restart", again)
        return again

    async def _take_over(self, job: JobState) -> bool:
        job_id = job.order.job_id
        taken = await self._table.take(job_id, job.owner, self._world.node)
        if taken:
            self._spawn(job_id)
        return taken

    async def _mend(self, left: Job) -> bool:
        """The journal has it open, here it is unknown, or has ended, or is to begin anew."""
        job = await self._table.find(left.job_id)
        if job is None:
            await self.start(left.order)
            return True
        if job.state in OPEN:
            return False  # the loop over the own table looks after it
        if job.owner != self._world.node:
            if not await self._table.take(left.job_id, job.owner, self._world.node):
                return False
            job.owner = self._world.node
        if job.run < left.run:
            await self._begin_anew(job)
        else:
            job.state = RUNNING  # its end is known and is written once more
            await self._table.keep(self._stamped(job))
        self._spawn(left.job_id)
        return True

    async def _begin_anew(self, job: JobState) -> None:
        """An explicit retry: from the step that failed, with what was done before it."""
        failed = SAVE if job.current_step == SAVE_ASIDE else job.current_step
        job.owner, job.state, job.current_step = self._world.node, PENDING, failed
        for step in STEPS[failed:]:
            for kept in (job.retry_counts, job.results, job.failures):
                kept.pop(step.name, None)
        job.next_wake_ms = job.last_retry = job.ending = None
        await self._table.keep(self._stamped(job))

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
        async with Slot(self._world.slots) as slot:
            job = await self._table.find(job_id)
            if job is None or job.state not in OPEN:
                return
            claim = await _patiently(partial(self._world.runs.claim, job_id, self._world.node))
            if claim is None:
                await self._close_row(job)
                return
            job.state, job.run = RUNNING, claim.run
            try:
                await self._process(job, claim, slot)
            except TakenOver:
                raise
            except Exception:
                log.exception("the legacy import of %s broke", job_id)
                self._fail(job, None, 0, "INTERNAL_ERROR", "the import broke; see the log")
            await self._finish(job, claim)

    async def _process(self, job: JobState, claim: Claim, slot: Slot) -> None:
        """Step after step, until the job has an ending."""
        if job.ending is None and claim.restarts > job_run.MOST_RESTARTS:
            self._fail(job, None, 0, "INTERNAL_ERROR", f"{claim.restarts} restarts, no end")
        self._world.runs.tell(job.order.job_id, milestone(STARTED, {"isbn": job.order.isbn}))
        self._tell_again(job)
        deadline_ms = claim.started_ms + int(self._world.policy.deadline_seconds * 1000)
        while job.ending is None:
            if job.current_step == COVER and self._metadata(job).cover_url is None:
                job.current_step = EMBEDDING
                continue
            if job.next_wake_ms is not None and not await self._wait(job, slot):
                continue
            await self._process_step(job, deadline_ms)

    async def _process_step(self, job: JobState, deadline_ms: int) -> None:
        """One try of the current step, and what follows from it."""
        step = STEPS[job.current_step]
        attempt = job.retry_counts.get(step.name, 0) + 1
        begin = partial(self._world.runs.begin, job.order.job_id, job.run, step.name, attempt)
        began = await _patiently(begin)
        if began.cancelled:
            self._cancelled(job, step, attempt - 1)
            return
        if began.died:
            died = TryLater("the process died in this try", step.failed_code)
            await self._failed_try(job, step, attempt, died, deadline_ms)
            return
        left_seconds = (deadline_ms - self._world.clock()) / 1000
        if left_seconds <= 0:
            self._too_late(job, step, attempt - 1)
            return
        started = time.perf_counter()
        deadline = asyncio.timeout(left_seconds)
        try:
            async with deadline, time_limit(step.limit_seconds):
                value = await self._work(job)
        except TimeoutError:
            if deadline.expired():
                self._too_late(job, step, attempt)
            else:
                late = TryLater(f"no end within {step.limit_seconds:g} s", step.timeout_code)
                await self._failed_try(job, step, attempt, late, deadline_ms)
        except TryLater as error:
            await self._failed_try(job, step, attempt, error, deadline_ms)
        except GiveUp as error:
            await self._failed_for_good(job, step, attempt, error.code, str(error))
        except asyncio.CancelledError:
            with contextlib.suppress(StoreDown):
                await asyncio.shield(
                    self._world.runs.release(job.order.job_id, job.run, step.name, attempt)
                )
            raise
        except Exception as error:
            log.exception("%s broke in %s", step.name, job.order.job_id)
            broke = f"unexpected {type(error).__name__}; see the log"
            failure = TryLater(broke, step.failed_code)
            await self._failed_try(job, step, attempt, failure, deadline_ms)
        else:
            self._timed(step, "value", started)
            await self._done(job, step, value)
            return
        self._timed(step, "retry" if job.next_wake_ms is not None else "failed", started)

    async def _work(self, job: JobState) -> Json:
        """What the current step does."""
        steps, order = self._world.steps, job.order
        if job.current_step == METADATA:
            return (await steps.fetch_metadata(order)).to_json()
        metadata = self._metadata(job)
        if job.current_step == COVER:
            return await steps.upload_cover(order.isbn, metadata.cover_url or "")
        if job.current_step == EMBEDDING:
            return {"embedding": await steps.generate_embedding(metadata)}
        cover = job.results.get(UPLOAD_COVER.name)
        embedding = job.results.get(GENERATE_EMBEDDING.name, {}).get("embedding")
        if job.current_step == SAVE:
            return await steps.save(order, metadata, cover, embedding)
        return await steps.save_aside(order, metadata, cover, embedding)

    async def _done(self, job: JobState, step: Step, value: Json) -> None:
        """The step has worked: kept, told, and on to the next."""
        job.results[step.name] = value
        job.next_wake_ms = job.last_retry = None
        if job.current_step in {SAVE, SAVE_ASIDE}:
            self._complete(job, value)
        else:
            job.current_step += 1
        await self._keep(job)
        self._tell_done(job, step)

    async def _failed_try(
        self, job: JobState, step: Step, attempt: int, error: TryLater, deadline_ms: int
    ) -> None:
        """Another try after a while, if any is left; else the step has failed for good."""
        if attempt > step.retries.limit:
            await self._failed_for_good(job, step, attempt, error.code, str(error))
            return
        seconds = step.retries.delay_after(attempt) * self._world.policy.retry_scale
        seconds *= 1 + JITTER * self._world.chance()
        seconds = max(seconds, min(error.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))
        delay_ms = round(seconds * 1000)
        wake_ms = self._world.clock() + delay_ms
        if wake_ms >= deadline_ms:
            self._too_late(job, step, attempt, f"; the last failure was: {error}")
            return
        told = {"code": error.code, "message": str(error)[:MESSAGE_CHARS]}
        job.retry_counts[step.name] = attempt
        job.next_wake_ms = wake_ms
        job.last_retry = {"attempt": attempt, "delayMs": delay_ms, "error": told}
        await self._keep(job)
        self._tell_retry(job)

    async def _failed_for_good(
        self, job: JobState, step: Step, attempts: int, code: str, message: str
    ) -> None:
        """Cover and embedding can be gone without; for the library there is the fallback store."""
        failure: Json = {
            "code": code, "message": message[:MESSAGE_CHARS], "attempts": attempts
        }  # fmt: skip
        job.next_wake_ms = job.last_retry = None
        if job.current_step in OPTIONAL or job.current_step == SAVE:
            job.failures[step.name] = failure
            job.current_step += 1
            await self._keep(job)
            self._tell_failure(job, step)
            return
        if job.current_step == SAVE_ASIDE:  # what failed is the library: a retry begins there again
            step, failure = SAVE_TO_DATABASE, job.failures[SAVE_TO_DATABASE.name]
        self._fail(job, step.name, failure["attempts"], failure["code"], failure["message"])

    async def _wait(self, job: JobState, slot: Slot) -> bool:
        """Until the wake-up time that was kept. False when the job was cancelled meanwhile."""
        left_seconds = ((job.next_wake_ms or 0) - self._world.clock()) / 1000
        if left_seconds > 0:
            slot.give()
            try:
                async with asyncio.timeout(left_seconds):
                    await self._cancels[job.order.job_id].wait()
            except TimeoutError:
                await slot.take()
            else:
                step = STEPS[job.current_step]
                self._cancelled(job, step, job.retry_counts.get(step.name, 0))
                return False
        job.next_wake_ms = None
        return True

    # ------------------------------------------------------------------ endings
    def _complete(self, job: JobState, saved: Json) -> None:
        metadata = self._metadata(job)
        cover = job.results.get(UPLOAD_COVER.name)
        result = ImportResult(
            isbn=job.order.isbn,
            title=metadata.title,
            source=metadata.source,
            stored_in=saved["storedIn"],
            cover=Cover.from_json(cover) if cover else None,
            has_embedding=saved["hasEmbedding"],
            warnings=tuple(_warned(job, step) for step in STEPS if step.name in job.failures),
        )
        job.ending = {"status": COMPLETED, "result": result.to_json(), "error": None}

    def _fail(
        self, job: JobState, step: str | None, attempts: int, code: str, message: str
    ) -> None:
        self._stop(job, FAILED, step, attempts, code, message)

    def _cancelled(self, job: JobState, step: Step, attempts: int) -> None:
        self._stop(job, CANCELLED, step.name, attempts, "CANCELLED", "the job was cancelled")

    def _too_late(self, job: JobState, step: Step, attempts: int, more: str = "") -> None:
        limit = self._world.policy.deadline_seconds
        message = f"the job did not end within {limit:g} s{more}"
        self._fail(job, step.name, attempts, "DEADLINE_EXCEEDED", message)

    def _stop(
        self, job: JobState, status: str, step: str | None, attempts: int, code: str, message: str
    ) -> None:
        error = {
            "code": code,
            "message": message[:MESSAGE_CHARS],
            "step": step,
            "attempts": attempts,
        }
        job.ending = {"status": status, "result": None, "error": error}

    async def _finish(self, job: JobState, claim: Claim) -> None:
        """The job's end: in the journal, then in the own row."""
        ending_ = job.ending or {}
        status, result, error = ending_["status"], ending_["result"], ending_["error"]
        news = (
            completed(job.run, result)
            if status == COMPLETED
            else ending(job.run, status, {"error": error})
        )
        finish = partial(
            self._world.runs.finish,
            job.order.job_id, news, run=job.run, result=result, error=error,
        )  # fmt: skip
        ended = await _patiently(finish)
        if ended is not None:
            warned = bool((result or {}).get("warnings"))
            code = (error or {}).get("code")
            measure(self._world, "legacy", claim, ended, code=code, warned=warned)
            if (result or {}).get("storedIn") == "kv":
                self._world.measures.saved_aside()
        await self._close_row(job)

    async def _close_row(self, job: JobState) -> None:
        job.state = (job.ending or {}).get("status", CANCELLED)
        await self._keep(job)

    # ------------------------------------------------------------------ telling
    def _tell_again(self, job: JobState) -> None:
        """What a crash may have kept from being told. What was told already is told once."""
        for step in STEPS:
            if step.name in job.results:
                self._tell_done(job, step)
            elif step.name in job.failures:
                self._tell_failure(job, step)
        self._tell_retry(job)

    def _tell_done(self, job: JobState, step: Step) -> None:
        value = job.results[step.name]
        if step is FETCH_METADATA:
            facts = {"metadata": metadata_facts(Metadata.from_json(value))}
            self._world.runs.tell(job.order.job_id, milestone(METADATA_FETCHED, facts))
        elif step is UPLOAD_COVER:
            news = milestone(COVER_UPLOADED, cover_facts(value))
            self._world.runs.tell(job.order.job_id, news)
        elif step is GENERATE_EMBEDDING and value["embedding"] is not None:
            vector = value["embedding"]
            facts = {"dimensions": vector["dimensions"], "model": vector["model"]}
            self._world.runs.tell(job.order.job_id, milestone(EMBEDDING_GENERATED, facts))

    def _tell_failure(self, job: JobState, step: Step) -> None:
        self._world.runs.tell(job.order.job_id, warning(_warned(job, step)))

    def _tell_retry(self, job: JobState) -> None:
        if job.last_retry is None or job.next_wake_ms is None:
            return
        step, last = STEPS[job.current_step].name, job.last_retry
        self._world.runs.tell(
            job.order.job_id,
            retry(step, last["attempt"], last["delayMs"], last["error"], job.next_wake_ms),
        )

    # ------------------------------------------------------------------ small things
    def _metadata(self, job: JobState) -> Metadata:
        return Metadata.from_json(job.results[FETCH_METADATA.name])

    def _stamped(self, job: JobState) -> JobState:
        job.updated_ms = self._world.clock()
        return job

    async def _keep(self, job: JobState) -> None:
        if not await _patiently(partial(self._table.keep, self._stamped(job))):
            raise TakenOver(f"{job.order.job_id} belongs to another process by now")

    def _timed(self, step: Step, result: str, started: float) -> None:
        self._world.measures.try_ended(step.name, result, time.perf_counter() - started)


def _warned(job: JobState, step: Step) -> Warned:
    failure = job.failures[step.name]
    sentence = str(StepFailed(step.name, failure["attempts"], failure["code"], failure["message"]))
    return Warned(step=step.name, code=failure["code"], message=sentence)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The store's answer, though it may be down for a while. Raises: StoreDown after that."""
    for pause_seconds in STORE_PAUSES_SECONDS:
        try:
            return await ask()
        except StoreDown as down:
            log.warning("asked again in %g s: %s", pause_seconds, down)
        await asyncio.sleep(pause_seconds)
    return await ask()
