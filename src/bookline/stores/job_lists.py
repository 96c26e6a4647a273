"""Jobs as callers read them: one, a page of them, those of a book that are open.

Way:     stores/journal.py is made of it, and writes → here
"""

from collections.abc import Sequence

from bookline.job import Job
from bookline.stores.cursors import read_cursor, write_cursor
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import JOB, read_job
from bookline.values import Json, Page

_OPEN_OF = (
    "SELECT job_id FROM jobs WHERE isbn = :isbn AND status IN ('queued', 'running') ORDER BY job_id"
)


class SqlJobLists:
    """What the port Jobs reads."""

    database: Database

    async def find(self, job_id: str) -> Job | None:
        return await self.database.look_up(lambda session: find_job(session, job_id))

    async def list(
        self,
        *,
        status: str | None,
        method: str | None,
        isbn: str | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        since_ms: int | None = None,
        limit: int,
        cursor: str | None,
    ) -> Page[Job]:
        at_ms, job_id = read_cursor(cursor, int, str) if cursor else (2**62, "")
        columns = {
            "status": status, "method": method, "isbn": isbn, "user_id": user_id,
            "batch_id": batch_id,
        }  # fmt: skip
        asked = {name: value for name, value in columns.items() if value is not None}
        terms = "".join(f" AND jobs.{column} = :{column}" for column in asked)
        wanted: Json = {**asked}
        if since_ms is not None:
            terms += " AND jobs.created_ms >= :since_ms"
            wanted["since_ms"] = since_ms
        values = {"at_ms": at_ms, "job_id": job_id, "limit": limit + 1, **wanted}

        def work(session: Session) -> Sequence[Job]:
            rows = session.execute(
                f"""{JOB} WHERE (jobs.created_ms, jobs.job_id) < (:at_ms, :job_id) {terms}
                    ORDER BY jobs.created_ms DESC, jobs.job_id DESC LIMIT :limit""",
                values,
            )
            return [read_job(row, row["last_message"]) for row in rows]

        jobs = await self.database.read(work)
        last = jobs[limit - 1] if len(jobs) > limit else None
        return Page(
            items=jobs[:limit],
            next_cursor=write_cursor(last.created_ms, last.job_id) if last else None,
        )

    async def open_of(self, isbn: str) -> Sequence[str]:
        rows = await self.database.look_up(
            lambda session: session.execute(_OPEN_OF, {"isbn": isbn})
        )
        return [row["job_id"] for row in rows]


def find_job(session: Session, job_id: str) -> Job | None:
    """With its last event."""
    rows = session.execute(f"{JOB} WHERE jobs.job_id = :job_id", {"job_id": job_id})
    return read_job(rows[0], rows[0]["last_message"]) if rows else None
