"""Records of finished imports, and how the jobs stand, to compare methods by.

Way:     migration/rollouts.py → here; the journal keeps a record with each end
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bookline.job import METHODS
from bookline.progress.journal import DOUBLED_MOST, RECORDS_MOST, Tally
from bookline.progress.records import Figures, Group, ImportRecord, rank
from bookline.stores.database import Database, Session
from bookline.stores.job_rows import read_record, record_values
from bookline.values import Json

_RECORD = """INSERT INTO import_records (record_id, method, outcome, code, provider, duration_ms,
                                         stages, tries, finished_ms)
             VALUES (:record_id, :method, :outcome, :code, :provider, :duration_ms, :stages,
                     :tries, :finished_ms)
             ON CONFLICT (record_id) DO UPDATE SET
                 outcome = excluded.outcome, code = excluded.code, provider = excluded.provider,
                 duration_ms = excluded.duration_ms, stages = excluded.stages,
                 tries = excluded.tries, finished_ms = excluded.finished_ms"""
_GROUPS = """SELECT outcome, provider, count(*) AS count, sum(tries) AS tries
             FROM import_records WHERE method = :method AND finished_ms >= :since
             GROUP BY outcome, provider ORDER BY outcome, provider"""
_AT_PLACES = """SELECT place, duration_ms FROM (
                    SELECT duration_ms, row_number() OVER (ORDER BY duration_ms) AS place
                    FROM import_records WHERE method = :method AND finished_ms >= :since
                    AND outcome IN :outcomes) AS ranked
                WHERE place IN :places"""
_OPEN = """SELECT method, count(*) AS open, count(*) FILTER (WHERE updated_ms <
               CASE status WHEN 'queued' THEN :queued ELSE :moved END) AS lost
           FROM jobs WHERE status IN ('queued', 'running') GROUP BY method"""
_DOUBLED = """SELECT method, count(*) AS doubled FROM (
                  SELECT job_id, method, run FROM jobs
                  WHERE status NOT IN ('queued', 'running') AND updated_ms >= :since
                  ORDER BY updated_ms DESC LIMIT :most) AS newest
              WHERE run <> (SELECT count(*) FROM events
                            WHERE events.job_id = newest.job_id AND terminal = 1)
              GROUP BY method"""


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

    async def figures(
        self, since_ms: int, outcomes: Collection[str], percents: Collection[int]
    ) -> Figures:
        def work(session: Session) -> Figures:
            groups: list[Group] = []
            durations: dict[str, Mapping[int, int]] = {}
            for method in METHODS:
                window = {"method": method, "since": since_ms, "outcomes": list(outcomes)}
                some = _groups(session, window)
                count = sum(one.count for one in some if one.outcome in outcomes)
                groups += some
                durations[method] = _durations(session, window, count, percents)
            return Figures(groups=groups, durations=durations)

        return await self.database.read(work)

    async def tally(
        self, *, moved_before_ms: int, queued_before_ms: int, since_ms: int
    ) -> Mapping[str, Tally]:
        values = {
            "moved": moved_before_ms, "queued": queued_before_ms, "since": since_ms,
            "most": DOUBLED_MOST,
        }  # fmt: skip

        def work(session: Session) -> Mapping[str, Tally]:
            found = {
                row["method"]: Tally(open=row["open"], lost=row["lost"])
                for row in session.execute(_OPEN, values)
            }
            for row in session.execute(_DOUBLED, values):
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


def _groups(session: Session, window: Json) -> Sequence[Group]:
    return [
        Group(
            method=window["method"], outcome=row["outcome"], provider=row["provider"],
            count=row["count"], tries=int(row["tries"]),
        )
        for row in session.execute(_GROUPS, window)
    ]  # fmt: skip


def _durations(
    session: Session, window: Json, count: int, percents: Collection[int]
) -> Mapping[int, int]:
    """Percent → milliseconds of so many; empty where there are none."""
    if not count:
        return {}
    places = {percent: rank(count, percent) for percent in percents}
    rows = session.execute(_AT_PLACES, {**window, "places": list(places.values())})
    at = {row["place"]: row["duration_ms"] for row in rows}
    return {percent: at[place] for percent, place in places.items()}
