"""Open imports that no living process runs continue by themselves.

Way:     app.py calls ``sweep`` at start and every ``SWEEP_SECONDS``
Rule 1:  the journal says what is open, the locks say who is alive, DBOS says what was recorded.
Rule 2:  one process sweeps at a time. Sweeping twice does no harm.
Not here: what the legacy importer left; it looks after its own.
"""

import logging
import time
from collections.abc import Callable, Collection

from bookline.engine.dbos import ENDED_FOR_THE_JOURNAL, RUNNING_STATES, DbosEngine
from bookline.engine.nodes import Nodes
from bookline.errors import StoreDown
from bookline.job import COMPLETED, FAILED, Job
from bookline.progress.events import completed, ending
from bookline.progress.journal import Journal

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
UNFINISHED_MOST = 500  # our choice: looked through in one sweep, the oldest first
LEFT_MOST = 1_000  # our choice: taken up in one sweep
COMING_SECONDS = 5.0  # our choice: until another process seems to have it
LOST_MS = 15_000  # an own job, open but not running, is looked at after this long: its end is lost


class Recovery:
    """Finds what a dead process left.

    ``clock`` gives epoch milliseconds; ``room`` says how many more may be at work here.
    """

    def __init__(
        self, node: Nodes, engine: DbosEngine, journal: Journal,
        clock: Callable[[], int], room: Callable[[], int] = lambda: LEFT_MOST,
    ) -> None:  # fmt: skip
        self._node = node
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._looked_through: Collection[str] | None = None
        """Who was alive when the engine's book was looked through."""
        self._room = room
        self._resumed: dict[str, float] = {}
        self._broken: set[str] = set()
        """Jobs that could not be taken up: the others go first, and what is new does not wait."""
        self.is_behind = True
        """Whether there is more than there was room for; so it is before the first sweep."""

    @property
    def coming(self) -> int:
        """How many were resumed and are on their way here, through DBOS' queue."""
        now, running = time.monotonic(), set(self._engine.running)
        self._resumed = {
            job_id: at
            for job_id, at in self._resumed.items()
            if job_id not in running and now - at < COMING_SECONDS
        }
        return len(self._resumed)

    async def sweep(self) -> int:
        """How many imports were set going again."""
        async with self._node.only_one("recovery") as ours:
            if not ours:
                self.is_behind = False
                return 0
            alive = await self._node.living()
            again = await self._take_up(alive)
            await self._close_the_engines_book(alive)
        if again:
            log.info("%d imports continue after a restart", again)
        return again

    async def _take_up(self, alive: Collection[str]) -> int:
        """What the journal has open and no living process runs."""
        own = self._node.node_id
        found = await self._journal.left_by(
            alive, own, self._clock() - LOST_MS, method="workflow", limit=LEFT_MOST + 1
        )
        alive = await self._node.living() if found else alive  # who began since has nothing left
        left = [
            job
            for job in found
            if job.job_id not in self._engine.running and (job.node == own or job.node not in alive)
        ]
        room = max(0, min(self._room() - self.coming, LEFT_MOST))
        left.sort(key=lambda job: job.job_id in self._broken)
        whole = sum(job.job_id not in self._broken for job in left)
        self.is_behind = whole > room
        left = left[:room]
        if not left:
            return 0
        known = await self._engine.look_up([job.job_id for job in left])
        running = set(self._engine.running)  # what we took up while we asked
        again = []
        for job in left:
            if job.job_id in running:
                continue
            try:
                if await self._is_to_be_resumed(job, known.get(job.job_id), alive):
                    again.append(job.job_id)
                self._broken.discard(job.job_id)
            except StoreDown:
                raise
            except Exception:
                log.exception("%s cannot be taken up now; the others go first", job.job_id)
                self._broken.add(job.job_id)
        await self._engine.resume(again)
        self._resumed.update(dict.fromkeys(again, time.monotonic()))
        return len(left)

    async def _is_to_be_resumed(
        self, job: Job, known: tuple[str, str | None, object] | None, alive: Collection[str]
    ) -> bool:
        """What the engine has no more of than a record of its end, or nothing, is seen to here."""
        if known is None:
            await self._engine.start(job.order)
            return False
        state, executor, output = known
        if state == "PENDING":
            return executor not in alive or job.node == self._node.node_id == executor
        if state not in RUNNING_STATES:
            await self._close(job, state, output)
        return False

    async def _close_the_engines_book(self, alive: Collection[str]) -> None:
        """What the journal has ended, and the engine did not hear of."""
        unrecorded = set(self._engine.unrecorded)
        if alive != self._looked_through:
            unfinished = await self._engine.unfinished(UNFINISHED_MOST)
            unrecorded |= {job_id for job_id, node in unfinished.items() if node not in alive}
            if len(unfinished) < UNFINISHED_MOST:
                self._looked_through = alive
        over = []
        for job_id in unrecorded:
            job = await self._journal.find(job_id)
            if job is None or job.is_over:
                over.append(job_id)
        await self._engine.end(over)
        self._engine.unrecorded -= unrecorded

    async def _close(self, job: Job, state: str, output: object) -> None:
        """DBOS has ended it, the journal has not: the end is written, or the retry is begun."""
        end = output if isinstance(output, dict) else {}
        if state == ENDED_FOR_THE_JOURNAL or end.get("run", job.run) < job.run:
            await self._engine.restart(job.job_id)
            return
        if end.get("status") == COMPLETED:
            news, result, error = completed(job.run, end["result"]), end["result"], None
        else:
            lost = {"code": "INTERNAL_ERROR", "message": f"the engine ended the job ({state})",
                    "step": job.step, "attempts": job.attempt or 0}  # fmt: skip
            result, error = None, end.get("error") or lost
            news = ending(job.run, end.get("status") or FAILED, {"error": error})
        await self._journal.finish(job.job_id, news, run=job.run, result=result, error=error)
