"""Places at work: how many imports one process works on at once.

Way:      queue.py hands over as many as there is ``room`` for; job_run.py takes and gives
Rule 1:   an import that waits gives its place to others; when it comes back it goes before those
          that have not begun.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Places:
    """So many at once. Not for two threads."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._back: deque[asyncio.Future[None]] = deque()
        self._new: deque[asyncio.Future[None]] = deque()
        self.on_room: Callable[[], None] = lambda: None
        """Called when a place has become free and nobody here waits for it."""

    @property
    def room(self) -> int:
        """How many more could be at work at once."""
        return max(0, self._free)

    async def take(self, *, is_back: bool = False) -> None:
        """Waits for a place. Who ``is_back`` goes before those that have not begun."""
        if self._free > 0:
            self._free -= 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._back if is_back else self._new
        line.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in line:  # not where ``give`` has just gone past it, as it is cancelled
                line.remove(waiter)
            elif not waiter.cancelled():
                self.give()  # it was ours already
            raise

    def give(self) -> None:
        for line in (self._back, self._new):
            while line:
                waiter = line.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._free += 1
        self.on_room()


class Slot:
    """One import's place, given back while all of its lines of work wait."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._is_ours = False
        self._lines = 1
        self._waiting = 0
        self._taking = asyncio.Lock()

    async def take(self, *, is_back: bool = False) -> None:
        """Safe twice."""
        async with self._taking:
            if not self._is_ours:
                await self._places.take(is_back=is_back)
                self._is_ours = True

    def give(self) -> None:
        """Safe twice."""
        if self._is_ours:
            self._is_ours = False
            self._places.give()

    def branch(self, lines: int) -> None:
        """From here the import works in so many lines; ``wait`` and ``end_line`` count them."""
        self._lines, self._waiting = lines, 0

    def end_line(self) -> None:
        """A line waits for the others now; the last one goes on alone."""
        if self._lines > 1:
            self._lines -= 1
            self._give_if_all_wait()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """A wait of one line; who goes on behind it takes the place again."""
        self._waiting += 1
        self._give_if_all_wait()
        try:
            yield
        finally:
            self._waiting -= 1

    def _give_if_all_wait(self) -> None:
        if self._waiting >= self._lines:
            self.give()

    async def __aenter__(self) -> "Slot":
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give()
