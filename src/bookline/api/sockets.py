"""A watcher's WebSocket: what it may say, and how events are written to it.

Way:      protocols.py, at the upgrade → here → gate.py; live/websocket.py writes to it
Rule 1:   what a watcher says has no meaning: it is counted and dropped as it arrives.
Source:   RFC 6455 §5.4 and §5.5 for continuation and control frames.
"""

from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from bookline.api.peers import PEER, SHOW_KEY_SECONDS, Place
from bookline.live.line import LINE

SAYS_BYTES = 32 * 1024  # what a watcher says has no meaning, so it may not be much …
SAYS_FRAMES = 200  # … nor often …
SAYS_SECONDS = 10.0  # … within such a time
SAYS_TOO_MUCH = 1008

PING = Frame(Opcode.PING, b"").serialize(mask=False)


class WatchedSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, and its Line.

    An event for a thousand watchers is framed once and wakes no task; pings come from the hub's one
    timer; what a watcher says is counted and dropped where it arrives.
    """

    def __init__(self, *args: Any, place: Place | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._place = place
        self._leave: Callable[[], None] | None = None
        self._extensions: dict[str, Any] = {}
        self._owes_pong = False
        self._said_bytes = 0
        self._said_frames = 0
        self._counted_until = 0.0

    def when_lost(self, leave: Callable[[], None] | None) -> None:
        self._leave = leave
        if leave is not None and self.disconnected:
            leave()

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
            self._extensions = cast(dict[str, Any], self.scope["extensions"])
            self._extensions |= {LINE: {"line": self}, PEER: {"place": self._place}}

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
        self._leave = None
        self._extensions.pop(LINE, None)  # it points back here: see GuardedHttp

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
