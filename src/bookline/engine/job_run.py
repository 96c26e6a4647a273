"""One running import on any engine that can record a function's result: tries, waits, the end.

Way:      engine/dbos.py or engine/memory.py → ``execute`` → workflow.py → ``JobRun.do`` → steps/
Rule 1:   a try is one engine step whose recorded result may be a failure, with its wake-up time in
          it; so success costs one record and a restart forgets neither tries nor waits.
Rule 2:   a try is marked as begun before it has any effect: one that the process died in is found
          again, counts, and is not done a second time under the same number.
Rule 3:   ``CancelledError`` is the process stopping: the mark is taken back, nothing is recorded.
Not here: what a try comes to and when the next one follows: tries.py.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TypeVar

from bookline.engine.tries import (
    Ending,
    Policy,
    Tries,
    broken,
    cancelled,
    ended_by,
    ended_well,
    is_repeated,
    kind_of,
    value_of,
)
from bookline.errors import JobStopped, StepFailed, StoreDown
from bookline.job import ImportInput, Warned
from bookline.logs import job_id
from bookline.logs import tell as log_line
from bookline.observing import SILENT, Meter, OpenSpan, no_span
from bookline.ports import Steps
from bookline.progress.events import milestone, retry, warning
from bookline.progress.journal import Attempt, Claim, Runs
from bookline.progress.records import outcome_of
from bookline.retries import Step, wait_left_seconds
from bookline.values import Json
from bookline.workflow import Rules, import_book

T = TypeVar("T")
log = logging.getLogger(__name__)

Record = Callable[[str, Callable[[], Awaitable[Json]]], Awaitable[Json]]
"""Runs the function once for this place in the workflow; a replay gets the recorded result."""

JOURNAL_PAUSES_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)  # our choice: how long it may be down
MOST_RESTARTS = 50  # our choice: a job that takes its process down each time must end


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
    passed: Callable[[], float] = time.monotonic
    """Seconds since some moment: for what begins and ends in this process."""
    measures: Meter = SILENT
    span: OpenSpan = no_span


async def execute(
    order: ImportInput,
    record: Record,
    world: World,
    cancel: asyncio.Event,
    rules: Rules = import_book,
) -> Json:
    """Runs one import to its end by these rules, writes the end, and answers with it.

    The answer is ``{"run", "status", "result" | "error"}``; status ``over`` when there was nothing
    to do. Raises: StoreDown when the end could not be written; the engine then tries again.
    """
    job_id.set(order.job_id)
    async with Slot(world.slots) as slot:
        with world.span("import", job=order.job_id):
            return await _execute(order, record, world, cancel, rules, slot)


async def _execute(
    order: ImportInput,
    record: Record,
    world: World,
    cancel: asyncio.Event,
    rules: Rules,
    slot: "Slot",
) -> Json:
    claim = await _patiently(partial(world.runs.claim, order.job_id, world.node))
    if claim is None:
        return {"run": 0, "status": "over"}
    run = JobRun(order, claim, record, world, cancel, slot)
    try:
        if claim.restarts > MOST_RESTARTS:
            raise StepFailed(None, 0, "INTERNAL_ERROR", f"{claim.restarts} restarts, no end")
        result = await rules(order, run, world.steps)
    except JobStopped as stop:
        ending = ended_by(claim.run, stop)
    except Exception:
        log.exception("the workflow of %s broke", order.job_id)
        ending = ended_by(claim.run, broken())
    else:
        ending = ended_well(claim.run, result)
    await _finish(order, claim, ending, world)
    return {"run": claim.run, **ending.to_json()}


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
        self._tries = Tries(
            job_id=order.job_id,
            deadline_ms=claim.started_ms + int(world.policy.deadline_seconds * 1000),
            policy=world.policy,
            clock=world.clock,
            chance=world.chance,
        )
        self._record = record
        self._world = world
        self._cancel = cancel
        self._slot = slot
        self._failed_at: dict[str, float] = {}
        """Step → when its last try failed in this process, for the wait that follows."""

    async def tell(self, status: str, data: Json) -> None:
        self._world.runs.tell(self._job_id, milestone(status, data))

    async def warn(self, warned: Warned) -> None:
        self._world.runs.tell(self._job_id, warning(warned))

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        for attempt in count(1):
            outcome = await self._record(step.name, partial(self._timed_try, step, attempt, work))
            if not is_repeated(outcome):
                return value_of(step, attempt, outcome)
            error = outcome["error"]
            told = retry(step.name, attempt, outcome["delayMs"], error, outcome["wakeMs"])
            self._world.runs.tell(self._job_id, told)
            log_line(
                log, "a try failed and is repeated", jobId=self._job_id, step=step.name,
                attempt=attempt, delayMs=outcome["delayMs"], code=error["code"],
            )  # fmt: skip
            await self._wait(step, attempt, outcome["wakeMs"], outcome["delayMs"])
        raise AssertionError  # count() has no end

    async def _timed_try(
        self, step: Step, attempt: int, work: Callable[[], Awaitable[Json]]
    ) -> Json:
        began = time.perf_counter()
        with self._world.span(step.name, attempt=attempt) as told:
            async with self._marked(step, attempt) as mark:
                outcome = await self._tries.outcome_of(step, attempt, mark, work)
            told.set_attribute("bookline.result", kind_of(outcome))
        self._failed_at[step.name] = self._world.passed()
        self._world.measures.try_ended(step.name, kind_of(outcome), time.perf_counter() - began)
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

    async def _wait(self, step: Step, attempt: int, wake_ms: int, delay_ms: int) -> None:
        """Until the wake-up time that was recorded, which a restart finds again.

        In the process in which the try failed the whole delay passes, wherever the clock is set.
        Raises: Cancelled at once when somebody cancels.
        """
        left = wait_left_seconds(wake_ms, delay_ms, self._world.clock())
        failed_at = self._failed_at.pop(step.name, None)
        if failed_at is not None:
            left = failed_at + delay_ms / 1000 - self._world.passed()
        if left <= 0:
            return
        self._slot.give()
        try:
            async with asyncio.timeout(left):
                await self._cancel.wait()
        except TimeoutError:
            await self._slot.take()
            return
        raise cancelled(step, attempt)


async def _finish(order: ImportInput, claim: Claim, ending: Ending, world: World) -> None:
    """The terminal write; it is counted if this run had not ended already."""
    ended = await _patiently(
        partial(
            world.runs.finish, order.job_id, ending.news,
            run=claim.run, result=ending.result, error=ending.error,
        )
    )  # fmt: skip
    if ended is None:
        return
    result, error = ending.result or {}, ending.error or {}
    measure(
        world, "workflow", claim, ended, code=error.get("code"), step=error.get("step"),
        warned=bool(result.get("warnings")),
    )  # fmt: skip
    if result.get("storedIn") == "kv":
        world.measures.saved_aside()


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
