"""Server-Sent Events: the whole story behind ``after``, then live, then the end.

Way:      api/routes.py says which → api/gate.py, once the route is done → here → progress/hub.py
Rule 1:   it is told when the route has returned: what FastAPI keeps for a route, a watcher would
          keep for as long as it stays.
Rule 2:   where there is a Line, events are written to it as they are heard.
Source:   HTML Living Standard, "Server-sent events": ``id:`` is what a browser sends back as
          Last-Event-ID; 204 tells it to come back no more.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bookline.errors import StoreDown
from bookline.live.line import Line, leave_when_lost, line_of
from bookline.live.session import ping
from bookline.progress.events import Event
from bookline.progress.hub import Hub, TooSlow, Watch

RETRY_MS = 1_000  # how soon a browser comes back after a break
HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}
STREAM = "stream"
"""Where a request's state has the stream that is to be told once its route is done."""


def stream(hub: Hub, job_id: str, after: int, *, is_over: bool) -> Response:
    """The answer; ``is_over`` says that nothing can come behind ``after`` any more."""
    return Response(status_code=204) if is_over else Stream(hub, job_id, after)


class Stream(Response):
    """A story as a route's answer. The route only leaves it in the request's state."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, job_id: str, after: int) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._hub = hub
        self._job_id = job_id
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][STREAM] = self

    async def tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, or as much of it as can be had now."""
        line = line_of(scope)
        watch = Watch(self._job_id, self._after, _short_cut(line, self._job_id))
        listen_no_more = leave_when_lost(watch, line, receive)
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(start)
            await send(_body(f"retry: {RETRY_MS}\n\n".encode()))
            with suppress(TooSlow, StoreDown):  # the browser comes back with Last-Event-ID
                async with aclosing(self._hub.serve(watch)) as story:
                    async for events in story:
                        await send(_body(_text(events, self._job_id)))
        finally:
            listen_no_more()
        await send(_body(b"", more_body=False))  # to nobody, where the watcher has left


def _body(text: bytes, *, more_body: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": text, "more_body": more_body}


def _short_cut(line: Line | None, job_id: str) -> Callable[[Sequence[Event]], bool]:
    if line is None:
        return lambda events: False

    def send_now(events: Sequence[Event]) -> bool:
        text = _text(events, job_id)
        return line.write(text) if events else line.ping(text)

    return send_now


def _text(events: Sequence[Event], job_id: str) -> bytes:
    """What is ready together, as one text; none: a ping."""
    if not events:
        return f"data: {ping(job_id)}\n\n".encode()
    return b"".join([_lines(event.seq, event.message) for event in events])


@lru_cache(maxsize=64)  # an event is put into lines once for all its watchers
def _lines(seq: int, message: str) -> bytes:
    """JSON text holds no line break."""
    return f"id: {seq}\ndata: {message}\n\n".encode()
