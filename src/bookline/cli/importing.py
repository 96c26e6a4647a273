"""Many imports at once: read the list, start each, follow each, sum up.

Way:      the command ``import`` → here → bookline/client; a View is told of everything
Rule 1:   a bad ISBN is told at once and stops nothing; the same book twice is imported once.
Rule 2:   at most AT_ONCE are followed at a time, however long the list is.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from bookline.cli.story import Story
from bookline.cli.views import View
from bookline.cli.words import count, ending
from bookline.client import BooklineClient
from bookline.errors import InvalidIsbn, Refused
from bookline.isbn import read_isbn
from bookline.values import Json

AT_ONCE = 32
DONE_SIGN = "✓"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list of books as it was given, read."""

    isbns: Sequence[str]
    """ISBN-13, each once, in the order given."""
    refused: Sequence[InvalidIsbn]
    repeated: Sequence[str]
    """As given, those whose book stands in the list before."""


@dataclass(slots=True)
class Outcome:
    """What came of all of them."""

    stories: list[Story] = field(default_factory=list)
    refused: int = 0
    is_watched: bool = True

    @property
    def failed(self) -> list[Story]:
        return [story for story in self.stories if self.is_watched and not story.is_good]

    @property
    def warned(self) -> list[Story]:
        return [story for story in self.stories if story.is_good and story.warnings]

    @property
    def is_good(self) -> bool:
        return not self.failed and not self.refused

    def to_json(self) -> Json:
        return {
            "started": len(self.stories),
            "done": sum(story.is_good for story in self.stories),
            "warned": len(self.warned),
            "failed": len(self.failed),
            "refused": self.refused,
            "failedIsbns": [story.isbn for story in self.failed],
        }

    def sentence(self) -> str:
        """``12 books imported, 1 with warnings; 1 failed``."""
        done = sum(story.is_good for story in self.stories)
        words = f"{count(done, 'book')} imported"
        if self.warned:
            words += f", {len(self.warned)} with warnings"
        if self.failed:
            words += f"; {len(self.failed)} failed"
        if self.refused:
            words += f"; {self.refused} not started"
        return words

    def again(self) -> Iterator[str]:
        """The failed ones as lines that ``import --file`` reads."""
        for story in self.failed:
            yield f"{story.isbn}  # {ending(story)}"


def read_lines(lines: Iterable[str]) -> list[str]:
    """The ISBNs of a list: one a line. What stands behind ``#`` is not read, nor are the lines
    with a ``✓`` that an import prints: so its output is a list of what failed.
    """
    told = (line.partition("#")[0].strip().lstrip("\ufeff") for line in lines)
    return [line for line in told if line and not line.startswith(DONE_SIGN)]


def read_wanted(texts: Iterable[str]) -> Wanted:
    """Which books are meant."""
    isbns: dict[str, None] = {}
    refused: list[InvalidIsbn] = []
    repeated: list[str] = []
    for text in texts:
        try:
            isbn = read_isbn(text).isbn13
        except InvalidIsbn as error:
            refused.append(error)
            continue
        if isbn in isbns:
            repeated.append(text)
        isbns[isbn] = None
    return Wanted(list(isbns), refused, repeated)


async def import_all(
    client: BooklineClient, wanted: Wanted, source: str, view: View, *, watch: bool
) -> Outcome:
    """Starts them all and, unless ``watch`` is off, follows each to its end.

    Raises: Refused when none can be started, TryLater when nothing goes on any more.
    """
    outcome = Outcome(refused=len(wanted.refused), is_watched=watch)
    waiting = iter(wanted.isbns)

    async def work() -> None:
        for isbn in waiting:
            story = Story(isbn)
            started = await client.start(isbn, source)
            story.job_id = started.job_id
            outcome.stories.append(story)
            view.accept(story)
            if watch:
                await follow(client, story, view)

    view.begin(len(wanted.isbns))
    workers = [asyncio.create_task(work()) for _ in range(min(AT_ONCE, len(wanted.isbns)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return outcome


async def follow(client: BooklineClient, story: Story, view: View, *, told: int = 0) -> None:
    """One import to its end; messages up to the seq ``told`` are known to whoever looks.

    Raises: Refused (JOB_NOT_FOUND), TryLater.
    """
    try:
        async with aclosing(client.follow(story.job_id)) as events:
            async for event in events:
                story.hear(event.raw)
                if event.seq > told:
                    view.hear(story, event.raw)
    finally:
        view.finish(story)


def tell_reading(wanted: Wanted, view: View) -> None:
    """Says what of a list was not taken, and why."""
    for error in wanted.refused:
        view.refuse(error.text, error_json(error))
    for text in wanted.repeated:
        view.notice(f"{text} is in the list before: imported once")


def error_json(error: Refused) -> Json:
    return {"code": error.code, "message": error.message}
