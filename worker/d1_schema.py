"""D1's tables as SQL: those of the library and the journal, and the one that D1 needs beside them.

Way:     make worker → here → migrations/0001_bookline.sql; wrangler applies it
Rule 1:  the stores' own migrations make the tables; their result is written down, nothing else.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent / "src")]

from bookline.stores import journal_schema, library_schema
from bookline.stores.database import Session
from bookline.stores.sqlite import InMemory

FILE = Path(__file__).parent / "migrations" / "0001_bookline.sql"
WRITES = "CREATE TABLE writes (key TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
_MADE = """SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
           ORDER BY type DESC, name"""


def schema() -> str:
    """One statement after the other, each ended by ``;`` at a line's end."""
    found = [WRITES]
    for migrations in (library_schema.MIGRATIONS, journal_schema.MIGRATIONS):
        database = InMemory(migrations)

        def read(session: Session) -> list[str]:
            return [" ".join(row["sql"].split()) for row in session.execute(_MADE)]

        found += database.write_soon(read).result()
        database.close()
    return ";\n".join(found) + ";\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(schema())
