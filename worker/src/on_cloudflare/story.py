"""A story of events in a Durable Object of its own, and who watches it: a job's or a batch's.

Way:      room.py and batch.py are such objects; the door brings watchers by ``fetch``
Rule 1:   an object in which nothing was opened keeps nothing: ids that somebody guessed cost none.
Rule 2:   sockets hibernate: the object may be gone from memory while they stay open.
Rule 3:   an object has one alarm: it is set to whatever comes first, and set anew when it has rung.
Source:   https://developers.cloudflare.com/durable-objects/best-practices/websockets/
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import js
from pyodide.ffi import JsException, to_js
from workers import DurableObject, Response

from bookline.errors import Refused
from bookline.job import Job
from bookline.live.session import DONE, UNKNOWN_JOB, ping, read_after
from bookline.progress.events import Event
from bookline.stores.database import Session
from bookline.stores.journal import SqlJournal
from on_cloudflare.durable import DurableDatabase
from on_cloudflare.plain import dump, load, now_ms

PING_MS = 30_000  # docs/contract.md
STORY_MOST = 100_000  # a whole story in one reading
RETENTION_MS = 30 * 86_400_000  # docs/contract.md
NOTHING_LEFT = 204
RETRY_MS = 1_000  # how soon a browser comes back after a break
UNTIL = "until"
PROTOCOL_HEADER = "x-bookline-protocol"
"""The sub-protocol that the door has chosen."""
SSE_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform"}


class JournalApart(SqlJournal):
    """The journal of an object of its own: a job's batch has another one, and is told."""

    def _follow(self, session: Session, job: Job) -> Sequence[Event]:
        return ()


class Story(DurableObject):
    """Named by the id of its job or batch. ``statements`` make its tables."""

    def __init__(self, ctx: Any, env: Any, statements: Sequence[str]) -> None:
        super().__init__(ctx, env)
        self._database = DurableDatabase(ctx.storage, statements)
        self._journal = JournalApart(self._database, now_ms)
        self._journal.subscribe(self._broadcast)
        self._streams: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._pinged_ms = now_ms()

    async def ask(self, text: str) -> str:
        """``{"do": name, …}`` → ``{"value"}``, or ``{"refused": [code, message, details]}``."""
        asked = load(text)
        try:
            return dump({"value": await getattr(self, f"_{asked.pop('do')}")(**asked)})
        except Refused as error:
            return dump({"refused": [error.code, error.message, error.details]})

    async def _is_over(self, story_id: str) -> bool:
        """Whether nothing more will be told, as far as is known now."""
        raise NotImplementedError

    async def _work(self) -> int | None:
        """What is to be done by the clock; when it is to be done again, if at all."""
        return None

    # -------------------------------------------------------------- watchers
    async def fetch(self, request: Any) -> Response:
        """A watcher, let in by the door: over WebSocket, or as Server-Sent Events."""
        query = parse_qs(urlsplit(request.url).query)
        story_id, after = query.get("id", [""])[0], read_after(query.get("after", [None])[0])
        if request.headers.get("upgrade") == "websocket":
            return await self._socket(story_id, after, request.headers.get(PROTOCOL_HEADER))
        return await self._stream(story_id, after)

    async def _socket(self, story_id: str, after: int, protocol: str | None) -> Response:
        client, server = js.WebSocketPair.new().object_values()
        self.ctx.acceptWebSocket(server)
        server.serializeAttachment(story_id)
        if self._database.is_empty:
            server.close(UNKNOWN_JOB, "there is no such job or batch")
        else:
            events = await self._events(story_id, after)
            for event in events:
                server.send(event.message)
            if await self._is_over(story_id):
                server.close(DONE, "the job has ended")
            else:
                await self._wake_at(now_ms() + PING_MS)
        headers = {"sec-websocket-protocol": protocol} if protocol else {}
        return Response(None, status=101, web_socket=client, headers=headers)

    async def _stream(self, story_id: str, after: int) -> Response:
        events, is_over = await self._events(story_id, after), await self._is_over(story_id)
        if is_over and not events:
            return Response(None, status=NOTHING_LEFT)
        pair = js.TransformStream.new()
        writer = pair.writable.getWriter()
        first = f"retry: {RETRY_MS}\n\n{_lines(events)}"
        self._soon(self._begin_stream(writer, first, is_over=is_over))
        if not is_over:
            self._streams.append(writer)
            await self._wake_at(now_ms() + PING_MS)
        return Response(pair.readable, headers=SSE_HEADERS)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Beside what runs; ``waitUntil`` does nothing in a Durable Object."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin_stream(self, writer: Any, text: str, *, is_over: bool) -> None:
        await _write(writer, text)
        if is_over:
            await writer.close()

    def _broadcast(self, events: Sequence[Event]) -> None:
        """What was committed, to everybody who watches; the end closes the lines."""
        is_over = any(event.is_terminal for event in events)
        for socket in self.ctx.getWebSockets():
            for event in events:
                socket.send(event.message)
            if is_over:
                socket.close(DONE, "the job has ended")
        for writer in self._streams:
            self._soon(self._begin_stream(writer, _lines(events), is_over=is_over))
        if is_over:
            self._streams.clear()

    async def _events(self, story_id: str, after: int) -> Sequence[Event]:
        if self._database.is_empty:
            return ()
        return await self._journal.read(story_id, after, STORY_MOST)

    async def webSocketMessage(self, socket: Any, message: Any) -> None:
        """What a watcher says has no meaning here."""

    async def webSocketClose(self, socket: Any, code: int, reason: str, clean: bool) -> None:
        """It is gone from ``getWebSockets`` by itself."""

    async def webSocketError(self, socket: Any, error: Any) -> None:
        """The same."""

    # -------------------------------------------------------------- by the clock
    async def alarm(self, info: Any = None) -> None:
        """Works, says to watchers that we are there; forgets the story when its time is over."""
        due_ms = [await self._work(), self._ping()]
        until_ms = self.ctx.storage.kv.get(UNTIL)
        is_left = all(one is None for one in due_ms)
        if until_ms is not None and until_ms <= now_ms() and is_left:
            await self.ctx.storage.deleteAll()
            self._database.is_empty = True
            return
        for one in (*due_ms, until_ms):
            if one is not None:
                await self._wake_at(one)

    def _ping(self) -> int | None:
        """When the next one is due; None where nobody watches."""
        sockets = list(self.ctx.getWebSockets())
        if not sockets and not self._streams:
            return None
        if now_ms() - self._pinged_ms >= PING_MS:
            self._pinged_ms = now_ms()
            for socket in sockets:
                socket.send(ping(socket.deserializeAttachment()))
            for writer in list(self._streams):
                self._soon(_write(writer, f"data: {ping('')}\n\n"))
        return self._pinged_ms + PING_MS

    async def _wake_at(self, at_ms: int) -> None:
        """The alarm rings then, or earlier."""
        known = await self.ctx.storage.getAlarm()
        if known is None or known > at_ms:
            await self.ctx.storage.setAlarm(at_ms)

    async def _keep_for(self, milliseconds: int) -> None:
        """Everything here goes when so much time is over."""
        self.ctx.storage.kv.put(UNTIL, now_ms() + milliseconds)
        await self._wake_at(now_ms() + milliseconds)

    def _keep(self) -> None:
        """Until further notice."""
        self.ctx.storage.kv.delete(UNTIL)


def _lines(events: Sequence[Event]) -> str:
    return "".join(f"id: {event.seq}\ndata: {event.message}\n\n" for event in events)


async def _write(writer: Any, text: str) -> None:
    """The text to a stream; one whose reader has gone is left alone."""
    with contextlib.suppress(JsException):
        await writer.write(to_js(text.encode()))
