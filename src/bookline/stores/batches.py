"""Batches in SQL tables, beside the jobs that import their items.

Way:     batches/service.py and batches/feeder.py → here → batch_rows.py, a Database
Rule 1:  the list is kept in portions, so that no long list holds the writer; until its last portion
         the batch is ``receiving`` and nobody sees it.
Rule 2:  what is to be done for an item is kept with it (``todo``) and taken off in the transaction
         that does it. Two processes that take the same item do it once.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from bookline.errors import Refused
from bookline.job import CANCELLED, FAILED, QUEUED, Job
from bookline.progress.batches import (
    ALREADY_THERE,
    CANCELLED_ERROR,
    IMPORT,
    RECEIVING,
    REVIEW,
    SKIPPED,
    Batch,
    Item,
)
from bookline.progress.journal import Idempotency
from bookline.stores.batch_rows import (
    INSERT_BATCH,
    INSERT_ITEM,
    TOLD,
    batch_values,
    counts_of,
    dump,
    eta_of,
    follow,
    item_values,
    moved,
    read_batch,
    read_item,
    read_told,
)
from bookline.stores.cursors import read_cursor, write_cursor
from bookline.stores.database import Session
from bookline.stores.event_log import SqlEventLog, Told
from bookline.stores.job_rows import INSERT, insertion, know, known_id, read_job
from bookline.stores.queue import turn_of
from bookline.threads import in_thread
from bookline.values import Json, Page

PORTION = 1_000  # items in one transaction: about 20 ms of the writer
REMOVE_MOST = 1_000  # items removed at once
MOST_PLACES = 2**31
LONGEST_WAIT_MS = 300_000  # of a look-up: 3 s at the most that RETRY_SCALE may be
RECEIVING_MS = 3_600_000  # a list that is not whole after this time never will be

_ITEM = "SELECT * FROM batch_items WHERE batch_id = :batch_id AND place = :place"

# Only items that are still to be begun: one may be cancelled, or another process was faster.
_TO_IMPORT = """SELECT place, isbn FROM batch_items
                WHERE batch_id = :batch_id AND place IN :places AND todo = 'import'
                ORDER BY place"""
_JOB_OF = """SELECT jobs.* FROM batch_items JOIN jobs ON jobs.job_id = batch_items.job_id
             WHERE batch_items.batch_id = :batch_id AND batch_items.isbn = :isbn
               AND jobs.status <> 'cancelled'
             ORDER BY jobs.created_ms DESC LIMIT 1"""
_HAS_JOB = """UPDATE batch_items SET job_id = :job_id, todo = ''
              WHERE batch_id = :batch_id AND isbn = :isbn AND todo = 'import'"""
_IS_THERE = f"""UPDATE batch_items SET state = :state, todo = '', title = :title
                WHERE batch_id = :batch_id AND isbn = :isbn AND todo = 'import'
                RETURNING {TOLD}"""


class SqlBatches:
    """Fills the port Batches. ``clock`` gives epoch milliseconds."""

    def __init__(self, log: SqlEventLog, clock: Callable[[], int]) -> None:
        self._log = log
        self._database = log.database
        self._clock = clock

    # -------------------------------------------------------------- as callers see them
    async def open(
        self, batch: Batch, items: Iterable[Item], idempotency: Idempotency | None = None
    ) -> str:
        """The id of the batch, kept whole; or of that which the same key and body opened in 24 h.

        The items are read beside the event loop, PORTION at a time.
        Raises: Refused (INVALID_STATE) when the key stood for another body; what reading the items
        raises; StoreDown.
        """
        if idempotency is not None:
            known = await self._database.look_up(lambda session: self._known(session, idempotency))
            if known is not None:
                return known
        await self.receive(batch)
        left = iter(items)
        while portion := await in_thread(next_portion, left):
            await self.add(batch.batch_id, portion)
        return await self.let_begin(batch, idempotency)

    async def receive(self, batch: Batch) -> None:
        """A batch whose list is still to come."""
        values = batch_values(batch, RECEIVING)
        await self._database.write(
            lambda session: session.execute(INSERT_BATCH, values), batch.batch_id
        )

    async def add(self, batch_id: str, items: Sequence[Item]) -> None:
        """Some more of its list."""
        rows = [item_values(batch_id, item) for item in items]

        def work(session: Session) -> None:
            for row in rows:
                session.execute(INSERT_ITEM, row)

        await self._database.write(work, batch_id)

    async def let_begin(self, batch: Batch, idempotency: Idempotency | None = None) -> str:
        """Its list is whole. The id of the batch, or of that which the key stands for."""
        return await self._log.write_and_tell(
            lambda session, told: self._begin(session, told, batch, idempotency), batch.batch_id
        )

    def _begin(
        self, session: Session, told: Told, batch: Batch, idempotency: Idempotency | None
    ) -> str:
        if idempotency is not None:
            known = self._known(session, idempotency)
            if known is not None:  # another one with this key was faster; ours is cleared away
                return known
            know(session, idempotency, batch.batch_id, batch.created_ms)
        session.execute(
            "UPDATE batches SET status = 'running' WHERE batch_id = :batch_id",
            {"batch_id": batch.batch_id},
        )
        told += moved(session, batch.batch_id, (), self._clock(), begins=True)
        return batch.batch_id

    def _known(self, session: Session, idempotency: Idempotency) -> str | None:
        return known_id(session, idempotency, self._clock())

    async def find(self, batch_id: str) -> Batch | None:
        return await self._database.read(lambda session: self._find(session, batch_id))

    def _find(self, session: Session, batch_id: str) -> Batch | None:
        rows = session.execute(
            "SELECT * FROM batches WHERE batch_id = :batch_id AND status <> 'receiving'",
            {"batch_id": batch_id},
        )
        return self._counted(session, read_batch(rows[0])) if rows else None

    def _counted(self, session: Session, batch: Batch) -> Batch:
        counts = counts_of(session, batch.batch_id)
        eta = eta_of(session, batch.batch_id, counts, self._clock())
        return replace(batch, counts=counts, eta_seconds=eta)

    async def list(self, *, limit: int, cursor: str | None) -> tuple[Page[Batch], int]:
        """Newest first, and how many there are. Raises: Refused for a cursor that is not ours."""
        at_ms, batch_id = read_cursor(cursor, int, str) if cursor else (2**62, "")

        def work(session: Session) -> tuple[Sequence[Batch], int]:
            rows = session.execute(
                """SELECT * FROM batches WHERE status <> 'receiving'
                       AND (created_ms, batch_id) < (:at_ms, :batch_id)
                   ORDER BY created_ms DESC, batch_id DESC LIMIT :limit""",
                {"at_ms": at_ms, "batch_id": batch_id, "limit": limit + 1},
            )
            [total] = session.execute(
                "SELECT count(*) AS n FROM batches WHERE status <> 'receiving'"
            )
            found = [read_batch(row) for row in rows]
            shown = [self._counted(session, batch) for batch in found[:limit]]
            return [*shown, *found[limit:]], total["n"]

        batches, total = await self._database.read(work)
        last = batches[limit - 1] if len(batches) > limit else None
        cursor = write_cursor(last.created_ms, last.batch_id) if last else None
        return Page(items=batches[:limit], next_cursor=cursor), total

    async def items(
        self, batch_id: str, *, states: Collection[str] | None, limit: int, cursor: str | None
    ) -> tuple[Page[Item], int]:
        """In their order, and how many there are. Raises: Refused for a cursor not ours."""
        [after] = read_cursor(cursor, int) if cursor else (-1,)
        term = "" if states is None else "AND state IN :states"
        values = {"batch_id": batch_id, "after": after, "limit": limit + 1}
        if states is not None:
            values["states"] = list(states)

        def work(session: Session) -> tuple[Sequence[Item], int]:
            rows = session.execute(
                f"""SELECT * FROM batch_items WHERE batch_id = :batch_id AND place > :after {term}
                    ORDER BY place LIMIT :limit""",
                values,
            )
            counts = counts_of(session, batch_id)
            total = sum(n for state, n in counts.items() if states is None or state in states)
            return [read_item(row) for row in rows], total

        items, total = await self._database.read(work)
        more = len(items) > limit
        cursor = write_cursor(items[limit - 1].index) if more else None
        return Page(items=items[:limit], next_cursor=cursor), total

    async def repeated(self, batch_id: str) -> int:
        """Items behind the first of an ISBN."""

        def work(session: Session) -> int:
            [row] = session.execute(
                """SELECT count(isbn) - count(DISTINCT isbn) AS n FROM batch_items
                   WHERE batch_id = :batch_id AND isbn IS NOT NULL""",
                {"batch_id": batch_id},
            )
            return int(row["n"])

        return await self._database.read(work)

    async def request_cancel(self, batch_id: str) -> None:
        """From now on nothing of it is begun. What waits is cancelled by ``cancel_waiting``, what
        a job has is left to it (``jobs_to_cancel``).

        Raises: Refused (BATCH_NOT_FOUND, INVALID_STATE).
        """

        def work(session: Session, told: Told) -> None:
            batch = self._get(session, batch_id)
            if batch.is_over:
                raise Refused(
                    "INVALID_STATE", f"The batch is {batch.status}: there is nothing to cancel."
                )
            told += moved(session, batch_id, (), self._clock(), cancelling=True)

        await self._log.write_and_tell(work, batch_id)

    async def cancel_waiting(self, batch_id: str) -> int:
        """How many items of a cancelled batch that no job has are cancelled now, at most PORTION:
        each has an event. 0 once none is left.
        """

        def work(session: Session, told: Told) -> int:
            rows = session.execute(
                f"""UPDATE batch_items SET state = :state, todo = '', error = :error
                    WHERE batch_id = :batch_id AND place IN (
                        SELECT place FROM batch_items WHERE batch_id = :batch_id AND todo <> ''
                        LIMIT :most) RETURNING {TOLD}""",
                {"batch_id": batch_id, "state": CANCELLED, "error": dump(CANCELLED_ERROR),
                 "most": PORTION},
            )  # fmt: skip
            if rows:
                told += moved(session, batch_id, _in_order(map(read_told, rows)), self._clock())
            return len(rows)

        return await self._log.write_and_tell(work, batch_id)

    async def request_retry(self, batch_id: str) -> int:
        """How many items that failed are put on the to-do list, at most PORTION.

        Raises: Refused (BATCH_NOT_FOUND).
        """

        def work(session: Session, told: Told) -> int:
            self._get(session, batch_id)
            rows = session.execute(
                f"""UPDATE batch_items SET state = :queued, error = NULL, tries = 0, due_ms = 0,
                        todo = CASE WHEN job_id IS NOT NULL THEN 'retry'
                                    WHEN isbn IS NOT NULL THEN 'import' ELSE 'lookup' END
                    WHERE batch_id = :batch_id AND place IN (
                        SELECT place FROM batch_items
                        WHERE batch_id = :batch_id AND state = :failed LIMIT :most)
                    RETURNING {TOLD}""",
                {"batch_id": batch_id, "queued": QUEUED, "failed": FAILED, "most": PORTION},
            )
            if rows:
                told += moved(session, batch_id, _in_order(map(read_told, rows)), self._clock())
            return len(rows)

        return await self._log.write_and_tell(work, batch_id)

    async def choose(self, batch_id: str, index: int, isbn: str | None) -> Item:
        """The answer to a review: this ISBN-13, or None to skip the item.

        Raises: Refused (BATCH_NOT_FOUND, NOT_FOUND, INVALID_STATE).
        """

        def work(session: Session, told: Told) -> Item:
            item = self._item(session, batch_id, index)
            place = {"batch_id": batch_id, "place": index}
            if item.state != REVIEW:
                raise Refused(
                    "INVALID_STATE", f"Item {index} is {item.state}: there is nothing to choose."
                )
            chosen = {"state": QUEUED, "todo": IMPORT} if isbn else {"state": SKIPPED, "todo": ""}
            [row] = session.execute(
                """UPDATE batch_items SET state = :state, todo = :todo, isbn = :isbn, due_ms = 0
                   WHERE batch_id = :batch_id AND place = :place RETURNING *""",
                {**place, **chosen, "isbn": isbn},
            )
            item = read_item(row)
            told += moved(session, batch_id, [item], self._clock())
            return item

        return await self._log.write_and_tell(work, batch_id)

    async def item(self, batch_id: str, index: int) -> Item:
        """Raises: Refused (BATCH_NOT_FOUND, NOT_FOUND)."""
        return await self._database.read(lambda session: self._item(session, batch_id, index))

    def _item(self, session: Session, batch_id: str, index: int) -> Item:
        self._get(session, batch_id)
        place = {"batch_id": batch_id, "place": index}
        rows = session.execute(_ITEM, place) if 0 <= index < MOST_PLACES else ()
        if not rows:
            raise Refused("NOT_FOUND", f"This batch has no item {index}.")
        return read_item(rows[0])

    def _get(self, session: Session, batch_id: str) -> Batch:
        batch = self._find(session, batch_id)
        if batch is None:
            raise Refused("BATCH_NOT_FOUND", f"There is no batch {batch_id}.")
        return batch

    # -------------------------------------------------------------- as the feeder works them off
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
            return _in_order(map(read_item, rows))

        return await self._database.read(work)

    async def begin(
        self, batch_id: str, jobs: Mapping[int, Job], there: Mapping[int, str]
    ) -> Sequence[Job]:
        """Gives items to import their jobs; those in ``there`` (index → title) need none.

        The answer are the jobs that are new, kept as queued: items of an ISBN that the batch has
        already share its job.
        """

        def work(session: Session, told: Told) -> Sequence[Job]:
            turns, opened = _Turns(session), []
            over: list[Item] = []
            places = sorted({*jobs, *there})
            begun: set[str] = set()
            for row in session.execute(_TO_IMPORT, {"batch_id": batch_id, "places": places}):
                same = {"batch_id": batch_id, "isbn": row["isbn"]}
                if row["isbn"] in begun:
                    continue  # with the first item of its ISBN
                begun.add(row["isbn"])
                if row["place"] in there:
                    over += _is_there(session, same, there[row["place"]])
                    continue
                known = session.execute(_JOB_OF, same)
                job = read_job(known[0]) if known else jobs[row["place"]]
                session.execute(_HAS_JOB, {**same, "job_id": job.job_id})
                if known:
                    told += follow(session, [job], self._clock())
                    continue
                session.execute(INSERT, insertion(job, turns.next(job)))
                opened.append(job)
            if over:
                told += moved(session, batch_id, _in_order(over), self._clock())
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

    # -------------------------------------------------------------- upkeep
    async def remove_old(self, before_ms: int) -> int:
        """Batches that were over before then go, a portion at a time; those with reviews stay.

        The answer is 0 once there is nothing left to remove.
        """
        now_ms = self._clock()

        def work(session: Session) -> int:
            rows = session.execute(
                """SELECT batch_id FROM batches
                   WHERE status IN ('completed', 'cancelled') AND updated_ms < :before_ms
                     AND NOT EXISTS (SELECT 1 FROM batch_items
                                     WHERE batch_items.batch_id = batches.batch_id
                                       AND batch_items.state = 'review') LIMIT 1""",
                {"before_ms": before_ms},
            ) or session.execute(
                """SELECT batch_id FROM batches
                   WHERE status IN ('receiving', 'running') AND status = 'receiving'
                     AND created_ms < :begun_ms LIMIT 1""",
                {"begun_ms": now_ms - RECEIVING_MS},
            )
            if not rows:
                return 0
            one = {"batch_id": rows[0]["batch_id"], "most": REMOVE_MOST}
            gone = session.execute(
                """DELETE FROM batch_items WHERE batch_id = :batch_id AND place IN (
                       SELECT place FROM batch_items WHERE batch_id = :batch_id
                       ORDER BY place LIMIT :most) RETURNING place""",
                one,
            )
            if len(gone) < REMOVE_MOST:
                session.execute("DELETE FROM events WHERE job_id = :batch_id", one)
                session.execute("DELETE FROM batches WHERE batch_id = :batch_id", one)
            return len(gone) + 1

        return await self._database.write(work, "remove batches")


def _is_there(session: Session, same: Json, title: str) -> list[Item]:
    """The items of an ISBN that need no import."""
    rows = session.execute(_IS_THERE, {**same, "state": ALREADY_THERE, "title": title})
    return [read_told(row) for row in rows]


class _Turns:
    """The turns of jobs of one flow that begin to wait in one write; only the first of a source
    has to be looked for: the next are behind it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sources: set[str] = set()
        self._last = 0

    def next(self, job: Job) -> int:
        """0 for a job that does not wait."""
        if job.node is not None:
            return 0
        is_known = job.order.source in self._sources
        self._sources.add(job.order.source)
        self._last = self._last + 1 if is_known else turn_of(self._session, job)
        return self._last


def next_portion(items: Iterator[Item]) -> list[Item]:
    """The next PORTION of a list; none at its end."""
    return list(islice(items, PORTION))


def _in_order(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.index)
