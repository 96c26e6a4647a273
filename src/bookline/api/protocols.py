"""The connections' own rules: how long a request's head may be and take, what a watcher may say.

Way:      uvicorn → here → gate.py
Rule 1:   nobody who has not shown a key can take memory or time without bound: head, trailers,
          chunk extensions, pipelined requests and frames are counted as they arrive.
Rule 2:   what cannot be read is answered in the envelope, and the connection ends.
Source:   RFC 9112; RFC 6455 §5.4 and §5.5 for continuation and control frames.
"""

import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from bookline.api.peers import PEER, Peers, Place
from bookline.live.websocket import LINE
from bookline.values import iso

HEAD_BYTES = 64 * 1024  # docs/contract.md: the whole head
HEAD_SECONDS = 10.0  # docs/contract.md: until the whole head is there
BODY_SECONDS = 300.0  # our choice: 20 MB at half a megabit a second
SHOW_KEY_SECONDS = 1.0  # for a connection over the strangers' limit
STALLED_SECONDS = 60.0  # a caller that takes no byte of its answer for so long is cut
PIPELINED_MOST = 32  # requests sent ahead of their answers; browsers send none
SAYS_BYTES = 32 * 1024  # what a watcher says has no meaning, so it may not be much …
SAYS_FRAMES = 200  # … nor often …
SAYS_SECONDS = 10.0  # … within such a time
SAYS_TOO_MUCH = 1008

PING = Frame(Opcode.PING, b"").serialize(mask=False)


class _Refused(Exception):
    """Stops the parser: the request will not be answered by a route."""


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds."""

    def __init__(self, *args: Any, peers: Peers, **options: Any) -> None:
        super().__init__(*args, **options)
        self._peers = peers
        self._place: Place | None = None
        self._loose_bytes = 0  # since anything of a message was understood
        self._is_understood = False
        self._part = "head"
        self._messages = 0
        self._timed: tuple[str, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._status = 400

    # ------------------------------------------------------------------ the connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._place = self._peers.enter(self.client[0] if self.client else "")
        if self._place is None:
            self.transport.abort()
            return
        if self._place.must_show_key:
            self.loop.call_later(SHOW_KEY_SECONDS, self._cut_stranger, self._place)
        self.ws_protocol_class = cast(Any, partial(WatchedSocket, place=self._place))
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop(self._timer)
        self._stop(self._stalled)
        self._unset_keepalive_if_required()
        if self._place is not None:
            self._place.leave()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._is_understood = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._stop(self._timer)
                self.handle_websocket_upgrade()
                return
        except httptools.HttpParserError:
            self._refuse()
            return
        if self._is_understood:
            self._loose_bytes = 0
        else:
            self._loose_bytes += len(data)
            self._part = self._part or "head"
        if self._loose_bytes > HEAD_BYTES:
            self._refuse(414 if self._part == "head" and not self.headers and self.url else 431)
            return
        self._limit_time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stalled)

    # ------------------------------------------------------------------ what the parser calls
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {PEER: {"place": self._place}}
        self._messages += 1
        self._part = "head"
        if len(self.pipeline) >= PIPELINED_MOST:
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part == "head":  # trailers have no meaning here
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        fields_bytes = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) + fields_bytes > HEAD_BYTES:
            self._status = 414 if len(self.url) > HEAD_BYTES // 2 else 431
            raise _Refused
        self._is_understood = True
        self._part = "body"
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._is_understood = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_understood = True
        self._part = ""
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that we do not offer is no upgrade (RFC 9110 §7.8), and no news."""

    # ------------------------------------------------------------------ bounds
    def _limit_time(self) -> None:
        """One timer for what is awaited: the rest of a head, or the rest of a body."""
        awaited = (self._part, self._messages) if self._part else None
        if awaited == self._timed:
            return
        self._timed = awaited
        self._stop(self._timer)
        if awaited is not None:
            seconds = HEAD_SECONDS if self._part == "head" else BODY_SECONDS
            self._timer = self.loop.call_later(seconds, self._cut_slow, seconds)

    def _cut_slow(self, seconds: float) -> None:
        if self.flow.read_paused:  # we are the slow one
            self._timer = self.loop.call_later(seconds, self._cut_slow, seconds)
        else:
            self.transport.abort()

    def _cut_stranger(self, place: Place) -> None:
        if place.must_show_key:
            self.transport.abort()

    def _refuse(self, status: int | None = None) -> None:
        """Answers what is no request of ours, unless an answer is under way; then the end."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        self.transport.write(_refusal(status or self._status))
        self.transport.close()
        self._timer = self.loop.call_later(SHOW_KEY_SECONDS, self.transport.abort)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


WORDS = {
    400: "this is not an HTTP request that can be read",
    414: "the address is too long: the whole head of a request may have 64 KB",
    431: "the head of the request is too long: it may have 64 KB",
}


def _refusal(status: int) -> bytes:
    """An answer in the envelope, without a route."""
    error = {"code": "INVALID_REQUEST", "message": WORDS[status], "retryable": False}
    metadata = {"timestamp": iso(time.time_ns() // 1_000_000), "requestId": None}
    body = {"success": False, "data": None, "error": error, "metadata": metadata}
    text = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(text)}\r\nx-content-type-options: nosniff\r\n"
        "cross-origin-resource-policy: same-origin\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + text


class WatchedSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, and the Line that live/websocket.py writes to.

    An event for a thousand watchers is framed once and wakes no task; pings come from the hub's one
    timer; what a watcher says is counted and dropped where it arrives.
    """

    def __init__(self, *args: Any, place: Place | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._place = place
        self._leave: Callable[[], None] | None = None
        self._owes_pong = False
        self._said_bytes = 0
        self._said_frames = 0
        self._counted_until = 0.0

    def when_lost(self, leave: Callable[[], None]) -> None:
        if self.disconnected:
            leave()
        self._leave = leave

    def write(self, frames: bytes) -> bool:
        if not self.writable.is_set() or self.close_sent or self.transport.is_closing():
            return False
        try:
            self.transport.write(frames)
        except (OSError, RuntimeError):  # it closes just now: the long way finds out, and ends
            return False
        return True

    def ping(self, frames: bytes) -> bool:
        if self._owes_pong:
            self.transport.abort()
            return True
        self._owes_pong = self.write(PING + frames)
        return self._owes_pong

    # ------------------------------------------------------------------ what uvicorn calls
    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            if self.loop.time() >= self._counted_until:
                self._counted_until = self.loop.time() + SAYS_SECONDS
                self._said_bytes = self._said_frames = 0
            self._said_bytes += len(data)
            if self._said_bytes > SAYS_BYTES:
                self._cut()
                return
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the application's task is made, and begins after this
            self.scope["extensions"][LINE] = {"line": self}
            self.scope["extensions"][PEER] = {"place": self._place}

    def handle_cont(self, event: Frame) -> None:
        self._count_frame()

    def handle_text(self, event: Frame) -> None:
        self._count_frame()

    def handle_bytes(self, event: Frame) -> None:
        self._count_frame()

    def handle_ping(self) -> None:
        if self._count_frame():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        self._owes_pong = False
        self._count_frame()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._place is not None:
            self._place.leave()
        if self._leave is not None:
            self._leave()

    # ------------------------------------------------------------------ bounds
    def _count_frame(self) -> bool:
        """True while the watcher does not say too much, and takes what it is answered."""
        self._said_frames += 1
        if self._said_frames > SAYS_FRAMES or not self.writable.is_set():
            self._cut()
        return not self.transport.is_closing()

    def _cut(self) -> None:
        if self.transport.is_closing():
            return
        if not self.close_sent:
            self.conn.fail(SAYS_TOO_MUCH, "a watcher says too much")
            self.handle_parser_exception()
        self.transport.close()
        self.loop.call_later(SHOW_KEY_SECONDS, self.transport.abort)
