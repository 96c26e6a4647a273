"""What every command shares: the global options, and errors turned into words and exit codes.

Rule 1:  0 done · 1 failed · 2 usage · 3 not found · 130 interrupted (docs/contract.md).
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bookline.cli.views import JsonView, PlainView, View, result, say
from bookline.errors import BooklineError, Refused
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient
    from bookline.settings import Settings

DONE, FAILED, USAGE, NOT_FOUND = 0, 1, 2, 3
INTERRUPTED, TERMINATED = 130, 143  # 128 + SIGINT, 128 + SIGTERM
EXIT_CODES = {
    "INVALID_REQUEST": USAGE,
    "INVALID_ISBN": USAGE,
    "INVALID_SOURCE": USAGE,
    "SOURCE_NOT_CONFIGURED": USAGE,
    "MISSING_JOB_ID": USAGE,
    "UNREADABLE_FILE": USAGE,
    "UNSUPPORTED_FORMAT": USAGE,
    "PAYLOAD_TOO_LARGE": USAGE,
    "FORBIDDEN": USAGE,
    "NOT_FOUND": NOT_FOUND,
    "JOB_NOT_FOUND": NOT_FOUND,
    "BATCH_NOT_FOUND": NOT_FOUND,
    "BOOK_NOT_FOUND": NOT_FOUND,
}

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="The server to ask. Without it: the one at HOST:PORT of the settings if it runs, "
        "else Bookline runs inside this command.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout, for programs.", show_default=False)
]


@dataclass(slots=True)
class Asked:
    """The global options, given before the command or behind it."""

    server: str | None = None
    json: bool = False
    interrupted: str = "interrupted"
    """What to say after Ctrl-C."""
    where: str = ""
    """Where what was started continues after it."""

    def also(self, server: str | None, json: bool) -> "Asked":
        return Asked(server=server or self.server, json=json or self.json)

    @asynccontextmanager
    async def client(
        self, settings: "Settings", notice: Callable[[str], None] = say, *, keeps: bool = False
    ) -> AsyncIterator[tuple["BooklineClient", str | None]]:
        """Bookline, and its server's address if it is one. ``keeps`` is whether the command brings
        something that is to be kept.
        """
        from bookline.cli.opening import open_client

        async with open_client(settings, self.server, notice, keeps=keeps) as (client, url):
            self.where = f"in the server at {url}" if url else "at the next start: `bookline serve`"
            self.interrupted = f"interrupted; what was started is safe and continues {self.where}"
            yield client, url

    def view(self) -> View:
        """How imports are shown: as JSON, as bars on a terminal, else as lines."""
        if self.json:
            return JsonView()
        if sys.stderr.isatty():
            from bookline.cli.live import LiveView

            return LiveView()
        return PlainView()

    def print(self, value: Json, words: Callable[[], object]) -> None:
        """The result: as JSON, or as ``words`` prints it."""
        if self.json:
            result(json.dumps(value, ensure_ascii=False, indent=2))
        else:
            words()

    def complain(self, code: str, message: str, details: Json | None = None) -> None:
        """An error on stderr."""
        if self.json:
            error = {"code": code, "message": message, **({"details": details} if details else {})}
            say(json.dumps({"error": error}, ensure_ascii=False))
        else:
            for line in message.splitlines():
                say(f"bookline: {line}")


def asked_of(ctx: typer.Context, server: str | None = None, json: bool = False) -> Asked:
    """The global options of a command, wherever they stood."""
    given: Asked = ctx.obj or Asked()
    return given.also(server, json)


def perform(
    asked: Asked, work: Callable[[], Coroutine[Any, Any, int]], *, fast: bool = False
) -> None:
    """Runs a command to its exit code; ``fast`` takes the quicker event loop, for servers."""
    told: list[int] = []

    async def stoppable() -> int:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop(number: int, _: object = None) -> None:
            """Each time by a cancel; asyncio's own handler breaks into whatever is being done at
            the second.
            """
            told.append(number)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

        if before == signal.default_int_handler:  # else it is ignored, as behind `nohup … &`
            signal.signal(signal.SIGINT, stop)
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, stop, signal.SIGTERM)
        return await work()

    before = signal.getsignal(signal.SIGINT)
    try:
        if fast:
            import uvloop

            code = uvloop.run(stoppable())
        else:
            code = asyncio.run(stoppable())
    except Refused as error:
        asked.complain(error.code, error.message, error.details)
        code = EXIT_CODES.get(error.code, FAILED)
    except BooklineError as error:
        asked.complain(error.code, str(error))
        code = FAILED
    except BrokenPipeError:  # whoever reads has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        code = FAILED
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        asked.complain("INTERNAL_ERROR", f"{named}{error.strerror or error}")
        code = FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(asked.interrupted)
        code = TERMINATED if told[:1] == [signal.SIGTERM] else INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    raise typer.Exit(code)
