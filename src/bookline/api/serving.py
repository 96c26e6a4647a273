"""The server's process: uvicorn around the application, and the order in which it stops.

Way:      cli/ → here → uvicorn → gate.py
Rule 1:   watchers are let go first, with 1001 or the end of their stream. uvicorn alone would hang
          up on sockets with 1012 and wait for streams without end.
Rule 2:   X-Forwarded-* is the gate's business (TRUSTED_PROXIES); uvicorn believes any local caller.
Rule 3:   uvicorn logs no request, and at ``debug`` no header: both hold keys and tokens.
"""

import socket
from collections.abc import Callable

import uvicorn

from bookline.api.server import create_server
from bookline.settings import Settings

STOP_SECONDS = 5  # for requests that are being answered when we are asked to stop
KEEP_ALIVE_SECONDS = 75  # our choice: longer than proxies keep an idle connection
BACKLOG = 2_048
WATCHER_PING_SECONDS = 20.0  # a dead watcher is found within twice that (SPEC §4: 60 s)
WATCHER_SAYS_BYTES = 16 * 1024  # what a watcher says has no meaning, so it may not be long


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
        ready: Callable[[int], None] = lambda port: None,
    ) -> None:
        self._gate = create_server(settings, insecure=insecure)
        self._ready = ready
        super().__init__(
            uvicorn.Config(
                self._gate,
                host=settings.host,
                port=settings.port,
                http="httptools",
                ws="websockets-sansio",
                ws_max_size=WATCHER_SAYS_BYTES,
                ws_ping_interval=WATCHER_PING_SECONDS,
                ws_ping_timeout=WATCHER_PING_SECONDS,
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
        await super().startup(sockets)
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gate.let_watchers_go()
        await super().shutdown(sockets)
