"""The jobs that wait for a process, as rows: queued, and nobody's yet.

Way:     imports.py opens them with their turn; engine/queue.py takes them → here
Rule 1:  fair: the flows of a source (a batch, a caller) take turns, one job each. A flow that is
         new begins at the turn that is next, so many jobs of one hold no other up.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest

from bookline.job import Job
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import read_job

_LAST_OF_FLOW = """SELECT max(turn) AS turn FROM jobs
                   WHERE flow = :flow AND status = 'queued' AND node IS NULL"""
_NEXT_OF_SOURCE = """SELECT min(turn) AS turn FROM jobs
                     WHERE source = :source AND status = 'queued' AND node IS NULL"""
_WAITING = """SELECT job_id FROM jobs
              WHERE source = :source AND status = 'queued' AND node IS NULL
              ORDER BY turn, job_id LIMIT :limit"""
_TAKE = """UPDATE jobs SET node = :node, updated_ms = :now_ms
           WHERE job_id IN :ids AND status = 'queued' AND node IS NULL RETURNING *"""


class SqlQueue:
    """Fills the port Waiting."""

    database: Database
    _clock: Callable[[], int]

    async def take(self, node: str, sources: Mapping[str, int], most: int) -> Sequence[Job]:
        if not await self.database.look_up(lambda session: _next(session, sources, 1)):
            return ()  # nothing waits, mostly: that costs no write
        now_ms = self._clock()

        def work(session: Session) -> Sequence[Job]:
            ids = _next(session, sources, most)
            return _taken(session, node, ids, now_ms) if ids else ()

        return await self.database.write(work, "queue")

    async def peek(self, sources: Mapping[str, int], most: int) -> Sequence[Job]:
        """The next ones, which stay nobody's."""

        def work(session: Session) -> Sequence[Job]:
            ids = _next(session, sources, most)
            rows = session.execute("SELECT * FROM jobs WHERE job_id IN :ids", {"ids": ids})
            found = {row["job_id"]: read_job(row) for row in rows}
            return [found[job_id] for job_id in ids]

        return await self.database.read(work)

    async def hand_over(self, node: str, job_ids: Sequence[str]) -> None:
        """Those of them that still wait are the node's now."""
        now_ms = self._clock()
        await self.database.write(lambda session: _taken(session, node, job_ids, now_ms), "queue")


def _next(session: Session, sources: Mapping[str, int], most: int) -> Sequence[str]:
    """Ids of the next jobs, at most so many of each source and of all."""
    lines = [
        [
            row["job_id"]
            for row in session.execute(_WAITING, {"source": source, "limit": min(limit, most)})
        ]
        for source, limit in sources.items()
        if limit > 0
    ]
    one_of_each = chain.from_iterable(zip_longest(*lines))
    return [job_id for job_id in one_of_each if job_id is not None][:most]


def _taken(session: Session, node: str, ids: Sequence[str], now_ms: int) -> Sequence[Job]:
    rows = session.execute(_TAKE, {"node": node, "now_ms": now_ms, "ids": list(ids)})
    taken = {row["job_id"]: read_job(row) for row in rows}
    return [taken[job_id] for job_id in ids if job_id in taken]


def turn_of(session: Session, job: Job) -> int:
    """The turn that a job gets which begins to wait now."""
    [last] = session.execute(_LAST_OF_FLOW, {"flow": job.flow})
    [following] = session.execute(_NEXT_OF_SOURCE, {"source": job.order.source})
    behind = 0 if last["turn"] is None else last["turn"] + 1
    return max(behind, following["turn"] or 0)
