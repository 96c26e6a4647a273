"""The live bars: one row for each running import, the finished ones above them.

Way:      importing.py → here → rich → stderr
Rule 1:   never more rows than the terminal has; whatever is finished scrolls away above, for good.
Rule 2:   colour is never the only sign: each state of a step has its own character.
"""

import asyncio
import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bookline.cli.story import ACTIVE, DONE, FAILED, SKIPPED, STEPS, WAITING, WARNED, Story
from bookline.cli.views import result
from bookline.cli.words import clean, ending, resumed_words, retry_words, warning_words
from bookline.values import Json

FRAME_SECONDS = 0.08
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
STEP_CHARS = 5
SPARE_LINES = 5  # the totals, a line that may wrap, and the prompt
LEAST_ROWS = 3
_LOOKS = {
    DONE: ("━", "green"),
    ACTIVE: ("━", "cyan"),
    WARNED: ("╍", "yellow"),
    FAILED: ("╳", "red"),
    SKIPPED: ("·", "dim"),
    WAITING: ("─", "dim"),
}


class LiveView:
    """Rows on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._running: dict[int, Story] = {}
        self._total = 0
        self._ended = {"done": 0, "warned": 0, "failed": 0}
        self._ticking: asyncio.Task[None] | None = None
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            get_renderable=self._render,
        )

    def __enter__(self) -> Self:
        self._live.start()
        _log_to(sys.stderr)  # through the live region, not across it
        self._ticking = asyncio.create_task(self._tick(), name="bars")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        self._live.stop()
        _log_to(sys.stderr)

    async def _tick(self) -> None:
        while True:
            self._live.refresh()
            await asyncio.sleep(FRAME_SECONDS)

    # -------------------------------------------------------------- what happens
    def begin(self, total: int) -> None:
        self._total = total

    def notice(self, text: str) -> None:
        self._console.print(Text(f"· {text}", "dim"))

    def refuse(self, isbn: str, error: Json) -> None:
        self._console.print(_line("✗", "red", isbn, f"{error['code']}: {error['message']}"))

    def accept(self, story: Story) -> None:
        self._running[id(story)] = story

    def hear(self, story: Story, message: Json) -> None:
        pass  # the next frame shows it

    def finish(self, story: Story) -> None:
        self._running.pop(id(story), None)
        if story.end is None:
            return
        if story.is_good:
            self._ended["done"] += 1
            self._ended["warned"] += bool(story.warnings)
            self._console.print(_line("✓", "green", story.isbn, ending(story)))
            if not sys.stdout.isatty():
                result(f"✓ {story.isbn}  {ending(story)}")
        else:
            self._ended["failed"] += 1
            self._console.print(_line("✗", "red", story.isbn, ending(story)))
        for warned in story.warnings:
            self._console.print(Text(f"  ! {warning_words(warned)}", "yellow"))

    def sum_up(self, total: Json, sentence: str) -> None:
        if sentence:
            self._console.print(Text(sentence, "bold"))

    # -------------------------------------------------------------- how it looks
    def _render(self) -> Group:
        now = time.time()
        stories = list(self._running.values())
        most = max(LEAST_ROWS, self._console.size.height - SPARE_LINES)
        rows = Table.grid(padding=(0, 1), expand=True)
        rows.add_column(width=1)
        rows.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
        rows.add_column(width=len(STEPS) * (STEP_CHARS + 1), no_wrap=True)
        rows.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
        for story in stories[:most]:
            rows.add_row(_spin(now), Text(clean(story.name)), _bar(story, now), _note(story, now))
        parts: list[Table | Text] = [rows]
        if len(stories) > most:
            parts.append(Text(f"  … and {len(stories) - most} more at work", "dim"))
        if self._total > 1:
            parts.append(self._totals())
        return Group(*parts)

    def _totals(self) -> Table:
        ended = self._ended["done"] + self._ended["failed"]
        words = Text()
        words.append(f"{ended:,} of {self._total:,}", "bold")
        for name, style in (("done", "green"), ("warned", "yellow"), ("failed", "red")):
            if self._ended[name]:
                words.append(f"  {self._ended[name]:,} {name}", style)
        totals = Table.grid(padding=(0, 1), expand=True)
        totals.add_column(ratio=1)
        totals.add_column(no_wrap=True)
        totals.add_row(
            ProgressBar(total=self._total, completed=ended, complete_style="green"), words
        )
        return totals


def _spin(now: float) -> Text:
    return Text(SPINNER[int(now / FRAME_SECONDS) % len(SPINNER)], "cyan")


def _bar(story: Story, now: float) -> Text:
    """Four parts, one a step; the one at work grows and begins anew."""
    bar = Text()
    for mark in story.marks:
        char, style = _LOOKS[mark]
        if mark != ACTIVE:
            bar.append(char * STEP_CHARS + " ", style)
            continue
        lit = 0 if story.waits is not None else int(now / 0.15) % STEP_CHARS
        bar.append(char * lit, style)
        bar.append("╌" * (STEP_CHARS - lit) + " ", "yellow" if story.waits is not None else style)
    return bar


def _note(story: Story, now: float) -> Text:
    """What it is at: the retry it waits for, else the step."""
    waits = story.waits
    if waits is not None and waits.at > now:
        return Text(retry_words(story, now), "yellow")
    if waits is not None:
        return Text(f"{story.step} again, try {waits.number + 1}", "yellow")
    words = Text()
    words.append(story.step or "queued", "dim")
    if story.resumed_by is not None:
        words.append(f" · {resumed_words(story.resumed_by)}")
    if story.warnings:
        words.append(f" · ! {story.warnings[-1]['code']}", "yellow")
    return words


def _line(sign: str, style: str, isbn: str, text: str) -> Text:
    line = Text()
    line.append(f"{sign} ", style)
    line.append(f"{clean(isbn)}  ", "dim")
    line.append(text, "red" if style == "red" else "")
    return line


def _log_to(stream: object) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
