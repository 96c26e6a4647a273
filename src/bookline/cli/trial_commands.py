"""The commands that try the move out, and change nothing: rollout compare, rollout rehearse.

Way:      main.py → here → comparing.py, rehearsing.py
"""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli.asked import DONE, FAILED, JsonOption, asked_of, perform
from bookline.cli.rollout_commands import rollout
from bookline.cli.views import result, say

if TYPE_CHECKING:
    from bookline.cli.comparing import Pair
    from bookline.cli.rehearsing import Rehearsal

COMPARE_HEADS = ("isbn", "status", "books and events", "workflow ms", "legacy ms")


def compare(
    ctx: typer.Context,
    isbns: Annotated[
        list[str] | None,
        typer.Argument(metavar="ISBN", help="Without any: books of the sandbox."),
    ] = None,
    source: Annotated[
        str,
        typer.Option("--source", metavar="SOURCE", help="auto, google_books, isbndb, openlibrary."),
    ] = "auto",
    count: Annotated[
        int,
        typer.Option(
            "--count", metavar="N", min=1, max=250, help="How many of the sandbox's books."
        ),
    ] = 12,
    json: JsonOption = False,
) -> None:
    """Import books by both methods and compare what came out, byte for byte.

    Into two libraries that go at the end; yours is not touched. ISBNs are asked of the providers
    of the settings. Exit code: 1 when anything differs.
    """
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.cli.comparing import compare, compare_in_sandbox
        from bookline.cli.embedded import quiet_logs
        from bookline.settings import read_settings

        if isbns:
            settings = read_settings()
            quiet_logs(settings)
            pairs = await compare(settings, isbns, source)
        else:
            pairs = await compare_in_sandbox(source, count)
        equal = not any(pair.differences for pair in pairs)
        told = {"equal": equal, "items": [pair.to_json() for pair in pairs]}
        asked.print(told, lambda: _show(pairs))
        return DONE if equal else FAILED

    perform(asked, work)


def _show(pairs: "list[Pair]") -> None:
    from bookline.cli import show
    from bookline.migration.metrics import percentile

    rows = [
        [
            pair.isbn,
            pair.workflow.status,
            "differ" if pair.differences else "equal",
            pair.workflow.duration_ms,
            pair.legacy.duration_ms,
        ]
        for pair in pairs
    ]
    show.table(COMPARE_HEADS, rows, "nothing was compared")
    for pair in pairs:
        for difference in pair.differences:
            say(f"{pair.isbn}: {difference}")
    times = [
        sorted(side.duration_ms for side in sides)
        for sides in ([pair.workflow for pair in pairs], [pair.legacy for pair in pairs])
    ]
    same = sum(not pair.differences for pair in pairs)
    result(
        f"{same} of {len(pairs)} equal; P50 {percentile(times[0], 50)} | {percentile(times[1], 50)}"
        f" ms, P95 {percentile(times[0], 95)} | {percentile(times[1], 95)} ms (workflow | legacy)"
    )


def rehearse(
    ctx: typer.Context,
    fault: Annotated[
        bool,
        typer.Option(
            "--fault", help="Give the workflow a fault: it must roll back.", show_default=False
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Go through the whole move in a minute, on a stand-in for the providers.

    Simulated readers, both importers, the usual gates; nothing is kept. Exit code: 1 unless a
    healthy workflow reaches 100 percent, and one with a fault is back at 0.
    """
    asked = asked_of(ctx, None, json)
    asked.interrupted = "the rehearsal is over; nothing is kept"

    async def work() -> int:
        from bookline.cli.rehearsing import rehearse
        from bookline.logs import set_up_logs

        set_up_logs("error", "text")
        logging.getLogger("bookline.migration").setLevel(logging.CRITICAL)  # it is told here
        done = await rehearse(faulty=fault, tell=say)
        asked.print(done.to_json(), lambda: _sum_up(done))
        return DONE if done.is_as_it_should_be else FAILED

    perform(asked, work, fast=True)


def _sum_up(done: "Rehearsal") -> None:
    from bookline.cli import rollout_words as words
    from bookline.cli import show

    show.table(
        ("rehearsal", "workflow", "legacy", "difference"), words.metric_rows(done.metrics), ""
    )
    result("")
    show.table(words.HISTORY_HEADS, map(words.history_row, done.rollout["history"]), "")
    kind = "with a fault" if done.faulty else "healthy"
    verdict = "as it should" if done.is_as_it_should_be else "NOT as it should"
    left = "" if done.drained else "; jobs were left open"
    result(f"\n{kind}: ended at {done.percent} % after {done.seconds:.0f} s, {verdict}{left}")


__all__ = ["rollout"]
for command in (compare, rehearse):
    rollout.command(command.__name__)(command)
