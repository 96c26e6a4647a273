"""What a long history costs on PostgreSQL: finished imports and books, then what retention takes.

A server makes a few real imports; their rows are copied in the database. The same figures over HTTP
with and without them. PostgreSQL, server and this program share the machine's cores.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import psycopg
from common import made_up_books, percentile, sandbox_process, show, show_machine
from history import import_one, serving, timed
from postgres_filling import DAY_MS, add_books, lengthen
from processes import Server

from bookline.stores.vector_index import LARGE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from postgres_server import PostgresServer

ASKED = 100
TEMPLATES = 8  # by the workflow; one more by legacy, and one that fails
UNKNOWN = "9789980000002"
REMOVED = 100_000
BESIDE_SECONDS = 15.0
PATIENCE_SECONDS = 900.0
MARGIN_MS = 60_000  # what grows old while the pass runs is left to the next one
READS = {
    "a list of 50 jobs": "/v2/import/jobs?limit=50",
    "failed jobs": "/v2/import/jobs?limit=50&status=failed",
    "failed jobs of legacy, of which none": "/v2/import/jobs?limit=50&status=failed&method=legacy",
    "a list of books": "/v2/books?limit=50",
    "books of a language, which all have": "/v2/books?limit=50&language=en",
    "books by a word that all have": "/v2/books?limit=50&q=the",
    "a search": "/v2/books/search?q=a+whale+hunted+at+sea",
    "metrics of a week": "/v2/metrics/imports?window=7d",
    "rollout with its gates": "/v2/rollout",
}
GOALS_MS = {"a search": 50.0}
"""For all others: a fifth or 5 ms more than with an empty database."""
_SCANS = """SELECT schemaname || '.' || relname, seq_scan, seq_tup_read / seq_scan
            FROM pg_stat_user_tables WHERE seq_scan > 0 AND seq_tup_read / seq_scan > 1000
            ORDER BY seq_tup_read DESC"""
Figures = Mapping[str, tuple[float, float]]
"""Name → P50 and P95 in milliseconds."""


async def measure(
    server: Server, client: aiohttp.ClientSession, empty: Figures | None = None
) -> Figures:
    """Shown, each beside that of the empty database."""
    async with client.get(f"{server.url}/v2/import/jobs?limit=1") as answer:
        job_id = (await answer.json())["data"]["items"][0]["jobId"]
    figures = {}
    for name, path in {"status": f"/v2/import/status/{job_id}", **READS}.items():
        times = [await timed(client, server.url + path) for _ in range(ASKED)]
        figures[name] = p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
        beside = f"; {_verdict(name, p50, empty[name][0])}" if empty else ""
        show(f"{name}, P50 / P95", f"{p50:.1f} / {p95:.1f} ms", f"first {times[0]:.0f} ms{beside}")
    return figures


def _verdict(name: str, filled: float, empty: float) -> str:
    most = GOALS_MS.get(name) or max(empty * 1.2, empty + 5)
    return f"empty {empty:.1f} ms{', MISSED' if filled > most else ''}"


async def make_templates(sandbox: str, server: Server, client: aiohttp.ClientSession) -> None:
    isbns = await made_up_books(sandbox, TEMPLATES + 1)
    for isbn in isbns[:TEMPLATES]:
        await import_one(client, server.url, isbn)
    await import_one(client, server.url, UNKNOWN)
    await import_one(client, server.url, isbns[-1], "legacy")


class Beside:
    """Reads and imports, one after another, while something else goes on."""

    def __init__(self, server: Server, client: aiohttp.ClientSession, isbns: list[str]) -> None:
        self._server = server
        self._client = client
        self._isbns = isbns
        self.times: dict[str, list[float]] = {"status": [], "a list": [], "an import": []}

    async def round(self) -> None:
        url = f"{self._server.url}/v2/import"
        async with self._client.get(f"{url}/jobs?limit=1") as answer:
            job_id = (await answer.json())["data"]["items"][0]["jobId"]
        for _ in range(10):
            self.times["status"].append(await timed(self._client, f"{url}/status/{job_id}"))
        self.times["a list"].append(await timed(self._client, f"{url}/jobs?limit=50"))
        took = await import_one(self._client, self._server.url, self._isbns.pop())
        self.times["an import"].append(took)

    def show(self, when: str) -> None:
        for name, times in self.times.items():
            show(f"{name} {when}, P50 / P95 / slowest",
                 f"{percentile(times, 0.5):.1f} / {percentile(times, 0.95):.1f} / "
                 f"{max(times):.1f} ms")  # fmt: skip


async def watch_index(beside: Beside, db: psycopg.Connection) -> None:
    """How long the server takes to make the index of the vectors, and what else costs meanwhile."""
    began = time.perf_counter()
    is_there = "SELECT 1 FROM pg_index WHERE indisvalid AND indexrelid = to_regclass(%s)"
    while not db.execute(is_there, ("bookline.vectors_near_256",)).fetchall():
        if time.perf_counter() > began + PATIENCE_SECONDS:
            raise SystemExit("the vectors have no index")
        await beside.round()
    show("the vectors' index is there after", f"{time.perf_counter() - began:.0f} s")
    beside.show("meanwhile")


async def watch_retention(
    server: Server, beside: Beside, db: psycopg.Connection, days: float
) -> None:
    """How long it takes to remove what is older, and what else costs meanwhile."""
    before = ((time.time_ns() // 1_000_000) - int(days * DAY_MS) - MARGIN_MS,)
    old = """SELECT count(*) FROM bookline.jobs
             WHERE status NOT IN ('queued', 'running') AND updated_ms < %s"""
    [(removed,)] = db.execute(old, before).fetchall()
    began, left = time.perf_counter(), removed
    while left and time.perf_counter() < began + PATIENCE_SECONDS:
        await beside.round()
        [(left,)] = db.execute(old, before).fetchall()
    show(f"retention of {removed:,}, {left:,} left after", f"{time.perf_counter() - began:.1f} s")
    beside.show("meanwhile")


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--finished", type=int, default=1_000_000)
    options.add_argument("--books", type=int, default=200_000)
    options.add_argument(
        "--days", type=float, default=29.0, help="that the imports are spread over"
    )
    chosen = options.parse_args()
    show_machine()
    with tempfile.TemporaryDirectory(prefix="bookline-") as name:
        Path(name).chmod(0o755)  # PostgreSQL's own user must reach it
        postgres = PostgresServer(Path(name) / "postgres")
        postgres.set("max_wal_size", "8GB")
        try:
            await compare(postgres.new_database(), Path(name), chosen)
        finally:
            postgres.stop()


async def compare(url: str, folder: Path, chosen: argparse.Namespace) -> None:
    async with sandbox_process() as (sandbox, settings), aiohttp.ClientSession() as client:
        environment = {**settings, "BOOKLINE_DATABASE_URL": url}
        print("with next to no history")
        async with serving(environment, folder) as (server, seconds):
            show("start until ready; its CPU", f"{seconds:.2f}; {server.cpu_seconds():.2f} s")
            await make_templates(sandbox, server, client)
            empty = await measure(server, client)
        isbns = await made_up_books(sandbox, 5_000, "978998")
        with psycopg.connect(url, autocommit=True) as db:
            fill(db, chosen)
            db.execute("SELECT pg_stat_reset()")
            async with serving(environment, folder) as (server, seconds):
                show("start until ready; its CPU", f"{seconds:.2f}; {server.cpu_seconds():.2f} s")
                if chosen.books >= LARGE:
                    await watch_index(Beside(server, client, isbns), db)
                await measure(server, client, empty)
                beside = Beside(server, client, isbns)
                began = time.perf_counter()
                while time.perf_counter() < began + BESIDE_SECONDS:
                    await beside.round()
                beside.show("without retention")
            for table, scans, rows in db.execute(_SCANS).fetchall():
                show(f"{table} was read through", f"{scans} times", f"{rows:,} rows each")
            days = chosen.days * (1 - REMOVED / max(chosen.finished, REMOVED * 2))
            environment["BOOKLINE_RETENTION_DAYS"] = str(days)
            async with serving(environment, folder) as (server, _):
                await watch_retention(server, Beside(server, client, isbns), db, days)


def fill(db: psycopg.Connection, chosen: argparse.Namespace) -> None:
    began = time.perf_counter()
    lengthen(db, chosen.finished // (TEMPLATES + 2), chosen.books, chosen.days)
    add_books(db, chosen.books)
    db.execute("VACUUM ANALYZE")
    print(f"with {chosen.finished:,} finished jobs of {chosen.days:g} days and {chosen.books:,} "
          f"books (made in {time.perf_counter() - began:.0f} s)")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
