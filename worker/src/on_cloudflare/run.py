"""A run on Cloudflare Workflows: its native retries carry out what ``Tries`` has decided.

Way:      entry.py → ``run_import`` → workflow.py → ``CloudflareRun.do`` → steps/
Rule 1:   only a try that is to be repeated raises: a give-up and the last failure are results, so
          code, message and tries come back from a replay as they were.
Rule 2:   ``run`` begins anew after each wait and each crash; only what stands in a step's callback
          may write. So a job is claimed by the first try that really runs.
Rule 3:   the engine counts a try that its process died in. The next one tells of it.
Rule 4:   an engine that is paused, restarted or moved breaks ``run`` off with an error in a step.
          That is neither the step's end nor the import's: it goes back to the engine as it came.
Source:   https://developers.cloudflare.com/workflows/build/sleeping-and-retrying/
          https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bookline.engine.spending import Spending
from bookline.engine.tries import (
    Policy,
    Tries,
    broken,
    died,
    ended_by,
    ended_well,
    error_of,
    is_repeated,
    value_of,
)
from bookline.errors import JobStopped
from bookline.job import ImportInput, Job, Warned
from bookline.patience import STORE_SECONDS, Patience, patient, until_it_is_back
from bookline.ports import Steps
from bookline.progress.events import milestone, retry, warning
from bookline.progress.journal import Attempt
from bookline.progress.records import ImportRecord
from bookline.retries import Step
from bookline.values import Json
from bookline.workflow import FIRST_VERSION, rules
from on_cloudflare.journal import RunJournal
from on_cloudflare.plain import dump, load, now_ms

log = logging.getLogger(__name__)

Ended = tuple[Job, ImportRecord | None]
NET_SECONDS = 60.0  # behind all that a try may wait for: the engine's limit is for one that hangs


BROKEN_OFF = ("Aborting engine:", "Durable Object", "Network connection lost")
"""How an error begins by which the engine says that it is not there any more."""


class TryAgain(Exception):
    """What makes the engine repeat a try."""


class BrokenOff(Exception):
    """The engine ends this run, and begins it anew later. ``args`` are what it said."""


async def run_import(
    params: Json, step: Any, journal: RunJournal, steps: Steps, policy: Policy
) -> Ended | None:
    """Runs one import to its end by the rules that it began under, and writes the end; None when it
    had ended already. ``params`` is the order with the version of its rules.

    Raises: BrokenOff.
    """
    order = ImportInput.from_json(params)
    run = CloudflareRun(order.job_id, step, journal, policy)
    try:
        result = await rules(params.get("version", FIRST_VERSION))(order, run, steps)
    except BrokenOff:
        raise
    except JobStopped as stop:
        ending = ended_by(journal.run or 1, stop)
    except Exception:
        log.exception("the workflow of %s broke", order.job_id)
        ending = ended_by(journal.run or 1, broken())
    else:
        ending = ended_well(journal.run or 1, result)
    return await until_it_is_back(partial(journal.finish, ending))


class CloudflareRun:
    """Fills the port Run. ``step`` is the engine's WorkflowStep."""

    def __init__(self, job_id: str, step: Any, journal: RunJournal, policy: Policy) -> None:
        self._job_id = job_id
        self._step = step
        self._journal = journal
        self._policy = policy
        self._wake_ms: dict[str, int] = {}
        self._tried: dict[str, int | None] = {}
        """Step → its try that has begun here; None once it has given what the engine keeps."""
        self._patience: dict[str, Patience] = {}
        self._spending: Spending | None = None

    async def tell(self, status: str, data: Json) -> None:
        self._journal.tell(milestone(status, data))

    async def warn(self, warned: Warned) -> None:
        self._journal.tell(warning(warned))

    def side_by_side(self, *steps: Step) -> None:
        """Cloudflare keys steps by their names: nothing has to be set apart for them."""
        self._journal.lines = [step.name for step in steps]

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        async def one_try(ctx: Any) -> str:
            self._tried[step.name] = ctx["attempt"]
            kept = dump(await self._try(step, ctx["attempt"], work))
            self._tried[step.name] = None
            return kept

        def delay(_: Any) -> int:
            return max(0, self._wake_ms.get(step.name, 0) - now_ms())

        longest = step.retries.delay_after(step.retries.limit) * self._policy.retry_scale
        config = {
            "retries": {"limit": step.retries.limit, "delay": delay, "backoff": "constant"},
            "timeout": round((step.limit_seconds + longest + STORE_SECONDS + NET_SECONDS) * 1000),
        }
        try:
            kept = load(await self._step.do(step.name, config=config)(one_try)())
        except Exception as error:
            if self._is_broken_off(step, error):
                raise BrokenOff(error) from error
            # The engine's own: the process died in the last try.
            log.warning("%s of %s: %s", step.name, self._job_id, str(error).splitlines()[-1])
            last = {"error": error_of(step.failed_code, str(died(step))), "wakeMs": None}
            kept = {"attempt": step.retries.limit + 1, "outcome": last}
        self._journal.ended(step.name)
        return value_of(step, kept["attempt"], kept["outcome"])

    def _is_broken_off(self, step: Step, error: Exception) -> bool:
        """Whether the step has not ended: only the error of a last try is an end."""
        if step.name not in self._tried:  # it has ended before this run began, if at all
            return str(getattr(error, "message", "")).startswith(BROKEN_OFF)
        return (self._tried[step.name] or 0) <= step.retries.limit

    async def _try(self, step: Step, attempt: int, work: Callable[[], Awaitable[Json]]) -> Json:
        """What the engine keeps of the step. Raises: TryAgain."""
        limit_ms = round(step.limit_seconds * 1000)
        begun = await self._journal.begin(step.name, attempt, limit_ms, self._spent_ms)
        spending = self._spending or Spending(
            begun["spentMs"], self._policy.deadline_seconds, time.monotonic
        )
        self._spending = spending
        tries = Tries(
            job_id=self._job_id, spending=spending, policy=self._policy, clock=now_ms
        )  # fmt: skip
        if begun["died"]:
            outcome = tries.failed(step, attempt - 1, died(step))
            if not is_repeated(outcome):
                return {"attempt": attempt - 1, "outcome": outcome}
            self._tell_retry(step, attempt - 1, outcome)
            await asyncio.sleep((outcome["wakeMs"] - now_ms()) / 1000)
        mark = Attempt(cancelled=begun["cancelled"])
        with patient(self._patience.setdefault(step.name, Patience())):
            outcome = await tries.outcome_of(step, attempt, mark, work)
        if is_repeated(outcome):
            self._tell_retry(step, attempt, outcome)
            # The wait is spent, too; nobody is there to count it.
            spent_ms = spending.spent_ms + outcome["delayMs"]
            if await self._journal.failed(step.name, attempt, spent_ms):
                return {"attempt": attempt + 1, "outcome": {"stop": "cancelled"}}
            self._wake_ms[step.name] = outcome["wakeMs"]
            raise TryAgain(outcome["error"]["message"])
        return {"attempt": attempt, "outcome": outcome}

    @property
    def _spent_ms(self) -> int:
        return self._spending.spent_ms if self._spending else 0

    def _tell_retry(self, step: Step, attempt: int, outcome: Json) -> None:
        delay_ms, wake_ms = outcome["delayMs"], outcome["wakeMs"]
        self._journal.tell(retry(step.name, attempt, delay_ms, outcome["error"], wake_ms))
