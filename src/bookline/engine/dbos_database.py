"""The database handle that DBOS works on: a file of SQLite, or a PostgreSQL that nodes share.

Way:     dbos.py → here → SQLAlchemy
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from bookline.errors import StoreDown
from bookline.stores.postgres_session import connection_defaults

CONNECTIONS = 3  # our choice: what DBOS does at once on PostgreSQL; and one keeps records
PROBE_SQLITE = "SELECT 1 FROM sqlite_master LIMIT 1"
PROBE_POSTGRES = "SELECT 1 FROM pg_class LIMIT 1"
AWAY = "the engine's database is away"
READ_ONLY = "25006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
BUSY_MS = 2_000  # our choice: the one thread waits so long for another process; then we ask again
LOG_PAGES = 10_000  # our choice: 40 MB, where write_ahead_log.py has come to nothing
IDLE_MS = 5_000  # a node that freezes in a transaction does not hold its locks up for the others


@dataclass(frozen=True, slots=True)
class EngineDatabase:
    """What DBOS needs to know of its database."""

    engine: sa.Engine
    url: str
    """For DBOS to see which product it is; never with a password."""
    threads: int
    """For DBOS' calls."""
    probe: str
    """A statement that the product answers from what is stored."""

    def check(self) -> None:
        """Raises: StoreDown when it does not answer."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql(self.probe)


def open_engine_database(where: Path | str) -> EngineDatabase:
    """A file, or a ``postgresql://`` URL. Connects when it is first used."""
    if isinstance(where, Path):
        # SQLite takes one at a time, and each thread more was slower.
        return EngineDatabase(_sqlite(where), f"sqlite:///{where}", 1, PROBE_SQLITE)
    return EngineDatabase(
        _postgres(where), "postgresql://bookline/bookline", CONNECTIONS, PROBE_POSTGRES
    )


def _sqlite(path: Path) -> sa.Engine:
    """As measured: WAL, one connection (SQLite has one writer anyway)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_MS}",
            f"wal_autocheckpoint={LOG_PAGES}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    _tell_that_it_is_away(engine)
    return engine


def _postgres(url: str) -> sa.Engine:
    """The URL goes to psycopg as it is: it may name several hosts."""
    engine = sa.create_engine(
        "postgresql+psycopg://",
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=60,
        connect_args=connection_defaults(url),
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: list[Any], _named: Any) -> None:
        arguments[:] = [url]

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MS}")
        connection.commit()  # the pool's rollback would undo it

    _tell_that_it_is_away(engine)
    return engine


def away(error: BaseException) -> StoreDown:
    """What to raise for it. Not in SQLite's words for a lock: at those DBOS holds the thread that
    asks up by a minute, and whoever waits for it.
    """
    told = str(error).replace("database is locked", "another process is writing")
    return StoreDown(f"{AWAY}: {told}", code="UNAVAILABLE")


def _tell_that_it_is_away(engine: sa.Engine) -> None:
    """By StoreDown: DBOS would fail the import, or hold its thread for up to a minute at a time."""

    @sa.event.listens_for(engine, "handle_error")
    def is_away(context: sa.ExceptionContext) -> None:
        is_standby = getattr(context.original_exception, "sqlstate", None) == READ_ONLY
        if is_standby:
            context.is_disconnect = True  # it was the primary: another one is, by now
        if is_standby or isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
            raise away(context.original_exception)
