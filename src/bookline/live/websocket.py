"""WebSocket: the whole story behind ``after``, then live, closed with a code that says why.

Way:      the route /ws/progress → here → progress/hub.py
Rule 1:   we listen while we tell: a watcher that goes is noticed at once, what it says is ignored.
Rule 2:   no send waits for ever: a watcher that takes nothing is cut with 1013.
"""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing

from starlette.websockets import WebSocket, WebSocketDisconnect

from bookline.errors import Refused, StoreDown
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
from bookline.ports import Jobs
from bookline.progress.hub import Hub, TooSlow

MayWatch = Callable[[WebSocket, str, str | None], bool]
"""(connection, job id, token) → whether this watcher may see this job."""


async def serve(socket: WebSocket, hub: Hub, jobs: Jobs, may_watch: MayWatch) -> None:
    """One watcher, from its first byte to its closing code."""
    offered, protocol = find_token(socket.scope.get("subprotocols", []))
    token = socket.scope["state"]["token"] or offered
    await socket.accept(subprotocol=protocol)
    job_id = socket.query_params.get("jobId", "")
    try:
        after = read_after(socket.query_params.get("after"))
    except Refused as error:
        await socket.close(BAD_TOKEN, str(error))
        return
    if not may_watch(socket, job_id, token):
        await socket.close(BAD_TOKEN, "send an API key or this job's token")
        return
    try:
        is_known = await jobs.find(job_id) is not None
    except StoreDown:
        await socket.close(TOO_SLOW, "the journal cannot be read; come back with after")
        return
    if not is_known:
        await socket.close(UNKNOWN_JOB, "there is no such job")
        return
    telling = asyncio.create_task(_tell(socket, hub, job_id, after))
    listening = asyncio.create_task(_listen(socket))
    try:
        await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
        telling.cancel()
        await asyncio.gather(telling, listening, return_exceptions=True)


async def _tell(socket: WebSocket, hub: Hub, job_id: str, after: int) -> None:
    code, reason = DONE, "the job has ended"
    try:
        async with aclosing(hub.follow(job_id, after)) as story:
            async for events in story:
                messages = [event.message for event in events] or [ping(job_id)]
                async with asyncio.timeout(SEND_SECONDS):
                    for message in messages:
                        await socket.send_text(message)
        if hub.is_closing:
            code, reason = GOING_AWAY, "the server restarts; come back with after"
    except (TooSlow, TimeoutError):
        code, reason = TOO_SLOW, "too slow; come back with after"
    except StoreDown:
        code, reason = TOO_SLOW, "the journal cannot be read; come back with after"
    except (WebSocketDisconnect, RuntimeError):
        return  # the watcher has gone
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            await socket.close(code, reason)


async def _listen(socket: WebSocket) -> None:
    """Until the watcher goes; what it says has no meaning here."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
