"""Records of tries on PostgreSQL: what has come meanwhile, of all imports, is one transaction.

Way:     dbos_records.py → here → a lane of its own
Rule 1:  the rows are those of DBOS, with the same check of the owner, made by dbos_statements.py.
Rule 2:  one that cannot be written so holds up no other; it is DBOS' to make.
Source:  docs/decisions/0029-records-on-postgresql.md.
"""

import time
from typing import Any

from dbos import DBOS
from dbos._context import current_owner_xid
from dbos._error import DBOSBaseException

from bookline.stores.postgres_lanes import Lane, Line
from bookline.threads import in_thread, result_of


class NotKept(Exception):
    """DBOS refuses this record."""


class Together:
    """One thread with a connection, for all imports of this process."""

    def __init__(self, url: str, dbos: DBOS) -> None:
        self._database: Any = dbos._sys_db
        self._lane = Lane(Line(url, str(self._database.schema)), "records")

    async def record(self, result: Any) -> bool:
        """Whether DBOS' ``result`` of a step is recorded now; if not, it may be all the same."""
        ended_ms, owner = time.time_ns() // 1_000_000, current_owner_xid(result["workflow_uuid"])

        def work(session: Any) -> None:
            connection = _Connection(session.connection, self._database)
            try:
                self._database._record_operation_result_txn(
                    result, ended_ms, connection, owner_xid=owner
                )
            except DBOSBaseException as error:  # no Exception, so the lane would not survive it
                raise NotKept from error

        try:
            await result_of(self._lane.put(work, ()))
        except Exception:  # noqa: BLE001 - DBOS meets it again, and says so
            return False
        return True

    async def close(self) -> None:
        await in_thread(self._lane.close)


class _Connection:
    """A connection of psycopg's whose rows have names, as far as the statements ask for more."""

    def __init__(self, connection: Any, database: Any) -> None:
        self._connection = connection
        self.dialect = database.engine.dialect

    def exec_driver_sql(self, sql: str, values: dict[str, Any]) -> Any:
        return _Rows(self._connection.execute(sql, values))


class _Rows:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._cursor.fetchall()]
