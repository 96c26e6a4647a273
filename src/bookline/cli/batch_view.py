"""One bar for a whole batch: total, rate, time left, failures so far.

Way:      batch_commands.py follows a batch → here → stderr, JSON lines → stdout
Rule 1:   a line for each item that failed or waits for a review; not a terminal: the counts now
          and then.
"""

import json
import sys
import time
from contextlib import nullcontext
from types import TracebackType
from typing import Self

from bookline.cli.views import result, say
from bookline.cli.words import clean, count
from bookline.values import Json

TOLD = {"failed": "failed", "review": "to review", "cancelled": "cancelled"}
"""What is counted beside the bar, with its word; of what was cancelled no more is said."""
LINE_SECONDS = 10.0  # between two lines of counts where there is no bar


class BatchView:
    """Shows a batch while it runs. Used as a context manager around its messages."""

    def __init__(self, batch: Json, *, as_json: bool) -> None:
        self._counts: Json = dict(batch["counts"])
        self._eta: int | None = batch["etaSeconds"]
        self._known_at: str = batch["lastUpdated"]
        self._is_json = as_json
        self._began, self._begun_with = time.monotonic(), self._ended
        self._told_at = self._began
        self._bar = _Bar() if sys.stderr.isatty() and not as_json else None

    @property
    def _ended(self) -> int:
        counts = self._counts
        return int(counts["total"] - counts["queued"] - counts["running"])

    def hear(self, message: Json) -> None:
        """The next message of the batch."""
        if self._is_json:
            result(json.dumps(message, ensure_ascii=False))
            return
        data = message["data"]
        if message["type"] == "batch_item":
            if message["timestamp"] > self._known_at:  # else the counts have it already
                self._count(data)
        else:
            self._counts, self._eta = dict(data["counts"]), data["etaSeconds"]
        now = time.monotonic()
        if self._bar is not None:
            self._show(self._bar)
        elif now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            say(f"{self._ended:,} of {self._counts['total']:,}  {self.words()}")

    def _show(self, bar: "_Bar") -> None:
        bar.show(self._ended, self._counts["total"], self.words())

    def _count(self, data: Json) -> None:
        """One more has ended; the next counts put it right."""
        if self._counts["queued"] + self._counts["running"] > 0:
            self._counts["running" if self._counts["running"] else "queued"] -= 1
            self._counts[data["state"]] += 1
        if data["state"] in {"failed", "review"}:
            name = clean(data["title"] or data["isbn"] or f"item {data['index']}")
            self._print(_line_of(name, data))

    def words(self) -> str:
        """``12.3/s, 0:40 left, 3 failed, 2 to review``; no rate before something has ended."""
        passed = max(time.monotonic() - self._began, 0.001)
        ended = self._ended - self._begun_with
        parts = [f"{ended / passed:.1f}/s"] if ended else []
        if self._eta is not None:
            parts.append(f"{self._eta // 60}:{self._eta % 60:02} left")
        parts += [
            f"{self._counts[one]:,} {word}" for one, word in TOLD.items() if self._counts[one]
        ]
        return ", ".join(parts)

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.print(text)
        else:
            say(text)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._show(self._bar)  # before it is drawn
        self._open = self._bar or nullcontext()
        self._open.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)


def _line_of(name: str, data: Json) -> str:
    """A review is a question, not a failure."""
    if data["state"] == "review":
        return f"? {name}  which book is meant?"
    error = data["error"]
    return f"✗ {name}  {error['code']}: {clean(error['message'])}"


class _Bar:
    """A bar as wide as the terminal, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.completed:,} of {task.total:,}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=1)

    def show(self, ended: int, total: int, words: str) -> None:
        self._progress.update(self._task, completed=ended, total=total, description=words)

    def print(self, text: str) -> None:
        from rich.text import Text

        self._progress.console.print(Text(text, "red" if text.startswith("✗") else ""))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def sentence(batch: Json) -> str:
    """``340 books imported, 2 with warnings, 8 there already; 3 failed, 2 to review``."""
    counts = batch["counts"]
    done = counts["completed"] + counts["completedWithWarnings"]
    words = f"{count(done, 'item')} imported"
    good = {"completedWithWarnings": "with warnings", "alreadyThere": "there already"}
    bad = {
        "failed": "failed", "refused": "refused", "cancelled": "cancelled", "review": "to review",
        "skipped": "skipped",
    }  # fmt: skip
    words += "".join(f", {counts[name]:,} {said}" for name, said in good.items() if counts[name])
    rest = [f"{counts[name]:,} {said}" for name, said in bad.items() if counts[name]]
    return f"{words}; {', '.join(rest)}" if rest else words


def is_good(batch: Json) -> bool:
    """Whether every row arrived."""
    return not any(batch["counts"][name] for name in ("failed", "refused", "cancelled", "review"))
