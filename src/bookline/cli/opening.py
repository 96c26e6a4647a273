"""Which Bookline a command talks to: the server that was named, the usual one, or its own.

Way:     a command → here → bookline/client: of a server, or of embedded.py's
Rule 1:  a server that was named must be there; the usual one is used if it answers at once.
Rule 2:  a command that only looks makes no data folder: where there is none, nothing is kept.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from bookline.client import BooklineClient, Notice, Unreachable
from bookline.setting_values import address
from bookline.settings import Settings

NAMED_SECONDS = 5.0  # a named server may be far away
PROBE_CONNECT_SECONDS = 0.5  # on one machine a port that nobody has refuses at once
PROBE_SECONDS = 3.0  # one that is busy may take a while to say that it is there


@asynccontextmanager
async def open_client(
    settings: Settings, server: str | None, notice: Notice, *, keeps: bool
) -> AsyncIterator[tuple[BooklineClient, str | None]]:
    """The client, and the server's address; None when it runs in this process. ``keeps`` is
    whether the command brings something that is to be kept.

    Raises: Unreachable, Refused, StoreDown.
    """
    if server is not None and not await find_server(server, NAMED_SECONDS, NAMED_SECONDS):
        raise Unreachable(f"no Bookline answers at {server}: start one with `bookline serve`")
    url = server or await find_usual(settings)
    if url is not None:
        key = next(iter(settings.api_keys), None)
        async with BooklineClient(url, key, notice=notice) as client:
            yield client, url
        return
    from bookline.cli.embedded import embedded

    with _with_folder(settings, keeps=keeps) as own:
        async with embedded(own, notice) as client:
            yield client, None


@contextmanager
def _with_folder(settings: Settings, *, keeps: bool) -> Iterator[Settings]:
    """These settings; where they have no folder to read, with an empty one for the block."""
    if keeps or settings.postgres_url or settings.database_dir.exists():
        yield settings
        return
    with TemporaryDirectory(prefix="bookline-", ignore_cleanup_errors=True) as folder:
        yield settings.model_copy(update={"data_dir": Path(folder), "database_url": ""})


async def find_usual(settings: Settings) -> str | None:
    """The address of the server that these settings would run, if it answers."""
    if settings.port == 0:
        return None
    url = address(settings.host, settings.port)
    return url if await find_server(url) else None


async def find_server(
    url: str, seconds: float = PROBE_SECONDS, connect_seconds: float = PROBE_CONNECT_SECONDS
) -> bool:
    """True if a Bookline answers there within the time."""
    timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=connect_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{url}/healthz") as answer,
        ):
            said = await answer.json()
        return said["success"] is True and said["data"]["status"] == "ok"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, TypeError, KeyError):
        return False
