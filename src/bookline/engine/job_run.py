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
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any, Protocol

from bookline.engine.outbox import RIDE_OF_MANY_SECONDS, RIDE_SECONDS, Outbox
from bookline.engine.places import Slot
from bookline.engine.spending import Spending
from bookline.engine.tries import (
    Ending,
    Tries,
    broken,
    cancelled,
    ended_by,
    ended_well,
    is_repeated,
    kind_of,
    value_of,
)
from bookline.engine.world import World
from bookline.errors import JobStopped, StepFailed, StoreDown
from bookline.job import ImportInput, Warned
from bookline.logs import job_id
from bookline.logs import tell as log_line
from bookline.patience import Patience, patient, until_it_is_back
from bookline.progress.events import News, milestone, retry, warning
from bookline.progress.journal import Attempt, Claim, Place
from bookline.progress.records import outcome_of
from bookline.retries import Step, wait_left_seconds
from bookline.time_limit import gives_way, goes_aside
from bookline.values import Json, compact
from bookline.workflow import Rules, import_book

log = logging.getLogger(__name__)


class Records(Protocol):
    """What an engine keeps of one run of a workflow, place by place."""

    def reserve(self) -> Any:
        """The next place, for a record that is made at any time later."""
        ...

    async def record(
        self, name: str, body: Callable[[], Awaitable[Json]], place: Any = None
    ) -> Json:
        """Runs the function once for this place, or for the next; a replay gets what is recorded.

        While the engine's store is away it waits.
        """
        ...


MOST_RESTARTS = 50  # our choice: a job that takes its process down each time must end
_numbers = count(1)


async def execute(
    order: ImportInput,
    records: Records,
    world: World,
    cancel: asyncio.Event,
    rules: Rules = import_book,
    slot: Slot | None = None,
) -> Json:
    """Runs one import to its end by these rules, writes the end, and answers with it.

    ``slot`` is its place where it has one already.

    The answer is ``{"run", "status", "result" | "error"}``; status ``over`` when there was nothing
    to do. While the journal is away it waits.
    """
    job_id.set(order.job_id)
    async with slot or Slot(world.places) as place:
        with world.span("import", job=order.job_id):
            return await _execute(order, records, world, cancel, rules, place)


async def _execute(
    order: ImportInput,
    records: Records,
    world: World,
    cancel: asyncio.Event,
    rules: Rules,
    slot: "Slot",
) -> Json:
    claim = await claim_of(order, world)
    if claim is None:
        return {"run": 0, "status": "over"}
    run = JobRun(order, claim, records, world, cancel, slot)
    try:
        ending = await _ending_of(order, claim, run, world, rules)
        await run.finish(ending)
    finally:
        run.close()
    return {"run": claim.run, **ending.to_json()}


async def claim_of(order: ImportInput, world: World) -> Claim | None:
    """The job as this process has it now; None when it is over."""
    return await until_it_is_back(partial(world.runs.claim, order.job_id, world.node))


async def _ending_of(
    order: ImportInput, claim: Claim, run: "JobRun", world: World, rules: Rules
) -> Ending:
    try:
        if claim.restarts > MOST_RESTARTS:
            raise StepFailed(None, 0, "INTERNAL_ERROR", f"{claim.restarts} restarts, no end")
        return ended_well(claim.run, await rules(order, run, world.steps))
    except JobStopped as stop:
        return ended_by(claim.run, stop)
    except Exception:
        log.exception("the workflow of %s broke", order.job_id)
        return ended_by(claim.run, broken())


class JobRun:
    """Fills the port Run: the engine as the workflow sees it."""

    def __init__(
        self,
        order: ImportInput,
        claim: Claim,
        records: Records,
        world: World,
        cancel: asyncio.Event,
        slot: Slot,
        *,
        keeps_outcomes: bool = False,
    ) -> None:
        """``keeps_outcomes``: in the job's row, where ``record`` keeps nothing."""
        self._keeps_outcomes = keeps_outcomes
        self._done = {step: list(map(compact, outcomes)) for step, outcomes in claim.done.items()}
        """Step → the outcomes of its tries, as JSON: each is written down once."""
        self._job_id = order.job_id
        self._claim = claim
        self._spending = Spending(claim.spent_ms, world.policy.deadline_seconds, world.passed)
        self._tries = Tries(
            job_id=order.job_id,
            spending=self._spending,
            policy=world.policy,
            clock=world.clock,
            chance=world.chance,
            is_cancelled=cancel.is_set,
        )
        self._outbox = Outbox(self._send, RIDE_OF_MANY_SECONDS if keeps_outcomes else RIDE_SECONDS)
        self._records = records
        self._lines: list[str] = []
        """Steps that are done side by side and have not ended, in their order."""
        self._places: dict[str, list[Any]] = {}
        """Step → the places of its tries, where they are reserved."""
        self._attempts: dict[str, int] = {}
        """Step → its try that has begun."""
        self._world = world
        self._cancel = cancel
        self._slot = slot
        self._failed_at: dict[str, float] = {}
        """Step → when its last try failed in this process, for the wait that follows."""
        self._waits: dict[str, int] = {}
        """Step → the milliseconds of the retry wait that it is in."""

    async def tell(self, status: str, data: Json) -> None:
        self._outbox.tell(milestone(status, data))

    async def warn(self, warned: Warned) -> None:
        self._outbox.tell(warning(warned))

    def side_by_side(self, *steps: Step) -> None:
        self._lines = [step.name for step in steps]
        self._slot.branch(len(steps))
        for step in steps:
            tries = range(step.retries.limit + 1)
            self._places[step.name] = [self._records.reserve() for _ in tries]

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        try:
            return await self._do(step, work)
        finally:
            if step.name in self._lines:
                self._lines.remove(step.name)
                self._slot.end_line()

    async def _do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        places = self._places.get(step.name, [])
        patience = Patience()
        for attempt in count(1):
            await self._slot.take(is_back=True)
            body = partial(self._timed_try, step, attempt, work, patience)
            place = places[attempt - 1] if places else None
            try:
                outcome = await self._records.record(step.name, body, place)
            except asyncio.CancelledError:  # also where the record was not made any more
                await self._release(step, attempt)
                raise
            if not is_repeated(outcome):
                return value_of(step, attempt, outcome)
            error = outcome["error"]
            told = retry(step.name, attempt, outcome["delayMs"], error, outcome["wakeMs"])
            self._waits[step.name] = outcome["delayMs"]
            self._outbox.tell(told)
            self._outbox.send_now()
            log_line(
                log, "a try failed and is repeated", jobId=self._job_id, step=step.name,
                attempt=attempt, delayMs=outcome["delayMs"], code=error["code"],
            )  # fmt: skip
            await self._wait(step, attempt, outcome["wakeMs"], outcome["delayMs"])
            del self._waits[step.name]
        raise AssertionError  # count() has no end

    async def finish(self, ending: Ending) -> None:
        """The terminal write; it is counted if this run had not ended already."""
        ended = await until_it_is_back(partial(self._finish, ending))
        if ended is None:
            return
        result, error = ending.result or {}, ending.error or {}
        measure(
            self._world, "workflow", self._claim, ended, code=error.get("code"),
            step=error.get("step"), warned=bool(result.get("warnings")),
        )  # fmt: skip
        if result.get("storedIn") == "kv":
            self._world.measures.saved_aside()

    async def leave(self, *, continues: bool) -> None:
        """Keeps the outcomes so far: another execution ``continues``, now or after a restart.

        Raises: StoreDown where none continues now: a process that stops waits for no store.
        """
        keep = partial(self._leave, continues)
        await (until_it_is_back(keep) if continues else keep())

    async def _leave(self, continues: bool) -> None:
        with self._outbox.riding() as news:
            await self._world.runs.leave(
                self._job_id, run=self._claim.run, epoch=self._claim.epoch, done=self._done_json(),
                spent_ms=self._spending.spent_ms, news=news, continues=continues,
            )  # fmt: skip

    def _done_json(self) -> str:
        steps = (f"{compact(step)}:[{','.join(told)}]" for step, told in self._done.items())
        return f"{{{','.join(steps)}}}"

    def close(self) -> None:
        """Nothing of it is told any more."""
        self._outbox.close()

    def _send(self, news: Sequence[News]) -> "Future[None]":
        return self._world.runs.tell(
            self._job_id, *news, run=self._claim.run, epoch=self._claim.epoch,
            spent_ms=self._spending.spent_ms, waits=self._waits, at=self._at(),
        )  # fmt: skip

    async def _finish(self, ending: Ending) -> str | None:
        with self._outbox.riding() as news:
            return await self._world.runs.finish(
                self._job_id, ending.news, run=self._claim.run, epoch=self._claim.epoch,
                result=ending.result, error=ending.error, before=news,
            )  # fmt: skip

    async def _timed_try(
        self, step: Step, attempt: int, work: Callable[[], Awaitable[Json]], patience: Patience
    ) -> Json:
        known = self._claim.done.get(step.name, ())
        if attempt <= len(known):
            return known[attempt - 1]
        began = time.perf_counter()
        with self._world.span(step.name, attempt=attempt) as told:
            token = f"{self._world.node}:{next(_numbers)}"
            mark = await until_it_is_back(partial(self._begin, step, attempt, token))
            with patient(patience), goes_aside(self._aside), gives_way(self._claim.in_batch):
                outcome = await self._tries.outcome_of(step, attempt, mark, work)
            told.set_attribute("bookline.result", kind_of(outcome))
        self._failed_at[step.name] = self._world.passed()
        if self._keeps_outcomes:
            self._done.setdefault(step.name, []).append(compact(outcome))
        self._world.measures.try_ended(step.name, kind_of(outcome), time.perf_counter() - began)
        return outcome

    async def _release(self, step: Step, attempt: int) -> None:
        """Takes the try's mark back: the process stops in good order, so it does not count."""
        release = self._world.runs.release(
            self._job_id, self._claim.run, step.name, attempt, epoch=self._claim.epoch
        )
        with contextlib.suppress(StoreDown):
            await asyncio.shield(release)

    def _at(self) -> Place | None:
        """What status shows while steps are done side by side: the first that has not ended."""
        begun = [name for name in self._lines if name in self._attempts]
        return (begun[0], self._attempts[begun[0]]) if begun else None

    async def _begin(self, step: Step, attempt: int, token: str) -> Attempt:
        self._attempts[step.name] = attempt
        with self._outbox.riding() as news:
            return await self._world.runs.begin(
                self._job_id, self._claim.run, step.name, attempt, epoch=self._claim.epoch,
                token=token, limit_ms=round(step.limit_seconds * 1000),
                spent_ms=self._spending.spent_ms, beside=tuple(self._lines), at=self._at(),
                news=news, done=self._done_json() if self._keeps_outcomes else None,
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
        with self._slot.wait(), self._spending.under_way():
            if await self._is_cancelled_within(left):
                raise cancelled(step, attempt)

    async def _is_cancelled_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._cancel.wait()
        except TimeoutError:
            return False
        return True


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
