"""A watcher's connection, as our own server offers it: it is written to without waking a task.

Way:     api/protocols.py and api/sockets.py offer it → here → sse.py, websocket.py
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

from bookline.progress.hub import Watch

LINE = "bookline.line"
"""Name of the ASGI extension whose ``line`` is a Line."""


class Line(Protocol):
    """What an ASGI server may offer beside its messages."""

    def when_lost(self, leave: Callable[[], None] | None) -> None:
        """``leave`` is called when the watcher has gone: nobody needs to listen for it."""

    def write(self, text: bytes) -> bool:
        """Sends it at once and says True, or False where it would have to wait."""

    def ping(self, text: bytes) -> bool:
        """The same, so that a watcher which has vanished is found by it."""


def line_of(scope: Mapping[str, Any]) -> Line | None:
    line: Line | None = scope.get("extensions", {}).get(LINE, {}).get("line")
    return line


def leave_when_lost(
    watch: Watch, line: Line | None, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
) -> Callable[[], object]:
    """Ends the watch when the watcher goes; what it says has no meaning. The answer ends that."""
    if line is not None:
        line.when_lost(watch.leave)
        return lambda: line.when_lost(None)

    async def listen() -> None:
        while not (await receive())["type"].endswith(".disconnect"):
            pass
        watch.leave()

    return asyncio.create_task(listen()).cancel
