"""Where the legacy importer keeps its jobs' states: one row a job, rewritten at each change.

Way:     job_state_manager.py → here → a Database
Rule 1:  a row has one owner, a process. Whoever takes a job over must win the row first.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from bookline.job import ImportInput
from bookline.stores.database import Database, Row, Session
from bookline.stores.upkeep import stands_still
from bookline.values import Json

PENDING, RUNNING = "pending", "running"
OPEN: Final = (PENDING, RUNNING)

MIGRATIONS = (
    """
    CREATE TABLE legacy_jobs (
        job_id TEXT PRIMARY KEY, state TEXT NOT NULL, owner TEXT NOT NULL,
        updated_ms INTEGER NOT NULL, document TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX legacy_jobs_open ON legacy_jobs (owner) WHERE state IN ('pending', 'running');
    """,
)

_OF_DEAD = """SELECT * FROM legacy_jobs WHERE state IN ('pending', 'running')
              AND NOT owner IN :alive LIMIT :limit"""
_OF_OWN = """SELECT * FROM legacy_jobs WHERE state IN ('pending', 'running')
             AND owner = :own AND job_id > :after ORDER BY job_id LIMIT :limit"""


@dataclass(slots=True, kw_only=True)
class JobState:
    """All that the importer remembers of a job."""

    order: ImportInput
    owner: str
    state: str = PENDING
    """pending, running, completed, failed, cancelled."""
    run: int = 0
    """The journal's number of the run that this is the state of; 0 before the first."""
    current_step: int = 0
    retry_counts: dict[str, int] = field(default_factory=dict)
    """Step → tries that have failed."""
    next_wake_ms: int | None = None
    """The current step is tried again then."""
    last_retry: Json | None = None
    """What was told of the failure before: it is told again after a crash."""
    results: dict[str, Json] = field(default_factory=dict)
    """Step → what it gave."""
    failures: dict[str, Json] = field(default_factory=dict)
    """Step that failed for good, and was gone on without → code, message, attempts."""
    ending: Json | None = None
    """``{"status", "result", "error"}`` once it is over."""
    updated_ms: int = 0

    def to_json(self) -> Json:
        return {
            "order": self.order.to_json(),
            "run": self.run,
            "currentStep": self.current_step,
            "retryCounts": self.retry_counts,
            "nextWakeMs": self.next_wake_ms,
            "lastRetry": self.last_retry,
            "results": self.results,
            "failures": self.failures,
            "ending": self.ending,
        }


class StateTable:
    """The table. Every method raises StoreDown when it cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_through = ""
        """The last own job that ``left_by`` looked at."""

    def close(self) -> None:
        self._database.close()

    async def add(self, job: JobState) -> bool:
        """False when the job is known already."""
        values = _values(job)

        def work(session: Session) -> bool:
            added = session.execute(
                """INSERT INTO legacy_jobs (job_id, state, owner, updated_ms, document)
                   VALUES (:job_id, :state, :owner, :updated_ms, :document)
                   ON CONFLICT (job_id) DO NOTHING RETURNING job_id""",
                values,
            )
            return bool(added)

        return await self._database.write(work, job.order.job_id)

    async def keep(self, job: JobState) -> bool:
        """Rewrites the row. False when the job has another owner by now."""
        values = _values(job)

        def work(session: Session) -> bool:
            kept = session.execute(
                """UPDATE legacy_jobs SET state = :state, updated_ms = :updated_ms,
                          document = :document
                   WHERE job_id = :job_id AND owner = :owner RETURNING job_id""",
                values,
            )
            return bool(kept)

        return await self._database.write(work, job.order.job_id)

    async def find(self, job_id: str) -> JobState | None:
        query, values = "SELECT * FROM legacy_jobs WHERE job_id = :job_id", {"job_id": job_id}
        rows = await self._database.look_up(lambda session: session.execute(query, values))
        return _job(rows[0]) if rows else None

    async def left_by(
        self, alive: Collection[str], own: str, own_before_ms: int, limit: int
    ) -> Sequence[JobState]:
        """Open jobs of processes that are not alive, and own ones not touched since then: ``limit``
        of each are looked at, and by the next call the next ones.
        """
        of_dead = {"alive": list(alive), "limit": limit}
        of_own = {"own": own, "after": self._looked_through, "limit": limit}

        def work(session: Session) -> tuple[Sequence[JobState], str]:
            dead = session.execute(_OF_DEAD, of_dead)
            looked_at = session.execute(_OF_OWN, of_own)
            still = [row for row in looked_at if stands_still(row["updated_ms"], own_before_ms)]
            last = looked_at[-1]["job_id"] if len(looked_at) == limit else ""
            return [_job(row) for row in (*dead, *still)], last

        jobs, self._looked_through = await self._database.read(work)
        return jobs

    async def take(self, job_id: str, owner: str, new_owner: str) -> bool:
        """Makes a job one's own. False when somebody else was quicker."""
        query = """UPDATE legacy_jobs SET owner = :new_owner
                   WHERE job_id = :job_id AND owner = :owner RETURNING job_id"""
        values = {"job_id": job_id, "owner": owner, "new_owner": new_owner}
        return bool(await self._database.write(lambda session: session.execute(query, values)))

    async def remove(self, job_ids: Sequence[str]) -> None:
        query, values = "DELETE FROM legacy_jobs WHERE job_id IN :ids", {"ids": list(job_ids)}
        await self._database.write(lambda session: session.execute(query, values))


def _values(job: JobState) -> Json:
    document = json.dumps(job.to_json(), ensure_ascii=False, separators=(",", ":"))
    return {
        "job_id": job.order.job_id, "state": job.state, "owner": job.owner,
        "updated_ms": job.updated_ms, "document": document,
    }  # fmt: skip


def _job(row: Row) -> JobState:
    kept = json.loads(row["document"])
    return JobState(
        order=ImportInput.from_json(kept["order"]),
        owner=row["owner"],
        state=row["state"],
        run=kept["run"],
        current_step=kept["currentStep"],
        retry_counts=kept["retryCounts"],
        next_wake_ms=kept["nextWakeMs"],
        last_retry=kept["lastRetry"],
        results=kept["results"],
        failures=kept["failures"],
        ending=kept["ending"],
        updated_ms=row["updated_ms"],
    )
