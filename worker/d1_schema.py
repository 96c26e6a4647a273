"""The tables of D1 and of a job's Durable Object, as SQL.

Way:     make worker → here → migrations/0001_bookline.sql, which wrangler applies, and a module of
         the Worker that room.py makes its tables by
Rule 1:  the stores' own migrations make the tables; their result is written down, nothing else.
Rule 2:  an object has the tables that one job needs, and of their indexes those that keep rows
         apart: each index costs a row at every write.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent / "src")]

from bookline.stores import journal_schema, library_schema
from bookline.stores.database import Migration, Session
from bookline.stores.sqlite import InMemory

FILE = Path(__file__).parent / "migrations" / "0001_bookline.sql"
WRITES = "CREATE TABLE writes (key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
_MADE = """SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
           ORDER BY type DESC, name"""


OF_A_JOB = ("jobs", "events", "idempotency", "import_records", "nodes")


def schema() -> str:
    """D1's: one statement after the other, each ended by ``;`` at a line's end."""
    made = [*_made(library_schema.MIGRATIONS), *_made(journal_schema.MIGRATIONS)]
    return ";\n".join([WRITES, *made]) + ";\n"


def schema_of_a_job() -> list[str]:
    """An object's statements."""
    tables = tuple(f"CREATE TABLE {name} " for name in OF_A_JOB)
    return [
        one
        for one in _made(journal_schema.MIGRATIONS)
        if one.startswith(tables)
        or (one.startswith("CREATE UNIQUE") and any(f" ON {name} " in one for name in OF_A_JOB))
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
