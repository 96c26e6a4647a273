"""What runs for as long as the process does, in one group.

Way:      app.py puts the loops of the process here
Rule 1:   none dies in silence: one that breaks is told in the log, and started again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bookline.logs import seldom

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0  # our choice: what broke may break again at once


class Tasks:
    """Loops that never end by themselves. To be stopped before the loop of events ends."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Runs it until ``stop``; what returns is done, what raises is begun anew."""
        self._tasks.append(asyncio.create_task(_keep_running(name, run), name=name))

    async def stop(self) -> None:
        """Cancels all and waits for their ends. Safe twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _keep_running(name: str, run: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await run()
        except Exception as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # it broke while it was being stopped
                raise asyncio.CancelledError from error
            if (left_out := seldom.turn(("task", name))) is not None:
                often = f" ({left_out} times more in the last minute)" if left_out else ""
                log.exception("%s broke%s and starts again", name, often)
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return
