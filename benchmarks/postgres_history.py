"""What a long history costs on PostgreSQL: finished imports and books, then what retention takes.

A server makes a few real imports; their rows are copied in the database. The same figures over HTTP
with and without them. PostgreSQL, server and this program share the machine's cores.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psycopg
from common import made_up_books, percentile, sandbox_process, show, show_machine
from history import TEMPLATES, import_one, serving, timed
from processes import Server

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import PostgresServer

ASKED = 100
DAY_MS = 86_400_000
RETENTION_DAYS = 3
MARGIN_MS = 600_000  # what grows old while the pass runs is left to the next one
BOOKS_OF = 450
"""Of so many vectors each two are added: enough different ones, made within the server."""
COLUMNS = """SELECT column_name FROM information_schema.columns
             WHERE table_schema = %s AND table_name = %s AND is_identity = 'NO' """


def copy(db: psycopg.Connection, schema: str, table: str, times: int, **changes: str) -> None:
    """Copies all rows so many times; ``changes`` are SQL for columns, with ``n`` from 1."""
    names = [name for (name,) in db.execute(COLUMNS, (schema, table)).fetchall()]
    values = ", ".join(changes.get(name, f'"{name}"') for name in names)
    into = ", ".join(f'"{name}"' for name in names)
    db.execute(
        f"INSERT INTO {schema}.{table} ({into}) SELECT {values} "
        f"FROM {schema}.{table}, generate_series(1, {times}) AS n".encode()
    )


def lengthen(db: psycopg.Connection, times: int) -> None:
    """The rows of jobs, spread over the last six days."""
    spread = 6 * DAY_MS // times
    again = "job_id || '-' || n"
    copy(
        db, "bookline", "jobs", times, job_id=again,
        created_ms=f"created_ms - n * {spread}", updated_ms=f"updated_ms - n * {spread}",
    )  # fmt: skip
    copy(db, "bookline", "events", times, job_id=again, at_ms=f"at_ms - n * {spread}")
    copy(
        db, "bookline", "import_records", times, record_id="record_id || '-' || n",
        finished_ms=f"finished_ms - n * {spread}", duration_ms="duration_ms + n % 500",
    )  # fmt: skip
    uuid = "workflow_uuid || '-' || n"
    for table in ("workflow_status", "operation_outputs"):
        copy(db, "dbos", table, times, workflow_uuid=uuid)


def add_books(db: psycopg.Connection, count: int) -> None:
    """Copies of the library's books with vectors of their own."""
    isbn = "'978' || lpad((n * 1000 + isbn::bigint / 10 % 1000)::text, 10, '0')"
    copies = count // db.execute("SELECT count(*) FROM bookline.books").fetchone()[0]  # type: ignore[index]
    copy(db, "bookline", "books", copies, isbn=isbn, document=f"replace(document, isbn, {isbn})")
    words = "searched || ' ' || n"
    copy(db, "bookline", "catalogue", copies, isbn=isbn, searched=words,
         title_key="title_key || ' ' || n")  # fmt: skip
    db.execute(
        """CREATE TEMP TABLE base AS
           SELECT k, (SELECT array_agg(random() - 0.5)
                      FROM generate_series(1, 256) AS i WHERE i + k > 0)::vector AS v
           FROM generate_series(1, %s) AS k""",
        (BOOKS_OF,),
    )
    db.execute(
        """INSERT INTO bookline.vectors (isbn, model, dimensions, vector)
           SELECT books.isbn, books.embedding_model, 256, a.v + b.v
           FROM (SELECT isbn, embedding_model, row_number() OVER () - 1 AS at
                 FROM bookline.books) AS books
           JOIN base AS a ON a.k = at / %(of)s %% %(of)s + 1
           JOIN base AS b ON b.k = at %% %(of)s + 1
           ON CONFLICT DO NOTHING""",
        {"of": BOOKS_OF},
    )


def make_index(db: psycopg.Connection) -> None:
    """Of the vectors, as docs/operating.md says."""
    operating = (Path(__file__).parents[1] / "docs" / "operating.md").read_text()
    [recipe] = re.findall(r"(CREATE INDEX CONCURRENTLY vectors_near_256 .*?);", operating, re.S)
    db.execute("SET maintenance_work_mem = '1GB'")
    db.execute(recipe.encode())


async def measure(server: Server, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{server.url}/v2/import/jobs?limit=1") as answer:
        job_id = (await answer.json())["data"]["items"][0]["jobId"]
    for name, path in {
        "status": f"/v2/import/status/{job_id}",
        "a list of 50 jobs": "/v2/import/jobs?limit=50",
        "failed jobs": "/v2/import/jobs?limit=50&status=failed",
        "a list of books": "/v2/books?limit=50",
        "a search": "/v2/books/search?q=a+whale+hunted+at+sea",
        "metrics of a week": "/v2/metrics/imports?window=7d",
        "rollout with its gates": "/v2/rollout",
    }.items():
        times = [await timed(client, server.url + path) for _ in range(ASKED)]
        show(f"{name}, P50 / P95",
             f"{percentile(times, 0.5):.1f} / {percentile(times, 0.95):.1f} ms")  # fmt: skip


async def watch_retention(
    server: Server, client: aiohttp.ClientSession, db: psycopg.Connection
) -> None:
    """How long it takes, and what a list costs meanwhile."""
    old = "SELECT count(*) FROM bookline.jobs WHERE updated_ms < %s"
    before = ((time.time_ns() // 1_000_000) - RETENTION_DAYS * DAY_MS - MARGIN_MS,)
    async with client.get(f"{server.url}/v2/import/jobs?limit=1") as answer:
        job_id = (await answer.json())["data"]["items"][0]["jobId"]
    status = f"{server.url}/v2/import/status/{job_id}"
    began, left, times, statuses = time.perf_counter(), 1, [0.0], [0.0]
    while left and time.perf_counter() < began + 120:
        times += [await timed(client, f"{server.url}/v2/import/jobs?limit=50") for _ in range(20)]
        statuses += [await timed(client, status) for _ in range(20)]
        [(left,)] = db.execute(old, before).fetchall()
    show(f"retention, {left:,} left after", f"{time.perf_counter() - began:.1f} s")
    for name, some in (("a list", times), ("status", statuses)):
        show(f"{name} meanwhile, P95 / slowest",
             f"{percentile(some, 0.95):.1f} / {max(some):.1f} ms")  # fmt: skip


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--finished", type=int, default=1_000_000)
    options.add_argument("--books", type=int, default=200_000)
    chosen = options.parse_args()
    show_machine()
    with tempfile.TemporaryDirectory(prefix="bookline-") as name:
        Path(name).chmod(0o755)  # PostgreSQL's own user must reach it
        postgres = PostgresServer(Path(name) / "postgres")
        try:
            await compare(postgres.new_database(), Path(name), chosen.finished, chosen.books)
        finally:
            postgres.stop()


async def compare(url: str, folder: Path, finished: int, books: int) -> None:
    async with sandbox_process() as (sandbox, settings), aiohttp.ClientSession() as client:
        environment = {**settings, "BOOKLINE_DATABASE_URL": url}
        isbns = await made_up_books(sandbox, TEMPLATES)
        print("with next to no history")
        async with serving(environment, folder) as (server, seconds):
            show("start until ready; its CPU", f"{seconds:.2f}; {server.cpu_seconds():.2f} s")
            for isbn in isbns:
                await import_one(client, server.url, isbn)
            await measure(server, client)
        began = time.perf_counter()
        with psycopg.connect(url, autocommit=True) as db:
            lengthen(db, finished // TEMPLATES)
            add_books(db, books)
            db.execute("VACUUM ANALYZE")
            print(f"with {finished:,} finished jobs and {books:,} books "
                  f"(made in {time.perf_counter() - began:.0f} s)")  # fmt: skip
            async with serving(environment, folder) as (server, seconds):
                show("start until ready; its CPU", f"{seconds:.2f}; {server.cpu_seconds():.2f} s")
                await measure(server, client)
                began = time.perf_counter()
                make_index(db)
                print(f"with an index of the vectors (made in {time.perf_counter() - began:.0f} s)")
                await measure(server, client)
            environment["BOOKLINE_RETENTION_DAYS"] = str(RETENTION_DAYS)
            async with serving(environment, folder) as (server, _):
                await watch_retention(server, client, db)


if __name__ == "__main__":
    asyncio.run(main())
