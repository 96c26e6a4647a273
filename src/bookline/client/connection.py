"""One server, asked with patience: requests, event streams, waits.

Way:      imports.py, batches.py, library.py, rollout.py → here → the API, over HTTP and
          Server-Sent Events
Rule 1:   a server that restarts is waited for; one that says "slow down" is obeyed. ``notice``
          hears of both, once.
Source:   HTML Living Standard, "Server-sent events".
"""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from bookline.errors import Refused, TryLater
from bookline.values import Json

Notice = Callable[[str], None]
"""Hears what is worth a line to the person who waits."""

_Answer = AbstractAsyncContextManager[aiohttp.ClientResponse]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
QUIET_SECONDS = 75.0  # a server pings every 30 s
PATIENCE_SECONDS = 60.0  # our choice: a restart takes seconds
PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
LINE_BYTES = 2**18  # a message has up to 32 KB and is one line


class Unreachable(TryLater):
    """The server does not answer, and has not for as long as we wait."""

    code = "UNREACHABLE"


class Connection:
    """What all calls of the client stand on. Opened and closed as ``async with``."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        notice: Notice | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._notice = notice or (lambda _: None)
        self._patience_seconds = patience_seconds
        self.one_start = asyncio.Lock()
        """Starts go one by one, so that one waits for all when it must be slower."""
        self._down_since: float | None = None
        self._is_slowed = False
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
            read_bufsize=LINE_BYTES,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def follow_stream(
        self, path: str, after: int, token: str | None, is_end: Callable[[Json], bool]
    ) -> AsyncGenerator[Json, None]:
        """Each message behind ``after`` once, in order, through any break, until the last."""
        seen, is_over, pause_seconds = after, False, PAUSE_SECONDS
        while not is_over:
            try:
                async with self._watch(path, seen, token) as answer:
                    if answer.status == 204:
                        return
                    async for message in self._messages(answer):
                        pause_seconds = PAUSE_SECONDS
                        if message.get("seq", 0) > seen:  # a ping has no seq
                            seen, is_over = message["seq"], is_end(message)
                            yield message
                if not is_over:
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_over:
                    await self._wait(error)

    def _watch(self, path: str, seen: int, token: str | None) -> _Answer:
        return self._session.get(
            self.url + path,
            params={"token": token} if token else {},
            headers={"Last-Event-ID": str(seen)},
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS),
        )

    async def _messages(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Json]:
        """The ``data:`` lines of an event stream. Bookline's messages are one line each."""
        if answer.content_type != "text/event-stream":
            await self._read(answer)
            return
        self._is_back()
        async for line in answer.content:
            if line.startswith(b"data: ") and line.endswith(b"\n"):
                try:
                    message: Json = json.loads(line[6:])
                except ValueError as error:
                    raise TryLater(f"{self.url} is no Bookline: {error}") from error
                yield message

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        data: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
    ) -> Json:
        """``data`` of the answer, however long the server is away or wants us to wait."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        while True:
            try:
                async with self._session.request(
                    method,
                    self.url + path,
                    json=body,
                    data=None if data is None else io.BytesIO(data),
                    params=given,
                    headers=headers,
                    middlewares=() if is_repeatable else (_once,),
                ) as answer:
                    said = await self._read(answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_repeatable and not isinstance(error, aiohttp.ClientConnectorError):
                    raise Unreachable(f"the connection broke: {_reason(error)}") from error
                await self._wait(error)
            else:
                if said is not None:
                    return said

    async def _read(self, answer: aiohttp.ClientResponse) -> Json | None:
        """``data``; None when it waited as it was told, and the question is to be put again.

        Raises: Refused, TryLater.
        """
        if answer.status == 200 and answer.content_type.startswith("image/"):
            return {"picture": await answer.read()}
        if answer.status == 204:
            return {}
        if answer.status == 200 and "attachment" in answer.headers.get("Content-Disposition", ""):
            return {"text": await answer.text()}
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
                raise TryLater(f"{self.url} is no Bookline (HTTP {answer.status})")
            await self._wait(TryLater(f"HTTP {answer.status}"))  # a proxy in front of it
            return None
        error = said["error"]
        if answer.status == 503 and retry_after:
            await self._wait(TryLater(error["message"]))
            return None
        if answer.status >= 500:
            raise TryLater(error["message"], error["code"])
        raise Refused(error["code"], error["message"], error.get("details"))

    async def pieces(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """A long answer as it comes, asked for once.

        Raises: Refused; Unreachable when the line breaks: what came until then is not all.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
        try:
            async with self._session.get(self.url + path, params=query, timeout=timeout) as answer:
                if answer.status != 200:
                    await self._read(answer)
                async for piece in answer.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{path} broke off: {_reason(error)}") from error

    # -------------------------------------------------------------- patience
    async def _slow_down(self, seconds: float) -> None:
        if not self._is_slowed:
            self._is_slowed = True
            self._notice(f"{self.url} limits requests; continuing as fast as it lets us")
        await asyncio.sleep(seconds)

    async def _wait(self, error: Exception) -> None:
        """A pause before the next try. Raises: Unreachable when there were enough."""
        now = asyncio.get_running_loop().time()
        is_answer = isinstance(error, TryLater)
        says = f"{self.url} {'cannot take this now' if is_answer else 'does not answer'}"
        if self._down_since is None:
            self._down_since = now
            self._notice(
                f"{says} ({_reason(error)}); trying again for {self._patience_seconds:g} s"
            )
        down_seconds = now - self._down_since
        if down_seconds > self._patience_seconds:
            raise Unreachable(f"{says}: {_reason(error)}") from error
        await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS + down_seconds / 4))

    def _is_back(self) -> None:
        if self._down_since is not None:
            self._down_since = None
            self._notice(f"{self.url} is back")


def part(text: str) -> str:
    """As one part of a path, whatever it holds."""
    return quote(text, safe="")


async def _once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp sends a PUT again by itself when the connection breaks, unless the error is ours."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:  # nothing was sent
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


async def _envelope(answer: aiohttp.ClientResponse) -> Json | None:
    """The answer's JSON if it has Bookline's shape."""
    try:
        said = await answer.json(content_type=None)
    except ValueError:
        return None
    if not isinstance(said, dict) or "success" not in said:
        return None
    return said


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the connection was lost"
    return str(error) or type(error).__name__
