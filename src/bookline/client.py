"""The client of a server: starts imports, follows them through every break, asks the library.

Way:      a program, or the commands → here → the API, over HTTP and Server-Sent Events
Rule 1:   a server that restarts is waited for; one that says "slow down" is obeyed. ``notice``
          hears of both, once.
Rule 2:   a start carries an Idempotency-Key, so asking again never starts a second import.
Rule 3:   an event of a type or form that this version does not know is told as ``Unknown``.
Source:   docs/errors-and-events.md; HTML Living Standard, "Server-sent events".
"""

import asyncio
import io
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import aiohttp

from bookline.client_batches import BatchCalls, part
from bookline.errors import Refused, TryLater
from bookline.job import TERMINAL
from bookline.progress.events import (
    WORKFLOW_PROGRESS,
    WORKFLOW_RESUMED,
    WORKFLOW_RETRY,
    WORKFLOW_WARNING,
)
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


# ------------------------------------------------------------------ events
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a job, told once."""

    job_id: str
    seq: int
    """1, 2, 3 … in each job, without gaps."""
    at: str
    """When it was kept: ISO 8601, UTC."""
    raw: Json
    """The whole message, as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A milestone of the import, or its end."""

    status: str
    """``started``, ``metadata_fetched`` …, ``completed``, ``failed`` or ``cancelled``."""
    progress: float
    """Share that is done, 0 to 1."""
    data: Json

    @property
    def is_end(self) -> bool:
        """True for the last event of a run. Only an explicit retry continues behind it."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Event):
    """A try of a step failed, and another one comes."""

    step: str
    attempt: int
    """The try that failed, from 1."""
    delay_seconds: float
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """An optional part failed for good; the import continues without it."""

    step: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """The import continues."""

    by: str
    """``restart`` of the process that ran it, or an explicit ``retry``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """What a newer server tells and this version cannot name."""

    type: str


def read_event(message: Json) -> Event:
    """The message as the event that it is; ``Unknown`` where it is none of ours."""
    every: dict[str, Any] = {
        "job_id": message.get("jobId", ""),
        "seq": message["seq"],
        "at": message.get("timestamp", ""),
        "raw": message,
    }
    kind = str(message.get("type"))
    try:
        return _read_known(kind, message, message["data"], every)
    except (KeyError, TypeError):
        return Unknown(type=kind, **every)


def _read_known(kind: str, message: Json, data: Json, every: dict[str, Any]) -> Event:
    """Raises: KeyError, TypeError when it has not the form that we know."""
    if kind == WORKFLOW_PROGRESS:
        status, share = str(message["status"]), message["progress"]
        return Progress(status=status, progress=share, data=data, **every)
    if kind == WORKFLOW_RETRY:
        error, delay_seconds = data["error"], data["delayMs"] / 1000
        tried = {"step": data["step"], "attempt": data["attempt"], "delay_seconds": delay_seconds}
        return Retry(code=error["code"], message=error["message"], **tried, **every)
    if kind == WORKFLOW_WARNING:
        return Warned(step=data["step"], code=data["code"], message=data["message"], **every)
    if kind == WORKFLOW_RESUMED:
        return Resumed(by=data["by"], **every)
    raise KeyError(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An import that the server has kept: it continues whatever happens to either side."""

    job_id: str
    isbn: str
    """ISBN-13."""
    token: str
    """Opens this job's story and status, and nothing else, for 2 hours."""
    raw: Json
    """``data`` of the answer."""


class BookFilter(TypedDict, total=False):
    """Which books, in which order. What is missing asks for nothing."""

    q: str
    """Each word in ISBN, title or author."""
    author: str
    language: str
    sort: str
    """``recent``, ``title``, ``author`` or ``year``."""


class RolloutChange(TypedDict, total=False):
    """What shall be different, named as in the API; what is not named stays."""

    percent: int
    salt: str
    killSwitch: bool
    automatic: bool
    users: Mapping[str, str | None]
    """User id → method; None takes a user off the list."""
    incident: str
    """Opens one with this text."""
    resolve: int
    """The number of an incident that is over."""
    reason: str
    actor: str
    """Else the key or the address that asks."""


# ------------------------------------------------------------------ the client
class BooklineClient(BatchCalls):
    """One server, asked with patience. Use it as ``async with``; its calls may run side by side.

    What is no event and no start is the API's ``data`` as it is. Every call may raise Refused
    (``code`` says why) and TryLater; Unreachable is the TryLater of a server that stays away.
    """

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
        self._one_start = asyncio.Lock()
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

    # -------------------------------------------------------------- imports
    async def start(
        self, isbn: str, source: str = "auto", *, idempotency_key: str | None = None
    ) -> Started:
        """A new import, kept. The same ``idempotency_key`` gives the same job for 24 hours.

        Raises: Refused (INVALID_ISBN, INVALID_SOURCE …), TryLater.
        """
        key = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(16)}
        body = {"isbn": isbn, "source": source}
        async with self._one_start:  # so that one waits for all when it must be slower
            data = await self.ask("POST", "/v2/import/workflow", body=body, headers=key)
        return Started(job_id=data["jobId"], isbn=data["isbn"], token=data["token"], raw=data)

    async def follow(
        self, job_id: str, *, after: int = 0, token: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Each event behind ``after`` once, in order, through any break, until the job's end.

        Raises: Refused (JOB_NOT_FOUND, UNAUTHORIZED), TryLater.
        """
        path = f"/v2/import/events/{part(job_id)}"
        async with aclosing(self.follow_stream(path, after, token, _ends_job)) as messages:
            async for message in messages:
                yield read_event(message)

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

    async def status(self, job_id: str, *, token: str | None = None) -> Json:
        """The job as it stands, from the moment of its start."""
        return await self.ask("GET", f"/v2/import/status/{part(job_id)}", query={"token": token})

    async def jobs(
        self,
        *,
        status: str | None = None,
        isbn: str | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Json:
        """A page of jobs, newest first: ``items``, and the ``nextCursor`` for the next page.

        ``isbn`` in any form; ``since`` with its zone, of the job's creation.
        """
        query = {
            "status": status, "isbn": isbn, "userId": user_id, "batchId": batch_id,
            "since": since.isoformat() if since else None, "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return await self.ask("GET", "/v2/import/jobs", query=query)

    async def cancel(self, job_id: str) -> Json:
        """The job, told to stop at its next step. Not repeated when the line breaks over it."""
        return await self.ask("POST", f"/v2/import/cancel/{part(job_id)}", is_repeatable=False)

    async def retry(self, job_id: str) -> Json:
        """The failed job, continuing where it failed. Not repeated when the line breaks over it."""
        return await self.ask("POST", f"/v2/import/retry/{part(job_id)}", is_repeatable=False)

    # -------------------------------------------------------------- the library
    async def book(self, isbn: str) -> Json:
        """The book, by any form of its ISBN. Raises: Refused (BOOK_NOT_FOUND), TryLater."""
        return await self.ask("GET", f"/v2/books/{part(isbn)}")

    async def books(
        self, *, limit: int = 50, cursor: str | None = None, **wanted: Unpack[BookFilter]
    ) -> Json:
        """A page of books: ``items``, ``nextCursor``, and ``total`` of all pages."""
        query = {"limit": limit, "cursor": cursor, **wanted}
        return await self.ask("GET", "/v2/books", query=query)

    async def search(self, text: str, *, limit: int = 10) -> Json:
        """Literal matches, then the books nearest in meaning: ``items`` of ``book``, ``score``
        and ``match``."""
        return await self.ask("GET", "/v2/books/search", query={"q": text, "limit": limit})

    async def edit(self, isbn: str, changes: Json) -> Json:
        """The book after the edit, which locks what it names. Safe twice."""
        return await self.ask("PATCH", f"/v2/books/{part(isbn)}", body=changes)

    async def keep_cover(self, isbn: str, picture: bytes) -> Json:
        """The book with this picture (JPEG, PNG, WebP, GIF) as its cover, locked. Safe twice."""
        kind = {"Content-Type": "image/*"}
        return await self.ask("PUT", f"/v2/covers/{part(isbn)}", data=picture, headers=kind)

    async def delete(self, isbn: str) -> None:
        """Deletes the book. Not repeated when the line breaks over it: the answer would be 404."""
        await self.ask("DELETE", f"/v2/books/{part(isbn)}", is_repeatable=False)

    async def export(self, form: str = "csv") -> AsyncGenerator[bytes, None]:
        """The whole library as ``csv``, ``json`` or ``goodreads``, in pieces.

        Raises: Refused; Unreachable when the line breaks: what came until then is not all.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
        try:
            async with self._session.get(
                f"{self.url}/v2/books/export", params={"format": form}, timeout=timeout
            ) as answer:
                if answer.status != 200:
                    await self._read(answer)
                async for piece in answer.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"the export broke off: {_reason(error)}") from error

    async def cover(self, isbn: str) -> bytes:
        """The stored picture. Raises: Refused (NOT_FOUND) where there is none, TryLater."""
        picture: bytes = (await self.ask("GET", f"/v2/covers/{part(isbn)}"))["picture"]
        return picture

    # -------------------------------------------------------------- moving over
    async def rollout(self) -> Json:
        """Who goes by the workflow now, the gates to the next stage, the last changes."""
        return await self.ask("GET", "/v2/rollout")

    async def change_rollout(self, **changes: Unpack[RolloutChange]) -> Json:
        """The rollout after it. Not repeated when the line breaks over it, as the next two."""
        return await self.ask("PUT", "/v2/rollout", body={**changes}, is_repeatable=False)

    async def advance_rollout(self, reason: str = "", *, actor: str | None = None) -> Json:
        """The rollout at its next stage.

        Raises: Refused (INVALID_STATE; ``details["gates"]`` says what does not let it), TryLater.
        """
        body = {"reason": reason, "actor": actor}
        return await self.ask("POST", "/v2/rollout/advance", body=body, is_repeatable=False)

    async def rollback_rollout(self, reason: str = "", *, actor: str | None = None) -> Json:
        """The rollout at 0 percent. Raises: Refused (INVALID_STATE) when it is, TryLater."""
        body = {"reason": reason, "actor": actor}
        return await self.ask("POST", "/v2/rollout/rollback", body=body, is_repeatable=False)

    async def import_metrics(self, window: str = "24h") -> Json:
        """Workflow against legacy, of what finished in the window: ``15m``, ``24h``, ``7d``."""
        return await self.ask("GET", "/v2/metrics/imports", query={"window": window})

    # -------------------------------------------------------------- one question
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

    # -------------------------------------------------------------- patience
    async def _slow_down(self, seconds: float) -> None:
        if not self._is_slowed:
            self._is_slowed = True
            self._notice(f"{self.url} limits requests; continuing as fast as it lets us")
        await asyncio.sleep(seconds)

    async def _wait(self, error: Exception) -> None:
        """A pause before the next try. Raises: Unreachable when there were enough."""
        now = asyncio.get_running_loop().time()
        if self._down_since is None:
            self._down_since = now
            self._notice(
                f"{self.url} does not answer ({_reason(error)}); "
                f"trying again for {self._patience_seconds:g} s"
            )
        down_seconds = now - self._down_since
        if down_seconds > self._patience_seconds:
            raise Unreachable(f"{self.url} does not answer: {_reason(error)}") from error
        await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS + down_seconds / 4))

    def _is_back(self) -> None:
        if self._down_since is not None:
            self._down_since = None
            self._notice(f"{self.url} is back")


def _ends_job(message: Json) -> bool:
    event = read_event(message)
    return isinstance(event, Progress) and event.is_end


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
