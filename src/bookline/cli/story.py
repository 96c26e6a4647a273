"""One import as its messages tell it: the fold that every view shows.

Way:      a view hands each message to ``hear`` → the fields say how the import stands
Rule 1:   the same messages in the same order give the same story; types it does not know are
          passed over (docs/contract.md).
"""

from dataclasses import dataclass, field
from datetime import datetime

from bookline.values import Json

STEPS = ("metadata", "cover", "embedding", "save")
"""What a person reads; PLACES has the steps' own names."""
PLACES = {
    "fetch-metadata": 0,
    "upload-cover": 1,
    "generate-embedding": 2,
    "save-to-database": 3,
    "save-to-fallback": 3,
}
_DONE_BY = {"metadata_fetched": 0, "cover_uploaded": 1, "embedding_generated": 2}

WAITING, ACTIVE, DONE, WARNED, FAILED, SKIPPED = (
    "waiting", "active", "done", "warned", "failed", "skipped",
)  # fmt: skip


@dataclass(slots=True)
class Retry:
    """A wait before the next try of a step."""

    number: int
    """1 for the first retry."""
    step: str
    code: str
    message: str
    delay_ms: int
    at: float
    """Epoch seconds of the next try."""


@dataclass(slots=True)
class Story:
    """How one import stands."""

    isbn: str
    job_id: str = ""
    title: str | None = None
    author: str | None = None
    source: str | None = None
    marks: list[str] = field(default_factory=lambda: [WAITING] * len(STEPS))
    """One for each of STEPS."""
    waits: Retry | None = None
    retries: int = 0
    resumed_by: str | None = None
    warnings: list[Json] = field(default_factory=list)
    end: str | None = None
    """The status it ended with: completed, failed or cancelled."""
    error: Json | None = None
    result: Json | None = None

    @property
    def is_good(self) -> bool:
        return self.end == "completed"

    @property
    def name(self) -> str:
        """``title · author``, or the ISBN while no more is known."""
        if self.title is None:
            return self.isbn
        return f"{self.title} · {self.author}" if self.author else self.title

    @property
    def step(self) -> str:
        """The step at work."""
        active = [name for name, mark in zip(STEPS, self.marks, strict=True) if mark == ACTIVE]
        return active[0] if active else ""

    def hear(self, message: Json) -> None:
        """Takes the next message of the story."""
        data = message["data"]
        match message["type"]:
            case "workflow_progress":
                self._progress(message["status"], data)
            case "workflow_retry":
                self._retry(message["timestamp"], data)
            case "workflow_warning":
                self.waits = None
                self.warnings.append(data)
                self._pass(PLACES.get(data["step"], 3), WARNED)
            case "workflow_resumed":
                self.resumed_by = data["by"]
                self.end, self.error, self.waits = None, None, None
                self.marks = [ACTIVE if mark == FAILED else mark for mark in self.marks]

    def _progress(self, status: str, data: Json) -> None:
        self.waits = None
        match status:
            case "started":
                self.isbn = data["isbn"]
                self.marks[0] = ACTIVE
            case "metadata_fetched":
                known = data["metadata"]
                self.title, self.author = known["title"], known["author"]
                self.source = known["source"]
                self._pass(0, DONE)
                if known["coverUrl"] is None:
                    self._pass(1, SKIPPED)
            case "cover_uploaded" | "embedding_generated":
                self._pass(_DONE_BY[status], DONE)
            case "completed":
                self._complete(data["result"])
            case "failed" | "cancelled":
                self.end, self.error = status, data["error"]
                place = PLACES.get(data["error"].get("step") or "", self._place())
                self.marks[place] = FAILED

    def _retry(self, timestamp: str, data: Json) -> None:
        self.retries += 1
        told = datetime.fromisoformat(timestamp).timestamp()
        self.waits = Retry(
            number=data["attempt"],
            step=data["step"],
            code=data["error"]["code"],
            message=data["error"]["message"],
            delay_ms=data["delayMs"],
            at=told + data["delayMs"] / 1000,
        )

    def _complete(self, result: Json) -> None:
        self.end, self.result = "completed", result
        self.title = self.title or result["title"]
        for place, mark in enumerate(self.marks):
            if mark in {WAITING, ACTIVE}:
                self.marks[place] = DONE
        if not result["hasEmbedding"] and self.marks[2] == DONE:
            self.marks[2] = SKIPPED

    def _pass(self, place: int, mark: str) -> None:
        """This step is over; the next one is at work."""
        self.marks[place] = mark
        for earlier in range(place):
            if self.marks[earlier] in {WAITING, ACTIVE}:
                self.marks[earlier] = SKIPPED
        if place + 1 < len(STEPS):
            self.marks[place + 1] = ACTIVE

    def _place(self) -> int:
        return self.marks.index(ACTIVE) if ACTIVE in self.marks else 0
