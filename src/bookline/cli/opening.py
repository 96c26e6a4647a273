"""Which Bookline a command talks to: the server that was named, the usual one, or its own.

Way:     a command → here → client.py or embedded.py
Rule 1:  a server that was named must be there; the usual one is used if it answers at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bookline.cli.client import Client, connect, find_server
from bookline.client import Notice, Unreachable
from bookline.settings import Settings

NAMED_SECONDS = 5.0  # a named server may be far away


@asynccontextmanager
async def open_client(
    settings: Settings, server: str | None, notice: Notice
) -> AsyncIterator[tuple[Client, str | None]]:
    """The client, and the server's address; None when it runs in this process.

    Raises: Unreachable, Refused, StoreDown.
    """
    if server is not None and not await find_server(server, NAMED_SECONDS, NAMED_SECONDS):
        raise Unreachable(f"no Bookline answers at {server}: start one with `bookline serve`")
    url = server or await find_usual(settings)
    if url is not None:
        async with connect(url, next(iter(settings.api_keys), None), notice) as client:
            yield client, url
        return
    from bookline.cli.embedded import embedded

    async with embedded(settings) as here:
        yield here, None


async def find_usual(settings: Settings) -> str | None:
    """The address of the server that these settings would run, if it answers."""
    if settings.port == 0:
        return None
    url = address(settings.host, settings.port)
    return url if await find_server(url) else None


def address(host: str, port: int) -> str:
    """Where a server that binds this host is reached from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
