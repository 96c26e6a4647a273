"""What a server tells of an import, as values.

Way:      imports.py reads each message → here → whoever follows
Rule 1:   a type or form that this version does not know is told as ``Unknown``.
Source:   docs/errors-and-events.md.
"""

from dataclasses import dataclass
from typing import Any

from bookline.job import TERMINAL
from bookline.progress.events import (
    WORKFLOW_PROGRESS,
    WORKFLOW_RESUMED,
    WORKFLOW_RETRY,
    WORKFLOW_WARNING,
)
from bookline.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a job, told once."""

    job_id: str
    seq: int
    """1, 2, 3 … in each job, without gaps."""
    at: str
    """When it was kept: ISO 8601, UTC."""
    raw: Json
    """The whole message, as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A milestone of the import, or its end."""

    status: str
    """``started``, ``metadata_fetched`` …, ``completed``, ``failed`` or ``cancelled``."""
    progress: float
    """Share that is done, 0 to 1."""
    data: Json

    @property
    def is_end(self) -> bool:
        """True for the last event of a run. Only an explicit retry continues behind it."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Event):
    """A try of a step failed, and another one comes."""

    step: str
    attempt: int
    """The try that failed, from 1."""
    delay_seconds: float
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """An optional part failed for good; the import continues without it."""

    step: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """The import continues."""

    by: str
    """``restart`` of the process that ran it, or an explicit ``retry``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """What a newer server tells and this version cannot name."""

    type: str


def read_event(message: Json) -> Event:
    """The message as the event that it is; ``Unknown`` where it is none of ours."""
    every: dict[str, Any] = {
        "job_id": message.get("jobId", ""),
        "seq": message["seq"],
        "at": message.get("timestamp", ""),
        "raw": message,
    }
    kind = str(message.get("type"))
    try:
        return _read_known(kind, message, message["data"], every)
    except (KeyError, TypeError):
        return Unknown(type=kind, **every)


def _read_known(kind: str, message: Json, data: Json, every: dict[str, Any]) -> Event:
    """Raises: KeyError, TypeError when it has not the form that we know."""
    if kind == WORKFLOW_PROGRESS:
        status, share = str(message["status"]), message["progress"]
        return Progress(status=status, progress=share, data=data, **every)
    if kind == WORKFLOW_RETRY:
        error, delay_seconds = data["error"], data["delayMs"] / 1000
        tried = {"step": data["step"], "attempt": data["attempt"], "delay_seconds": delay_seconds}
        return Retry(code=error["code"], message=error["message"], **tried, **every)
    if kind == WORKFLOW_WARNING:
        return Warned(step=data["step"], code=data["code"], message=data["message"], **every)
    if kind == WORKFLOW_RESUMED:
        return Resumed(by=data["by"], **every)
    raise KeyError(kind)
