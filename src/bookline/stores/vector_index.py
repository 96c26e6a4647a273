"""The index of a large library's vectors: PostgreSQL makes it while everything else goes on.

Way:     engine/upkeep.py, now and then → here; vectors.py searches by it
Rule 1:  one node at a time, by an advisory lock: it ends with its connection, so with the node.
Rule 2:  what was left half made costs at each write and helps no search: it is made anew.
Rule 3:  one of the server's processors and a bounded memory; no read or write waits for it.
Source:  https://github.com/pgvector/pgvector#hnsw, https://www.postgresql.org/docs/current/
         sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from bookline.stores.database import Database, Session
from bookline.stores.postgres_lanes import down
from bookline.stores.postgres_session import connection_defaults
from bookline.stores.vectors import INDEX, IS_INDEXED

log = logging.getLogger(__name__)

LARGE = 50_000  # our choice: vectors; looking at each of fewer takes no more than 35 ms
MOST_DIMENSIONS = 2_000  # of a vector in an index of pgvector
MEMORY_KB = 512 * 1024  # our choice: the graph of some 300,000 vectors of 256 dimensions
INDEXING = 0x626F6F6C  # the advisory lock of whoever makes one
_LARGE = """SELECT dimensions FROM vectors WHERE dimensions <= :most
            GROUP BY dimensions HAVING count(*) >= :large ORDER BY dimensions"""
_SETTINGS = f"""
    SELECT set_config('search_path', quote_ident(%s) || ', public', false),
           set_config('statement_timeout', '0', false),
           set_config('max_parallel_maintenance_workers', '0', false),
           set_config('maintenance_work_mem',
                      greatest({MEMORY_KB}, setting::bigint) || 'kB', false)
    FROM pg_settings WHERE name = 'maintenance_work_mem'"""
_IS_OURS = "SELECT pg_try_advisory_lock(%s)"
_IS_CHANGED = """SELECT count(*) > 0 FROM pg_locks WHERE relation = to_regclass('vectors')
                 AND mode = 'ShareUpdateExclusiveLock' AND granted"""
"""Somebody makes an index by hand, or PostgreSQL cleans the table."""
_REMOVE = "DROP INDEX CONCURRENTLY IF EXISTS {name}"
_MAKE = """CREATE INDEX CONCURRENTLY {name} ON vectors
           USING hnsw ((CAST(vector AS vector({dimensions}))) vector_cosine_ops)
           WHERE dimensions = {dimensions}"""
"""In the words of vectors.py's ``by_index``."""


class VectorIndex:
    """That of the vectors in this database at ``url``."""

    def __init__(self, database: Database, url: str, schema: str) -> None:
        self._database = database
        self._url = url
        self._schema = schema

    async def make_index(self) -> None:
        """Makes the index of each number of dimensions that many vectors have and none is of.

        May take minutes; whoever cancels it ends it on the server, too. Raises: StoreDown.
        """
        for dimensions in await self._database.read(_missing):
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, **connection_defaults(self._url)
                ) as connection:
                    await connection.execute(_SETTINGS, (self._schema,))
                    await _make(connection, dimensions)
            except psycopg.Error as error:
                raise down(error) from error


def _missing(session: Session) -> Sequence[int]:
    rows = session.execute(_LARGE, {"most": MOST_DIMENSIONS, "large": LARGE})
    large: list[int] = [row["dimensions"] for row in rows]
    return [one for one in large if not session.execute(IS_INDEXED, {"name": _name(one)})]


async def _make(connection: "psycopg.AsyncConnection[Any]", dimensions: int) -> None:
    """Unless another node is at it, or somebody else at the table."""
    if not await _says(connection, _IS_OURS, INDEXING) or await _says(connection, _IS_CHANGED):
        return
    began = time.monotonic()
    log.info("an index of the vectors of %d dimensions is being made", dimensions)
    names = {"name": _name(dimensions), "dimensions": dimensions}
    await connection.execute(_REMOVE.format(**names).encode())
    await connection.execute(_MAKE.format(**names).encode())
    log.info("the index %s was made in %.0f s", names["name"], time.monotonic() - began)


async def _says(connection: "psycopg.AsyncConnection[Any]", question: str, *values: object) -> bool:
    cursor = await connection.execute(question.encode(), values)
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _name(dimensions: int) -> str:
    return INDEX.format(dimensions=dimensions)
