"""What a process asks of the journal's tables beside its imports.

Way:     engine/upkeep.py, engine/recovery.py and the legacy importer → here
"""

from collections.abc import Collection, Mapping, Sequence

from bookline.job import Job
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import JOB, read_job

_LEFT = f"""{JOB} WHERE jobs.status IN ('queued', 'running') AND jobs.method = :method
            AND jobs.node IS NOT NULL AND NOT jobs.node IN :alive
            ORDER BY jobs.created_ms LIMIT :limit"""
_STUCK = f"""{JOB} WHERE jobs.status IN ('queued', 'running') AND jobs.method = :method
             AND jobs.node = :own AND jobs.updated_ms < :before_ms"""
_LAST_MOMENTS = (
    "SELECT max(created_ms) AS at_ms FROM jobs",
    "SELECT max(updated_ms) AS at_ms FROM jobs WHERE status NOT IN ('queued', 'running')",
    "SELECT max(finished_ms) AS at_ms FROM import_records",
)


class SqlUpkeep:
    """Fills the port Upkeep."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def left_by(
        self, alive: Collection[str], own: str, own_before_ms: int, *, method: str, limit: int
    ) -> Sequence[Job]:
        of_dead = {"alive": list(alive), "method": method, "limit": limit}
        stuck = {"own": own, "before_ms": own_before_ms, "method": method}

        def work(session: Session) -> Sequence[Job]:
            found = [*session.execute(_LEFT, of_dead), *session.execute(_STUCK, stuck)]
            found.sort(key=lambda row: row["created_ms"])
            return [read_job(row, row["last_message"]) for row in found]

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

    async def last_moment(self) -> int | None:
        def work(session: Session) -> int | None:
            moments = [session.execute(query)[0]["at_ms"] for query in _LAST_MOMENTS]
            return max((at_ms for at_ms in moments if at_ms is not None), default=None)

        return await self.database.read(work)

    async def finished_before(self, before_ms: int, limit: int) -> Sequence[str]:
        def work(session: Session) -> Sequence[str]:
            rows = session.execute(
                """SELECT job_id FROM jobs WHERE status NOT IN ('queued', 'running')
                   AND updated_ms < :before_ms ORDER BY updated_ms LIMIT :limit""",
                {"before_ms": before_ms, "limit": limit},
            )
            return [row["job_id"] for row in rows]

        return await self.database.read(work)

    async def remove_finished(self, job_ids: Collection[str], before_ms: int) -> int:
        def work(session: Session) -> int:
            rows = session.execute(
                """DELETE FROM jobs WHERE job_id IN :ids AND status NOT IN ('queued', 'running')
                   AND updated_ms < :before_ms RETURNING job_id""",
                {"ids": list(job_ids), "before_ms": before_ms},
            )
            gone = {"ids": [row["job_id"] for row in rows]}
            session.execute("DELETE FROM events WHERE job_id IN :ids", gone)
            return len(rows)

        return await self.database.write(work)

    async def remove_keys(self, before_ms: int) -> None:
        query = "DELETE FROM idempotency WHERE at_ms < :before_ms"
        await self.database.write(lambda session: session.execute(query, {"before_ms": before_ms}))

    async def queued(self) -> int:
        def work(session: Session) -> int:
            [row] = session.execute("SELECT count(*) AS n FROM jobs WHERE status = 'queued'")
            return int(row["n"])

        return await self.database.read(work)

    async def counts(self) -> Mapping[str, int]:
        def work(session: Session) -> Mapping[str, int]:
            rows = session.execute("SELECT status, count(*) AS n FROM jobs GROUP BY status")
            return {row["status"]: row["n"] for row in rows}

        return await self.database.read(work)
