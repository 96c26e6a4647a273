"""One write of what many jobs of batches say: claims, marks, ends, each with its events.

Way:     runs_together.py → here → batch_rows.py, a Session
Rule 1:  a change holds only where the row is still ours and nobody wants the job cancelled. The
         write names all its jobs as keys, so what is looked at here stands until the commit.
Rule 2:  one statement for many rows wherever it answers nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bookline.job import QUEUED, RUNNING
from bookline.progress import rules
from bookline.progress.events import Event
from bookline.progress.journal import Claim
from bookline.progress.records import ImportRecord
from bookline.progress.rules import JobRow
from bookline.stores import batch_rows
from bookline.stores.database import Session
from bookline.stores.event_log import Told
from bookline.stores.job_rows import MARK, SAVE, TELL, marking, read_row, saving, telling
from bookline.stores.records import keep_records

_ROWS = "SELECT * FROM jobs WHERE job_id IN :ids"
# Where the answer to a write was lost, its events are there; nobody else tells of a job of ours.
_TELL = f"{TELL} ON CONFLICT (job_id, seq) DO NOTHING"
_STAND = "SELECT job_id, run, epoch, status, cancel_requested FROM jobs WHERE job_id IN :ids"


@dataclass(frozen=True, slots=True)
class Change:
    """A job's part of the write. ``events`` come with their keys and epoch ms."""

    row: JobRow
    events: Sequence[tuple[Event, str, int]]
    record: ImportRecord | None
    """Of a job that has ended."""

    @property
    def job_id(self) -> str:
        return self.row.job.job_id


@dataclass(frozen=True, slots=True)
class Write:
    """What one write brings about."""

    changes: Sequence[Change]
    claims: Mapping[str, str]
    """Job → the node that wants it."""

    @property
    def job_ids(self) -> Sequence[str]:
        return sorted({*self.claims, *(change.job_id for change in self.changes)})


@dataclass(frozen=True, slots=True)
class Written:
    """What became of it."""

    claimed: Mapping[str, tuple[JobRow, Claim]]
    ours: Collection[str]
    """Jobs whose change was kept."""


def write_all(session: Session, told: Told, write: Write, now_ms: int) -> Written:
    """Keeps what holds, and puts what is to be told of it in ``told``."""
    claimed = _claimed(session, write.claims, now_ms)
    changes = _ours(session, write.changes)
    ended = [change for change in changes if change.record is not None]
    marked = [change for change in changes if change.record is None]
    _many(session, MARK, [marking(change.row) for change in marked])
    _many(
        session,
        SAVE,
        [*(saving(row) for row, _ in claimed.values()), *(saving(change.row) for change in ended)],
    )
    news = [one for change in changes for one in change.events]
    _many(session, _TELL, [telling(event, key, at_ms) for event, key, at_ms in news])
    told += [event for event, _, _ in news]
    keep_records(session, [change.record for change in ended if change.record is not None])
    moved = [row.job for row, _ in claimed.values()] + [change.row.job for change in ended]
    told += batch_rows.follow(session, moved, now_ms)
    return Written(claimed, {change.job_id for change in changes})


def _claimed(
    session: Session, claims: Mapping[str, str], now_ms: int
) -> Mapping[str, tuple[JobRow, Claim]]:
    """Those of the jobs that nobody has begun before."""
    claimed = {}
    for found in session.execute(_ROWS, {"ids": list(claims)}) if claims else ():
        row = read_row(found)
        job_id = row.job.job_id
        if row.job.status != QUEUED or row.job.run > 1 or row.epoch or row.last_seq:
            continue
        taken = rules.claim(row, claims[job_id], now_ms)
        if taken is not None:
            claimed[job_id] = (taken[0], taken[2])
    return claimed


def _ours(session: Session, changes: Sequence[Change]) -> Sequence[Change]:
    if not changes:
        return ()
    rows = session.execute(_STAND, {"ids": [change.job_id for change in changes]})
    running = {
        (row["job_id"], row["run"], row["epoch"])
        for row in rows
        if row["status"] == RUNNING and not row["cancel_requested"]
    }
    return [one for one in changes if (one.job_id, one.row.job.run, one.row.epoch) in running]


def _many(session: Session, sql: str, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        session.execute_many(sql, rows)
