"""Records of finished imports, and how the jobs stand, to compare methods by.

Way:     migration/rollouts.py → here; the journal keeps a record with each end
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bookline.progress.journal import RECORDS_MOST, Tally
from bookline.progress.records import ImportRecord
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import read_record, record_values

_RECORD = """INSERT INTO import_records (record_id, method, outcome, code, provider, duration_ms,
                                         stages, tries, finished_ms)
             VALUES (:record_id, :method, :outcome, :code, :provider, :duration_ms, :stages,
                     :tries, :finished_ms)
             ON CONFLICT (record_id) DO UPDATE SET
                 outcome = excluded.outcome, code = excluded.code, provider = excluded.provider,
                 duration_ms = excluded.duration_ms, stages = excluded.stages,
                 tries = excluded.tries, finished_ms = excluded.finished_ms"""


def keep_record(session: Session, record: ImportRecord) -> None:
    """A job that ends again has one record: that of its last end."""
    session.execute(_RECORD, record_values(record))


class SqlRecords:
    """Fills the port Records."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def records(
        self, since_ms: int, most: int = RECORDS_MOST, *, method: str | None = None
    ) -> Sequence[ImportRecord]:
        term = "" if method is None else "AND method = :method"

        def work(session: Session) -> Sequence[ImportRecord]:
            rows = session.execute(
                f"""SELECT * FROM import_records WHERE finished_ms >= :since_ms {term}
                    ORDER BY finished_ms DESC, record_id DESC LIMIT :most""",
                {"since_ms": since_ms, "method": method, "most": most},
            )
            return [read_record(row) for row in reversed(rows)]

        return await self.database.read(work)

    async def tally(
        self, *, begun_before_ms: int, queued_before_ms: int, since_ms: int
    ) -> Mapping[str, Tally]:
        values = {"begun": begun_before_ms, "queued": queued_before_ms, "since": since_ms}

        def work(session: Session) -> Mapping[str, Tally]:
            found: dict[str, Tally] = {}
            for row in session.execute(
                """SELECT method, count(*) AS open, count(*) FILTER (WHERE
                       CASE WHEN run_started_ms IS NULL THEN updated_ms < :queued
                            ELSE run_started_ms < :begun END) AS lost
                   FROM jobs WHERE status IN ('queued', 'running') GROUP BY method""",
                values,
            ):
                found[row["method"]] = Tally(open=row["open"], lost=row["lost"])
            for row in session.execute(
                """SELECT method, count(*) AS doubled FROM jobs
                   WHERE status NOT IN ('queued', 'running') AND updated_ms >= :since
                     AND run <> (SELECT count(*) FROM events
                                 WHERE events.job_id = jobs.job_id AND terminal = 1)
                   GROUP BY method""",
                values,
            ):
                known = found.get(row["method"], Tally())
                found[row["method"]] = replace(known, doubled=row["doubled"])
            return found

        return await self.database.read(work)

    async def remove_records(self, before_ms: int) -> None:
        def work(session: Session) -> None:
            session.execute(
                "DELETE FROM import_records WHERE finished_ms < :before_ms",
                {"before_ms": before_ms},
            )

        await self.database.write(work)
