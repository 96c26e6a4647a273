"""A long history and a large library, made within PostgreSQL from a few real imports.

Way:     postgres_history.py → here
Rule 1:  the rows of real imports are copied as they are stored, in every table that has any; what
         tells them apart (ids, ISBNs, moments) is set.
Rule 2:  the tables keep their constraints; their other indexes are made once all rows are there,
         which is quicker and leaves the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

DAY_MS = 86_400_000
RECORD_DAYS = 7  # as long as records of imports are kept
BOOKS_OF = 450
"""Of so many vectors each two are added: enough different ones, made within the server."""
HISTORY = ("bookline.jobs", "bookline.events", "bookline.import_records", "bookline.legacy_jobs",
           "dbos.workflow_status", "dbos.workflow_input", "dbos.workflow_output",
           "dbos.operation_outputs")  # fmt: skip
LIBRARY = ("bookline.books", "bookline.catalogue", "bookline.vectors")
_COLUMNS = """SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
              AND NOT attisdropped AND attidentity = '' AND attgenerated = '' """
_INDEXES = """SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
              WHERE indrelid = ANY(%s::regclass[]) AND NOT EXISTS (
                  SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)"""


def lengthen(db: psycopg.Connection, times: int, books: int, days: float) -> None:
    """All jobs so many times more, spread over these days, each of one of so many books."""
    apart = int(days * DAY_MS / times)
    number = f"((n %% {max(1, books // 10)} + 1) * 1000 + isbn::bigint / 10 %% 1000)"
    isbn = f"'978' || lpad({number}::text, 10, '0')"
    earlier = f"- n * {apart}::bigint"
    again = "job_id || '-' || n"
    moved = {name: f"{name} {earlier}" for name in ("created_ms", "updated_ms", "run_started_ms")}
    with without_indexes(db, HISTORY):
        copy(db, "bookline.jobs", times, job_id=again, isbn=isbn, input_isbn=isbn, **moved)
        copy(db, "bookline.events", times, job_id=again, at_ms=f"at_ms {earlier}")
        copy(
            db, "bookline.import_records", min(times, int(times * RECORD_DAYS / days)),
            record_id="record_id || '-' || n", finished_ms=f"finished_ms {earlier}",
            duration_ms="duration_ms + n %% 500",
        )  # fmt: skip
        copy(db, "bookline.legacy_jobs", times, job_id=again, updated_ms=f"updated_ms {earlier}")
        for table in HISTORY:
            if table.startswith("dbos."):
                copy(db, table, times, workflow_uuid="workflow_uuid || '-' || n",
                     **_moments(db, table, earlier))  # fmt: skip


def _moments(db: psycopg.Connection, table: str, earlier: str) -> dict[str, str]:
    """DBOS' columns that hold epoch milliseconds."""
    names = ("created_at", "updated_at", "completed_at", "started_at_epoch_ms",
             "completed_at_epoch_ms", "retention_timestamp")  # fmt: skip
    there = _columns(db, table)
    return {name: f"{name} {earlier}" for name in names if name in there}


def add_books(db: psycopg.Connection, count: int) -> None:
    """Copies of the library's books with vectors of their own."""
    isbn = "'978' || lpad((n * 1000 + isbn::bigint / 10 %% 1000)::text, 10, '0')"
    copies = count // _count(db, "bookline.books")
    with without_indexes(db, LIBRARY):
        changed = f"replace(document, isbn, {isbn})"
        copy(db, "bookline.books", copies, isbn=isbn, document=changed)
        copy(db, "bookline.catalogue", copies, isbn=isbn, searched="searched || ' ' || n",
             title_key="title_key || ' ' || n")  # fmt: skip
        _add_vectors(db)


def _add_vectors(db: psycopg.Connection) -> None:
    db.execute(
        """CREATE TEMP TABLE base AS
           SELECT k, (SELECT array_agg(random() - 0.5)
                      FROM generate_series(1, 256) AS i WHERE i + k > 0)::vector AS v,
                  (SELECT array_agg(random() - 0.5)
                      FROM generate_series(1, 256) AS i WHERE i + k > 0)::vector AS w
           FROM generate_series(1, %s) AS k""",
        (BOOKS_OF,),
    )
    db.execute(
        """INSERT INTO bookline.vectors (isbn, model, dimensions, vector)
           SELECT books.isbn, books.embedding_model, 256, a.v + b.w
           FROM (SELECT isbn, embedding_model, row_number() OVER () - 1 AS at
                 FROM bookline.books
                 WHERE isbn NOT IN (SELECT isbn FROM bookline.vectors)) AS books
           JOIN base AS a ON a.k = at / %(of)s %% %(of)s + 1
           JOIN base AS b ON b.k = at %% %(of)s + 1""",
        {"of": BOOKS_OF},
    )


def copy(db: psycopg.Connection, table: str, times: int, **changes: str) -> None:
    """Copies all rows so many times; ``changes`` are SQL for columns, with ``n`` from 1."""
    names = _columns(db, table)
    values = ", ".join(changes.get(name, f'"{name}"') for name in names)
    into = ", ".join(f'"{name}"' for name in names)
    db.execute(
        f"INSERT INTO {table} ({into}) SELECT {values} "
        f"FROM {table}, generate_series(1, %s) AS n".encode(),
        (times,),
    )


@contextmanager
def without_indexes(db: psycopg.Connection, tables: Sequence[str]) -> Iterator[None]:
    """Those of the tables' indexes that hold no constraint are made anew at the end."""
    indexes = db.execute(_INDEXES, (list(tables),)).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}".encode())
    yield
    db.execute("SET maintenance_work_mem = '1GB'")
    for _, definition in indexes:
        db.execute(definition.encode())


def _columns(db: psycopg.Connection, table: str) -> Sequence[str]:
    return [name for (name,) in db.execute(_COLUMNS, (table,)).fetchall()]


def _count(db: psycopg.Connection, table: str) -> int:
    [(count,)] = db.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()
    return int(count)
