"""The tables of D1 and of the Durable Objects, as SQL.

Way:     make worker → here → migrations/0001_bookline.sql, which wrangler applies, and a module of
         the Worker that the objects make their tables by
Rule 1:  the stores' own migrations make the tables; their result is written down, nothing else.
Rule 2:  an object has the tables that it needs. A job's has of their indexes only those that keep
         rows apart: each index costs a row at every write, and one job has few rows.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent / "src")]

from bookline.stores import journal_schema, library_schema
from bookline.stores.database import Migration, Session
from bookline.stores.in_memory import InMemory

FILE = Path(__file__).parent / "migrations" / "0001_bookline.sql"
WRITES = "CREATE TABLE writes (key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
_MADE = """SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
           ORDER BY type DESC, name"""


OF_A_JOB = ("jobs", "events", "idempotency", "import_records", "nodes")
OF_A_BATCH = ("batches", "batch_items", "jobs", "events", "idempotency")
OF_LIMITS = ("turns",)
UNIQUE = "CREATE UNIQUE INDEX "
ASKED_FOR = ("batch_items_", "jobs_batch ", "jobs_flow ", "jobs_open ", "jobs_waiting ")
"""The indexes that work on a batch needs."""


def schema() -> str:
    """D1's: one statement after the other, each ended by ``;`` at a line's end."""
    made = [*_made(library_schema.MIGRATIONS), *_made(journal_schema.MIGRATIONS)]
    return ";\n".join([WRITES, *made]) + ";\n"


def schemas_of_objects() -> dict[str, list[str]]:
    """Each kind of object's statements."""
    return {
        "OF_A_JOB": _of(OF_A_JOB, UNIQUE),
        "OF_A_BATCH": _of(OF_A_BATCH, UNIQUE, *(f"CREATE INDEX {name}" for name in ASKED_FOR)),
        "OF_LIMITS": _of(OF_LIMITS),
    }


def _of(tables: Sequence[str], *indexes: str) -> list[str]:
    """What makes these tables, with those of their indexes that are made so."""
    made = tuple(f"CREATE TABLE {name} " for name in tables)
    return [
        one
        for one in _made(journal_schema.MIGRATIONS)
        if one.startswith(made)
        or (one.startswith(indexes) and any(f" ON {name} " in one for name in tables))
    ]


def _made(migrations: Sequence[Migration]) -> list[str]:
    database = InMemory(migrations)

    def read(session: Session) -> list[str]:
        return [" ".join(row["sql"].split()) for row in session.execute(_MADE)]

    try:
        return database.write_soon(read).result()
    finally:
        database.close()


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(schema())
