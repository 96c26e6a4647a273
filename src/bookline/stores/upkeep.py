"""What a process asks of the journal's tables beside its imports.

Way:     engine/upkeep.py, engine/recovery.py and the legacy importer → here
"""

from collections.abc import Collection, Mapping, Sequence

from bookline.job import Job
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import JOB, read_job

# The sign keeps SQLite from walking through all history for the sake of the order.
_LEFT = f"""{JOB} WHERE jobs.job_id IN (
                SELECT job_id FROM jobs WHERE status IN ('queued', 'running') AND method = :method
                AND node IS NOT NULL AND NOT node IN :alive
                ORDER BY +created_ms LIMIT :limit)
            ORDER BY +jobs.created_ms"""
_OWN = """SELECT job_id, method, updated_ms FROM jobs WHERE status IN ('queued', 'running')
          AND node = :own AND job_id > :after ORDER BY job_id LIMIT :limit"""
_THESE = f"{JOB} WHERE jobs.job_id IN :ids"
AHEAD_MS = 60_000  # our choice: more than lies between what is asked for and now
REMOVED_AT_ONCE = 1_000  # our choice: rows of one transaction, which others wait for
_OLD_KEYS = """DELETE FROM idempotency WHERE key IN (
                   SELECT key FROM idempotency WHERE at_ms < :before_ms ORDER BY at_ms LIMIT :most)
               RETURNING key"""
_LAST_MOMENTS = (
    "SELECT max(created_ms) AS at_ms FROM jobs",
    "SELECT max(updated_ms) AS at_ms FROM jobs WHERE status NOT IN ('queued', 'running')",
    "SELECT max(finished_ms) AS at_ms FROM import_records",
)


def stands_still(moved_ms: int, before_ms: int) -> bool:
    """Whether it moved before then; or so much later that the clock was set back since."""
    return not before_ms <= moved_ms <= before_ms + AHEAD_MS


async def remove_older(database: Database, statement: str, before_ms: int) -> None:
    """Until the statement removes no more: it takes ``:before_ms`` and ``:most``, and returns a row
    for each that it removed.
    """
    values = {"before_ms": before_ms, "most": REMOVED_AT_ONCE}
    while await database.write(lambda session: len(session.execute(statement, values))):
        pass


class SqlUpkeep:
    """Fills the port Upkeep."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._looked_through: dict[str, str] = {}
        """Method → the last own job that ``left_by`` looked at."""

    async def left_by(
        self, alive: Collection[str], own: str, own_before_ms: int, *, method: str, limit: int
    ) -> Sequence[Job]:
        of_dead = {"alive": list(alive), "method": method, "limit": limit}
        of_own = {"own": own, "after": self._looked_through.get(method, ""), "limit": limit}

        def work(session: Session) -> tuple[Sequence[Job], str]:
            found = [*session.execute(_LEFT, of_dead)]
            looked_at = session.execute(_OWN, of_own)
            still = [
                row["job_id"]
                for row in looked_at
                if row["method"] == method and stands_still(row["updated_ms"], own_before_ms)
            ]
            if still:
                found += session.execute(_THESE, {"ids": still})
            found.sort(key=lambda row: row["created_ms"])
            last = looked_at[-1]["job_id"] if len(looked_at) == limit else ""
            return [read_job(row, row["last_message"]) for row in found], last

        jobs, self._looked_through[method] = await self.database.read(work)
        return jobs

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
        await remove_older(self.database, _OLD_KEYS, before_ms)

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
