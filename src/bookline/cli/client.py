"""What a command asks of Bookline, and how it asks a server.

Way:      a command → ``Client`` → here → bookline/client.py, or embedded.py (in this process)
Not here: patience, resume and keys: bookline/client.py.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol, Unpack

import aiohttp

from bookline.client import BookFilter, BooklineClient, Notice, RolloutChange
from bookline.values import Json

PROBE_CONNECT_SECONDS = 0.5  # on one machine a port that nobody has refuses at once
PROBE_SECONDS = 3.0  # one that is busy may take a while to say that it is there


class Client(Protocol):
    """Bookline, wherever it runs. Every value has the shape of the API's ``data``.

    Each raises: Refused for what cannot be had, TryLater for what may be had later.
    """

    async def start(self, isbn: str, source: str) -> Json: ...

    def follow(self, job_id: str) -> AsyncGenerator[Json, None]:
        """Every message of the job's story from its first, until its last end."""
        ...

    async def job(self, job_id: str) -> Json: ...

    async def jobs(self, *, status: str | None, limit: int, cursor: str | None) -> Json: ...

    async def cancel(self, job_id: str) -> Json: ...

    async def retry(self, job_id: str) -> Json: ...

    async def book(self, isbn: str) -> Json: ...

    async def books(
        self, *, limit: int, cursor: str | None, **query: Unpack[BookFilter]
    ) -> Json: ...

    async def edit(self, isbn: str, changes: Json) -> Json: ...

    async def keep_cover(self, isbn: str, picture: bytes) -> Json: ...

    async def delete(self, isbn: str) -> None: ...

    def export(self, form: str) -> AsyncGenerator[bytes, None]:
        """The whole library as ``csv``, ``json`` or ``goodreads``, in pieces."""
        ...

    async def search(self, text: str, *, limit: int) -> Json: ...

    async def rollout(self) -> Json: ...

    async def change_rollout(self, **changes: Unpack[RolloutChange]) -> Json: ...

    async def advance_rollout(self, reason: str, *, actor: str) -> Json: ...

    async def rollback_rollout(self, reason: str, *, actor: str) -> Json: ...

    async def import_metrics(self, window: str) -> Json: ...

    async def start_file(
        self, data: bytes, source: str, *, name: str | None, refresh: bool
    ) -> Json: ...

    async def preview_file(self, data: bytes) -> Json: ...

    def follow_batch(self, batch_id: str) -> AsyncGenerator[Json, None]:
        """Every message of the batch's story from its first, until its last end."""
        ...

    async def batch(self, batch_id: str) -> Json: ...

    async def batches(self, *, limit: int, cursor: str | None) -> Json: ...

    async def batch_items(
        self, batch_id: str, *, state: str | None, limit: int, cursor: str | None
    ) -> Json: ...

    async def cancel_batch(self, batch_id: str) -> Json: ...

    async def retry_batch(self, batch_id: str) -> Json: ...

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Json: ...

    async def failed(self, batch_id: str) -> str: ...


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


@asynccontextmanager
async def connect(url: str, key: str | None, notice: Notice) -> AsyncIterator["ServerClient"]:
    """A client of the server at ``url``, with an API key where it wants one."""
    async with BooklineClient(url, key, notice=notice) as server:
        yield ServerClient(server)


class ServerClient:
    """Fills the port Client: a server's values and events as they were sent."""

    def __init__(self, server: BooklineClient) -> None:
        self.job = server.status
        self.jobs = server.jobs
        self.cancel = server.cancel
        self.retry = server.retry
        self.book = server.book
        self.books = server.books
        self.search = server.search
        self.edit = server.edit
        self.keep_cover = server.keep_cover
        self.delete = server.delete
        self.export = server.export
        self.rollout = server.rollout
        self.change_rollout = server.change_rollout
        self.advance_rollout = server.advance_rollout
        self.rollback_rollout = server.rollback_rollout
        self.import_metrics = server.import_metrics
        self.start_file = server.start_file
        self.preview_file = server.preview_file
        self.follow_batch = server.follow_batch
        self.batch = server.batch
        self.batches = server.batches
        self.batch_items = server.batch_items
        self.cancel_batch = server.cancel_batch
        self.retry_batch = server.retry_batch
        self.choose = server.choose
        self.failed = server.failed
        self._server = server

    async def start(self, isbn: str, source: str) -> Json:
        return (await self._server.start(isbn, source)).raw

    async def follow(self, job_id: str) -> AsyncGenerator[Json, None]:
        async with aclosing(self._server.follow(job_id)) as events:
            async for event in events:
                yield event.raw
