"""WebSocket: the whole story behind ``after``, then live, closed with a code that says why.

Way:      api/gate.py → here → progress/hub.py
Rule 1:   we listen while we tell: a watcher that goes is noticed at once, what it says is ignored.
Rule 2:   no send waits for ever: a watcher that takes nothing is cut with 1013.
Rule 3:   a server that offers a Line has events written to it as they are heard, those that are
          ready together as one write; any other ASGI server gets them as messages.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import lru_cache

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from bookline.errors import Refused, StoreDown
from bookline.job import Job
from bookline.live.line import Line, leave_when_lost, line_of
from bookline.live.session import (
    BAD_TOKEN,
    DONE,
    GOING_AWAY,
    SEND_SECONDS,
    TOO_SLOW,
    UNKNOWN_JOB,
    find_token,
    ping,
    read_after,
)
from bookline.progress.batches import BATCH_PREFIX, Batch
from bookline.progress.events import Event
from bookline.progress.hub import Hub, TooSlow, Watch

MayWatch = Callable[[WebSocket, Job | Batch | None, str, str | None], bool]
"""(connection, job or batch, its id, token) → whether this watcher may see it."""

REASON_CHARS = 100  # RFC 6455: a closing frame has at most 123 bytes


async def serve(socket: WebSocket, hub: Hub, may_watch: MayWatch) -> None:
    """One watcher, from its first byte to its closing code."""
    wanted = await _let_in(socket, hub, may_watch)
    if wanted is not None:
        await _tell(socket, hub, *wanted)


async def _let_in(socket: WebSocket, hub: Hub, may_watch: MayWatch) -> tuple[str, int] | None:
    """The story and the last event of it that is known; None when the watcher was refused.

    Only that is kept of what was looked at: a watcher stays, and there are many.
    """
    offered, protocol = find_token(socket.scope.get("subprotocols", []))
    token = socket.scope["state"]["token"] or offered
    await socket.accept(subprotocol=protocol)
    refusal: str | None = socket.scope["state"].get("refusal")
    if refusal is not None:
        await socket.close(BAD_TOKEN, refusal[:REASON_CHARS])
        return None
    job_id = _stream_id(socket)
    try:
        after = read_after(socket.query_params.get("after"))
    except Refused as error:
        await socket.close(BAD_TOKEN, str(error))
        return None
    try:
        story = await hub.find(job_id)
    except StoreDown:
        await socket.close(TOO_SLOW, "the journal cannot be read; come back with after")
        return None
    if not may_watch(socket, story, job_id, token):
        await socket.close(BAD_TOKEN, "send an API key, or the token of this job or batch")
        return None
    if story is None:
        await socket.close(UNKNOWN_JOB, "there is no such job or batch")
        return None
    return job_id, after


def _stream_id(socket: WebSocket) -> str:
    """The job's id or the batch's, each under its own name."""
    batch_id = socket.query_params.get("batchId")
    if batch_id is None:
        return socket.query_params.get("jobId", "")
    return batch_id if batch_id.startswith(BATCH_PREFIX) else ""


async def _tell(socket: WebSocket, hub: Hub, job_id: str, after: int) -> None:
    line = line_of(socket.scope)
    send_now = _short_cut(line, job_id)
    watch = Watch(job_id, after, send_now)
    listen_no_more = leave_when_lost(watch, line, socket.receive)
    code, reason = DONE, "the job has ended"
    try:
        async with aclosing(hub.serve(watch)) as story:
            async for events in story:
                if not send_now(events):
                    await _send(socket, [event.message for event in events] or [ping(job_id)])
        if hub.is_closing:
            code, reason = GOING_AWAY, "the server restarts; come back with after"
    except (TooSlow, TimeoutError):
        code, reason = TOO_SLOW, "too slow; come back with after"
    except StoreDown:
        code, reason = TOO_SLOW, "the journal cannot be read; come back with after"
    except (WebSocketDisconnect, RuntimeError):
        return  # the watcher has gone
    finally:
        listen_no_more()
    if watch.has_left:
        return
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            await socket.close(code, reason)


def _short_cut(line: Line | None, job_id: str) -> Callable[[Sequence[Event]], bool]:
    if line is None:
        return lambda events: False

    def send_now(events: Sequence[Event]) -> bool:
        if not events:
            return line.ping(_frame(ping(job_id)))
        return line.write(b"".join([_frame(event.message) for event in events]))

    return send_now


@lru_cache(maxsize=64)  # a message is framed once for all its watchers
def _frame(message: str) -> bytes:
    return Frame(Opcode.TEXT, message.encode()).serialize(mask=False)


async def _send(socket: WebSocket, messages: list[str]) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        for message in messages:
            await socket.send_text(message)
