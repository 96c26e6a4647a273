"""Ways to show imports: live bars, plain lines, JSON lines.

Way:      importing.py tells what happens → here → stderr (progress) and stdout (results)
Rule 1:   a view never decides anything; it could be left out.
Rule 2:   not a terminal: no control characters, one line for each thing that happened.
Not here: live.py has the bars.
"""

import json
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from bookline.cli.story import Story
from bookline.cli.words import ending, happened
from bookline.values import Json


class View(Protocol):
    """Who shows the imports. Used as a context manager around them."""

    def begin(self, total: int) -> None:
        """So many imports will be told of."""
        ...

    def notice(self, text: str) -> None:
        """Something that is no import's own."""
        ...

    def refuse(self, isbn: str, error: Json) -> None:
        """This one cannot be started."""
        ...

    def accept(self, story: Story) -> None:
        """This one is started and will be told of."""
        ...

    def hear(self, story: Story, message: Json) -> None:
        """A message, which the story holds already."""
        ...

    def finish(self, story: Story) -> None:
        """This one will be told of no more."""
        ...

    def sum_up(self, total: Json, sentence: str) -> None:
        """All are told of."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PlainView:
    """One line for each thing that happened: results on stdout, the rest on stderr."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def begin(self, total: int) -> None:
        pass

    def notice(self, text: str) -> None:
        say(text)

    def refuse(self, isbn: str, error: Json) -> None:
        say(f"{isbn}  ✗ {error['code']}: {error['message']}")

    def accept(self, story: Story) -> None:
        say(f"{story.isbn}  queued     {story.job_id}")

    def hear(self, story: Story, message: Json) -> None:
        line = happened(story, message)
        if line is not None:
            say(f"{story.isbn}  {line}")

    def finish(self, story: Story) -> None:
        if story.is_good:
            result(f"✓ {story.isbn}  {ending(story)}")
        elif story.end is not None:
            say(f"{story.isbn}  ✗ {ending(story)}")

    def sum_up(self, total: Json, sentence: str) -> None:
        if sentence:
            say(sentence)


class JsonView(PlainView):
    """Every message as it came, one JSON object a line, on stdout."""

    def refuse(self, isbn: str, error: Json) -> None:
        json_line({"type": "refused", "isbn": isbn, "error": error})

    def accept(self, story: Story) -> None:
        json_line({"type": "accepted", "jobId": story.job_id, "isbn": story.isbn})

    def hear(self, story: Story, message: Json) -> None:
        json_line(message)

    def finish(self, story: Story) -> None:
        pass

    def sum_up(self, total: Json, sentence: str) -> None:
        json_line({"type": "summary", **total})


def say(text: str) -> None:
    """A line on stderr, for the person who waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def result(text: str) -> None:
    """A line on stdout, for whoever takes the results."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def results(lines: Iterable[str]) -> None:
    for line in lines:
        result(line)


def json_line(value: Json) -> None:
    result(json.dumps(value, ensure_ascii=False))
