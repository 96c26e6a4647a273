"""The one place that names the product behind journal, library, limits and rollout.

Way:     app.py, cli/ and tests → here
Rule 1:  nobody else knows which product it is; ``in_memory`` keeps all promises but outliving.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bookline.clocks import SharedClock
from bookline.stores import journal_schema, library_schema
from bookline.stores.batches import SqlBatches
from bookline.stores.database import Migration, SharedDatabase
from bookline.stores.in_memory import InMemory
from bookline.stores.journal import SqlJournal
from bookline.stores.library import SqlLibrary
from bookline.stores.library_lists import NearestVectors
from bookline.stores.limits import SqlLimits
from bookline.stores.postgres import Connections, Postgres
from bookline.stores.rollout import SqlRollout
from bookline.stores.secrets import SqlSecrets
from bookline.stores.sqlite import Sqlite
from bookline.stores.vector_index import VectorIndex
from bookline.stores.vectors import Nearest, nearest_by_pgvector
from bookline.stores.webhooks import SqlWebhooks

Clock = Callable[[], int]
"""Epoch milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What shares the journal's tables."""

    journal: SqlJournal
    batches: SqlBatches
    limits: SqlLimits
    rollout: SqlRollout
    secrets: SqlSecrets
    webhooks: SqlWebhooks


class Storage(Protocol):
    """Where all tables of a deployment lie."""

    clock: SharedClock
    """The time that holds for all processes which share them."""
    has_trigrams: bool
    """Whether the library's texts have indexes there, and its changes numbers."""

    def nearest(self) -> NearestVectors:
        """How the nearest vectors are found there."""
        ...

    def vector_index(self, library: SqlLibrary) -> VectorIndex | None:
        """What makes the index of a large library's vectors; None where none is needed."""
        ...

    def tables(self, name: str, migrations: Sequence[Migration]) -> SharedDatabase:
        """One store's tables. Raises: StoreDown, BooklineNewer for tables of a later version."""
        ...

    def close(self) -> None:
        """After the stores. Safe twice."""
        ...


class Files:
    """A folder with a SQLite file for each store. Fills the port Storage."""

    has_trigrams = False

    def __init__(self, folder: Path) -> None:
        self.clock = SharedClock()
        self._folder = folder

    def tables(self, name: str, migrations: Sequence[Migration]) -> SharedDatabase:
        return Sqlite(self._folder / f"{name}.db", migrations)

    def nearest(self) -> NearestVectors:
        return Nearest()

    def vector_index(self, library: SqlLibrary) -> VectorIndex | None:
        return None

    def close(self) -> None:
        """Each store has closed its file."""


class Server:
    """A PostgreSQL database. Fills the port Storage."""

    has_trigrams = True

    def __init__(self, url: str) -> None:
        self.clock = SharedClock()
        self._connections = Connections(url, self.clock)

    def tables(self, name: str, migrations: Sequence[Migration]) -> SharedDatabase:
        return Postgres(self._connections, name, migrations)

    def nearest(self) -> NearestVectors:
        return nearest_by_pgvector

    def vector_index(self, library: SqlLibrary) -> VectorIndex | None:
        connections = self._connections
        return VectorIndex(library.database, connections.url, connections.schema)

    def close(self) -> None:
        self._connections.close()


def open_storage(postgres_url: str, folder: Path) -> Storage:
    """The PostgreSQL database where one is named, else the folder."""
    return Server(postgres_url) if postgres_url else Files(folder)


def stores_in(storage: Storage, clock: Clock) -> Stores:
    """Raises: StoreDown when they cannot be opened, BooklineNewer for later tables."""
    return _stores(storage.tables("journal", journal_schema.MIGRATIONS), clock)


def library_in(storage: Storage) -> SqlLibrary:
    """Raises: StoreDown, BooklineNewer."""
    tables = storage.tables("library", library_schema.MIGRATIONS)
    return SqlLibrary(tables, storage.nearest(), has_trigrams=storage.has_trigrams)


def open_stores(folder: Path, clock: Clock) -> Stores:
    """Those in a folder's files. Raises: as ``stores_in``."""
    return stores_in(Files(folder), clock)


def stores_in_memory(clock: Clock) -> Stores:
    """Gone with the process: for tests, and for trying things out."""
    return _stores(journal_tables_in_memory(), clock)


def journal_tables_in_memory() -> InMemory:
    return InMemory(journal_schema.MIGRATIONS)


def open_library(path: Path) -> SqlLibrary:
    """The library in this file. Raises: StoreDown, BooklineNewer."""
    database = Sqlite(path, library_schema.MIGRATIONS)
    return SqlLibrary(database, Nearest())


def library_in_memory() -> SqlLibrary:
    """Gone with the process: for tests, and for trying things out."""
    return SqlLibrary(library_tables_in_memory(), Nearest())


def library_tables_in_memory() -> InMemory:
    return InMemory(library_schema.MIGRATIONS)


def _stores(database: SharedDatabase, clock: Clock) -> Stores:
    journal = SqlJournal(database, clock, database)
    return Stores(
        journal=journal,
        batches=SqlBatches(journal, clock),
        limits=SqlLimits(database, clock),
        rollout=SqlRollout(database),
        secrets=SqlSecrets(database),
        webhooks=SqlWebhooks(database),
    )
