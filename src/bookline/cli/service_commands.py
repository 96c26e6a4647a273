"""The commands around the service itself: serve, config, doctor, sandbox, demo."""

import gc
import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bookline.cli.asked import DONE, FAILED, JsonOption, ServerOption, asked_of, perform
from bookline.cli.views import results, say

if TYPE_CHECKING:
    from bookline.settings import Settings

PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="PORT", min=0, max=65_535, help="0 takes a free one.", show_default=False
    ),
]


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="The address to bind.", show_default=False),
    ] = None,
    port: PortOption = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Serve others than this machine without keys: something else checks callers.",
            show_default=False,
        ),
    ] = False,
    role: Annotated[
        Literal["all", "api", "worker"],
        typer.Option(
            "--role",
            metavar="ROLE",
            help="api: takes imports and shows them, and others do them; worker: does them, and "
            "answers health and metrics only.",
        ),
    ] = "all",
    processes: Annotated[
        int,
        typer.Option(
            "--processes",
            metavar="N",
            min=0,
            max=64,
            help="Server processes on this port and folder, each on a core; 0: one a core.",
        ),
    ] = 1,
    socket: Annotated[int | None, typer.Option("--socket", hidden=True)] = None,
    core: Annotated[
        int | None,
        typer.Option(
            "--core",
            metavar="N",
            min=0,
            show_default=False,
            help="Keep to this one core (0 is the first): less CPU an import.",
        ),
    ] = None,
) -> None:
    """Run the server: the API, the page and the imports. Ctrl-C stops it; nothing is lost."""
    asked = asked_of(ctx)

    async def work() -> int:
        gc.disable()  # until it is up: nothing of what it loads is garbage, a sixth of its CPU
        from bookline.cli.processes import cores, keep_to_one_core, serve_in_processes
        from bookline.logs import set_up_logs

        settings = _settings_with(HOST=host, PORT=port)
        set_up_logs(settings.log_level, settings.log_format)
        count = processes or len(cores()) or 1
        if count > 1:
            gc.enable()
            options = ["--role", role, *(["--insecure"] if insecure else [])]
            said = {"BOOKLINE_HOST": settings.host, "BOOKLINE_PORT": str(settings.port)}
            await serve_in_processes(settings, count, options, {**os.environ, **said})
            return DONE
        if core is not None:
            keep_to_one_core(core)
        from bookline.cli.serving import serve_until_told

        await serve_until_told(settings, insecure=insecure, role=role, inherited=socket)
        return DONE

    perform(asked, work, fast=True)


def _settings_with(**given: str | int | None) -> "Settings":
    """The environment's settings, with what the command line says above them."""
    from bookline.setting_values import PREFIX
    from bookline.settings import read_settings

    said = {PREFIX + name: str(value) for name, value in given.items() if value is not None}
    return read_settings({**os.environ, **said})


def config(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show every setting with what is in force; secrets are masked."""
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.cli import show
        from bookline.settings import read_settings, show_settings

        shown = show_settings(read_settings())
        asked.print(
            shown, lambda: show.facts({name: value or "-" for name, value in shown.items()})
        )
        return DONE

    perform(asked, work)


def doctor(ctx: typer.Context, server: ServerOption = None, json: JsonOption = False) -> None:
    """Check everything that Bookline needs; say what to do.

    Exit code: 1 when anything is wrong; what only limits it does not count.
    """
    asked = asked_of(ctx, server, json)

    async def work() -> int:
        from bookline.cli.doctor import examine, is_well, line
        from bookline.settings import read_settings

        findings = [finding async for finding in examine(read_settings(), asked.server)]
        value = {"ok": is_well(findings), "checks": [one.to_json() for one in findings]}
        asked.print(value, lambda: results(map(line, findings)))
        return DONE if is_well(findings) else FAILED

    perform(asked, work)


def sandbox(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="0 takes a free one.")
    ] = 0,
    latency_ms: Annotated[
        int,
        typer.Option(
            "--latency-ms", metavar="MS", min=0, max=60_000, help="How slow each answer is."
        ),
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Run a stand-in for the providers, for tests.

    It speaks their formats and has faults on demand; no key, no network. Prints the settings
    that make Bookline ask it, ready for `.env`.
    """
    asked = asked_of(ctx, None, json)
    asked.interrupted = "the sandbox is closed"

    async def work() -> int:
        from bookline.cli.serving import until_told
        from bookline_sandbox import Sandbox

        async with Sandbox(port, latency_ms) as running:
            settings = running.settings()
            asked.print(
                {"url": running.url, "settings": settings},
                lambda: results(f"{name}={value}" for name, value in settings.items()),
            )
            say(f"The sandbox is ready at {running.url} (faults: POST /_sandbox/faults)")
            await until_told()
        return DONE

    perform(asked, work, fast=True)


def demo(
    ctx: typer.Context,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="End by itself: 0 if all went as it should.", show_default=False
        ),
    ] = False,
    port: PortOption = None,
) -> None:
    """See it work, without key or network.

    Starts a server with its page, and imports a dozen books live from a stand-in.
    """
    asked = asked_of(ctx)

    async def work() -> int:
        from bookline.cli.demo import show_all

        return DONE if await show_all(asked.view(), port, once=once) else FAILED

    perform(asked, work, fast=True)
