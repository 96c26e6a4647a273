"""A batch's rows: to values and back, and what a change of its items brings about.

Way:     stores/journal.py (a job's status changed) and stores/batches.py (no job involved) → here
Rule 1:  an item's state, its event and the batch's own end are one transaction with what caused
         them: nothing can get out of step.
Rule 2:  a batch's events lie beside the jobs', under the batch's id.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bookline.job import QUEUED, RUNNING, Job
from bookline.progress.batches import (
    BATCH_ITEM,
    BATCH_PROGRESS,
    OPEN,
    PROGRESS_MS,
    RATE_ENDS,
    Batch,
    Item,
    end_kind,
    eta_seconds,
    item_data,
    message_of,
    standing,
    state_of,
    status_of,
)
from bookline.progress.events import Event
from bookline.stores.database import Row, Session
from bookline.stores.job_rows import TELL, telling
from bookline.values import Json, compact

INSERT_BATCH = """
    INSERT INTO batches (batch_id, name, format, source, refresh, header, delimiter, created_ms,
                         updated_ms, status)
    VALUES (:batch_id, :name, :format, :source, :refresh, :header, :delimiter, :created_ms,
            :updated_ms, :status)
"""
INSERT_ITEM = """
    INSERT INTO batch_items (batch_id, place, line, input, isbn, source, user_id, title, authors,
                             open_library_id, reading, cells, state, todo, error)
    VALUES (:batch_id, :place, :line, :input, :isbn, :source, :user_id, :title, :authors,
            :open_library_id, :reading, :cells, :state, :todo, :error)
"""
TOLD = "place, input, job_id, isbn, state, title, error"
"""What is told of an item that has ended: its row may be long."""
_FOLLOW = f"""
    UPDATE batch_items SET state = :state, todo = '', error = :error,
        title = coalesce(CAST(:title AS TEXT), title)
    WHERE job_id = :job_id AND (state <> :state OR todo <> '') RETURNING {TOLD}
"""
_RUN = """
    UPDATE batch_items SET state = 'running', todo = '', error = NULL
    WHERE job_id IN :job_ids AND (state <> 'running' OR todo <> '')
"""
# A write, so that on every product the row is ours until the commit: several jobs may end at once.
_BATCH = "UPDATE batches SET updated_ms = :now_ms WHERE batch_id = :batch_id RETURNING *"
_COUNTS = "SELECT state, count(*) AS n FROM batch_items WHERE batch_id = :batch_id GROUP BY state"
_HAS_OPEN = """
    SELECT place FROM batch_items WHERE batch_id = :batch_id AND state IN ('queued', 'running')
    LIMIT 1
"""
_LAST_ENDS = """
    SELECT at_ms FROM events WHERE job_id = :batch_id AND key LIKE 'item:%'
    ORDER BY seq DESC LIMIT :most
"""
_SAVE = """
    UPDATE batches SET status = :status, cancel_requested = :cancel_requested,
        last_seq = :last_seq, progress_ms = :progress_ms, progress_seq = :progress_seq
    WHERE batch_id = :batch_id
"""


def follow(session: Session, jobs: Iterable[Job], now_ms: int) -> list[Event]:
    """The items of jobs as their status has it now; what is to be told of them."""
    told: dict[str, list[Item]] = defaultdict(list)
    running = []
    for job in jobs:
        if job.batch_id is None:
            continue
        if job.status == RUNNING:
            running.append(job.job_id)
        elif items := _followed(session, job):
            told[job.batch_id] += items
    if running:  # of which nothing is told
        session.execute(_RUN, {"job_ids": running})
    events: list[Event] = []
    for batch_id in sorted(told):  # in one order, since each batch's row is locked
        items = sorted(told[batch_id], key=lambda item: item.index)
        events += moved(session, batch_id, items, now_ms)
    return events


def _followed(session: Session, job: Job) -> list[Item]:
    """The items that are to be told of."""
    error = job.error and {"code": job.error["code"], "message": job.error["message"]}
    rows = session.execute(
        _FOLLOW,
        {"job_id": job.job_id, "state": state_of(job), "error": dump(error),
         "title": job.result and job.result["title"]},
    )  # fmt: skip
    return [read_told(row) for row in rows]


def moved(
    session: Session,
    batch_id: str,
    items: Sequence[Item],
    now_ms: int,
    *,
    begins: bool = False,
    cancelling: bool = False,
) -> list[Event]:
    """The events of items that are in another state now, and of the batch, which is kept."""
    found = session.execute(_BATCH, {"batch_id": batch_id, "now_ms": now_ms})
    if not found:
        return []
    story = _Story(session, found[0], now_ms)
    has_opened = any(item.state == QUEUED for item in items)
    for item in items:
        if item.state not in OPEN:
            story.tell(BATCH_ITEM, f"item:{item.index}", item_data(item))
    cancel_requested = cancelling or bool(found[0]["cancel_requested"])
    was_over = found[0]["status"] != RUNNING
    if was_over and has_opened:
        cancel_requested = False  # a retry or a choice goes on behind the end
    has_open = bool(session.execute(_HAS_OPEN, {"batch_id": batch_id}))
    status = status_of(has_open=has_open, cancel_requested=cancel_requested)
    is_end = not has_open and (not was_over or bool(story.events))
    goes_on = was_over and has_open
    if begins or is_end or goes_on or (story.events and story.is_progress_due):
        story.progress()
    if is_end:
        story.tell(end_kind(status), "end", story.standing(), is_terminal=True)
    if story.events or status != found[0]["status"] or cancelling:
        story.save(status, cancel_requested=cancel_requested)
    return story.events


class _Story:
    """One batch's events, as they are added in one transaction."""

    def __init__(self, session: Session, row: Row, now_ms: int) -> None:
        self.events: list[Event] = []
        self._unsaved: list[Json] = []
        self._session = session
        self._batch_id: str = row["batch_id"]
        self._seq: int = row["last_seq"]
        self._now_ms = now_ms
        self._progress_ms: int = row["progress_ms"]
        self._progress_seq: int = row["progress_seq"]

    @property
    def is_progress_due(self) -> bool:
        # A clock that was set back must not silence it.
        return not 0 <= self._now_ms - self._progress_ms < PROGRESS_MS

    def tell(self, kind: str, key: str, data: Json, *, is_terminal: bool = False) -> None:
        self._seq += 1
        message = message_of(kind, self._batch_id, self._seq, data, self._now_ms)
        event = Event(self._batch_id, self._seq, message, is_terminal)
        self._unsaved.append(telling(event, key, self._now_ms))
        self.events.append(event)

    def progress(self) -> None:
        """The counts. Only the last ones are kept: in a replay the earlier numbers are missing."""
        self._session.execute(
            "DELETE FROM events WHERE job_id = :batch_id AND seq = :seq AND terminal = 0",
            {"batch_id": self._batch_id, "seq": self._progress_seq},
        )
        self.tell(BATCH_PROGRESS, "progress", self.standing())
        self._progress_ms, self._progress_seq = self._now_ms, self._seq

    def standing(self) -> Json:
        self._save_events()
        counts = counts_of(self._session, self._batch_id)
        return standing(counts, eta_of(self._session, self._batch_id, counts, self._now_ms))

    def save(self, status: str, *, cancel_requested: bool) -> None:
        self._save_events()
        self._session.execute(
            _SAVE,
            {"batch_id": self._batch_id, "status": status,
             "cancel_requested": int(cancel_requested), "last_seq": self._seq,
             "progress_ms": self._progress_ms, "progress_seq": self._progress_seq},
        )  # fmt: skip

    def _save_events(self) -> None:
        if self._unsaved:
            self._session.execute_many(TELL, self._unsaved)
            self._unsaved = []


def counts_of(session: Session, batch_id: str) -> Mapping[str, int]:
    """State → items, counted in an index."""
    return {row["state"]: row["n"] for row in session.execute(_COUNTS, {"batch_id": batch_id})}


def eta_of(session: Session, batch_id: str, counts: Mapping[str, int], now_ms: int) -> int | None:
    """Seconds until the batch is done; None when unknown or nothing is open."""
    still_open = sum(counts.get(state, 0) for state in OPEN)
    if not still_open:
        return None
    rows = session.execute(_LAST_ENDS, {"batch_id": batch_id, "most": RATE_ENDS})
    return eta_seconds(still_open, [row["at_ms"] for row in rows], now_ms)


def in_order(items: Iterable[Item]) -> list[Item]:
    """As they stand in the list."""
    return sorted(items, key=lambda item: item.index)


# ------------------------------------------------------------------ rows
def batch_values(batch: Batch, status: str) -> Json:
    """The values of ``INSERT_BATCH``."""
    return {
        "batch_id": batch.batch_id, "name": batch.name, "format": batch.format,
        "source": batch.source, "refresh": int(batch.refresh), "header": dump(batch.header),
        "delimiter": batch.delimiter, "created_ms": batch.created_ms,
        "updated_ms": batch.updated_ms, "status": status,
    }  # fmt: skip


def item_values(batch_id: str, item: Item) -> Json:
    """The values of ``INSERT_ITEM``."""
    return {
        "batch_id": batch_id, "place": item.index, "line": item.line, "input": item.input,
        "isbn": item.isbn, "source": item.source, "user_id": item.user_id, "title": item.title,
        "authors": dump(item.authors), "open_library_id": item.open_library_id,
        "reading": item.reading and json.dumps(item.reading), "cells": json.dumps(item.cells),
        "state": item.state, "todo": item.todo, "error": dump(item.error),
    }  # fmt: skip


def read_batch(row: Row, counts: Mapping[str, int] | None = None, eta: int | None = None) -> Batch:
    return Batch(
        batch_id=row["batch_id"],
        name=row["name"],
        format=row["format"],
        source=row["source"],
        refresh=bool(row["refresh"]),
        header=tuple(json.loads(row["header"])),
        delimiter=row["delimiter"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        status=row["status"],
        cancel_requested=bool(row["cancel_requested"]),
        last_seq=row["last_seq"],
        counts=counts or {},
        eta_seconds=eta,
    )


def read_told(row: Row) -> Item:
    """An item of which only ``TOLD`` was read."""
    return Item(
        index=row["place"],
        input=row["input"],
        isbn=row["isbn"],
        title=row["title"],
        state=row["state"],
        job_id=row["job_id"],
        error=_load(row["error"]),
    )


def read_item(row: Row) -> Item:
    return Item(
        batch_id=row["batch_id"],
        index=row["place"],
        line=row["line"],
        input=row["input"],
        isbn=row["isbn"],
        source=row["source"],
        user_id=row["user_id"],
        title=row["title"],
        authors=tuple(json.loads(row["authors"])),
        open_library_id=row["open_library_id"],
        reading=_load(row["reading"]),
        cells=json.loads(row["cells"]),
        state=row["state"],
        todo=row["todo"],
        job_id=row["job_id"],
        error=_load(row["error"]),
        candidates=_load(row["candidates"]) or (),
        tries=row["tries"],
    )


def dump(value: object) -> str | None:
    return None if value is None else compact(value)


def _load(text: str | None) -> Any:
    return None if text is None else json.loads(text)
