"""An import whose rules are not known here may be known to another node: it is queued once more.

Way:     dbos.py asks before it runs what it was given → here → dbos.py queues it again
Rule 1:  only while others are alive, and only for a while: then it fails with the reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from bookline.patience import until_it_is_back

MOST_SECONDS = 60.0  # our choice: whoever knows the rules and is free has had dozens of chances
PAUSE_SECONDS = 1.0  # our choice: as often as DBOS looks into its queue

Living = Callable[[], Awaitable[Collection[str]]]


class PassingOn:
    """What one process has been given and passes on. ``passed`` gives seconds."""

    def __init__(
        self,
        living: Living,
        queue: Callable[[Sequence[str]], Awaitable[None]],
        passed: Callable[[], float],
    ) -> None:
        self._living = living
        self._queue = queue
        self._passed = passed
        self._since: dict[str, float] = {}
        """Job → when it was here first."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def takes(self, job_id: str) -> bool:
        """Whether it is for another node; then it goes back into the queue soon."""
        if len(await until_it_is_back(self._living)) < 2:
            return False
        now = self._passed()
        self._since = {one: at for one, at in self._since.items() if now - at < 2 * MOST_SECONDS}
        if now - self._since.setdefault(job_id, now) > MOST_SECONDS:
            return False
        task = asyncio.create_task(self._pass_on(job_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def close(self) -> None:
        """What is on its way stays with this process, and is taken up when that is gone."""
        for task in self._tasks:
            task.cancel()

    async def _pass_on(self, job_id: str) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        await until_it_is_back(lambda: self._queue([job_id]))
