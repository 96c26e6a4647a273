"""The command ``serve``: the server as a process, its one line when it is ready, its good end.

Way:      the commands ``serve`` and ``demo`` → here → api/serving.py
Rule 1:   who only waits for a signal, or has children that serve, loads no server.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from bookline.cli.views import say
from bookline.settings import Role, Settings

log = logging.getLogger(__name__)


async def serve_until_told(
    settings: Settings, *, insecure: bool = False, role: Role = "all", inherited: int | None = None
) -> None:
    """The command ``serve``: until SIGINT, SIGTERM or the end of the parent with the socket.

    Raises: as ``serving``.
    """
    from bookline.api.serving import serving

    async with serving(settings, insecure=insecure, role=role, inherited=inherited) as (
        server,
        url,
    ):
        if inherited is None:
            announce(settings, f"Bookline is ready at {url} (data in {_shown(settings)})")
        else:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            _tell_at_the_parents_end()
        await until_told(server.stop)


def _tell_at_the_parents_end() -> None:
    """Sends this process SIGTERM when stdin, whose other end the parent holds, is closed."""
    stdin, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def hear() -> None:
        if not os.read(stdin, 1024):
            loop.remove_reader(stdin)
            signal.raise_signal(signal.SIGTERM)

    loop.add_reader(stdin, hear)


def announce(settings: Settings, sentence: str) -> None:
    """Says it to people, or in the log where every line has to be an object."""
    if settings.log_format == "json":
        log.info("%s", sentence)
    else:
        say(sentence)


async def until_told(then: Callable[[], None] = lambda: None) -> None:
    """Returns at the first SIGINT or SIGTERM; ``then`` is called at each."""
    told = asyncio.Event()

    def hear() -> None:
        told.set()
        then()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, hear)
    await told.wait()


def _shown(settings: Settings) -> str:
    folder = settings.data_dir
    return str(folder) if folder.is_absolute() else f"./{folder}"
