"""An event: what happened in a job, once, in order. A value; whoever shows it makes the sentence.

Rule 1:  the key says what happened. The same key told twice is one event (a replay tells again).
Rule 2:  a message is encoded once, when it is kept, and sent as it was kept.
Source:  docs/contract.md, Events; the plan's phase 3.2 (docs/plan-checklist.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bookline.job import CANCELLED, COMPLETED, Warned
from bookline.values import Json, compact, iso

STARTED = "started"
METADATA_FETCHED = "metadata_fetched"
COVER_UPLOADED = "cover_uploaded"
EMBEDDING_GENERATED = "embedding_generated"
PROGRESS: Final[Mapping[str, float]] = {
    STARTED: 0.0,
    METADATA_FETCHED: 0.25,
    COVER_UPLOADED: 0.5,
    EMBEDDING_GENERATED: 0.75,
    COMPLETED: 1.0,
}
"""Share of the job that is done when an event of this status is told (docs/contract.md)."""
WORKFLOW_PROGRESS = "workflow_progress"
WORKFLOW_RETRY = "workflow_retry"
WORKFLOW_WARNING = "workflow_warning"
WORKFLOW_RESUMED = "workflow_resumed"
EVENT_TYPES: Final = (WORKFLOW_PROGRESS, WORKFLOW_RETRY, WORKFLOW_WARNING, WORKFLOW_RESUMED)
EVENT_DESCRIPTION_CHARS: Final = 2_000  # docs/contract.md
EVENT_LIST_ITEMS: Final = 10  # authors and categories in an event; the book keeps them all

MESSAGE_BYTES = 32_000  # docs/contract.md: a message is below 32 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something to be told of a job; the journal gives it its ``seq``."""

    key: str
    type: str
    status: str | None
    data: Json

    @property
    def progress(self) -> float | None:
        """Share done once this is told; None where it stays as it was."""
        return PROGRESS.get(self.status) if self.status else None


@dataclass(frozen=True, slots=True)
class Event:
    """A kept event: its place in the job's story and its message as it is sent."""

    job_id: str
    seq: int
    message: str
    is_terminal: bool


def milestone(status: str, data: Json) -> News:
    """That a part of the import is done."""
    return News(key=status, type=WORKFLOW_PROGRESS, status=status, data=data)


def retry(step: str, attempt: int, delay_ms: int, error: Json, wake_ms: int) -> News:
    """That a try failed and when the next one comes. ``wake_ms`` tells one run's tries apart."""
    return News(
        key=f"retry:{step}:{attempt}:{wake_ms}",
        type=WORKFLOW_RETRY,
        status=None,
        data={"step": step, "attempt": attempt, "delayMs": delay_ms, "error": error},
    )


def warning(warned: Warned) -> News:
    """That an optional part failed for good."""
    return News(
        key=f"warning:{warned.step}", type=WORKFLOW_WARNING, status=None, data=warned.to_json()
    )


def resumed(by: str, after_seq: int) -> News:
    """That the job goes on, after a restart or an explicit retry."""
    return News(
        key=f"resumed:{by}:{after_seq}", type=WORKFLOW_RESUMED, status=None, data={"by": by}
    )


def ending(run: int, status: str, data: Json) -> News:
    """How the job's run ended."""
    return News(key=f"end:{run}", type=WORKFLOW_PROGRESS, status=status, data=data)


def cancelled_instead(run: int, error: Json | None) -> tuple[News, Json]:
    """The end, and its error, of a run that failed after its cancel had been accepted."""
    told = {**(error or {"step": None, "attempts": 0}), "code": "CANCELLED"}
    told["message"] = "the job was cancelled"
    return ending(run, CANCELLED, {"error": told}), told


def message_of(job_id: str, seq: int, news: News, progress: float, at_ms: int) -> str:
    """The JSON text that watchers get, below ``MESSAGE_BYTES``."""
    message = {
        "type": news.type,
        "jobId": job_id,
        "seq": seq,
        "status": news.status,
        "progress": progress,
        "timestamp": iso(at_ms),
        "data": news.data,
    }
    text = _encode(message)
    for chars in (1_000, 100):
        if len(text.encode()) <= MESSAGE_BYTES:
            return text
        text = _encode({**message, "data": _cut(news.data, chars)})
    return text if len(text.encode()) <= MESSAGE_BYTES else _encode({**message, "data": {}})


def _encode(message: Json) -> str:
    """JSON that UTF-8 can hold: half of a character pair becomes U+FFFD."""
    text = compact(message)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _cut(value: object, chars: int) -> object:
    """Less of the same: the caps upstream make this the rare case."""
    if isinstance(value, str):
        return value[:chars]
    if isinstance(value, dict):
        return {name: _cut(inner, chars) for name, inner in list(value.items())[:30]}
    if isinstance(value, Sequence):
        return [_cut(inner, chars) for inner in value[:5]]
    return value


def is_terminal(news: News) -> bool:
    return news.type == WORKFLOW_PROGRESS and news.key.startswith("end:")


def completed(run: int, result: Json) -> News:
    """The good ending: the data of ``completed``."""
    data = {
        "isbn": result["isbn"],
        "saved": result["saved"],
        "storedIn": result["storedIn"],
        "result": result,
    }
    return ending(run, COMPLETED, data)
