"""One job's journal and its watchers: the Durable Object that the plan calls WebSocketConnectionDO.

Way:      journal.py asks by ``ask``; watchers come by ``fetch``
Rule 1:   every decision is the journal's (progress/rules.py): here are its tables and its hearers.
Rule 2:   an object that no job was opened in keeps nothing: ids that somebody guessed cost nothing.
Rule 3:   sockets hibernate: the object may be gone from memory while they stay open.
Source:   https://developers.cloudflare.com/durable-objects/best-practices/websockets/
"""

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import js
from object_schema import STATEMENTS
from pyodide.ffi import JsException, to_js
from workers import DurableObject, Response

from bookline.engine.tries import ended_by
from bookline.errors import Cancelled, Refused
from bookline.job import QUEUED
from bookline.live.session import DONE, UNKNOWN_JOB, ping, read_after
from bookline.progress import rules
from bookline.progress.events import Event
from bookline.progress.journal import Idempotency
from bookline.stores.job_rows import read_row
from bookline.stores.journal import SqlJournal
from bookline.values import Json
from on_cloudflare.durable import DurableDatabase
from on_cloudflare.plain import (
    dump,
    ended_to_plain,
    job_from_plain,
    job_to_plain,
    load,
    news_from_plain,
    now_ms,
)

PING_MS = 30_000  # docs/contract.md
STORY_MOST = 100_000  # a whole story in one reading
RETENTION_MS = 30 * 86_400_000  # docs/contract.md
NOTHING_LEFT = 204
RETRY_MS = 1_000  # how soon a browser comes back after a break
UNTIL = "until"
PROTOCOL_HEADER = "x-bookline-protocol"
"""The sub-protocol that the door has chosen."""
SSE_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform"}


class WebSocketConnectionDO(DurableObject):
    """Named by the job's id."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._database = DurableDatabase(ctx.storage, STATEMENTS)
        self._journal = SqlJournal(self._database, now_ms)
        self._journal.subscribe(self._broadcast)
        self._streams: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # -------------------------------------------------------------- asked by our own code
    async def ask(self, text: str) -> str:
        """``{"do": name, …}`` → ``{"value"}``, or ``{"refused": [code, message, details]}``."""
        asked = load(text)
        try:
            return dump({"value": await getattr(self, f"_{asked.pop('do')}")(**asked)})
        except Refused as error:
            return dump({"refused": [error.code, error.message, error.details]})

    async def _open(self, job: Json, idempotency: Json | None = None) -> Json:
        """The job; in the object of an Idempotency-Key the one that the key stands for."""
        self._database.prepare()
        key = Idempotency(**idempotency) if idempotency else None
        if key:
            await self._keep_for(rules.IDEMPOTENCY_MS)
        return job_to_plain(await self._journal.open(job_from_plain(job), key))

    async def _find(self, job_id: str) -> Json | None:
        if self._database.is_empty:
            return None
        job = await self._journal.find(job_id)
        return None if job is None else job_to_plain(job)

    async def _begin(
        self, job_id: str, node: str, step: str, attempt: int, run: int | None, limit_ms: int,
        spent_ms: int, beside: list[str], at: list[Any] | None, news: list[Json],
    ) -> Json:  # fmt: skip
        """Marks a try as begun, with the news that came before it.

        The first try of an activation claims the job; one whose forerunner never ended finds the
        job unfinished, as after a restart: ``died`` says so.
        """
        row = await self._row(job_id)
        if row is None or row.job.is_over or (run is not None and run != row.job.run):
            return {"cancelled": True, "died": False, "run": run or 0, "spentMs": 0}
        mark = row.marks.get(step)
        died = mark is not None and mark.attempt < attempt
        if run is None and (died or row.job.status == QUEUED):
            await self._journal.claim(job_id, node)
        begun = await self._journal.begin(
            job_id, row.job.run, step, attempt, token=uuid.uuid4().hex, limit_ms=limit_ms,
            spent_ms=spent_ms, beside=beside, at=_place(at),
            news=[news_from_plain(one) for one in news],
        )  # fmt: skip
        row = await self._row(job_id)
        return {
            "cancelled": begun.cancelled, "died": died, "run": row.job.run,
            "spentMs": row.spent_ms,
        }  # fmt: skip

    async def _failed(
        self, job_id: str, run: int, step: str, attempt: int, spent_ms: int, beside: list[str],
        at: list[Any] | None, news: list[Json],
    ) -> bool:  # fmt: skip
        """A try that is repeated: told, and its mark closed as those of steps that have ended.

        Whether somebody has cancelled the job, which then waits no longer.
        """
        told = [news_from_plain(one) for one in news]
        await asyncio.wrap_future(
            self._journal.tell(job_id, *told, run=run, spent_ms=spent_ms, at=_place(at))
        )
        row = await self._row(job_id)
        for name, mark in (row.marks if row else {}).items():
            if name == step or name not in beside:
                await self._journal.release(job_id, run, name, mark.attempt)
        return row is None or row.job.is_over or row.job.cancel_requested

    async def _finish(
        self, job_id: str, run: int | None, end: Json, result: Json | None, error: Json | None,
        news: list[Json],
    ) -> Json | None:  # fmt: skip
        """The job as it ended; None when this run had ended already."""
        row = await self._row(job_id)
        if row is None or row.job.is_over:
            return None
        ended = await self._journal.finish(
            job_id, news_from_plain(end), run=run or row.job.run, result=result, error=error,
            before=[news_from_plain(one) for one in news],
        )  # fmt: skip
        if ended is None:
            return None
        await self._keep_for(RETENTION_MS)
        return await self._ended(job_id)

    async def _ended(self, job_id: str) -> Json:
        job = await self._journal.find(job_id)
        if job is None:
            raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
        return ended_to_plain(job, await self._journal.records(0))

    async def _cancel(self, job_id: str) -> Json:
        """Marks the job; one of which no try is under way ends at once."""
        job = await self._journal.request_cancel(job_id)
        row = await self._row(job_id)
        if not row.marks:
            stop = Cancelled(job.step, job.attempt or 0, "CANCELLED", "the job was cancelled")
            end = ended_by(job.run, stop)
            await self._journal.finish(job_id, end.news, run=job.run, result=None, error=end.error)
            await self._keep_for(RETENTION_MS)
        return await self._ended(job_id)

    async def _reopen(self, job_id: str, node: str) -> Json:
        self.ctx.storage.kv.delete(UNTIL)
        return job_to_plain(await self._journal.reopen(job_id, node))

    async def _story(self, job_id: str, after: int) -> list[str]:
        return [event.message for event in await self._journal.read(job_id, after, STORY_MOST)]

    async def _row(self, job_id: str) -> Any:
        if self._database.is_empty:
            return None
        rows = await self._database.read(
            lambda session: session.execute(
                "SELECT * FROM jobs WHERE job_id = :job_id", {"job_id": job_id}
            )
        )
        return read_row(rows[0]) if rows else None

    # -------------------------------------------------------------- watchers
    async def fetch(self, request: Any) -> Response:
        """A watcher, let in by the door: over WebSocket, or as Server-Sent Events."""
        query = parse_qs(urlsplit(request.url).query)
        job_id, after = query.get("jobId", [""])[0], read_after(query.get("after", [None])[0])
        if request.headers.get("upgrade") == "websocket":
            return await self._socket(job_id, after, request.headers.get(PROTOCOL_HEADER))
        return await self._stream(job_id, after)

    async def _socket(self, job_id: str, after: int, protocol: str | None) -> Response:
        client, server = js.WebSocketPair.new().object_values()
        self.ctx.acceptWebSocket(server)
        server.serializeAttachment(job_id)
        if self._database.is_empty:
            server.close(UNKNOWN_JOB, "there is no such job")
        else:
            events = await self._events(job_id, after)
            for event in events:
                server.send(event.message)
            if await self._is_over(job_id):
                server.close(DONE, "the job has ended")
            else:
                await self._ping_later()
        headers = {"sec-websocket-protocol": protocol} if protocol else {}
        return Response(None, status=101, web_socket=client, headers=headers)

    async def _stream(self, job_id: str, after: int) -> Response:
        events, is_over = await self._events(job_id, after), await self._is_over(job_id)
        if is_over and not events:
            return Response(None, status=NOTHING_LEFT)
        pair = js.TransformStream.new()
        writer = pair.writable.getWriter()
        first = f"retry: {RETRY_MS}\n\n{_lines(events)}"
        self._soon(self._begin_stream(writer, first, is_over=is_over))
        if not is_over:
            self._streams.append(writer)
            await self._ping_later()
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

    async def _events(self, job_id: str, after: int) -> Sequence[Event]:
        return await self._journal.read(job_id, after, STORY_MOST)

    async def _is_over(self, job_id: str) -> bool:
        row = await self._row(job_id)
        return row is None or row.job.is_over

    async def webSocketMessage(self, socket: Any, message: Any) -> None:
        """What a watcher says has no meaning here."""

    async def webSocketClose(self, socket: Any, code: int, reason: str, clean: bool) -> None:
        """It is gone from ``getWebSockets`` by itself."""

    async def webSocketError(self, socket: Any, error: Any) -> None:
        """The same."""

    # -------------------------------------------------------------- by the clock
    async def _ping_later(self) -> None:
        at = await self.ctx.storage.getAlarm()
        if at is None or at > now_ms() + PING_MS:
            await self.ctx.storage.setAlarm(now_ms() + PING_MS)

    async def alarm(self, info: Any = None) -> None:
        """Says that we are there while somebody watches; forgets the job when its time is over."""
        sockets = list(self.ctx.getWebSockets())
        for socket in sockets:
            socket.send(ping(socket.deserializeAttachment()))
        for writer in list(self._streams):
            self._soon(_write(writer, f"data: {ping('')}\n\n"))
        until_ms = self.ctx.storage.kv.get(UNTIL)
        if sockets or self._streams:
            await self.ctx.storage.setAlarm(now_ms() + PING_MS)
        elif until_ms is not None and until_ms > now_ms():
            await self.ctx.storage.setAlarm(until_ms)
        elif until_ms is not None:
            await self.ctx.storage.deleteAll()
            self._database.is_empty = True

    async def _keep_for(self, milliseconds: int) -> None:
        """Everything here goes when so much time is over."""
        self.ctx.storage.kv.put(UNTIL, now_ms() + milliseconds)
        await self.ctx.storage.setAlarm(now_ms() + milliseconds)


def _place(at: list[Any] | None) -> tuple[str, int] | None:
    return (at[0], at[1]) if at else None


def _lines(events: Sequence[Event]) -> str:
    return "".join(f"id: {event.seq}\ndata: {event.message}\n\n" for event in events)


async def _write(writer: Any, text: str) -> None:
    """The text to a stream; one whose reader has gone is left alone."""
    with contextlib.suppress(JsException):
        await writer.write(to_js(text.encode()))
