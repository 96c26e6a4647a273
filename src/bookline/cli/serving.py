"""The server as a process: its socket, its one line when it is ready, its good end.

Way:      the commands ``serve`` and ``demo`` → here → api/serving.py
Rule 1:   nothing that goes wrong at the start shows a traceback.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from bookline.api.serving import BACKLOG, BooklineServer
from bookline.cli.opening import address
from bookline.cli.views import say
from bookline.errors import TryLater
from bookline.settings import Role, Settings

log = logging.getLogger(__name__)


class Server(BooklineServer):
    """The server, with the signals left to whoever runs it."""

    def __init__(
        self, settings: Settings, *, insecure: bool, role: Role, ready: Callable[[int], None]
    ) -> None:
        super().__init__(settings, insecure=insecure, role=role, ready=ready)
        self.start = _Remembering(self.config.app)
        self.config.app = self.start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Asks it to end; asked again, it waits for no request."""
        self.force_exit = self.should_exit
        self.should_exit = True


class _Remembering:
    """The application; why it could not start is kept instead of logged."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_quietly(message: Message) -> None:
            failed = message["type"] == "lifespan.startup.failed"
            await send({**message, "message": ""} if failed else message)

        try:
            await self._app(scope, receive, send_quietly)
        except Exception as error:
            self.error = error
            raise


@asynccontextmanager
async def serving(
    settings: Settings, *, insecure: bool = False, role: Role = "all", inherited: int | None = None
) -> AsyncIterator[tuple[Server, str]]:
    """A running server and its address, until the block ends or it is told to stop.

    ``inherited`` is the number of a listening socket that the parent process has opened.

    Raises: Refused, StoreDown, TryLater when the port is taken.
    """
    ready = asyncio.Event()
    server = Server(settings, insecure=insecure, role=role, ready=lambda port: ready.set())
    quiet_uvicorn()
    if inherited is None:
        listening = listen(settings.host, settings.port)
    else:
        listening = socket.socket(fileno=inherited)
    url = address(settings.host, listening.getsockname()[1])
    task = asyncio.create_task(_run(server, listening), name="server")
    try:
        up = asyncio.create_task(ready.wait())
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not ready.is_set():
            await task
        yield server, url
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        listening.close()


async def _run(server: Server, listening: socket.socket) -> None:
    """Until it is told to stop. Raises: what kept it from starting."""
    try:
        await server.serve(sockets=[listening])
    except SystemExit as end:  # uvicorn's way to say that the start failed
        raise server.start.error or TryLater("the server did not start") from end


async def serve_until_told(
    settings: Settings, *, insecure: bool = False, role: Role = "all", inherited: int | None = None
) -> None:
    """The command ``serve``: until SIGINT, SIGTERM or the end of the parent with the socket.

    Raises: as ``serving``.
    """
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


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises: TryLater when it cannot be had."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise TryLater(f"cannot serve at {host}: {error}") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise TryLater(
                f"port {port} is taken: another Bookline may run there; "
                "take another by --port, or --port 0 for a free one"
            ) from error
        raise TryLater(f"cannot serve at {host}:{port}: {error.strerror}") from error
    return listening


def quiet_uvicorn() -> None:
    """Its warnings are worth a line; that it starts and stops, we say ourselves."""
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "startup failed" not in record.getMessage()  # the command says why


def _shown(settings: Settings) -> str:
    folder = settings.data_dir
    return str(folder) if folder.is_absolute() else f"./{folder}"
