"""The commands for moving over: rollout …, metrics.

Way:      main.py → here → client.py (a server's, or this process's) → migration/rollouts.py
Rule 1:   every change has an actor: who is logged in here.
Not here: waiting until legacy is done: draining.py; the sentences: rollout_words.py; the picture:
          plot.py.
"""

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli import rollout_words as words
from bookline.cli.asked import DONE, FAILED, Asked, JsonOption, ServerOption, asked_of
from bookline.cli.draining import drain
from bookline.cli.import_commands import with_client
from bookline.cli.views import result, say
from bookline.cli.words import clean
from bookline.errors import Refused
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient, RolloutChange

ACTOR_CHARS, TEXT_CHARS = 100, 200  # the API's

ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.", show_default=False)
]
UsersOption = list[str] | None

rollout = typer.Typer(
    name="rollout", help="Move from the legacy importer to the workflow, stage by stage.",
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip


@rollout.callback(invoke_without_command=True)
def rollout_(ctx: typer.Context, server: ServerOption = None, json: JsonOption = False) -> None:
    """Move from the legacy importer to the workflow, stage by stage: 10, 50, 100 percent."""
    ctx.obj = asked_of(ctx, server, json)
    if ctx.invoked_subcommand is None:
        result(ctx.get_help())


# ------------------------------------------------------------------ looking
def status(ctx: typer.Context, server: ServerOption = None, json: JsonOption = False) -> None:
    """Show the rollout, and each gate with its numbers."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        found = await client.rollout()

        def tell() -> None:
            show.facts(words.rollout_facts(found))
            gates = words.gates_that_count(found)
            if gates:
                result("")
                show.table(words.GATE_HEADS, map(words.gate_row, gates), "")

        asked.print(found, tell)
        return DONE

    with_client(asked, work)


def history(ctx: typer.Context, server: ServerOption = None, json: JsonOption = False) -> None:
    """List the last 20 changes, newest first: when, who, what, why."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        past = (await client.rollout())["history"]
        rows = map(words.history_row, past)
        nothing = "nobody has changed it yet"
        asked.print({"items": past}, lambda: show.table(words.HISTORY_HEADS, rows, nothing))
        return DONE

    with_client(asked, work)


# ------------------------------------------------------------------ changing
def set_(
    ctx: typer.Context,
    percent: Annotated[
        int | None,
        typer.Option(
            "--percent", metavar="N", min=0, max=100, show_default=False,
            help="Who uses the workflow, whatever the gates say.",
        ),
    ] = None,
    salt: Annotated[
        str | None,
        typer.Option("--salt", metavar="TEXT", help="Deals everybody anew.", show_default=False),
    ] = None,
    kill_switch: Annotated[
        bool | None,
        typer.Option(
            "--kill-switch/--no-kill-switch", help="Everybody uses legacy.", show_default=False
        ),
    ] = None,
    automatic: Annotated[
        bool | None,
        typer.Option(
            "--automatic/--no-automatic", help="Let the gates advance it and roll it back.",
            show_default=False,
        ),
    ] = None,
    workflow: Annotated[
        UsersOption,
        typer.Option(
            "--workflow", metavar="USER", help="Send a tester by the workflow. Repeatable.",
            show_default=False,
        ),
    ] = None,
    legacy: Annotated[
        UsersOption,
        typer.Option(
            "--legacy", metavar="USER", help="Send a tester by legacy. Repeatable.",
            show_default=False,
        ),
    ] = None,
    forget: Annotated[
        UsersOption,
        typer.Option(
            "--forget", metavar="USER", help="Take a tester off the list. Repeatable.",
            show_default=False,
        ),
    ] = None,
    reason: ReasonOption = "",
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Change the rollout by hand, whatever the gates say.

    It holds from the next import on, in all processes.
    """
    asked = asked_of(ctx, server, json)
    named = (("workflow", workflow), ("legacy", legacy), (None, forget))

    async def work(client: "BooklineClient") -> int:
        change: RolloutChange = {}
        if percent is not None:
            change["percent"] = percent
        if salt is not None:
            change["salt"] = salt
        if kill_switch is not None:
            change["killSwitch"] = kill_switch
        if automatic is not None:
            change["automatic"] = automatic
        if users := _users(named):
            change["users"] = users
        if not change:
            raise Refused("INVALID_REQUEST", "nothing to change: see `bookline rollout set --help`")
        change["reason"], change["actor"] = reason, actor()
        return _tell(asked, await client.change_rollout(**change))

    with_client(asked, work, keeps=True)


def _users(named: tuple[tuple[str | None, UsersOption], ...]) -> dict[str, str | None]:
    """User → method. Raises: Refused for one who is sent two ways."""
    users: dict[str, str | None] = {}
    for method, names in named:
        for name in names or ():
            if users.get(name, method) != method:
                raise Refused("INVALID_REQUEST", f"{name} cannot go two ways")
            users[name] = method
    return users


def advance(
    ctx: typer.Context,
    reason: ReasonOption = "",
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Go to the next stage, if every gate lets it.

    Exit code: 1 when one does not; each that is closed is told, and by how much.
    """
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        try:
            return _tell(asked, await client.advance_rollout(reason, actor=actor()))
        except Refused as refused:
            gates = (refused.details or {}).get("gates")
            if asked.json or not isinstance(gates, list):
                raise
            _tell_closed(refused, gates)
            return FAILED

    with_client(asked, work, keeps=True)


def _tell_closed(refused: Refused, gates: list[Json]) -> None:
    say(f"bookline: {refused.message.partition(':')[0]}:")
    for gate in gates:
        if not gate["passed"]:
            by = words.gate_gap(gate)
            say(f"  {gate['gate']:<10}{words.gate_state(gate)}{f', {by}' if by else ''}: "
                f"{gate['message']}")  # fmt: skip


def rollback(
    ctx: typer.Context,
    reason: ReasonOption = "",
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Send everybody back to legacy. What runs by the workflow ends there."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        return _tell(asked, await client.rollback_rollout(reason, actor=actor()))

    with_client(asked, work, keeps=True)


def incident(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What is wrong.")],
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Open an incident: nothing advances until it is resolved."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        told = " ".join(text)
        after = await client.change_rollout(
            incident=told, actor=actor(), reason=f"incident: {told}"
        )
        number = after["incidents"][-1]["number"]
        asked.print(after, lambda: result(f"incident {number} is open"))
        return DONE

    with_client(asked, work, keeps=True)


def resolve(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `rollout status` tells it.")],
    reason: ReasonOption = "",
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Close an incident, after somebody has looked."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        why = reason or f"incident {number} is over"
        after = await client.change_rollout(resolve=number, actor=actor(), reason=why)
        asked.print(after, lambda: result(f"incident {number} is resolved"))
        return DONE

    with_client(asked, work, keeps=True)


def _tell(asked: Asked, after: Json) -> int:
    asked.print(after, lambda: result(words.share_words(after)))
    return DONE


def actor() -> str:
    """Who is logged in on this machine."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return clean(name)[:ACTOR_CHARS]


# ------------------------------------------------------------------ numbers
def metrics(
    ctx: typer.Context,
    window: Annotated[
        str, typer.Option("--window", metavar="TIME", help="How far back: 15m, 24h; 7d at most.")
    ] = "24h",
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw it too, into a .svg or .png.", show_default=False
        ),
    ] = None,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Compare workflow and legacy in numbers: success, durations, stages."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show
        from bookline.cli.plot import check_plot, write_plot

        if plot is not None:
            check_plot(plot)
        found = await client.import_metrics(window)
        nothing = f"no import ended in the last {window}"
        rows = [] if words.nothing_yet(found) else words.metric_rows(found)
        heads = (f"last {window}", "workflow", "legacy", "difference")
        asked.print(found, lambda: show.table(heads, rows, nothing))
        if plot is not None:
            write_plot(found, plot)
            say(f"drawn: {plot}")
        return DONE

    with_client(asked, work)


for command in (status, set_, advance, rollback, drain, history, incident, resolve):
    rollout.command(command.__name__.rstrip("_"))(command)
