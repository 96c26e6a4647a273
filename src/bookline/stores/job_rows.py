"""A job's row in the table ``jobs``: to a value and back. The only serializer of it."""

import json

from bookline.job import ImportInput, Job
from bookline.progress.events import Event
from bookline.progress.journal import Idempotency
from bookline.progress.records import ImportRecord
from bookline.progress.rules import JobRow, Known, Mark, check_known
from bookline.stores.database import Row, Session
from bookline.values import Json, compact

JOB = """SELECT jobs.*, events.message AS last_message FROM jobs
          LEFT JOIN events ON events.job_id = jobs.job_id AND events.seq = jobs.last_seq"""
INSERT = """
    INSERT INTO jobs (job_id, isbn, input_isbn, source, user_id, method, status, created_ms,
                      updated_ms, node, batch_id, flow, turn)
    VALUES (:job_id, :isbn, :input_isbn, :source, :user_id, :method, :status, :created_ms,
            :updated_ms, :node, :batch_id, :flow, :turn)
"""
SAVE = """
    UPDATE jobs SET status = :status, step = :step, attempt = :attempt, progress = :progress,
        updated_ms = :updated_ms, run = :run, run_started_ms = :started_ms, restarts = :restarts,
        node = :node, cancel_requested = :cancel_requested, last_seq = :last_seq,
        epoch = :epoch, marks = :marks, spent_ms = :spent_ms, done = :done, is_left = :is_left,
        result = :result, error = :error
    WHERE job_id = :job_id
"""
MARK = """
    UPDATE jobs SET step = :step, attempt = :attempt, progress = :progress,
        updated_ms = :updated_ms, last_seq = :last_seq, marks = :marks, spent_ms = :spent_ms,
        done = :done
    WHERE job_id = :job_id
"""
"""What a try that begins, or news, changes of a row: no status and no claim."""
TELL = """
    INSERT INTO events (job_id, seq, key, terminal, message, at_ms)
    VALUES (:job_id, :seq, :key, :terminal, :message, :at_ms)
"""
_KNOW = """INSERT INTO idempotency (key, body, job_id, at_ms)
           VALUES (:key, :body, :job_id, :at_ms)
           ON CONFLICT (key) DO UPDATE SET body = excluded.body, job_id = excluded.job_id,
                                           at_ms = excluded.at_ms"""


def known_id(session: Session, idempotency: Idempotency, now_ms: int) -> str | None:
    """The id of the job or batch that the key stands for. Raises: Refused (INVALID_STATE)."""
    rows = session.execute("SELECT * FROM idempotency WHERE key = :key", {"key": idempotency.key})
    known = [Known(body=row["body"], job_id=row["job_id"], at_ms=row["at_ms"]) for row in rows]
    return check_known(known[0] if known else None, idempotency, now_ms)


def know(session: Session, idempotency: Idempotency, job_id: str, at_ms: int) -> None:
    """From now on the key stands for this job or batch."""
    session.execute(
        _KNOW,
        {"key": idempotency.key, "body": idempotency.body, "job_id": job_id, "at_ms": at_ms},
    )


def insertion(job: Job, turn: int = 0) -> Json:
    """The values of ``INSERT``; ``turn`` is that of a job that waits."""
    order = job.order
    return {
        "job_id": order.job_id, "isbn": order.isbn, "input_isbn": order.input_isbn,
        "source": order.source, "user_id": order.user_id, "method": job.method,
        "status": job.status, "created_ms": job.created_ms, "updated_ms": job.updated_ms,
        "node": job.node, "batch_id": job.batch_id, "flow": job.flow, "turn": turn,
    }  # fmt: skip


def saving(row: JobRow) -> Json:
    """The values of ``SAVE``."""
    job = row.job
    return {
        "job_id": job.job_id, "status": job.status, "step": job.step, "attempt": job.attempt,
        "progress": job.progress, "updated_ms": job.updated_ms, "run": job.run,
        "started_ms": row.started_ms, "restarts": row.restarts, "node": job.node,
        "cancel_requested": int(job.cancel_requested), "last_seq": row.last_seq,
        "epoch": row.epoch, "spent_ms": row.spent_ms,
        "done": row.done, "is_left": int(row.is_left),
        "marks": dump({step: mark.to_json() for step, mark in row.marks.items()}),
        "result": dump(job.result), "error": dump(job.error),
    }  # fmt: skip


def marking(row: JobRow) -> Json:
    """The values of ``MARK``."""
    job = row.job
    return {
        "job_id": job.job_id, "step": job.step, "attempt": job.attempt, "progress": job.progress,
        "updated_ms": job.updated_ms, "last_seq": row.last_seq, "spent_ms": row.spent_ms,
        "done": row.done,
        "marks": dump({step: mark.to_json() for step, mark in row.marks.items()}),
    }  # fmt: skip


def read_job(row: Row, last_message: str | None = None) -> Job:
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
        progress=float(row["progress"]),  # some drivers read 0.0 as 0
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        run=row["run"],
        node=row["node"],
        batch_id=row["batch_id"],
        cancel_requested=bool(row["cancel_requested"]),
        last_event=load(last_message),
        result=load(row["result"]),
        error=load(row["error"]),
    )


def read_row(row: Row) -> JobRow:
    marks = load(row["marks"]) or {}
    return JobRow(
        job=read_job(row),
        last_seq=row["last_seq"],
        started_ms=row["run_started_ms"],
        restarts=row["restarts"],
        epoch=row["epoch"],
        spent_ms=row["spent_ms"],
        marks={step: Mark.from_json(mark) for step, mark in marks.items()},
        done=row["done"],
        is_left=bool(row["is_left"]),
    )


def read_event(row: Row) -> Event:
    return Event(row["job_id"], row["seq"], row["message"], bool(row["terminal"]))


def telling(event: Event, key: str, at_ms: int) -> Json:
    """The values of ``TELL``."""
    return {
        "job_id": event.job_id, "seq": event.seq, "key": key, "terminal": int(event.is_terminal),
        "message": event.message, "at_ms": at_ms,
    }  # fmt: skip


def record_values(record: ImportRecord) -> Json:
    return {
        "record_id": record.record_id, "method": record.method, "outcome": record.outcome,
        "code": record.code, "provider": record.provider, "duration_ms": record.duration_ms,
        "stages": dump(dict(record.stages)), "tries": record.tries,
        "finished_ms": record.finished_ms,
    }  # fmt: skip


def read_record(row: Row) -> ImportRecord:
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


def dump(value: Json | None) -> str | None:
    return None if value is None else compact(value)


def load(text: str | None) -> Json | None:
    return None if text is None else json.loads(text)
