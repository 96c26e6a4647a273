"""One job of the legacy importer, step after step: all that the workflow's engine does, by hand.

Way:      job_state_manager.py → here → steps/, state_table.py, the journal
Rule 1:   states, order of steps, retries, waits, time limits and what can be gone without are
          decided here, and kept in the job's row before anybody is told.
Rule 2:   it tells the same events and makes the same books as the workflow, from the same steps.
Rule 3:   an ending stands in the row before the journal has it, and the row is closed after that: a
          crash in between writes the same ending again, and the journal takes it once.
Source:   the plan's phase 3.3, "before" (docs/plan-checklist.md).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count

from bookline.book import Cover, Metadata
from bookline.engine import job_run
from bookline.engine.job_run import measure
from bookline.engine.outbox import Outbox
from bookline.engine.places import Slot
from bookline.engine.spending import Spending
from bookline.engine.world import World
from bookline.errors import GiveUp, StepFailed, StoreDown, TryLater
from bookline.job import CANCELLED, COMPLETED, FAILED, ImportResult, Warned
from bookline.migration.legacy.state_table import JobState, StateTable
from bookline.patience import Patience, patient, until_it_is_back
from bookline.progress.events import (
    COVER_UPLOADED,
    EMBEDDING_GENERATED,
    METADATA_FETCHED,
    STARTED,
    News,
    completed,
    ending,
    milestone,
    retry,
    warning,
)
from bookline.progress.journal import Attempt, Claim
from bookline.retries import Step, wait_left_seconds
from bookline.time_limit import goes_aside, time_limit
from bookline.traces import span
from bookline.values import Json
from bookline.workflow import (
    FETCH_METADATA,
    GENERATE_EMBEDDING,
    SAVE_TO_DATABASE,
    SAVE_TO_FALLBACK,
    UPLOAD_COVER,
    cover_facts,
    metadata_facts,
)

log = logging.getLogger(__name__)

STEPS = (FETCH_METADATA, UPLOAD_COVER, GENERATE_EMBEDDING, SAVE_TO_DATABASE, SAVE_TO_FALLBACK)
STEP_NAMES = [step.name for step in STEPS]
METADATA, COVER, EMBEDDING, SAVE, SAVE_ASIDE = range(len(STEPS))
GONE_WITHOUT = frozenset({COVER, EMBEDDING, SAVE})  # for the library there is the fallback store
MOST_RETRY_AFTER_SECONDS = 60.0  # docs/contract.md
JITTER = 0.1  # docs/contract.md: up to 10 % is added
MESSAGE_CHARS = 500  # as in the workflow's events
_numbers = count(1)


class TakenOver(Exception):
    """Another process has the job: nothing of it is written here any more."""


class StateMachine:
    """Takes one job, from wherever it stands, to its end."""

    def __init__(
        self, job: JobState, claim: Claim, world: World, table: StateTable,
        cancel: asyncio.Event, slot: Slot,
    ) -> None:  # fmt: skip
        self._job = job
        self._claim = claim
        self._world = world
        self._table = table
        self._cancel = cancel
        self._slot = slot
        self._spending = Spending(claim.spent_ms, world.policy.deadline_seconds, world.passed)
        self._outbox = Outbox(self._send)
        self._patience: dict[str, Patience] = {}
        """Step → its patience with a store that is away."""
        self._failed_at: float | None = None
        """When the last try failed in this process, for the wait that follows."""

    async def run(self) -> None:
        """Raises: TakenOver; another process has the job then."""
        try:
            await self._go_through()
        except TakenOver:
            self._outbox.close()
            raise
        except Exception:
            log.exception("the legacy import of %s broke", self._job.order.job_id)
            self._stop(FAILED, None, 0, "INTERNAL_ERROR", "the import broke; see the log")
        try:
            await self._finish()
        finally:
            self._outbox.close()

    async def _go_through(self) -> None:
        restarts = self._claim.restarts
        if self._job.ending is None and restarts > job_run.MOST_RESTARTS:
            self._stop(FAILED, None, 0, "INTERNAL_ERROR", f"{restarts} restarts, no end")
        self._tell_again()
        while self._job.ending is None:
            await self._wait()
            if self._job.ending is None:
                await self._slot.take(is_back=True)
                await self._process_step()

    async def _process_step(self) -> None:
        """One try of the current step, and what follows from it."""
        step = STEPS[self._job.current_step]
        attempt = self._job.retry_counts.get(step.name, 0) + 1
        began = time.perf_counter()
        with span(step.name, attempt=attempt) as told:
            async with self._marked(step, attempt) as mark:
                patience = self._patience.setdefault(step.name, Patience())
                with patient(patience), goes_aside(self._aside):
                    became = await self._try(step, attempt, mark)
            told.set_attribute("bookline.result", became)
        self._world.measures.try_ended(step.name, became, time.perf_counter() - began)

    @contextlib.asynccontextmanager
    async def _marked(self, step: Step, attempt: int) -> AsyncIterator[Attempt]:
        """The try, marked as begun; the mark is taken back if the process stops in good order."""
        token = f"{self._world.node}:{next(_numbers)}"
        try:
            yield await until_it_is_back(partial(self._begin, step, attempt, token))
        except asyncio.CancelledError:
            place = (self._job.order.job_id, self._job.run, step.name, attempt)
            with contextlib.suppress(StoreDown):
                await asyncio.shield(self._world.runs.release(*place, epoch=self._claim.epoch))
            raise

    async def _begin(self, step: Step, attempt: int, token: str) -> Attempt:
        with self._outbox.riding() as before:
            return await self._world.runs.begin(
                self._job.order.job_id, self._job.run, step.name, attempt, epoch=self._claim.epoch,
                token=token, limit_ms=round(step.limit_seconds * 1000),
                spent_ms=self._spending.spent_ms, news=before,
            )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _aside(self, at_work: bool) -> AsyncIterator[None]:
        """Time that a try does not count: it waits for its turn, or for a store that is away."""
        with self._spending.standing_still():
            if at_work:
                yield
                return
            watch = asyncio.create_task(self._cut_when_cancelled())
            try:
                with self._slot.wait():
                    yield
            finally:
                watch.cancel()
            await self._slot.take(is_back=True)

    async def _cut_when_cancelled(self) -> None:
        await self._cancel.wait()
        self._spending.cut()

    async def _try(self, step: Step, attempt: int, mark: Attempt) -> str:
        """What became of it: value, retry, failed or stopped."""
        if mark.cancelled:
            return self._cancelled(step, attempt - 1)
        if mark.died:
            died = TryLater("the process died in this try", step.failed_code)
            return await self._failed_try(step, attempt, died)
        if self._spending.left_seconds <= 0:
            return self._too_late(step, attempt - 1)
        deadline = asyncio.timeout(None)
        try:
            with self._spending.cuts(deadline), self._spending.under_way():
                async with deadline, time_limit(step.limit_seconds):
                    value = await self._work()
        except TimeoutError:
            if deadline.expired() and self._cancel.is_set():
                return self._cancelled(step, attempt - 1)
            if deadline.expired():
                return self._too_late(step, attempt)
            late = TryLater(f"timed out after {step.limit_seconds:g} s", step.timeout_code)
            return await self._failed_try(step, attempt, late)
        except TryLater as error:
            return await self._failed_try(step, attempt, error)
        except GiveUp as error:
            return await self._failed_for_good(step, attempt, error.code, str(error))
        except Exception as error:
            log.exception("%s broke in %s", step.name, self._job.order.job_id)
            broke = TryLater(f"unexpected {type(error).__name__}; see the log", step.failed_code)
            return await self._failed_try(step, attempt, broke)
        return await self._done(step, value)

    async def _work(self) -> Json:
        """What the current step does."""
        steps, order, at = self._world.steps, self._job.order, self._job.current_step
        if at == METADATA:
            return (await steps.fetch_metadata(order)).to_json()
        metadata = self._metadata()
        if at == COVER:
            return await steps.upload_cover(order.isbn, metadata.cover_url or "")
        if at == EMBEDDING:
            return {"embedding": await steps.generate_embedding(metadata)}
        cover = self._job.results.get(UPLOAD_COVER.name)
        embedding = self._job.results.get(GENERATE_EMBEDDING.name, {}).get("embedding")
        save = steps.save if at == SAVE else steps.save_aside
        return await save(order, metadata, cover, embedding)

    # ------------------------------------------------------------------ what follows from a try
    async def _done(self, step: Step, value: Json) -> str:
        job = self._job
        job.results[step.name] = value
        job.next_wake_ms = job.last_retry = None
        if job.current_step in {SAVE, SAVE_ASIDE}:
            self._complete(value)
        else:
            self._advance()
        await self._keep()
        self._tell_done(step)
        return "value"

    async def _failed_try(self, step: Step, attempt: int, error: TryLater) -> str:
        """Another try after a while, if any is left; else the step has failed for good."""
        if attempt > step.retries.limit:
            return await self._failed_for_good(step, attempt, error.code, str(error))
        seconds = step.retries.delay_after(attempt) * self._world.policy.retry_scale
        seconds *= 1 + JITTER * self._world.chance()
        seconds = max(seconds, min(error.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))
        delay_ms = round(seconds * 1000)
        wake_ms = self._world.clock() + delay_ms
        if delay_ms / 1000 >= self._spending.left_seconds:
            return self._too_late(step, attempt, f"; the last failure was: {error}")
        job = self._job
        job.retry_counts[step.name] = attempt
        job.next_wake_ms = wake_ms
        self._failed_at = self._world.passed()
        told = {"code": error.code, "message": str(error)[:MESSAGE_CHARS]}
        job.last_retry = {"attempt": attempt, "delayMs": delay_ms, "error": told}
        await self._keep()
        self._tell_retry()
        self._outbox.send_now()
        return "retry"

    async def _failed_for_good(self, step: Step, attempts: int, code: str, message: str) -> str:
        job = self._job
        failure = {"attempts": attempts, "code": code, "message": message[:MESSAGE_CHARS]}
        job.next_wake_ms = job.last_retry = None
        if job.current_step in GONE_WITHOUT:
            job.failures[step.name] = failure
            self._advance()
            await self._keep()
            self._tell_failure(step)
        elif job.current_step == SAVE_ASIDE:  # what failed is the library
            self._stop(FAILED, SAVE_TO_DATABASE.name, **job.failures[SAVE_TO_DATABASE.name])
        else:
            self._stop(FAILED, step.name, attempts, code, message)
        return "failed"

    def _advance(self) -> None:
        self._job.current_step += 1
        if self._job.current_step == COVER and self._metadata().cover_url is None:
            self._job.current_step += 1

    async def _wait(self) -> None:
        """Until the wake-up time that was kept, or until the job is cancelled."""
        left = self._left_seconds()
        if left <= 0:
            return
        with self._slot.wait(), self._spending.under_way():
            is_cancelled = await self._is_cancelled_within(left)
        if is_cancelled:
            step = STEPS[self._job.current_step]
            self._cancelled(step, self._job.retry_counts[step.name])

    async def _is_cancelled_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._cancel.wait()
        except TimeoutError:
            return False
        return True

    def _left_seconds(self) -> float:
        """Of the wait; all of it counts in the process in which the try failed."""
        wake_ms, last = self._job.next_wake_ms, self._job.last_retry
        failed_at, self._failed_at = self._failed_at, None
        if wake_ms is None or last is None:
            return 0.0
        if failed_at is not None:
            return float(failed_at + last["delayMs"] / 1000 - self._world.passed())
        return wait_left_seconds(wake_ms, last["delayMs"], self._world.clock())

    # ------------------------------------------------------------------ endings
    def _complete(self, saved: Json) -> None:
        metadata, cover = self._metadata(), self._job.results.get(UPLOAD_COVER.name)
        result = ImportResult(
            isbn=self._job.order.isbn,
            title=metadata.title,
            source=metadata.source,
            stored_in=saved["storedIn"],
            cover=Cover.from_json(cover) if cover else None,
            has_embedding=saved["hasEmbedding"],
            warnings=tuple(self._warned(s) for s in STEPS if s.name in self._job.failures),
        )
        self._job.ending = {"status": COMPLETED, "result": result.to_json(), "error": None}

    def _cancelled(self, step: Step, attempts: int) -> str:
        return self._stop(CANCELLED, step.name, attempts, "CANCELLED", "the job was cancelled")

    def _too_late(self, step: Step, attempts: int, more: str = "") -> str:
        limit = self._world.policy.deadline_seconds
        message = f"the job did not end within {limit:g} s{more}"
        return self._stop(FAILED, step.name, attempts, "DEADLINE_EXCEEDED", message)

    def _stop(self, status: str, step: str | None, attempts: int, code: str, message: str) -> str:
        told = message[:MESSAGE_CHARS]
        error = {"code": code, "message": told, "step": step, "attempts": attempts}
        self._job.ending = {"status": status, "result": None, "error": error}
        return "stopped"

    async def _finish(self) -> None:
        job, end = self._job, self._job.ending or {}
        status, result, error = end["status"], end["result"], end["error"]
        if status == COMPLETED:
            news = completed(job.run, result)
        else:
            news = ending(job.run, status, {"error": error})
            await self._keep()

        async def finish() -> str | None:
            with self._outbox.riding() as before:
                return await self._world.runs.finish(
                    job.order.job_id, news, run=job.run, epoch=self._claim.epoch, result=result,
                    error=error, before=before,
                )  # fmt: skip

        ended = await until_it_is_back(finish)
        if ended is not None:
            code, warned = (error or {}).get("code"), bool(result and result["warnings"])
            measure(self._world, "legacy", self._claim, ended, code=code, warned=warned)
            if result and result["storedIn"] == "kv":
                self._world.measures.saved_aside()
        job.state = ended or status
        await self._keep()

    # ------------------------------------------------------------------ telling
    def _tell(self, news: News) -> None:
        self._outbox.tell(news)

    def _send(self, news: Sequence[News]) -> "Future[None]":
        return self._world.runs.tell(
            self._job.order.job_id, *news, run=self._job.run, epoch=self._claim.epoch,
            spent_ms=self._spending.spent_ms, waits=self._waits(),
        )  # fmt: skip

    def _waits(self) -> dict[str, int]:
        """The retry wait that the job is in, in milliseconds."""
        last = self._job.last_retry
        return {} if last is None else {STEP_NAMES[self._job.current_step]: last["delayMs"]}

    def _tell_again(self) -> None:
        """What a crash may have kept from being told. What was told already is told once."""
        self._tell(milestone(STARTED, {"isbn": self._job.order.isbn}))
        for step in STEPS:
            if step.name in self._job.results:
                self._tell_done(step)
            elif step.name in self._job.failures:
                self._tell_failure(step)
        if self._job.last_retry is not None:
            self._tell_retry()

    def _tell_done(self, step: Step) -> None:
        value = self._job.results[step.name]
        if step is FETCH_METADATA:
            facts = metadata_facts(Metadata.from_json(value))
            self._tell(milestone(METADATA_FETCHED, {"metadata": facts}))
        elif step is UPLOAD_COVER:
            self._tell(milestone(COVER_UPLOADED, cover_facts(value)))
        elif step is GENERATE_EMBEDDING and value["embedding"] is not None:
            vector = value["embedding"]
            facts = {"dimensions": vector["dimensions"], "model": vector["model"]}
            self._tell(milestone(EMBEDDING_GENERATED, facts))

    def _tell_failure(self, step: Step) -> None:
        self._tell(warning(self._warned(step)))

    def _tell_retry(self) -> None:
        last, wake_ms = self._job.last_retry or {}, self._job.next_wake_ms or 0
        name = STEPS[self._job.current_step].name
        self._tell(retry(name, last["attempt"], last["delayMs"], last["error"], wake_ms))

    # ------------------------------------------------------------------ small things
    def _metadata(self) -> Metadata:
        return Metadata.from_json(self._job.results[FETCH_METADATA.name])

    def _warned(self, step: Step) -> Warned:
        failure = self._job.failures[step.name]
        sentence = str(StepFailed(step.name, **failure))
        return Warned(step=step.name, code=failure["code"], message=sentence)

    async def _keep(self) -> None:
        """Not cut short when the process stops: what was done would count as died."""
        self._job.updated_ms = self._world.clock()
        if not await until_it_is_back(lambda: asyncio.shield(self._table.keep(self._job))):
            raise TakenOver(f"{self._job.order.job_id} belongs to another process by now")
