"""One running import on any engine that can record a function's result: tries, waits, the end.

Way:      engine/dbos.py or engine/memory.py → ``execute`` → workflow.py → ``JobRun.do`` → steps/
Rule 1:   a try is one engine step whose recorded result may be a failure, with its wake-up time in
          it; so success costs one record and a restart forgets neither tries nor waits.
Rule 2:   a try is marked as begun before it has any effect: one that the process died in is found
          again, counts, and is not done a second time under the same number.
Rule 3:   clock and chance are used inside a recorded try only, so that a replay takes the same way.
Rule 4:   ``CancelledError`` is the process stopping: the mark is taken back, nothing is recorded.
Source:   Cloudflare Workflows count retries, not tries.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeVar

from bookline.errors import (
    Cancelled,
    DeadlineExceeded,
    GiveUp,
    JobStopped,
    StepFailed,
    StoreDown,
    TryLater,
)
from bookline.job import CANCELLED, COMPLETED, FAILED, ImportInput, ImportResult, Warned
from bookline.logs import job_id
from bookline.logs import tell as log_line
from bookline.measures import Measures
from bookline.ports import Steps
from bookline.progress.events import News, completed, ending, milestone, retry, warning
from bookline.progress.journal import Attempt, Claim, Runs
from bookline.progress.records import outcome_of
from bookline.retries import Step
from bookline.time_limit import time_limit
from bookline.traces import span
from bookline.values import Json
from bookline.workflow import import_book

T = TypeVar("T")
log = logging.getLogger(__name__)

Record = Callable[[str, Callable[[], Awaitable[Json]]], Awaitable[Json]]
"""Runs the function once for this place in the workflow; a replay gets the recorded result."""

MOST_RETRY_AFTER_SECONDS = 60.0  # docs/contract.md
JITTER = 0.1  # docs/contract.md; jobs that failed together come back apart
MESSAGE_CHARS = 500  # our choice: an error's sentence in records and events
JOURNAL_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # our choice: how long it may be down
MOST_RESTARTS = 50  # our choice: a job that takes its process down each time must end


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is configured about running."""

    deadline_seconds: float = 900.0
    retry_scale: float = 1.0
    """Multiplies every retry delay, Retry-After excepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a run needs besides its job. ``clock`` gives epoch milliseconds, ``chance`` 0 to 1."""

    runs: Runs
    steps: Steps
    policy: Policy
    node: str
    clock: Callable[[], int]
    slots: asyncio.Semaphore
    """Imports that may be at work at once in this process; one that waits for a retry gives way."""
    chance: Callable[[], float] = random.random
    measures: Measures = field(default_factory=Measures)


async def execute(order: ImportInput, record: Record, world: World, cancel: asyncio.Event) -> Json:
    """Runs one import to its end, writes the end, and answers with it.

    The answer is ``{"run", "status", "result" | "error"}``; status ``over`` when there was nothing
    to do. Raises: StoreDown when the end could not be written; the engine then tries again.
    """
    job_id.set(order.job_id)
    async with Slot(world.slots) as slot:
        with span("import", job=order.job_id):
            return await _execute(order, record, world, cancel, slot)


async def _execute(
    order: ImportInput, record: Record, world: World, cancel: asyncio.Event, slot: "Slot"
) -> Json:
    claim = await _patiently(partial(world.runs.claim, order.job_id, world.node))
    if claim is None:
        return {"run": 0, "status": "over"}
    run = JobRun(order, claim, record, world, cancel, slot)
    try:
        if claim.restarts > MOST_RESTARTS:
            raise StepFailed(None, 0, "INTERNAL_ERROR", f"{claim.restarts} restarts, no end")
        result = await import_book(order, run, world.steps)
    except JobStopped as stop:
        return await _stop(order, claim, stop, world)
    except Exception:
        log.exception("the workflow of %s broke", order.job_id)
        broken = StepFailed(None, 0, "INTERNAL_ERROR", "the import broke; see the log")
        return await _stop(order, claim, broken, world)
    return await _complete(order, claim, result, world)


class Slot:
    """A place at work. A wait gives it back; an end that comes in a wait needs none."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._is_ours = False

    async def take(self) -> None:
        await self._slots.acquire()
        self._is_ours = True

    def give(self) -> None:
        """Safe twice."""
        if self._is_ours:
            self._is_ours = False
            self._slots.release()

    async def __aenter__(self) -> "Slot":
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give()


class JobRun:
    """Fills the port Run: the engine as the workflow sees it."""

    def __init__(
        self,
        order: ImportInput,
        claim: Claim,
        record: Record,
        world: World,
        cancel: asyncio.Event,
        slot: Slot,
    ) -> None:
        self._job_id = order.job_id
        self._run = claim.run
        self._deadline_ms = claim.started_ms + int(world.policy.deadline_seconds * 1000)
        self._record = record
        self._world = world
        self._cancel = cancel
        self._slot = slot

    async def tell(self, status: str, data: Json) -> None:
        self._world.runs.tell(self._job_id, milestone(status, data))

    async def warn(self, warned: Warned) -> None:
        self._world.runs.tell(self._job_id, warning(warned))

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        for attempt in count(1):
            outcome = await self._record(step.name, partial(self._timed_try, step, attempt, work))
            if "value" in outcome:
                value: Json = outcome["value"]
                return value
            if outcome.get("stop") == "cancelled":
                raise _cancelled(step, attempt - 1)
            error = outcome["error"]
            if outcome.get("stop") == "deadline":
                tries = outcome["attempts"]
                raise DeadlineExceeded(step.name, tries, error["code"], error["message"])
            if outcome["wakeMs"] is None:
                raise StepFailed(step.name, attempt, error["code"], error["message"])
            told = retry(step.name, attempt, outcome["delayMs"], error, outcome["wakeMs"])
            self._world.runs.tell(self._job_id, told)
            log_line(
                log, "a try failed and is repeated", jobId=self._job_id, step=step.name,
                attempt=attempt, delayMs=outcome["delayMs"], code=error["code"],
            )  # fmt: skip
            await self._wait(step, attempt, outcome["wakeMs"])
        raise AssertionError  # count() has no end

    async def _timed_try(
        self, step: Step, attempt: int, work: Callable[[], Awaitable[Json]]
    ) -> Json:
        began = time.perf_counter()
        with span(step.name, attempt=attempt) as told:
            async with self._marked(step, attempt) as mark:
                outcome = await self._try(step, attempt, mark, work)
            told.set_attribute("bookline.result", _kind(outcome))
        self._world.measures.try_ended(step.name, _kind(outcome), time.perf_counter() - began)
        return outcome

    @contextlib.asynccontextmanager
    async def _marked(self, step: Step, attempt: int) -> AsyncIterator[Attempt]:
        """The try, marked as begun; the mark is taken back when the process stops in good order."""
        runs, place = self._world.runs, (self._job_id, self._run, step.name, attempt)
        try:
            yield await _patiently(partial(runs.begin, *place))
        except asyncio.CancelledError:
            with contextlib.suppress(StoreDown):
                await asyncio.shield(runs.release(*place))
            raise

    async def _try(
        self, step: Step, attempt: int, mark: Attempt, work: Callable[[], Awaitable[Json]]
    ) -> Json:
        """One try, as it is recorded: a value, or an error with its wake-up time, or a stop."""
        if mark.cancelled:
            return {"stop": "cancelled"}
        if mark.died:
            return self._failed(
                step, attempt, TryLater("the process died in this try", step.failed_code)
            )
        left_seconds = (self._deadline_ms - self._world.clock()) / 1000
        if left_seconds <= 0:
            return self._too_late(attempt - 1)
        deadline = asyncio.timeout(left_seconds)
        try:
            async with deadline, time_limit(step.limit_seconds):
                return {"value": await work()}
        except TimeoutError:
            if deadline.expired():
                return self._too_late(attempt)
            late = f"no end within {step.limit_seconds:g} s"
            return self._failed(step, attempt, TryLater(late, step.timeout_code))
        except TryLater as error:
            return self._failed(step, attempt, error)
        except GiveUp as error:
            return {"error": _error(error.code, str(error)), "wakeMs": None}
        except Exception as error:
            log.exception("%s broke in %s", step.name, self._job_id)
            broke = f"unexpected {type(error).__name__}; see the log"
            return self._failed(step, attempt, TryLater(broke, step.failed_code))

    def _failed(self, step: Step, attempt: int, error: TryLater) -> Json:
        """The record of a try that may be repeated: with a wake-up time while retries are left."""
        told = _error(error.code, str(error))
        if attempt > step.retries.limit:
            return {"error": told, "wakeMs": None}
        seconds = step.retries.delay_after(attempt) * self._world.policy.retry_scale
        seconds *= 1 + JITTER * self._world.chance()
        seconds = max(seconds, min(error.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))
        delay_ms = round(seconds * 1000)
        wake_ms = self._world.clock() + delay_ms
        if wake_ms >= self._deadline_ms:
            return self._too_late(attempt, f"; the last failure was: {error}")
        return {"error": told, "wakeMs": wake_ms, "delayMs": delay_ms}

    def _too_late(self, attempts: int, more: str = "") -> Json:
        limit = self._world.policy.deadline_seconds
        message = f"the job did not end within {limit:g} s{more}"
        error = _error("DEADLINE_EXCEEDED", message)
        return {"stop": "deadline", "attempts": attempts, "error": error}

    async def _wait(self, step: Step, attempt: int, wake_ms: int) -> None:
        """Until the wake-up time that was recorded, which a restart finds again.

        Raises: Cancelled at once when somebody cancels.
        """
        left_seconds = (wake_ms - self._world.clock()) / 1000
        if left_seconds <= 0:
            return
        self._slot.give()
        try:
            async with asyncio.timeout(left_seconds):
                await self._cancel.wait()
        except TimeoutError:
            await self._slot.take()
            return
        raise _cancelled(step, attempt)


async def _complete(order: ImportInput, claim: Claim, result: ImportResult, world: World) -> Json:
    outcome = result.to_json()
    news = completed(claim.run, outcome)
    if await _finish(order, claim, news, world, result=outcome):
        measure(world, "workflow", claim, COMPLETED, warned=bool(result.warnings))
        if result.stored_in == "kv":
            world.measures.saved_aside()
    return {"run": claim.run, "status": COMPLETED, "result": outcome}


async def _stop(order: ImportInput, claim: Claim, stop: JobStopped, world: World) -> Json:
    error = {
        "code": stop.code,
        "message": stop.message[:MESSAGE_CHARS],
        "step": stop.step,
        "attempts": stop.attempts,
    }
    status = CANCELLED if isinstance(stop, Cancelled) else FAILED
    news = ending(claim.run, status, {"error": error})
    ended = await _finish(order, claim, news, world, error=error)
    if ended is not None:
        measure(world, "workflow", claim, ended, code=stop.code, step=stop.step)
    return {"run": claim.run, "status": status, "error": error}


async def _finish(
    order: ImportInput,
    claim: Claim,
    news: News,
    world: World,
    *,
    result: Json | None = None,
    error: Json | None = None,
) -> str | None:
    """The terminal write; None when this run had ended already."""
    runs, run = world.runs, claim.run
    end = partial(runs.finish, order.job_id, news, run=run, result=result, error=error)
    return await _patiently(end)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The journal's answer, though it may be down for a while. Raises: StoreDown after that."""
    for pause_seconds in JOURNAL_PAUSES_SECONDS:
        try:
            return await ask()
        except StoreDown as down:
            log.warning("asked again in %g s: %s", pause_seconds, down)
        await asyncio.sleep(pause_seconds)
    return await ask()


def measure(
    world: World, method: str, claim: Claim, status: str,
    *, code: str | None = None, warned: bool = False, step: str | None = None,
) -> None:  # fmt: skip
    """Counts the end of a run, and tells it in the log."""
    duration_ms = max(0, world.clock() - claim.started_ms)
    seconds = duration_ms / 1000
    log_line(
        log, f"import {status}", jobId=job_id.get(), status=status, code=code, step=step,
        method=method, durationMs=duration_ms,
    )  # fmt: skip
    outcome = outcome_of(status, code, has_warnings=warned)
    world.measures.import_ended(method, outcome, seconds)


def _kind(outcome: Json) -> str:
    """What became of a try, in a word for the metrics."""
    if "value" in outcome:
        return "value"
    if "stop" in outcome:
        return "stopped"
    return "failed" if outcome["wakeMs"] is None else "retry"


def _error(code: str, message: str) -> Json:
    return {"code": code, "message": message[:MESSAGE_CHARS]}


def _cancelled(step: Step, attempts: int) -> Cancelled:
    return Cancelled(step.name, attempts, "CANCELLED", "the job was cancelled")
