"""What is still to be posted to the operator's endpoint: one row for each end of a job or batch.

Way:     event_log.py adds a row in the transaction of the end → here → webhooks.py
Rule 1:  the ends of one job are posted in their order: a later one waits for the earlier.
"""

from collections.abc import Sequence

from bookline.stores.database import Database, Session
from bookline.stores.upkeep import remove_older
from bookline.webhooks import Owed

WAITING, GIVEN_UP = "waiting", "given up"
_ADD = """INSERT INTO webhooks (job_id, seq, since_ms, due_ms, state)
          VALUES (:job_id, :seq, :now_ms, :now_ms, 'waiting')
          ON CONFLICT (job_id, seq) DO NOTHING"""
_DUE = """SELECT w.job_id, w.seq, w.since_ms, w.tries, events.message
          FROM webhooks AS w
          JOIN events ON events.job_id = w.job_id AND events.seq = w.seq
          WHERE w.state = 'waiting' AND (w.due_ms <= :now_ms OR w.due_ms > :beyond_ms)
            AND NOT EXISTS (SELECT 1 FROM webhooks AS earlier WHERE earlier.job_id = w.job_id
                            AND earlier.seq < w.seq AND earlier.state = 'waiting')
          ORDER BY w.due_ms LIMIT :most"""
_DONE = "DELETE FROM webhooks WHERE job_id = :job_id AND seq = :seq"
_LATER = """UPDATE webhooks SET due_ms = :due_ms, tries = tries + 1, state = :state
            WHERE job_id = :job_id AND seq = :seq"""
_AGAIN = """UPDATE webhooks SET state = 'waiting', tries = 0, since_ms = :now_ms, due_ms = :now_ms
            WHERE state = 'given up' RETURNING job_id"""
_LAST = """SELECT tries, since_ms FROM webhooks WHERE state = 'waiting'
           ORDER BY due_ms DESC LIMIT 1"""
_WAITING = """SELECT count(*) AS waiting FROM (SELECT 1 AS one FROM webhooks
              WHERE state = 'waiting' LIMIT :most) AS some"""
_OLD = """DELETE FROM webhooks WHERE (job_id, seq) IN (
              SELECT job_id, seq FROM webhooks WHERE since_ms < :before_ms
              ORDER BY since_ms LIMIT :most) RETURNING seq"""


def add(session: Session, job_id: str, seq: int, now_ms: int) -> None:
    """Within the transaction of the end."""
    session.execute(_ADD, {"job_id": job_id, "seq": seq, "now_ms": now_ms})


class SqlWebhooks:
    """Fills the port Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now_ms: int, beyond_ms: int, most: int) -> Sequence[Owed]:
        values = {"now_ms": now_ms, "beyond_ms": beyond_ms, "most": most}

        def work(session: Session) -> Sequence[Owed]:
            return [
                Owed(
                    job_id=row["job_id"],
                    seq=row["seq"],
                    message=row["message"],
                    since_ms=row["since_ms"],
                    tries=row["tries"],
                )
                for row in session.execute(_DUE, values)
            ]

        return await self._database.read(work)

    async def done(self, owed: Owed) -> None:
        await self._write(_DONE, {"job_id": owed.job_id, "seq": owed.seq}, owed.job_id)

    async def later(self, owed: Owed, due_ms: int) -> None:
        values = {"job_id": owed.job_id, "seq": owed.seq, "due_ms": due_ms, "state": WAITING}
        await self._write(_LATER, values, owed.job_id)

    async def give_up(self, owed: Owed) -> None:
        values = {"job_id": owed.job_id, "seq": owed.seq, "due_ms": 0, "state": GIVEN_UP}
        await self._write(_LATER, values, owed.job_id)

    async def again(self, now_ms: int) -> int:
        return await self._write(_AGAIN, {"now_ms": now_ms}, "webhooks")

    async def refused_since(self) -> int | None:
        last = await self._database.read(lambda session: session.execute(_LAST, {}))
        return last[0]["since_ms"] if last and last[0]["tries"] else None

    async def waiting(self, most: int) -> int:
        values = {"most": most}
        rows = await self._database.read(lambda session: session.execute(_WAITING, values))
        return int(rows[0]["waiting"])

    async def forget(self, before_ms: int) -> None:
        await remove_older(self._database, _OLD, before_ms)

    async def _write(self, sql: str, values: dict[str, object], key: str) -> int:
        return await self._database.write(lambda session: len(session.execute(sql, values)), key)
