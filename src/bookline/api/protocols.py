"""The connections' own rules: how long a request's head may be and take.

Way:      uvicorn → here → gate.py; live/sse.py writes to a stream's connection
Rule 1:   nobody who has not shown a key can take memory or time without bound: head, trailers,
          chunk extensions and pipelined requests are counted as they arrive.
Rule 2:   what cannot be read is answered in the envelope, and the connection ends.
Source:   RFC 9112.
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

from bookline.api.peers import PEER, SHOW_KEY_SECONDS, Peers, Place
from bookline.api.sockets import WatchedSocket
from bookline.live.line import LINE
from bookline.values import iso

HEAD_BYTES = 64 * 1024  # docs/contract.md: the whole head
HEAD_SECONDS = 10.0  # docs/contract.md: until the whole head is there
BODY_SECONDS = 300.0  # our choice: 20 MB at half a megabit a second
STALLED_SECONDS = 60.0  # a caller that takes no byte of its answer for so long is cut
PIPELINED_MOST = 32  # requests sent ahead of their answers; browsers send none


class _Refused(Exception):
    """Stops the parser: the request will not be answered by a route."""


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds, and the Line of a stream of events."""

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
        self._leave: Callable[[], None] | None = None
        self._extensions: dict[str, Any] = {}

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
        if self._leave is not None:
            self._leave()
        self._let_go()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._is_understood = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade() and self._is_answering:
                self._refuse()  # whoever writes that answer would never hear of its end
                return
            if self._should_upgrade():
                self._stop(self._timer)
                self.handle_websocket_upgrade()
                self._let_go()
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

    def _let_go(self) -> None:
        """Nothing comes any more. What points back here would keep all of it until the next full
        collection of garbage, which is rare.
        """
        self.parser = cast(Any, None)
        self._leave = None
        self._extensions.pop(LINE, None)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stalled)

    # ------------------------------------------------------------------ a stream's Line
    def when_lost(self, leave: Callable[[], None] | None) -> None:
        self._leave = leave
        if leave is not None and self.transport.is_closing():
            leave()

    def write(self, text: bytes) -> bool:
        cycle = self.cycle  # of the newest request: one that waits behind the stream has not begun
        if (
            not (cycle and cycle.response_started and cycle.chunked_encoding)
            or cycle.response_complete
            or self.flow.write_paused
            or self.transport.is_closing()
        ):
            return False
        try:
            self.transport.write(b"%x\r\n%b\r\n" % (len(text), text))
        except (OSError, RuntimeError):  # it closes just now: the long way finds out, and ends
            return False
        return True

    def ping(self, text: bytes) -> bool:
        return self.write(text)  # the machine at the other end confirms it, or is found gone

    # ------------------------------------------------------------------ what the parser calls
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions = {PEER: {"place": self._place}}
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
        if self.scope["method"] == "GET":  # the application's task begins after this
            self._extensions[LINE] = {"line": self}

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
        if self._is_answering:
            self.transport.abort()
            return
        self.transport.write(_refusal(status or self._status))
        self.transport.close()
        self._timer = self.loop.call_later(SHOW_KEY_SECONDS, self.transport.abort)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

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
