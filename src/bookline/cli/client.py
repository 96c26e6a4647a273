"""What a client can ask of Bookline, and the client of a server.

Way:      a command → ``Client`` → here (over HTTP) or embedded.py (in this process)
Rule 1:   a server that restarts is waited for; one that says "slow down" is obeyed. ``notice``
          hears of both, once.
Rule 2:   a start carries an Idempotency-Key, so asking again never starts a second import.
Source:   SPEC §3, §4; HTML Living Standard, "Server-sent events".
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp

from bookline.errors import Refused, TryLater
from bookline.model import TERMINAL, Json

Notice = Callable[[str], None]
"""Hears what is worth a line to the person who waits."""

PROBE_CONNECT_SECONDS = 0.5  # on one machine a port that nobody has refuses at once
PROBE_SECONDS = 3.0  # one that is busy may take a while to say that it is there
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
QUIET_SECONDS = 75.0  # a server pings every 30 s
PATIENCE_SECONDS = 60.0  # our choice: a restart takes seconds
PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0


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

    async def books(self, *, limit: int, cursor: str | None) -> Json: ...

    async def search(self, text: str, *, limit: int) -> Json: ...


class Unreachable(TryLater):
    """The server does not answer, and has not for as long as we wait."""

    code = "UNREACHABLE"


def is_end(message: Json) -> bool:
    """True for the last message of a run. Only an explicit retry of the job goes on behind it."""
    return message["type"] == "workflow_progress" and message["status"] in TERMINAL


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
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(
        headers=headers,
        timeout=timeout,
        connector=aiohttp.TCPConnector(limit=0),
        read_bufsize=2**18,  # a message has up to 32 KB and is one line
    ) as session:
        yield ServerClient(session, url, notice)


class ServerClient:
    """Fills the port Client over HTTP and Server-Sent Events."""

    def __init__(self, session: aiohttp.ClientSession, url: str, notice: Notice) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._notice = notice
        self._one_start = asyncio.Lock()
        self._down_since: float | None = None
        self._is_slowed = False

    async def start(self, isbn: str, source: str) -> Json:
        key = {"Idempotency-Key": secrets.token_urlsafe(16)}
        async with self._one_start:  # so that one waits for all when it must be slower
            return await self._ask(
                "POST", "/v2/import/workflow", body={"isbn": isbn, "source": source}, headers=key
            )

    async def follow(self, job_id: str) -> AsyncGenerator[Json, None]:
        seen, is_over = 0, False
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS)
        while not is_over:
            try:
                async with self._session.get(
                    f"{self._url}/v2/import/events/{job_id}",
                    headers={"Last-Event-ID": str(seen)},
                    timeout=timeout,
                ) as answer:
                    if answer.status == 204:
                        return
                    if answer.status != 200:
                        await self._read(answer)
                        continue
                    self._is_back()
                    async for message in _messages(answer.content):
                        if "seq" in message:
                            seen, is_over = message["seq"], is_end(message)
                            yield message
                if not is_over:
                    await asyncio.sleep(PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_over:
                    await self._wait(error)

    async def job(self, job_id: str) -> Json:
        return await self._ask("GET", f"/v2/import/status/{job_id}")

    async def jobs(self, *, status: str | None, limit: int, cursor: str | None) -> Json:
        return await self._ask(
            "GET", "/v2/import/jobs", query={"status": status, "limit": limit, "cursor": cursor}
        )

    async def cancel(self, job_id: str) -> Json:
        return await self._ask("POST", f"/v2/import/cancel/{job_id}", is_repeatable=False)

    async def retry(self, job_id: str) -> Json:
        return await self._ask("POST", f"/v2/import/retry/{job_id}", is_repeatable=False)

    async def book(self, isbn: str) -> Json:
        return await self._ask("GET", f"/v2/books/{isbn}")

    async def books(self, *, limit: int, cursor: str | None) -> Json:
        return await self._ask("GET", "/v2/books", query={"limit": limit, "cursor": cursor})

    async def search(self, text: str, *, limit: int) -> Json:
        return await self._ask("GET", "/v2/books/search", query={"q": text, "limit": limit})

    # -------------------------------------------------------------- one question
    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
    ) -> Json:
        """``data`` of the answer, however long the server is away or wants us to wait."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        while True:
            try:
                async with self._session.request(
                    method, self._url + path, json=body, params=given, headers=headers
                ) as answer:
                    data = await self._read(answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_repeatable and not isinstance(error, aiohttp.ClientConnectorError):
                    raise Unreachable(f"the connection broke: {_reason(error)}") from error
                await self._wait(error)
            else:
                if data is not None:
                    return data

    async def _read(self, answer: aiohttp.ClientResponse) -> Json | None:
        """``data``; None when it waited as it was told, and the question is to be put again.

        Raises: Refused, TryLater.
        """
        retry_after = answer.headers.get("Retry-After", "")
        said = await _envelope(answer)
        if said is not None and said["success"]:
            self._is_back()
            data: Json = said["data"]
            return data
        if answer.status == 429:
            await self._slow_down(float(retry_after) if retry_after.isdigit() else 1.0)
            return None
        if said is None:
            if answer.status < 502:
                raise TryLater(f"{self._url} is no Bookline (HTTP {answer.status})")
            await self._wait(TryLater(f"HTTP {answer.status}"))  # a proxy in front of it
            return None
        error = said["error"]
        if answer.status == 503 and retry_after:
            await self._wait(TryLater(error["message"]))
            return None
        if answer.status >= 500:
            raise TryLater(error["message"], error["code"])
        raise Refused(error["code"], error["message"], error.get("details"))

    # -------------------------------------------------------------- patience
    async def _slow_down(self, seconds: float) -> None:
        if not self._is_slowed:
            self._is_slowed = True
            self._notice(f"{self._url} limits requests; going on as fast as it lets us")
        await asyncio.sleep(seconds)

    async def _wait(self, error: Exception) -> None:
        """A pause before the next try. Raises: Unreachable when there were enough."""
        now = asyncio.get_running_loop().time()
        if self._down_since is None:
            self._down_since = now
            self._notice(
                f"{self._url} does not answer ({_reason(error)}); "
                f"trying again for {PATIENCE_SECONDS:g} s"
            )
        down_seconds = now - self._down_since
        if down_seconds > PATIENCE_SECONDS:
            raise Unreachable(f"{self._url} does not answer: {_reason(error)}") from error
        await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS + down_seconds / 4))

    def _is_back(self) -> None:
        if self._down_since is not None:
            self._down_since = None
            self._notice(f"{self._url} is back")


async def _envelope(answer: aiohttp.ClientResponse) -> Json | None:
    """The answer's JSON if it has Bookline's shape."""
    try:
        said = await answer.json(content_type=None)
    except ValueError:
        return None
    if not isinstance(said, dict) or "success" not in said:
        return None
    return said


async def _messages(lines: aiohttp.StreamReader) -> AsyncIterator[Json]:
    """The ``data:`` lines of an event stream. Bookline's messages are one line each."""
    async for line in lines:
        if line.startswith(b"data: ") and line.endswith(b"\n"):
            message: Json = json.loads(line[6:])
            yield message


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    return str(error) or type(error).__name__
