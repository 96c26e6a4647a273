"""Server-Sent Events: the whole story behind ``after``, then live, then the end.

Way:      api/routes.py → here → progress/hub.py
Source:   HTML Living Standard, "Server-sent events": ``id:`` is what a browser sends back as
          Last-Event-ID; 204 tells it to come back no more.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from starlette.responses import Response, StreamingResponse

from bookline.live.session import ping
from bookline.progress.events import Event
from bookline.progress.hub import Hub, TooSlow

RETRY_MS = 1_000  # how soon a browser comes back after a break
HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


def stream(hub: Hub, job_id: str, after: int, *, is_over: bool) -> Response:
    """The answer; ``is_over`` says that nothing can come behind ``after`` any more."""
    if is_over:
        return Response(status_code=204)
    return StreamingResponse(
        _lines(hub, job_id, after), media_type="text/event-stream", headers=HEADERS
    )


async def _lines(hub: Hub, job_id: str, after: int) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    async with aclosing(hub.follow(job_id, after)) as story:
        try:
            async for events in story:
                yield _encode(events) if events else f"data: {ping(job_id)}\n\n".encode()
        except TooSlow:
            return  # the browser comes back with Last-Event-ID


def _encode(events: Sequence[Event]) -> bytes:
    """Events that are ready together go out in one write. JSON text holds no line break."""
    return "".join(f"id: {event.seq}\ndata: {event.message}\n\n" for event in events).encode()
