"""The server's process: uvicorn around the application, and the order in which it stops.

Way:      cli/ → here → uvicorn → gate.py
Rule 1:   watchers are let go first, with 1001 or the end of their stream. uvicorn alone would hang
          up on sockets with 1012 and wait for streams without end.
Rule 2:   X-Forwarded-* is the gate's business (TRUSTED_PROXIES); uvicorn believes any local caller.
Rule 3:   uvicorn logs no request, and at ``debug`` no header: both hold keys and tokens.
Rule 4:   a watcher whose machine has vanished is found within 60 s, over WebSocket by the
          ping that it does not answer, over SSE by the ping that its machine does not confirm.
Source:   tcp(7) for TCP_USER_TIMEOUT; RFC 9293 §3.8.3 (R1, R2) for why it is needed.
"""

import contextlib
import gc
import os
import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn

from bookline.api.peers import Peers
from bookline.api.protocols import GuardedHttp, WatchedSocket
from bookline.api.server import create_server
from bookline.settings import Role, Settings

STOP_SECONDS = 5  # for requests that are being answered when we are asked to stop
KEEP_ALIVE_SECONDS = 75  # our choice: longer than proxies keep an idle connection
BACKLOG = 2_048
COLLECT_AT = (10_000, 20, 50)  # new objects, then rounds: a twentieth less CPU an import
WATCHER_SAYS_BYTES = 16 * 1024  # what a watcher says has no meaning, so it may not be long
UNCONFIRMED_MS = 25_000  # a ping (progress/hub.py) and this are less than 60 s
KEEP_ALIVE_OPTIONS = {
    "TCP_KEEPIDLE": 15,  # seconds of silence before the first question
    "TCP_KEEPINTVL": 10,  # seconds between questions
    "TCP_KEEPCNT": 3,  # questions without an answer: 45 s in all
}

OPEN_FILES = 65_536  # our choice; the system's own hard limit counts where it is lower


class BooklineServer(uvicorn.Server):
    """uvicorn for one set of settings: ``run()`` blocks, ``serve()`` is the same within a loop.

    ``ready`` is called with the port once requests are taken. ``started`` tells afterwards
    whether it came to that.

    Raises: Refused when it would be open to others without keys.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        insecure: bool = False,
        role: Role = "all",
        ready: Callable[[int], None] = lambda port: None,
    ) -> None:
        self._gate = create_server(settings, insecure=insecure, role=role)
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                self._gate,
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
            gc.set_threshold(*COLLECT_AT)
            for one in self.servers[0].sockets:
                with socket.socket(fileno=os.dup(one.fileno())) as listener:
                    _limit_silence(listener)
            self._ready(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gate.let_watchers_go()
        await super().shutdown(sockets)


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
