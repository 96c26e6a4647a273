"""What a process asks of the journal's tables beside its imports.

Way:     engine/upkeep.py, engine/recovery.py and the legacy importer → here
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from bookline.job import Job
from bookline.progress.rules import IDEMPOTENCY_MS
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import JOB, read_job


class SqlUpkeep:
    """Fills the port Upkeep. ``clock`` gives epoch milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self.database = database
        self._clock = clock

    async def left_by(self, alive: Collection[str], own: str, own_before_ms: int) -> Sequence[Job]:
        def work(session: Session) -> Sequence[Job]:
            rows = session.execute(
                f"""{JOB} WHERE jobs.status IN ('queued', 'running') AND (
                        NOT jobs.node IN :alive
                        OR (jobs.node = :own AND jobs.updated_ms < :before_ms))
                    ORDER BY jobs.created_ms""",
                {"alive": list(alive), "own": own, "before_ms": own_before_ms},
            )
            return [read_job(row, row["last_message"]) for row in rows]

        return await self.database.read(work)

    async def cancel_requests(self, node: str) -> Sequence[str]:
        def work(session: Session) -> Sequence[str]:
            rows = session.execute(
                """SELECT job_id FROM jobs WHERE status IN ('queued', 'running')
                   AND node = :node AND cancel_requested = 1""",
                {"node": node},
            )
            return [row["job_id"] for row in rows]

        return await self.database.read(work)

    async def remove_finished(self, before_ms: int, limit: int) -> Sequence[str]:
        def work(session: Session) -> Sequence[str]:
            rows = session.execute(
                """SELECT job_id FROM jobs WHERE status NOT IN ('queued', 'running')
                   AND updated_ms < :before_ms LIMIT :limit""",
                {"before_ms": before_ms, "limit": limit},
            )
            ids = [row["job_id"] for row in rows]
            session.execute("DELETE FROM events WHERE job_id IN :ids", {"ids": ids})
            session.execute("DELETE FROM jobs WHERE job_id IN :ids", {"ids": ids})
            session.execute(
                "DELETE FROM idempotency WHERE at_ms < :before_ms",
                {"before_ms": self._clock() - IDEMPOTENCY_MS},
            )
            return ids

        return await self.database.write(work)

    async def counts(self) -> Mapping[str, int]:
        def work(session: Session) -> Mapping[str, int]:
            rows = session.execute("SELECT status, count(*) AS n FROM jobs GROUP BY status")
            return {row["status"]: row["n"] for row in rows}

        return await self.database.read(work)
