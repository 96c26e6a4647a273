"""Jobs and events in one SQLite file: persisted first, then told.

Way:     imports.py, engine/ and live/ → here → sqlite.py
Rule 1:  an event and what it changes in its job are one transaction; ``seq`` is given in it.
Rule 2:  a job's end is written here, once for each run (``finish``), and nowhere else.
Rule 3:  watchers hear of an event after its commit, in the order of the commits.
"""

import asyncio
import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bookline.errors import Refused
from bookline.job import FAILED, QUEUED, RUNNING, TERMINAL, ImportInput, Job
from bookline.progress.events import (
    Event,
    News,
    cancelled_instead,
    is_terminal,
    message_of,
    resumed,
)
from bookline.progress.journal import RECORDS_MOST, Attempt, Claim, Idempotency, Tally
from bookline.progress.records import ImportRecord, record_of
from bookline.stores.cursors import read_cursor, write_cursor
from bookline.stores.sqlite import Sqlite
from bookline.values import Json, Page

T = TypeVar("T")
log = logging.getLogger(__name__)
Told = list[Event]

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY, isbn TEXT NOT NULL, input_isbn TEXT NOT NULL,
        source TEXT NOT NULL, user_id TEXT, method TEXT NOT NULL, status TEXT NOT NULL,
        step TEXT, attempt INTEGER, attempt_open INTEGER NOT NULL DEFAULT 0,
        progress REAL NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL, run INTEGER NOT NULL DEFAULT 1, run_started_ms INTEGER,
        restarts INTEGER NOT NULL DEFAULT 0, node TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0,
        result TEXT, error TEXT
    ) WITHOUT ROWID;
    CREATE INDEX jobs_newest ON jobs (created_ms, job_id);
    CREATE INDEX jobs_open ON jobs (node, job_id) WHERE status IN ('queued', 'running');
    CREATE INDEX jobs_finished ON jobs (updated_ms)
        WHERE status NOT IN ('queued', 'running');
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, seq INTEGER NOT NULL,
        key TEXT NOT NULL, terminal INTEGER NOT NULL, message TEXT NOT NULL
    );
    CREATE UNIQUE INDEX events_story ON events (job_id, seq);
    CREATE TABLE idempotency (
        key TEXT PRIMARY KEY, body TEXT NOT NULL, job_id TEXT NOT NULL, at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_at ON idempotency (at_ms);
    CREATE TABLE turns (key TEXT PRIMARY KEY, free_at REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE events ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX events_ends ON events (job_id) WHERE terminal = 1;
    CREATE TABLE import_records (
        record_id TEXT PRIMARY KEY, method TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT,
        provider TEXT NOT NULL, duration_ms INTEGER NOT NULL, stages TEXT NOT NULL,
        tries INTEGER NOT NULL, finished_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX import_records_finished ON import_records (finished_ms);
    CREATE TABLE rollout (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,
        reason TEXT NOT NULL, state TEXT NOT NULL
    );
    """,
    "CREATE INDEX import_records_method ON import_records (method, finished_ms);",
)

OTHERS_MOST = 1_000  # events of other processes read at once
IDEMPOTENCY_MS = 24 * 3_600_000  # SPEC §3
_JOB = """SELECT jobs.*, events.message AS last_message FROM jobs
          LEFT JOIN events ON events.job_id = jobs.job_id AND events.seq = jobs.last_seq"""


class SqliteJournal:
    """Fills the ports Jobs, Runs, EventLog and Records. ``clock`` gives epoch milliseconds."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self.file = Sqlite(path, MIGRATIONS)
        self._clock = clock
        self.measure_lag: Callable[[float], None] = lambda seconds: None
        """Called with the seconds from a commit to its fan-out, once for each wake-up."""
        self._committed = 0.0
        self._hearers: list[Callable[[Sequence[Event]], None]] = []
        self._told: deque[Event] = deque()
        self._wake = threading.Lock()
        self._waking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen_version: int | None = None
        self._seen_id: int | None = None

    def close(self) -> None:
        self.file.close()

    # -------------------------------------------------------------- Jobs
    async def open(self, job: Job, idempotency: Idempotency | None = None) -> Job:
        def work(db: sqlite3.Connection) -> Job:
            if idempotency is not None:
                known = _known(db, idempotency, self._clock())
                if known is not None:
                    return known
                db.execute(
                    "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?)",
                    (idempotency.key, idempotency.body, job.job_id, job.created_ms),
                )
            order = job.order
            db.execute(
                """INSERT INTO jobs (job_id, isbn, input_isbn, source, user_id, method, status,
                                     created_ms, updated_ms, node)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (
                    order.job_id, order.isbn, order.input_isbn, order.source, order.user_id,
                    job.method, QUEUED, job.created_ms, job.updated_ms, job.node,
                ),
            )  # fmt: skip
            return job

        return await self.file.write(work)

    async def find(self, job_id: str) -> Job | None:
        return self.file.read_now(lambda db: _find(db, job_id))

    async def list(
        self, *, status: str | None, method: str | None, limit: int, cursor: str | None
    ) -> Page[Job]:
        before = read_cursor(cursor, int, str) if cursor else (2**62, "")
        wanted = [("status", status), ("method", method)]
        terms = [f"jobs.{column} = ?" for column, value in wanted if value is not None]
        values = [value for _, value in wanted if value is not None]
        where = " AND ".join(["(jobs.created_ms, jobs.job_id) < (?, ?)", *terms])

        def work(db: sqlite3.Connection) -> list[Job]:
            rows = db.execute(
                f"{_JOB} WHERE {where} ORDER BY jobs.created_ms DESC, jobs.job_id DESC LIMIT ?",
                (*before, *values, limit + 1),
            )
            return [_job(row) for row in rows]

        jobs = await self.file.read(work)
        last = jobs[limit - 1] if len(jobs) > limit else None
        return Page(
            items=jobs[:limit],
            next_cursor=write_cursor(last.created_ms, last.job_id) if last else None,
        )

    async def request_cancel(self, job_id: str) -> Job:
        def work(db: sqlite3.Connection) -> Job:
            job = _get(db, job_id)
            if job.is_over:
                raise Refused(
                    "INVALID_STATE", f"the job is {job.status}: there is nothing to cancel"
                )
            db.execute("UPDATE jobs SET cancel_requested = 1 WHERE job_id = ?", (job_id,))
            return replace(job, cancel_requested=True)

        return await self.file.write(work)

    async def reopen(self, job_id: str, node: str) -> Job:
        def work(db: sqlite3.Connection, told: Told) -> Job:
            job = _get(db, job_id)
            if job.status != FAILED:
                raise Refused(
                    "INVALID_STATE", f"only a failed job can be retried; this one is {job.status}"
                )
            db.execute(
                """UPDATE jobs SET status = ?, node = ?, run = run + 1, run_started_ms = NULL,
                          restarts = 0, step = NULL, attempt = NULL, attempt_open = 0,
                          cancel_requested = 0, result = NULL, error = NULL
                   WHERE job_id = ?""",
                (QUEUED, node, job_id),
            )
            row = _row(db, job_id)
            told.append(self._append(db, row, resumed("retry", row["last_seq"])))
            return _get(db, job_id)

        return await asyncio.wrap_future(self._write_and_tell(work))

    # -------------------------------------------------------------- Runs
    async def claim(self, job_id: str, node: str) -> Claim | None:
        def work(db: sqlite3.Connection, told: Told) -> Claim | None:
            row = _row(db, job_id)
            if not row or row["status"] in TERMINAL:
                return None
            started_ms = row["run_started_ms"] or self._clock()
            restarted = row["status"] == RUNNING
            restarts = row["restarts"] + restarted
            db.execute(
                """UPDATE jobs SET status = ?, node = ?, run_started_ms = ?, restarts = ?
                   WHERE job_id = ?""",
                (RUNNING, node, started_ms, restarts, job_id),
            )
            if restarted and row["last_seq"]:
                told.append(self._append(db, row, resumed("restart", row["last_seq"])))
            return Claim(run=row["run"], started_ms=started_ms, restarts=restarts)

        return await asyncio.wrap_future(self._write_and_tell(work))

    async def begin(self, job_id: str, run: int, step: str, attempt: int) -> Attempt:
        def work(db: sqlite3.Connection) -> Attempt:
            row = db.execute(
                """SELECT status, run, step, attempt, attempt_open, cancel_requested FROM jobs
                   WHERE job_id = ?""",
                (job_id,),
            ).fetchone()
            if row is None or row["run"] != run or row["status"] in TERMINAL:
                return Attempt(cancelled=True)
            if row["cancel_requested"]:
                return Attempt(cancelled=True)
            if (row["step"], row["attempt"], row["attempt_open"]) == (step, attempt, 1):
                return Attempt(died=True)
            db.execute(
                """UPDATE jobs SET step = ?, attempt = ?, attempt_open = 1, updated_ms = ?
                   WHERE job_id = ?""",
                (step, attempt, self._clock(), job_id),
            )
            return Attempt()

        return await self.file.write(work)

    async def release(self, job_id: str, run: int, step: str, attempt: int) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                """UPDATE jobs SET attempt_open = 0
                   WHERE job_id = ? AND run = ? AND step = ? AND attempt = ?""",
                (job_id, run, step, attempt),
            )

        await self.file.write(work)

    def tell(self, job_id: str, news: News) -> None:
        def work(db: sqlite3.Connection, told: Told) -> None:
            row = _row(db, job_id)
            if row and row["status"] not in TERMINAL and not _is_told(db, job_id, news.key):
                told.append(self._append(db, row, news))

        def after(done: "Future[None]") -> None:
            failure = done.exception()
            if failure is not None:  # a replay of the workflow tells it again
                log.error("event %s of %s was not kept: %s", news.key, job_id, failure)

        self._write_and_tell(work).add_done_callback(after)

    async def finish(
        self, job_id: str, news: News, *, run: int, result: Json | None, error: Json | None
    ) -> str | None:
        if news.status not in TERMINAL:
            raise ValueError(f"{news.status} is no end")

        def work(db: sqlite3.Connection, told: Told) -> str | None:
            row = _row(db, job_id)
            if not row or row["run"] != run or row["status"] in TERMINAL:
                return None
            end, why = news, error
            if end.status == FAILED and row["cancel_requested"]:
                end, why = cancelled_instead(run, error)
            status = end.status or FAILED
            story = db.execute(
                "SELECT key, at_ms FROM events WHERE job_id = ? ORDER BY seq", (job_id,)
            ).fetchall()
            told.append(self._append(db, row, end))
            db.execute(
                "UPDATE jobs SET status = ?, result = ?, error = ? WHERE job_id = ?",
                (status, _dump(result), _dump(why), job_id),
            )
            known = [(one["key"], one["at_ms"]) for one in story]
            _keep(db, record_of(_plain_job(row), status, result, why, known, self._clock()))
            return status

        return await asyncio.wrap_future(self._write_and_tell(work))

    # -------------------------------------------------------------- EventLog
    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        def work(db: sqlite3.Connection) -> Sequence[Event]:
            rows = db.execute(
                """SELECT job_id, seq, message, terminal FROM events
                   WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?""",
                (job_id, after, limit),
            )
            return [_event(row) for row in rows]

        return await self.file.read(work)

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        self._loop = asyncio.get_running_loop()
        self._hearers.append(hear)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._hearers.remove(hear)

        return end

    async def others(self) -> Sequence[Event]:
        version = self.file.read_now(lambda db: db.execute("PRAGMA data_version").fetchone()[0])
        if version == self._seen_version:  # no other connection has committed (4 µs to know)
            return ()

        def work(db: sqlite3.Connection) -> tuple[int, Sequence[Event]]:
            if self._seen_id is None:
                newest = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
                return newest, ()
            rows = db.execute(
                """SELECT id, job_id, seq, message, terminal FROM events
                   WHERE id > ? ORDER BY id LIMIT ?""",
                (self._seen_id, OTHERS_MOST),
            ).fetchall()
            return (rows[-1]["id"] if rows else self._seen_id), [_event(row) for row in rows]

        self._seen_id, events = await self.file.read(work)
        if len(events) < OTHERS_MOST:
            self._seen_version = version
        return events

    # -------------------------------------------------------------- upkeep
    async def left_by(self, alive: Collection[str], own: str, own_before_ms: int) -> Sequence[Job]:
        """Open jobs of processes that are not alive, and own ones not touched since then."""
        marks = ", ".join("?" * len(alive))

        def work(db: sqlite3.Connection) -> Sequence[Job]:
            rows = db.execute(
                f"""{_JOB} WHERE jobs.status IN ('queued', 'running') AND (
                        jobs.node NOT IN ({marks}) OR (jobs.node = ? AND jobs.updated_ms < ?))
                    ORDER BY jobs.created_ms""",
                (*alive, own, own_before_ms),
            )
            return [_job(row) for row in rows]

        return await self.file.read(work)

    async def cancel_requests(self, node: str) -> Sequence[str]:
        """Ids of this node's open jobs that somebody wants cancelled."""

        def work(db: sqlite3.Connection) -> Sequence[str]:
            rows = db.execute(
                """SELECT job_id FROM jobs
                   WHERE status IN ('queued', 'running') AND node = ? AND cancel_requested = 1""",
                (node,),
            )
            return [row["job_id"] for row in rows]

        return await self.file.read(work)

    async def remove_finished(self, before_ms: int, limit: int) -> Sequence[str]:
        """Ids of jobs that ended before then and are now gone with their events."""

        def work(db: sqlite3.Connection) -> Sequence[str]:
            rows = db.execute(
                """SELECT job_id FROM jobs
                   WHERE status NOT IN ('queued', 'running') AND updated_ms < ? LIMIT ?""",
                (before_ms, limit),
            ).fetchall()
            ids = [row["job_id"] for row in rows]
            for table in ("events", "jobs"):
                db.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(id_,) for id_ in ids])
            db.execute("DELETE FROM idempotency WHERE at_ms < ?", (self._clock() - IDEMPOTENCY_MS,))
            return ids

        return await self.file.write(work)

    async def counts(self) -> dict[str, int]:
        """How many jobs have each status."""

        def work(db: sqlite3.Connection) -> dict[str, int]:
            rows = db.execute("SELECT status, count(*) AS n FROM jobs GROUP BY status")
            return {row["status"]: row["n"] for row in rows}

        return await self.file.read(work)

    # -------------------------------------------------------------- Records
    async def records(
        self, since_ms: int, most: int = RECORDS_MOST, *, method: str | None = None
    ) -> Sequence[ImportRecord]:
        term = "" if method is None else "AND method = ?"

        def work(db: sqlite3.Connection) -> Sequence[ImportRecord]:
            rows = db.execute(
                f"""SELECT * FROM import_records WHERE finished_ms >= ? {term}
                    ORDER BY finished_ms DESC LIMIT ?""",
                (since_ms, *([method] if method else []), most),
            ).fetchall()
            return [_record(row) for row in reversed(rows)]

        return await self.file.read(work)

    async def tally(
        self, *, begun_before_ms: int, queued_before_ms: int, since_ms: int
    ) -> Mapping[str, Tally]:
        def work(db: sqlite3.Connection) -> Mapping[str, Tally]:
            found: dict[str, Tally] = {}
            for row in db.execute(
                """SELECT method, count(*) AS open,
                          sum(coalesce(run_started_ms < ?, updated_ms < ?)) AS lost
                   FROM jobs WHERE status IN ('queued', 'running') GROUP BY method""",
                (begun_before_ms, queued_before_ms),
            ):
                found[row["method"]] = Tally(open=row["open"], lost=row["lost"])
            for row in db.execute(
                """SELECT method, count(*) AS doubled FROM jobs
                   WHERE status NOT IN ('queued', 'running') AND updated_ms >= ?
                     AND run <> (SELECT count(*) FROM events
                                 WHERE events.job_id = jobs.job_id AND terminal = 1)
                   GROUP BY method""",
                (since_ms,),
            ):
                known = found.get(row["method"], Tally())
                found[row["method"]] = replace(known, doubled=row["doubled"])
            return found

        return await self.file.read(work)

    async def remove_records(self, before_ms: int) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM import_records WHERE finished_ms < ?", (before_ms,))

        await self.file.write(work)

    # -------------------------------------------------------------- telling
    def _write_and_tell(self, work: Callable[[sqlite3.Connection, Told], T]) -> "Future[T]":
        """Does the work; what it puts in its list is heard after the commit."""
        told: Told = []

        def hear(done: "Future[T]") -> None:
            if told and done.exception() is None:
                self._hear(told)

        done = self.file.write_soon(lambda db: work(db, told))
        done.add_done_callback(hear)
        return done

    def _append(self, db: sqlite3.Connection, row: Any, news: News) -> Event:
        """Keeps the event as the job's next one. Only within a write."""
        job_id, seq, at_ms = row["job_id"], row["last_seq"] + 1, self._clock()
        progress = max(row["progress"], news.progress or 0.0)
        message = message_of(job_id, seq, news, progress, at_ms)
        terminal = is_terminal(news)
        db.execute(
            """INSERT INTO events (job_id, seq, key, terminal, message, at_ms)
               VALUES (?, ?, ?, ?, ?, ?)""",
            (job_id, seq, news.key, terminal, message, at_ms),
        )
        db.execute(
            "UPDATE jobs SET last_seq = ?, progress = ?, updated_ms = ? WHERE job_id = ?",
            (seq, progress, at_ms, job_id),
        )
        return Event(job_id, seq, message, terminal)

    def _hear(self, events: Sequence[Event]) -> None:
        """Hands events to the subscribers' loop; many that come together wake it once."""
        with self._wake:
            self._told.extend(events)
            if self._waking or self._loop is None:
                if self._loop is None:
                    self._told.clear()
                return
            self._waking = True
            self._committed = time.perf_counter()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._wake:
            events = list(self._told)
            lag = time.perf_counter() - self._committed
            self._told.clear()
            self._waking = False
        self.measure_lag(lag)
        for hear in list(self._hearers):
            hear(events)


def _known(db: sqlite3.Connection, idempotency: Idempotency, now_ms: int) -> Job | None:
    row = db.execute(
        "SELECT body, job_id, at_ms FROM idempotency WHERE key = ?", (idempotency.key,)
    ).fetchone()
    if row is None or row["at_ms"] < now_ms - IDEMPOTENCY_MS:
        return None
    if row["body"] != idempotency.body:
        raise Refused("INVALID_STATE", "this Idempotency-Key was used with another body")
    return _find(db, row["job_id"])


def _row(db: sqlite3.Connection, job_id: str) -> Any:
    return db.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()


def _is_told(db: sqlite3.Connection, job_id: str, key: str) -> bool:
    # A job has a dozen events: walking them costs less than one more index on every insert.
    told = db.execute("SELECT 1 FROM events WHERE job_id = ? AND key = ?", (job_id, key))
    return told.fetchone() is not None


def _find(db: sqlite3.Connection, job_id: str) -> Job | None:
    row = db.execute(f"{_JOB} WHERE jobs.job_id = ?", (job_id,)).fetchone()
    return _job(row) if row is not None else None


def _get(db: sqlite3.Connection, job_id: str) -> Job:
    job = _find(db, job_id)
    if job is None:
        raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
    return job


def _keep(db: sqlite3.Connection, record: ImportRecord) -> None:
    db.execute(
        "INSERT OR REPLACE INTO import_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.record_id, record.method, record.outcome, record.code, record.provider,
            record.duration_ms, json.dumps(record.stages), record.tries, record.finished_ms,
        ),
    )  # fmt: skip


def _record(row: sqlite3.Row) -> ImportRecord:
    return ImportRecord(
        record_id=row["record_id"],
        method=row["method"],
        outcome=row["outcome"],
        code=row["code"],
        provider=row["provider"],
        duration_ms=row["duration_ms"],
        stages=json.loads(row["stages"]),
        tries=row["tries"],
        finished_ms=row["finished_ms"],
    )


def _job(row: sqlite3.Row) -> Job:
    return replace(_plain_job(row), last_event=_load(row["last_message"]))


def _plain_job(row: sqlite3.Row) -> Job:
    """Without its last event."""
    return Job(
        order=ImportInput(
            job_id=row["job_id"],
            isbn=row["isbn"],
            input_isbn=row["input_isbn"],
            source=row["source"],
            user_id=row["user_id"],
        ),
        method=row["method"],
        status=row["status"],
        step=row["step"],
        attempt=row["attempt"],
        progress=row["progress"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        run=row["run"],
        node=row["node"],
        cancel_requested=bool(row["cancel_requested"]),
        result=_load(row["result"]),
        error=_load(row["error"]),
    )


def _event(row: sqlite3.Row) -> Event:
    return Event(row["job_id"], row["seq"], row["message"], bool(row["terminal"]))


def _dump(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _load(text: str | None) -> Json | None:
    return None if text is None else json.loads(text)
