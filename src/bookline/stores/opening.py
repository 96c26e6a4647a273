"""The one place that names the product behind journal, library, limits and rollout.

Way:     app.py, cli/ and tests → here
Rule 1:  nobody else knows which product it is; ``in_memory`` keeps all promises but outliving.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bookline.stores import journal_schema, library_schema
from bookline.stores.batches import SqlBatches
from bookline.stores.database import Database
from bookline.stores.journal import SqlJournal
from bookline.stores.library import SqlLibrary
from bookline.stores.limits import SqlLimits
from bookline.stores.postgres import Connections, Postgres
from bookline.stores.rollout import SqlRollout
from bookline.stores.sqlite import InMemory, Sqlite
from bookline.stores.vectors import Nearest, nearest_by_pgvector

JOURNAL_FILE, LIBRARY_FILE = "journal.db", "library.db"
Clock = Callable[[], int]
"""Epoch milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What shares the journal's tables."""

    journal: SqlJournal
    batches: SqlBatches
    limits: SqlLimits
    rollout: SqlRollout


def open_stores(folder: Path, clock: Clock) -> Stores:
    """Raises: StoreDown when they cannot be opened, BooklineNewer for later tables."""
    return _stores(Sqlite(folder / JOURNAL_FILE, journal_schema.MIGRATIONS), clock)


def stores_in_memory(clock: Clock) -> Stores:
    """Gone with the process: for tests, and for trying things out."""
    return _stores(journal_tables_in_memory(), clock)


def journal_tables_in_memory() -> InMemory:
    return InMemory(journal_schema.MIGRATIONS)


def open_library(path: Path) -> SqlLibrary:
    """The library in this file. Raises: StoreDown, BooklineNewer."""
    database = Sqlite(path, library_schema.MIGRATIONS)
    return SqlLibrary(database, Nearest())


def open_connections(url: str) -> Connections:
    """To a PostgreSQL database, for all stores of this process; opened as they are needed."""
    return Connections(url)


def open_postgres_stores(connections: Connections, clock: Clock) -> Stores:
    """Raises: StoreDown when they cannot be opened, BooklineNewer for later tables."""
    return _stores(Postgres(connections, "journal", journal_schema.MIGRATIONS), clock)


def open_postgres_library(connections: Connections) -> SqlLibrary:
    """Raises: StoreDown, BooklineNewer."""
    database = Postgres(connections, "library", library_schema.MIGRATIONS)
    return SqlLibrary(database, nearest_by_pgvector)


def library_in_memory() -> SqlLibrary:
    """Gone with the process: for tests, and for trying things out."""
    return SqlLibrary(library_tables_in_memory(), Nearest())


def library_tables_in_memory() -> InMemory:
    return InMemory(library_schema.MIGRATIONS)


def _stores(database: Database, clock: Clock) -> Stores:
    journal = SqlJournal(database, clock)
    return Stores(
        journal=journal,
        batches=SqlBatches(journal, clock),
        limits=SqlLimits(database, clock),
        rollout=SqlRollout(database),
    )
