"""Runs the sandbox: in this process for tests and the demo, or until it is cancelled.

Rule 1: it binds the address it was given, 127.0.0.1 by default, and no other.
Rule 2: it closes at once: hanging requests are cut.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bookline_sandbox.app import World, create_app
from bookline_sandbox.catalogue import PROVIDERS, Catalogue, read_book
from bookline_sandbox.faults import Faults

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # our choice: longer than a client keeps an idle connection


def _protocol(transports: dict[Any, asyncio.Transport]) -> type[HttpToolsProtocol]:
    """A protocol that records each connection's transport under its client's address."""

    class Recording(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.client, None)
            super().connection_lost(exc)

    return Recording


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and stopped by an event instead of a look each 0.1 s."""

    def __init__(self, config: uvicorn.Config, transports: dict[Any, asyncio.Transport]) -> None:
        super().__init__(config)
        self._transports = transports
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        counter = 0
        while not self.stopping.is_set():
            await self.on_tick(counter)
            counter += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for transport in list(self._transports.values()):
            transport.abort()
        await super().shutdown(sockets)


class Sandbox:
    """`async with Sandbox() as sandbox:` serves at `sandbox.url` until the block ends."""

    def __init__(
        self,
        port: int = 0,
        latency_ms: float = 0,
        *,
        host: str = "127.0.0.1",
        require_keys: bool = False,
    ) -> None:
        self._world = World(latency_ms=latency_ms, require_keys=require_keys)
        self._host = host
        self._port = port
        self._transports: dict[Any, asyncio.Transport] = {}
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def host_and_port(self) -> str:
        """Where it is served, as in a Host header."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{self.host_and_port}"

    @property
    def faults(self) -> Faults:
        """The rules: `faults.add(kind="429", isbn=…)`, `faults.clear()`."""
        return self._world.faults

    @property
    def catalogue(self) -> Catalogue:
        """The books it knows."""
        return self._world.catalogue

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The last requests, in order."""
        return self._world.journal.entries()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How often each ISBN was asked, by route."""
        return self._world.journal.counts()

    def forget_requests(self) -> None:
        """Empty `requests` and `counts`."""
        self._world.journal.clear()

    def add_book(self, **facts: Any) -> str:
        """Add a book of the catalogue's shape; its ISBN-13. Raises: BadBook."""
        book = read_book(facts)
        self.catalogue.add(book)
        return book.isbn13

    def make(
        self, count: int, prefix: str = "978999", known_by: Iterable[str] = PROVIDERS
    ) -> list[str]:
        """Add this many made-up books; their ISBNs. Raises: BadBook."""
        return self.catalogue.make(count, prefix, tuple(known_by))

    def settings(self) -> dict[str, str]:
        """The environment that makes Bookline ask this sandbox instead of the providers."""
        return {
            "BOOKLINE_GOOGLE_BOOKS_URL": f"{self.url}/books/v1",
            "BOOKLINE_ISBNDB_URL": f"{self.url}/isbndb",
            "BOOKLINE_OPENLIBRARY_URL": f"{self.url}/openlibrary",
            "BOOKLINE_OPENLIBRARY_COVERS_URL": f"{self.url}/covers",
            "BOOKLINE_COVER_HOSTS": self.host_and_port,
            "BOOKLINE_ALLOW_PRIVATE_COVERS": "on",
        }

    async def __aenter__(self) -> Self:
        listening = _listen(self._host, self._port)
        self._port = listening.getsockname()[1]
        app = create_app(self._world)
        config = uvicorn.Config(
            _with_transports(app, self._transports.get),
            http=_protocol(self._transports),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            backlog=BACKLOG,
        )
        self._server = _Server(config, self._transports)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            ready.cancel()
            await self._task
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server and self._task:
            self._server.stopping.set()
            await self._task

    async def forever(self) -> None:
        """Wait until the server ends, which it does by an error only."""
        if self._task:
            await asyncio.shield(self._task)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the sandbox serves this machine only, not {host}")
    # Without the protocol's number asyncio leaves Nagle's delay on: 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _with_transports(app: Any, transport_of: Callable[[Any], Any]) -> Any:
    async def served(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["transport_of"] = transport_of
        await app(scope, receive, send)

    return served


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Iterable[Mapping[str, Any]] = (),
    latency_ms: float = 0,
    *,
    require_keys: bool = False,
    ready: Callable[[Sandbox], None] = lambda sandbox: None,
) -> None:
    """Serve until cancelled; `ready` is called once, when the port is open.

    Raises: BadRule, if a fault makes no sense; OSError, if the port is taken.
    """
    async with Sandbox(port, latency_ms, host=host, require_keys=require_keys) as sandbox:
        sandbox.faults.add(*faults)
        ready(sandbox)
        await sandbox.forever()
