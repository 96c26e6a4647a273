"""Jobs and events in SQL tables: kept first, then told.

Way:     imports.py and engine/ → here → progress/rules.py decides, a Database keeps
Rule 1:  an event and what it changes in its job are one transaction; ``seq`` is given in it.
Rule 2:  a job's end is written here, once for each run (``finish``), and nowhere else.
Not here: jobs as callers read them (job_lists.py), reading and hearing events (event_log.py),
         records.py, upkeep.py, the queue.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from itertools import count
from types import MappingProxyType
from typing import TypeVar

from bookline.errors import Refused
from bookline.job import TERMINAL, Job
from bookline.progress import rules
from bookline.progress.events import Event, News
from bookline.progress.journal import ANY_EPOCH, Attempt, Claim, Idempotency, Place
from bookline.progress.rules import JobRow, Mark
from bookline.stores import batch_rows
from bookline.stores.database import Database, Neighbours, Session
from bookline.stores.event_log import SqlEventLog, Told
from bookline.stores.job_lists import SqlJobLists, find_job
from bookline.stores.job_rows import (
    INSERT,
    SAVE,
    TELL,
    insertion,
    know,
    known_id,
    read_row,
    saving,
    telling,
)
from bookline.stores.queue import SqlQueue, turn_of
from bookline.stores.records import SqlRecords, keep_records
from bookline.stores.upkeep import SqlUpkeep
from bookline.values import Json

T = TypeVar("T")
_SEEN = """INSERT INTO nodes (node, seen_ms) VALUES (:node, :seen_ms)
           ON CONFLICT (node) DO UPDATE SET seen_ms = excluded.seen_ms"""
_FORGET = "DELETE FROM nodes WHERE seen_ms < :before_ms"
FORGET_NODE_MS = 30 * 86_400_000  # our choice: nobody asks for a node's last sign of life then
_NO_WAITS: Mapping[str, int] = MappingProxyType({})
_numbers = count(1)  # tokens of tries whose caller names none

_ROW = "SELECT * FROM jobs WHERE job_id = :job_id"
_STORY = "SELECT key, at_ms FROM events WHERE job_id = :job_id ORDER BY seq"


class SqlJournal(SqlEventLog, SqlJobLists, SqlRecords, SqlUpkeep, SqlQueue):
    """Fills the ports Jobs and Runs, and joins the others' tables to them.

    ``clock`` gives epoch milliseconds. Without ``neighbours`` nobody else has these tables.
    """

    def __init__(
        self, database: Database, clock: Callable[[], int], neighbours: Neighbours | None = None
    ) -> None:
        SqlEventLog.__init__(self, database, neighbours)
        SqlUpkeep.__init__(self, database)
        self._clock = clock
        self.steady = clock
        """The same for what is judged by its age; whoever knows more of the time puts it here."""

    def close(self) -> None:
        self.database.close()

    # -------------------------------------------------------------- Jobs
    async def open(self, job: Job, idempotency: Idempotency | None = None) -> Job:
        def work(session: Session) -> Job:
            if idempotency is not None:
                known = _known(session, idempotency, self.steady())
                if known is not None:
                    return known
                know(session, idempotency, job.job_id, job.created_ms)
            turn = turn_of(session, job) if job.node is None else 0
            session.execute(INSERT, insertion(job, turn))
            return job

        return await self.database.write(
            work, idempotency.key if idempotency else job.job_id, brief=True
        )

    async def request_cancel(self, job_id: str) -> Job:
        def work(session: Session, told: Told) -> Job:
            row, news = rules.request_cancel(_get(session, job_id))
            story = self._save(session, row, news, told, moves=True)
            if row.job.is_over:
                keep_records(session, [rules.record(row, story[:-1], self._clock())])
            return _shown(session, job_id)

        return await self.write_and_tell(work, job_id)

    async def reopen(self, job_id: str, node: str) -> Job:
        def work(session: Session, told: Told) -> Job:
            row, news = rules.reopen(_get(session, job_id), node)
            self._save(session, row, [news], told, moves=True)
            return _shown(session, job_id)

        return await self.write_and_tell(work, job_id)

    # -------------------------------------------------------------- Runs
    async def claim(self, job_id: str, node: str) -> Claim | None:
        def work(session: Session, told: Told) -> Claim | None:
            row = _row(session, job_id)
            claimed = row and rules.claim(row, node, self._clock(), _seen_ms(session, row))
            if not claimed:
                return None
            claimed_row, news, claim = claimed
            self._save(session, claimed_row, news, told, moves=True)
            return claim

        return await self.write_and_tell(work, job_id, brief=True)

    async def begin(
        self,
        job_id: str,
        run: int,
        step: str,
        attempt: int,
        *,
        epoch: int = ANY_EPOCH,
        token: str | None = None,
        limit_ms: int = 0,
        spent_ms: int = 0,
        beside: Collection[str] = (),
        at: Place | None = None,
        news: Sequence[News] = (),
        done: str | None = None,
    ) -> Attempt:
        token = token or f"here:{next(_numbers)}"
        mark = Mark(attempt=attempt, token=token, begun_ms=self._clock(), limit_ms=limit_ms)
        held = _held(job_id, run, epoch)

        def work(session: Session, told: Told) -> Attempt:
            row = _row(session, job_id)
            if row is None or not rules.is_current(row, held):
                return Attempt(cancelled=True)
            begun, answer = rules.begin(row, held, step, mark, spent_ms, beside, at)
            begun = rules.keep_done(begun, done)
            if news or begun is not row:
                self._save(session, begun, news, told)
            return answer

        return await self.write_and_tell(work, job_id, brief=True)

    async def release(
        self, job_id: str, run: int, step: str, attempt: int, *, epoch: int = ANY_EPOCH
    ) -> None:
        def work(session: Session) -> None:
            row = _row(session, job_id)
            if row is not None:
                released = rules.release(row, _held(job_id, run, epoch), step, attempt)
                session.execute(SAVE, saving(released))

        await self.database.write(work, job_id, brief=True)

    async def leave(
        self,
        job_id: str,
        *,
        run: int,
        epoch: int,
        done: str,
        spent_ms: int,
        news: Sequence[News],
        continues: bool,
    ) -> None:
        held, now_ms = _held(job_id, run, epoch), self._clock()

        def work(session: Session, told: Told) -> None:
            row = _row(session, job_id)
            if row is None or not rules.is_current(row, held):
                return
            row = rules.leave(row, held, done, continues=continues, now_ms=now_ms)
            self._save(session, rules.spend(row, spent_ms), news, told)

        await self.write_and_tell(work, job_id, brief=True)

    def tell(
        self,
        job_id: str,
        *news: News,
        run: int | None = None,
        epoch: int = ANY_EPOCH,
        spent_ms: int = 0,
        waits: Mapping[str, int] = _NO_WAITS,
        at: Place | None = None,
    ) -> "Future[None]":
        waits = dict(waits)

        def work(session: Session, told: Told) -> None:
            row = _row(session, job_id)
            if row is None or not rules.is_current(row, _held(job_id, run or row.job.run, epoch)):
                return
            row = rules.spend(row, spent_ms)
            if waits:
                row = rules.wait(row, waits, self._clock())
            if at is not None:
                row = rules.shows(row, at)
            self._save(session, row, news, told)

        return self.write_soon_and_tell(work, job_id, brief=True)

    async def finish(
        self,
        job_id: str,
        news: News,
        *,
        run: int,
        epoch: int = ANY_EPOCH,
        result: Json | None,
        error: Json | None,
        before: Sequence[News] = (),
    ) -> str | None:
        if news.status not in TERMINAL:
            raise ValueError(f"{news.status} is no end")

        def work(session: Session, told: Told) -> str | None:
            row = _row(session, job_id)
            ended = row and rules.finish(row, _held(job_id, run, epoch), news, result, error)
            if not ended:
                return None
            ended_row, end = ended
            story = self._save(session, ended_row, [*before, end], told, moves=True)
            record = rules.record(ended_row, story[:-1], self._clock())
            keep_records(session, [record])
            return ended_row.job.status

        return await self.write_and_tell(work, job_id, brief=True)

    async def seen(self, node: str) -> None:
        now_ms = self._clock()

        def work(session: Session) -> None:
            session.execute(_SEEN, {"node": node, "seen_ms": now_ms})
            session.execute(_FORGET, {"before_ms": now_ms - FORGET_NODE_MS})

        await self.database.write(work, "nodes", brief=True)

    # -------------------------------------------------------------- keeping and telling
    def _save(
        self, session: Session, row: JobRow, news: Sequence[News], told: Told,
        *, moves: bool = False,
    ) -> Sequence[tuple[str, int]]:  # fmt: skip
        """Keeps the row with its news; those whose key was told before are left out.

        ``moves`` says that its status may be another now: its batch's items follow.

        The answer is the (key, epoch ms) of all its events, if there was news.
        """
        story: list[tuple[str, int]] = []
        if news:
            rows = session.execute(_STORY, {"job_id": row.job.job_id})
            story = [(one["key"], one["at_ms"]) for one in rows]
        keys = {key for key, _ in story}
        for one in news:
            if one.key in keys:
                continue
            at_ms = self._clock()
            row, event = rules.told(row, one, at_ms)
            session.execute(TELL, telling(event, one.key, at_ms))
            told.append(event)
            story.append((one.key, at_ms))
        session.execute(SAVE, saving(row))
        if moves:
            told += self._follow(session, row.job)
        return story

    def _follow(self, session: Session, job: Job) -> Sequence[Event]:
        """What its batch tells of a job; the batch's rows lie beside the job's."""
        return batch_rows.follow(session, [job], self._clock())


def _known(session: Session, idempotency: Idempotency, now_ms: int) -> Job | None:
    job_id = known_id(session, idempotency, now_ms)
    return None if job_id is None else find_job(session, job_id)


def _held(job_id: str, run: int, epoch: int) -> Claim:
    return Claim(job_id=job_id, run=run, started_ms=0, restarts=0, epoch=epoch)


def _seen_ms(session: Session, row: JobRow | None) -> int | None:
    """The last sign of life of the node that has the job's open tries."""
    if row is None or not row.marks:
        return None
    rows = session.execute("SELECT seen_ms FROM nodes WHERE node = :node", {"node": row.job.node})
    return rows[0]["seen_ms"] if rows else None


def _row(session: Session, job_id: str) -> JobRow | None:
    rows = session.execute(_ROW, {"job_id": job_id})
    return read_row(rows[0]) if rows else None


def _get(session: Session, job_id: str) -> JobRow:
    row = _row(session, job_id)
    if row is None:
        raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
    return row


def _shown(session: Session, job_id: str) -> Job:
    """The job as it is kept now."""
    job = find_job(session, job_id)
    assert job is not None  # noqa: S101 - for the type checker
    return job
