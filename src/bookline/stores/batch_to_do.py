"""A batch's to-do list in SQL: what the feeder and the look-ups take off it.

Way:     batches.py is this, and more → here → batch_rows.py, a Database
Rule 1:  what is to be done for an item is kept with it (``todo``) and taken off in the transaction
         that does it. Two processes that take the same item do it once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from bookline.job import FAILED, Job
from bookline.progress.batches import ALREADY_THERE, IMPORT, REVIEW, Batch, Item
from bookline.stores.batch_rows import (
    TOLD,
    dump,
    follow,
    in_order,
    moved,
    read_batch,
    read_item,
    read_told,
)
from bookline.stores.database import Database, Session
from bookline.stores.event_log import SqlEventLog, Told
from bookline.stores.job_rows import INSERT, insertion, read_job
from bookline.stores.queue import turn_of
from bookline.values import Json

LONGEST_WAIT_MS = 300_000  # of a look-up: 3 s at the most that RETRY_SCALE may be

# Only items that are still to be begun: one may be cancelled, or another process was faster.
_TO_IMPORT = """SELECT place, isbn FROM batch_items
                WHERE batch_id = :batch_id AND place IN :places AND todo = 'import'
                ORDER BY place"""
_JOBS_OF = """SELECT batch_items.isbn AS of_item, jobs.* FROM batch_items
                  JOIN jobs ON jobs.job_id = batch_items.job_id
              WHERE batch_items.batch_id = :batch_id AND batch_items.isbn IN :isbns
                AND jobs.status <> 'cancelled'
              ORDER BY jobs.created_ms"""
_HAS_JOB = """UPDATE batch_items SET job_id = :job_id, todo = ''
              WHERE batch_id = :batch_id AND isbn = :isbn AND todo = 'import'"""
_IS_THERE = f"""UPDATE batch_items SET state = :state, todo = '', title = :title
                WHERE batch_id = :batch_id AND isbn = :isbn AND todo = 'import'
                RETURNING {TOLD}"""


class SqlToDo:
    """The part of the port Batches that works lists off."""

    _database: Database
    _log: SqlEventLog
    _clock: Callable[[], int]

    async def running(self) -> Sequence[Batch]:
        """Those with open items, oldest first, without counts."""

        def work(session: Session) -> Sequence[Batch]:
            rows = session.execute(
                """SELECT * FROM batches WHERE status IN ('receiving', 'running')
                   AND status = 'running' ORDER BY created_ms, batch_id"""
            )
            return [read_batch(row) for row in rows]

        return await self._database.look_up(work)

    async def waiting(self, batch_id: str) -> int:
        """Its jobs that wait in the queue."""
        return await self._count(
            """SELECT count(*) AS n FROM jobs
               WHERE flow = :of AND status = 'queued' AND node IS NULL""",
            batch_id,
        )

    async def retried(self, node: str) -> int:
        """Jobs of batches that somebody retried, and that this process has and has not ended."""
        return await self._count(
            """SELECT count(*) AS n FROM jobs WHERE status IN ('queued', 'running')
               AND node = :of AND batch_id IS NOT NULL AND run > 1""",
            node,
        )

    async def at_work(self, node: str) -> int:
        """Jobs that were given to this node and have not ended."""
        return await self._count(
            """SELECT count(*) AS n FROM jobs
               WHERE status IN ('queued', 'running') AND node = :of""",
            node,
        )

    async def _count(self, sql: str, of: str) -> int:
        def work(session: Session) -> int:
            [row] = session.execute(sql, {"of": of})
            return int(row["n"])

        return await self._database.read(work)

    async def jobs_to_cancel(self, batch_id: str) -> Sequence[str]:
        """Its open jobs that nobody has cancelled."""

        def work(session: Session) -> Sequence[str]:
            rows = session.execute(
                """SELECT job_id FROM jobs WHERE batch_id = :batch_id
                   AND status IN ('queued', 'running') AND cancel_requested = 0""",
                {"batch_id": batch_id},
            )
            return [row["job_id"] for row in rows]

        return await self._database.read(work)

    async def take(
        self, batch_id: str, todo: str, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[Item]:
        """The next items for which this is to be done, in their order, ``without`` those of some
        sources; they stay on the list.

        One that is due so late that the clock was set back since is due now.
        """
        now_ms = self._clock()

        def work(session: Session) -> Sequence[Item]:
            rows = session.execute(
                """SELECT * FROM batch_items WHERE batch_id = :batch_id AND todo = :todo
                       AND todo <> '' AND (due_ms <= :now_ms OR due_ms > :beyond_ms)
                       AND NOT source IN :without
                   ORDER BY due_ms, place LIMIT :limit""",
                {
                    "batch_id": batch_id,
                    "todo": todo,
                    "now_ms": now_ms,
                    "beyond_ms": now_ms + LONGEST_WAIT_MS,
                    "limit": limit,
                    "without": list(without),
                },
            )
            return [read_item(row) for row in rows]

        return await self._database.read(work)

    async def readings(self, batch_id: str, isbns: Collection[str]) -> Sequence[Item]:
        """All items to import of these ISBNs for which their reader says something."""

        def work(session: Session) -> Sequence[Item]:
            rows = session.execute(
                """SELECT * FROM batch_items WHERE batch_id = :batch_id AND isbn IN :isbns
                   AND todo = 'import' AND reading IS NOT NULL""",
                {"batch_id": batch_id, "isbns": list(isbns)},
            )
            return in_order(map(read_item, rows))

        return await self._database.read(work)

    async def begin(
        self, batch_id: str, jobs: Mapping[int, Job], there: Mapping[int, str]
    ) -> Sequence[Job]:
        """Gives items to import their jobs; those in ``there`` (index → title) need none.

        The answer are the jobs that are new, kept as queued: items of an ISBN that the batch has
        already share its job.
        """

        def work(session: Session, told: Told) -> Sequence[Job]:
            asked = {"batch_id": batch_id, "places": sorted({*jobs, *there})}
            places: dict[str, int] = {}
            for row in session.execute(_TO_IMPORT, asked):
                places.setdefault(row["isbn"], row["place"])  # the others go with the first
            over: list[Item] = []
            for isbn, place in places.items():
                if place in there:
                    over += _is_there(session, batch_id, isbn, there[place])
            left = {isbn: jobs[place] for isbn, place in places.items() if place not in there}
            known = _known_jobs(session, batch_id, left)
            _give_jobs(session, batch_id, {**left, **known})
            told += follow(session, known.values(), self._clock())
            opened = [job for isbn, job in left.items() if isbn not in known]
            turns = _Turns(session)
            if opened:
                session.execute_many(INSERT, [insertion(job, turns.next(job)) for job in opened])
            if over:
                told += moved(session, batch_id, in_order(over), self._clock())
            return opened

        return await self._log.write_and_tell(work, batch_id)

    async def follow_job(self, job_id: str) -> None:
        """The items of a job that cannot be retried stand as it does; without one, as new ones."""

        def work(session: Session, told: Told) -> None:
            rows = session.execute("SELECT * FROM jobs WHERE job_id = :id", {"id": job_id})
            if rows:
                told += follow(session, [read_job(rows[0])], self._clock())
                return
            session.execute(
                """UPDATE batch_items SET todo = 'import', job_id = NULL
                   WHERE job_id = :id AND todo = 'retry'""",
                {"id": job_id},
            )

        await self._log.write_and_tell(work, job_id)

    async def found(self, batch_id: str, index: int, isbn: str) -> None:
        """A look-up was sure: the item is imported under this ISBN-13."""

        def work(session: Session) -> None:
            session.execute(
                """UPDATE batch_items SET isbn = :isbn, todo = :todo, due_ms = 0, tries = 0
                   WHERE batch_id = :batch_id AND place = :place AND todo = 'lookup'""",
                {"batch_id": batch_id, "place": index, "isbn": isbn, "todo": IMPORT},
            )

        await self._database.write(work, batch_id)

    async def look_up_later(self, batch_id: str, index: int, due_ms: int) -> None:
        """A look-up failed and comes again then."""

        def work(session: Session) -> None:
            session.execute(
                """UPDATE batch_items SET tries = tries + 1, due_ms = :due_ms
                   WHERE batch_id = :batch_id AND place = :place AND todo = 'lookup'""",
                {"batch_id": batch_id, "place": index, "due_ms": due_ms},
            )

        await self._database.write(work, batch_id)

    async def end_look_up(
        self,
        batch_id: str,
        index: int,
        *,
        candidates: Sequence[Json] = (),
        error: Json | None = None,
    ) -> None:
        """A look-up was not sure: to review with candidates, or failed with an error."""

        def work(session: Session, told: Told) -> None:
            rows = session.execute(
                """UPDATE batch_items SET state = :state, todo = '', error = :error,
                       candidates = :candidates
                   WHERE batch_id = :batch_id AND place = :place AND todo = 'lookup' RETURNING *""",
                {"batch_id": batch_id, "place": index, "error": dump(error),
                 "state": FAILED if error else REVIEW, "candidates": dump(list(candidates))},
            )  # fmt: skip
            if rows:
                told += moved(session, batch_id, [read_item(rows[0])], self._clock())

        await self._log.write_and_tell(work, batch_id)


def _is_there(session: Session, batch_id: str, isbn: str, title: str) -> list[Item]:
    """The items of an ISBN that need no import."""
    same = {"batch_id": batch_id, "isbn": isbn}
    rows = session.execute(_IS_THERE, {**same, "state": ALREADY_THERE, "title": title})
    return [read_told(row) for row in rows]


def _known_jobs(session: Session, batch_id: str, isbns: Collection[str]) -> Mapping[str, Job]:
    """ISBN → the newest job that the batch has for it."""
    if not isbns:
        return {}
    rows = session.execute(_JOBS_OF, {"batch_id": batch_id, "isbns": list(isbns)})
    return {row["of_item"]: read_job(row) for row in rows}


def _give_jobs(session: Session, batch_id: str, jobs: Mapping[str, Job]) -> None:
    """Each ISBN's items have its job now."""
    given = [
        {"batch_id": batch_id, "isbn": isbn, "job_id": job.job_id} for isbn, job in jobs.items()
    ]
    if given:
        session.execute_many(_HAS_JOB, given)


class _Turns:
    """The turns of jobs of one flow that begin to wait in one write; only the first of a source
    has to be looked for: the next are behind it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sources: set[str] = set()
        self._next = 0

    def next(self, job: Job) -> int:
        """0 for a job that does not wait."""
        if job.node is not None:
            return 0
        if job.order.source not in self._sources:
            self._sources.add(job.order.source)
            self._next = max(self._next, turn_of(self._session, job))
        self._next += 1
        return self._next - 1
