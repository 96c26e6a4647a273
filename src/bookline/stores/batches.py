"""Batches in SQL tables, beside the jobs that import their items.

Way:     batches/service.py and batches/feeder.py → here → batch_rows.py, a Database
         (what only reads: batch_lists.py; what works lists off: batch_to_do.py)
Rule 1:  the list is kept in portions, so that no long list holds the writer; until its last portion
         the batch is ``receiving`` and nobody sees it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from bookline.errors import Refused, StoreDown
from bookline.job import CANCELLED, FAILED, QUEUED
from bookline.progress.batches import (
    CANCELLED_ERROR,
    IMPORT,
    RECEIVING,
    REVIEW,
    SKIPPED,
    Batch,
    Item,
)
from bookline.progress.journal import Idempotency
from bookline.stores.batch_lists import SqlBatchLists
from bookline.stores.batch_rows import (
    INSERT_BATCH,
    INSERT_ITEM,
    TOLD,
    batch_values,
    dump,
    in_order,
    item_values,
    moved,
    read_item,
    read_told,
)
from bookline.stores.batch_to_do import SqlToDo
from bookline.stores.database import Session
from bookline.stores.event_log import SqlEventLog, Told
from bookline.stores.job_rows import know, known_id
from bookline.threads import in_thread

PORTION = 1_000  # items in one transaction: about 20 ms of the writer
REMOVE_MOST = 1_000  # items removed at once
RECEIVING_MS = 3_600_000  # a list that is not whole after this time never will be
_BEGIN = """UPDATE batches SET status = 'running'
            WHERE batch_id = :batch_id AND status = 'receiving' RETURNING batch_id"""
_IS_RECEIVED = "SELECT batch_id FROM batches WHERE batch_id = :batch_id AND status = 'receiving'"
_IS_THERE = "SELECT batch_id FROM batches WHERE batch_id = :batch_id"


class SqlBatches(SqlBatchLists, SqlToDo):
    """Fills the port Batches. ``clock`` gives epoch milliseconds."""

    def __init__(self, log: SqlEventLog, clock: Callable[[], int]) -> None:
        self._log = log
        self._database = log.database
        self._clock = clock
        self.steady = clock
        """The same for what is judged by its age; whoever knows more of the time puts it here."""

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
        """Some more of its list. Raises: StoreDown, also when the batch was given up meanwhile."""
        rows = [item_values(batch_id, item) for item in items]

        def work(session: Session) -> None:
            if not session.execute(_IS_RECEIVED, {"batch_id": batch_id}):
                raise _given_up(batch_id)
            session.execute_many(INSERT_ITEM, rows)

        await self._database.write(work, batch_id)

    async def let_begin(self, batch: Batch, idempotency: Idempotency | None = None) -> str:
        """Its list is whole. The id of the batch, or of that which the key stands for. Safe twice.

        Raises: StoreDown, also when the batch was given up meanwhile.
        """
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
        it = {"batch_id": batch.batch_id}
        if not session.execute(_BEGIN, it):
            if session.execute(_IS_THERE, it):
                return batch.batch_id
            raise _given_up(batch.batch_id)
        told += moved(session, batch.batch_id, (), self._clock(), begins=True)
        return batch.batch_id

    def _known(self, session: Session, idempotency: Idempotency) -> str | None:
        known = known_id(session, idempotency, self.steady())
        is_there = known is not None and session.execute(_IS_THERE, {"batch_id": known})
        return known if is_there else None

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
                told += moved(session, batch_id, in_order(map(read_told, rows)), self._clock())
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
                told += moved(session, batch_id, in_order(map(read_told, rows)), self._clock())
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

    # -------------------------------------------------------------- upkeep
    async def remove_old(self, before_ms: int, now_ms: int) -> int:
        """Batches that were over before then go, a portion at a time; those with reviews stay.
        Lists that are not whole ``RECEIVING_MS`` after they began go, too.

        The answer is 0 once there is nothing left to remove.
        """

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


def _given_up(batch_id: str) -> StoreDown:
    return StoreDown(f"the list of {batch_id} took too long and was given up: send it again")


def next_portion(items: Iterator[Item]) -> list[Item]:
    """The next PORTION of a list; none at its end."""
    return list(islice(items, PORTION))
