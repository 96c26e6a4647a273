"""Stdin, read while the event loop runs: Ctrl-C is heard, and a server in this process goes on.

Way:      `bookline review`, `import --file -` → here → the terminal, a pipe or a file
"""

import asyncio
import os
import sys

AT_ONCE_BYTES = 65_536  # what a pipe of Linux holds; a terminal gives a line at a time


class Lines:
    """What somebody answers, a line at a time. Only one of it may read."""

    def __init__(self) -> None:
        self._read = b""

    async def ask(self) -> str:
        """A line with its end; empty at the end of the input. A cancel ends the wait."""
        while b"\n" not in self._read and (more := await _read_some()):
            self._read += more
        line, end, self._read = self._read.partition(b"\n")
        return (line + end).decode(errors="replace")


async def read_stdin(most_bytes: int) -> bytes:
    """All of it, or at least that much. A cancel ends the wait."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < most_bytes and (more := await _read_some()):
        parts.append(more)
    return b"".join(parts)


async def _read_some() -> bytes:
    """Empty at the end of the input, or where there is none."""
    if sys.stdin is None:
        return b""
    await _is_ready(sys.stdin.fileno())
    return os.read(sys.stdin.fileno(), AT_ONCE_BYTES)


async def _is_ready(source: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(source, ready.set)
    except (PermissionError, NotImplementedError):  # a file, which has all at once; Windows
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(source)
