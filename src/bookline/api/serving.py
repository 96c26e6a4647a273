"""The one start of a server: its socket, uvicorn around the application, the order of its stop.

Way:      ``serve``, a command that finds no server, tests → ``serving`` here → uvicorn → gate.py
Rule 1:   watchers are let go first, with 1001 or the end of their stream. uvicorn alone would hang
          up on sockets with 1012 and wait for streams without end.
Rule 2:   X-Forwarded-* is the gate's business (TRUSTED_PROXIES); uvicorn believes any local caller.
Rule 3:   uvicorn logs no request, and at ``debug`` no header: both hold keys and tokens.
Rule 4:   a watcher whose machine has vanished is found within 60 s, over WebSocket by the
          ping that it does not answer, over SSE by the ping that its machine does not confirm.
Rule 5:   nothing that goes wrong at the start shows a traceback.
Source:   tcp(7) for TCP_USER_TIMEOUT; RFC 9293 §3.8.3 (R1, R2) for why it is needed.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from bookline.api.listening import BACKLOG, listen
from bookline.api.peers import Peers
from bookline.api.protocols import GuardedHttp
from bookline.api.server import create_server
from bookline.api.sockets import WatchedSocket
from bookline.errors import TryLater
from bookline.setting_values import address
from bookline.settings import Role, Settings

STOP_SECONDS = 5  # for requests that are being answered when we are asked to stop
KEEP_ALIVE_SECONDS = 75  # our choice: longer than proxies keep an idle connection
COLLECT_AT = (10_000, 2, 350)
"""New objects, then rounds. The first is rare: a twentieth less CPU an import. What has outlived
three rounds is old, so that at most 40,000 objects are looked through at once, for some ms; those
of a thousand watchers that had just come, all together, held each of them up for 40 to 170 ms."""
THREAD_TURN_SECONDS = 0.001
"""How long a thread that computes may keep the others waiting (``sys.setswitchinterval``). With
Python's 5 ms each answer of PostgreSQL and each pass of the event loop could wait for so long, one
after the other: an event came to another node's watcher after hundreds of ms where threads were
busy."""
WATCHER_SAYS_BYTES = 16 * 1024  # what a watcher says has no meaning, so it may not be long
UNCONFIRMED_MS = 25_000  # a ping (progress/hub.py) and this are less than 60 s
KEEP_ALIVE_OPTIONS = {
    "TCP_KEEPIDLE": 15,  # seconds of silence before the first question
    "TCP_KEEPINTVL": 10,  # seconds between questions
    "TCP_KEEPCNT": 3,  # questions without an answer: 45 s in all
}

OPEN_FILES = 65_536  # our choice; the system's own hard limit counts where it is lower


@asynccontextmanager
async def serving(
    settings: Settings, *, insecure: bool = False, role: Role = "all", inherited: int | None = None
) -> AsyncIterator[tuple["BooklineServer", str]]:
    """A server that takes requests, and its address, until the block ends or it is told to stop.

    ``inherited`` is the number of a listening socket that the parent process has opened.

    Raises: Refused when it would be open to others without keys or a setting cannot be met,
    StoreDown, TryLater when the port is taken.
    """
    server = BooklineServer(settings, insecure=insecure, role=role)
    quiet_uvicorn()
    if inherited is None:
        listening = listen(settings.host, settings.port)
    else:
        listening = socket.socket(fileno=inherited)
    url = address(settings.host, listening.getsockname()[1])
    task = asyncio.create_task(_run(server, listening), name="server")
    try:
        up = asyncio.create_task(server.is_ready.wait())
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not server.is_ready.is_set():
            await task
        yield server, url
    finally:
        server.should_exit = True
        await _end_of(task)
        listening.close()


async def _end_of(task: "asyncio.Task[None]") -> None:
    """Waits for it, also when told in the middle to wait no longer: a stop is not stopped."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _run(server: "BooklineServer", listening: socket.socket) -> None:
    """Until it is told to stop. Raises: what kept it from starting."""
    try:
        await server.serve(sockets=[listening])
    except SystemExit as end:  # uvicorn's way to say that the start failed
        raise server.lifetime.error or TryLater("the server did not start") from end


class BooklineServer(uvicorn.Server):
    """uvicorn for one set of settings, with the signals left to whoever runs it.

    Raises: Refused when it would be open to others without keys.
    """

    def __init__(self, settings: Settings, *, insecure: bool, role: Role) -> None:
        self._gate = create_server(settings, insecure=insecure, role=role)
        self.lifetime = _Lifetime(self._gate)
        self.is_ready = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                self.lifetime,
                host=settings.host,
                port=settings.port,
                http=cast(Any, partial(GuardedHttp, peers=Peers(settings))),
                ws=WatchedSocket,
                ws_max_size=WATCHER_SAYS_BYTES,
                ws_ping_interval=None,  # the hub pings
                ws_per_message_deflate=False,  # events are small; a thousand compressors are not
                log_config=None,
                log_level="warning" if settings.log_level in {"warning", "error"} else "info",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        raise_open_files()
        await super().startup(sockets)
        if self.started:
            gc.freeze()  # what is there stays: looking through all of it took 0.1 to 0.3 s a time
            gc.enable()
            gc.set_threshold(*COLLECT_AT)
            sys.setswitchinterval(THREAD_TURN_SECONDS)
            for one in self.servers[0].sockets:
                with socket.socket(fileno=os.dup(one.fileno())) as listener:
                    _limit_silence(listener)
            self.is_ready.set()

    def stop(self) -> None:
        """Asks it to end; asked again, it waits for no request."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gate.let_watchers_go()
        await super().shutdown(sockets)


class _Lifetime:
    """The application; why it could not start is kept instead of logged, as is a second Ctrl-C."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_quietly(message: Message) -> None:
            is_told = message["type"] == "lifespan.startup.failed" or isinstance(
                sys.exception(), asyncio.CancelledError | KeyboardInterrupt
            )
            await send({**message, "message": ""} if is_told else message)

        try:
            await self._app(scope, receive, send_quietly)
        except Exception as error:
            self.error = error
            raise


def quiet_uvicorn() -> None:
    """Its warnings are worth a line; that it starts and stops, we say ourselves."""
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "startup failed" not in record.getMessage()  # the command says why


def _limit_silence(listener: socket.socket) -> None:
    """Lets the system end connections whose other side is gone: they inherit it from here.

    WebSockets have their own pings; this finds the watchers of an event stream.
    """
    options = {**KEEP_ALIVE_OPTIONS, "TCP_USER_TIMEOUT": UNCONFIRMED_MS}
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # Linux has all of them
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def raise_open_files() -> None:
    """Lets this process have as many open files as it may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft < most:
        with contextlib.suppress(ValueError, OSError):  # the system's last word
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
