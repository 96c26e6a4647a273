"""The command ``bookline``: its global options and its commands.

Way:      the script or ``python -m bookline`` → here → *_commands.py
Rule 1:   what is heavy (the engine, the server, pictures, weights) is imported by the commands
          that need it: the help is there at once.
"""

import re
import sys
from typing import Annotated

import typer

import bookline
from bookline.cli import (
    backup_commands,
    batch_commands,
    import_commands,
    library_commands,
    rollout_commands,
    service_commands,
    trial_commands,
    webhook_commands,
)
from bookline.cli.asked import USAGE, Asked, JsonOption, ServerOption
from bookline.cli.views import result, say

app = typer.Typer(
    name="bookline",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(is_asked: bool) -> None:
    if is_asked:
        result(f"bookline {bookline.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def bookline_(
    ctx: typer.Context,
    server: ServerOption = None,
    json: JsonOption = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version.",
            show_default=False,
        ),
    ] = False,
) -> None:  # fmt: skip
    """Import books by ISBN, durably, and watch every step live.

    Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed, 2 usage,
    3 not found, 130 interrupted. Settings: `bookline config`.
    """
    ctx.obj = Asked(server=server, json=json)
    if ctx.invoked_subcommand is None:
        result(ctx.get_help())


for command in (
    service_commands.serve,
    import_commands.import_,
    import_commands.status,
    import_commands.watch,
    import_commands.cancel,
    import_commands.retry,
    import_commands.jobs,
    batch_commands.batch,
    batch_commands.review,
    library_commands.books,
    library_commands.book,
    library_commands.search,
    library_commands.edit,
    library_commands.delete,
    library_commands.export,
    rollout_commands.metrics,
    service_commands.config,
    service_commands.doctor,
    backup_commands.backup,
    backup_commands.restore,
    backup_commands.move_database,
    service_commands.sandbox,
    service_commands.demo,
):
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
app.add_typer(webhook_commands.webhooks)
app.add_typer(trial_commands.rollout)  # with the commands of both files


# What moves a terminal's cursor, colours or title: C0 without tab and line ends, DEL, C1.
_TERMINAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def run() -> None:
    """The script's entry."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if any(_TERMINAL.search(argument) for argument in sys.argv[1:]):
        say("An argument holds control characters, and no command takes any.")
        sys.exit(USAGE)
    app(prog_name="bookline")
