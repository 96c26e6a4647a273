"""What aiohttp leaves without a bound: slow name servers, and interim answers without end.

Way:      aiohttp_http.py and cover_fetcher.py give these to their sessions
Rule 1:   names are looked up in threads of their own. asyncio's default threads are the engine's:
          one slow name server there holds up every import.
Rule 2:   each name is looked up once at a time, whoever asks, and by a thread that does not keep
          the process from ending.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

LOOK_UP_SECONDS = 5.0  # our choice; for a provider it is reach.py's
LOOK_UPS_MOST = 32  # names at once
INTERIM_MOST = 16  # RFC 9110 §15.2 sets no bound; servers send one or two

Key = tuple[str, int, int]
Found = list[ResolveResult]


class NameLookUp(AbstractResolver):
    """The system's resolver. ``limit_seconds`` is how long a host's name may take."""

    def __init__(self, limit_seconds: Callable[[str], float] | None = None) -> None:
        self._limit_seconds = limit_seconds or (lambda host: LOOK_UP_SECONDS)
        self._running: dict[Key, asyncio.Future[Found]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Found:
        """Raises: OSError when there is no such name, or no answer in time."""
        key = (host, port, int(family))
        found = self._running.get(key)
        if found is None:
            if len(self._running) >= LOOK_UPS_MOST:
                raise OSError(f"{LOOK_UPS_MOST} names are being looked up; {host} has to wait")
            found = self._running[key] = self._begin(key)
        try:
            async with asyncio.timeout(self._limit_seconds(host)):
                return await asyncio.shield(found)
        except TimeoutError as error:
            raise OSError(f"the name server did not answer for {host} in time") from error

    async def close(self) -> None:
        """A look-up that is under way ends by itself."""

    def _begin(self, key: Key) -> asyncio.Future[Found]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Found] = loop.create_future()
        found.add_done_callback(lambda _: self._running.pop(key, None))
        found.add_done_callback(lambda done: done.cancelled() or done.exception())  # is seen

        def end(value: Found | OSError) -> None:
            if found.done():
                return
            if isinstance(value, OSError):
                found.set_exception(value)
            else:
                found.set_result(value)

        def look_up() -> None:
            value: Found | OSError
            try:
                value = _look_up(*key)
            except OSError as error:
                value = error
            except UnicodeError as error:  # a name that cannot be one
                value = OSError(str(error))
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(end, value)

        threading.Thread(target=look_up, name=f"look-up {key[0]}", daemon=True).start()
        return found


def _look_up(host: str, port: int, family: int) -> Found:
    infos = socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
        if kind in {socket.AF_INET, socket.AF_INET6}
    ]


class BoundedResponse(aiohttp.ClientResponse):
    """An answer before which only so many interim ones (1xx) are taken."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        read, count = protocol.read, 0

        async def read_counted() -> Any:
            nonlocal count
            count += 1
            if count > INTERIM_MOST:
                raise aiohttp.ClientPayloadError("too many interim answers")
            return await read()

        protocol.read = read_counted
        try:
            return await super().start(connection)
        finally:
            protocol.read = read
