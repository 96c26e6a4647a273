"""Records of finished imports, and how the jobs stand, to compare methods by.

Way:     migration/rollouts.py → here; the journal keeps a record with each end
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from bookline.job import METHODS
from bookline.progress.journal import DOUBLED_MOST, RECORDS_MOST, Tally
from bookline.progress.records import Figures, Group, ImportRecord, rank
from bookline.stores.database import Database, Row, Session
from bookline.stores.job_rows import read_record, record_values
from bookline.stores.upkeep import remove_older

_RECORD = """INSERT INTO import_records (record_id, method, outcome, code, provider, duration_ms,
                                         stages, tries, finished_ms)
             VALUES (:record_id, :method, :outcome, :code, :provider, :duration_ms, :stages,
                     :tries, :finished_ms)
             ON CONFLICT (record_id) DO UPDATE SET
                 outcome = excluded.outcome, code = excluded.code, provider = excluded.provider,
                 duration_ms = excluded.duration_ms, stages = excluded.stages,
                 tries = excluded.tries, finished_ms = excluded.finished_ms"""
_LENGTHS = """SELECT outcome, provider, duration_ms, count(*) AS count, sum(tries) AS tries
              FROM import_records WHERE method = :method AND finished_ms >= :since
              GROUP BY outcome, provider, duration_ms"""
_ENDINGS = """SELECT outcome, duration_ms, count(*) AS count FROM (
                  SELECT outcome, duration_ms FROM import_records
                  WHERE method = :method AND finished_ms >= :since
                  ORDER BY finished_ms DESC, record_id DESC LIMIT :most) AS newest
              GROUP BY outcome, duration_ms"""
_OPEN = """SELECT method, count(*) AS open, count(*) FILTER (WHERE updated_ms <
               CASE status WHEN 'queued' THEN :queued ELSE :moved END) AS lost
           FROM jobs WHERE status IN ('queued', 'running') GROUP BY method"""
_OLD = """DELETE FROM import_records WHERE record_id IN (
              SELECT record_id FROM import_records WHERE finished_ms < :before_ms
              ORDER BY finished_ms LIMIT :most) RETURNING record_id"""
_DOUBLED = """SELECT method, count(*) AS doubled FROM (
                  SELECT job_id, method, run FROM jobs
                  WHERE status NOT IN ('queued', 'running') AND updated_ms >= :since
                  ORDER BY updated_ms DESC LIMIT :most) AS newest
              WHERE run <> (SELECT count(*) FROM events
                            WHERE events.job_id = newest.job_id AND terminal = 1)
              GROUP BY method"""


def keep_records(session: Session, records: Sequence[ImportRecord]) -> None:
    """A job that ends again has one record: that of its last end."""
    if records:
        session.execute_many(_RECORD, [record_values(record) for record in records])


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

    async def endings(
        self, since_ms: int, most: int, *, method: str
    ) -> Mapping[tuple[str, int], int]:
        values = {"method": method, "since": since_ms, "most": most}

        def work(session: Session) -> Mapping[tuple[str, int], int]:
            rows = session.execute(_ENDINGS, values)
            return {(row["outcome"], row["duration_ms"]): row["count"] for row in rows}

        return await self.database.read(work)

    async def figures(
        self, since_ms: int, outcomes: Collection[str], percents: Collection[int]
    ) -> Figures:
        def work(session: Session) -> Figures:
            groups: list[Group] = []
            durations: dict[str, Mapping[int, int]] = {}
            for method in METHODS:
                rows = session.execute(_LENGTHS, {"method": method, "since": since_ms})
                groups += _groups(method, rows)
                durations[method] = _durations(rows, outcomes, percents)
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
        await remove_older(self.database, _OLD, before_ms)


def _groups(method: str, rows: Sequence[Row]) -> Sequence[Group]:
    counts: Counter[tuple[str, str]] = Counter()
    tries: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row["outcome"], row["provider"]] += row["count"]
        tries[row["outcome"], row["provider"]] += int(row["tries"])
    return [
        Group(method=method, outcome=of[0], provider=of[1], count=counts[of], tries=tries[of])
        for of in sorted(counts)
    ]


def _durations(
    rows: Sequence[Row], outcomes: Collection[str], percents: Collection[int]
) -> Mapping[int, int]:
    """Percent → milliseconds of imports that ended so; empty where there are none."""
    counts: Counter[int] = Counter()
    for row in rows:
        if row["outcome"] in outcomes:
            counts[row["duration_ms"]] += row["count"]
    lengths = sorted(counts)
    ends = list(accumulate(counts[length] for length in lengths))
    if not ends:
        return {}
    return {percent: lengths[bisect_left(ends, rank(ends[-1], percent))] for percent in percents}
