"""Batches and their items as callers read them.

Way:     batches.py is this, and more → here → batch_rows.py, a Database
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from bookline.errors import Refused
from bookline.progress.batches import Batch, Item
from bookline.stores.batch_rows import counts_of, eta_of, read_batch, read_item
from bookline.stores.cursors import read_cursor, write_cursor
from bookline.stores.database import Database, Session
from bookline.values import Page

MOST_PLACES = 2**31
_ITEM = "SELECT * FROM batch_items WHERE batch_id = :batch_id AND place = :place"


class SqlBatchLists:
    """The part of the port Batches that only reads."""

    _database: Database
    _clock: Callable[[], int]

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
