"""A try and what is recorded of it, and how an import ends: the same on every engine.

Way:      job_run.py and the Cloudflare Worker → here → steps/
Rule 1:   a try never raises what a step raised: its outcome is a value, an error with the time of
          the next try, or a stop. Whoever records it decides nothing.
Rule 2:   clock, chance and deadline are used within a try only, so that a replay takes the same
          way.
Rule 3:   standard library only: the Cloudflare Worker runs this file as it is.
Source:   Cloudflare Workflows count retries, not tries.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bookline.engine.spending import Spending
from bookline.errors import Cancelled, DeadlineExceeded, GiveUp, JobStopped, StepFailed, TryLater
from bookline.job import CANCELLED, COMPLETED, FAILED, ImportResult
from bookline.progress.events import News, completed, ending
from bookline.progress.journal import Attempt
from bookline.retries import Step
from bookline.time_limit import time_limit
from bookline.values import Json

log = logging.getLogger(__name__)

MOST_RETRY_AFTER_SECONDS = 60.0  # docs/contract.md
JITTER = 0.1  # docs/contract.md; jobs that failed together come back apart
MESSAGE_CHARS = 500  # our choice: an error's sentence in records and events


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is configured about running."""

    deadline_seconds: float = 900.0
    retry_scale: float = 1.0
    """Multiplies every retry delay, Retry-After excepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """One job's tries. ``clock`` gives epoch milliseconds, ``chance`` 0 to 1."""

    job_id: str
    spending: Spending
    policy: Policy
    clock: Callable[[], int]
    chance: Callable[[], float] = random.random
    is_cancelled: Callable[[], bool] = lambda: False
    """Whether a try that was cut was cut for that."""

    async def outcome_of(
        self, step: Step, attempt: int, mark: Attempt, work: Callable[[], Awaitable[Json]]
    ) -> Json:
        """One try, as it is recorded: ``{"value"}``, ``{"error", "wakeMs"}`` or ``{"stop"}``."""
        if mark.cancelled:
            return {"stop": "cancelled"}
        if mark.died:
            return self.failed(step, attempt, died(step))
        if self.spending.left_seconds <= 0:
            return self._too_late(attempt - 1)
        deadline = asyncio.timeout(None)
        try:
            with self.spending.cuts(deadline), self.spending.under_way():
                async with deadline, time_limit(step.limit_seconds):
                    return {"value": await work()}
        except TimeoutError:
            if deadline.expired():
                return {"stop": "cancelled"} if self.is_cancelled() else self._too_late(attempt)
            late = f"timed out after {step.limit_seconds:g} s"
            return self.failed(step, attempt, TryLater(late, step.timeout_code))
        except TryLater as error:
            return self.failed(step, attempt, error)
        except GiveUp as error:
            return {"error": error_of(error.code, str(error)), "wakeMs": None}
        except Exception as error:
            log.exception("%s broke in %s", step.name, self.job_id)
            broke = f"unexpected {type(error).__name__}; see the log"
            return self.failed(step, attempt, TryLater(broke, step.failed_code))

    def failed(self, step: Step, attempt: int, error: TryLater) -> Json:
        """The record of a try that may be repeated: with a wake-up time while retries are left."""
        told = error_of(error.code, str(error))
        if attempt > step.retries.limit:
            return {"error": told, "wakeMs": None}
        seconds = step.retries.delay_after(attempt) * self.policy.retry_scale
        seconds *= 1 + JITTER * self.chance()
        seconds = max(seconds, min(error.retry_after_seconds or 0.0, MOST_RETRY_AFTER_SECONDS))
        delay_ms = round(seconds * 1000)
        if delay_ms / 1000 >= self.spending.left_seconds:
            return self._too_late(attempt, f"; the last failure was: {error}")
        return {"error": told, "wakeMs": self.clock() + delay_ms, "delayMs": delay_ms}

    def _too_late(self, attempts: int, more: str = "") -> Json:
        limit = self.spending.limit_seconds
        message = f"the job did not end within {limit:g} s{more}"
        error = error_of("DEADLINE_EXCEEDED", message)
        return {"stop": "deadline", "attempts": attempts, "error": error}


def died(step: Step) -> TryLater:
    """What became of a try whose process died in it."""
    return TryLater("the process died in this try", step.failed_code)


def is_repeated(outcome: Json) -> bool:
    """Whether another try follows."""
    return "error" in outcome and outcome.get("wakeMs") is not None


def value_of(step: Step, attempt: int, outcome: Json) -> Json:
    """What the step gave in its last try.

    Raises: Cancelled, DeadlineExceeded, StepFailed as the outcome says.
    """
    if "value" in outcome:
        value: Json = outcome["value"]
        return value
    if outcome.get("stop") == "cancelled":
        raise cancelled(step, attempt - 1)
    error = outcome["error"]
    if outcome.get("stop") == "deadline":
        raise DeadlineExceeded(step.name, outcome["attempts"], error["code"], error["message"])
    raise StepFailed(step.name, attempt, error["code"], error["message"])


def kind_of(outcome: Json) -> str:
    """What became of a try, in a word for the metrics."""
    if "value" in outcome:
        return "value"
    if "stop" in outcome:
        return "stopped"
    return "retry" if is_repeated(outcome) else "failed"


def error_of(code: str, message: str) -> Json:
    """An error as records and events hold it."""
    return {"code": code, "message": message[:MESSAGE_CHARS]}


def cancelled(step: Step, attempts: int) -> Cancelled:
    """The end of a job that somebody cancelled."""
    return Cancelled(step.name, attempts, "CANCELLED", "the job was cancelled")


# ------------------------------------------------------------------ how an import ends
@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A run's end, as the journal takes it."""

    status: str
    news: News
    result: Json | None = None
    error: Json | None = None

    def to_json(self) -> Json:
        """What the engine keeps of it."""
        kept = {"result": self.result} if self.error is None else {"error": self.error}
        return {"status": self.status, **kept}


def ended_well(run: int, result: ImportResult) -> Ending:
    """The end of an import that came to a result."""
    outcome = result.to_json()
    return Ending(status=COMPLETED, news=completed(run, outcome), result=outcome)


def ended_by(run: int, stop: JobStopped) -> Ending:
    """The end of an import that failed or was cancelled."""
    error = {
        **error_of(stop.code, stop.message),
        "step": stop.step,
        "attempts": stop.attempts,
    }
    status = CANCELLED if isinstance(stop, Cancelled) else FAILED
    return Ending(status=status, news=ending(run, status, {"error": error}), error=error)


def broken() -> StepFailed:
    """The end of an import whose workflow itself broke; the log has why."""
    return StepFailed(None, 0, "INTERNAL_ERROR", "the import broke; see the log")
