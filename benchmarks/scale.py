"""What stands behind docs/scale.md: one PostgreSQL under what many nodes ask of it, simulated.

The nodes are connections that do what idle nodes do, as fast as they can; so each figure is how
often that can be done at all, here, with clients and server on the same cores.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import psycopg
from common import show, show_machine
from processes import postgres_cpu

from bookline.clocks import SharedClock
from bookline.engine.leases import Leases
from bookline.job import SOURCES
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import Storage, open_storage, stores_in

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgres_server import PostgresServer

AT_ONCE = 8
SECONDS = 4.0
NODES = (10, 100, 1_000)
LISTENERS, NOTIFIES = 100, 200
CONNECTIONS = 300


async def rate(workers: list[Callable[[], Awaitable[object]]]) -> float:
    """How often all of them together can do it a second."""
    done = 0
    until = time.perf_counter() + SECONDS

    async def work(one: Callable[[], Awaitable[object]]) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await one()
            done += 1

    await asyncio.gather(*map(work, workers))
    return done / SECONDS


async def queue_looks(journals: list[SqlJournal]) -> None:
    sources = dict.fromkeys(SOURCES, 1)
    found = await rate([partial(one.take, "node", sources, 1) for one in journals])
    show("looks at an empty queue", f"{found:.0f}/s", f"{found / 2:.0f} nodes")


async def sweeps(journals: list[SqlJournal]) -> None:
    nodes = [Leases(one.database, SharedClock()) for one in journals]

    async def sweep(node: Leases) -> None:
        async with node.only_one("recovery"):
            pass

    found = await rate([partial(sweep, node) for node in nodes])
    show("tries for the recovery's row", f"{found:.0f}/s", f"{found:.0f} nodes")


async def beats(journals: list[SqlJournal], url: str) -> None:
    """A beat, and a look at who is alive, with so many rows to look at."""
    for count in NODES:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO bookline.nodes (node, seen_ms) SELECT 'made-up-' || i, 0 "
                "FROM generate_series(1, %s) AS i ON CONFLICT DO NOTHING",
                (count,),
            )
        nodes = [Leases(one.database, SharedClock()) for one in journals]

        async def beat(node: Leases) -> None:
            await node._database.write(node._beat, node.node_id)
            await node.living()

        found = await rate([partial(beat, node) for node in nodes])
        show(f"beats with a look at {count:,} nodes", f"{found:.0f}/s", f"{found * 2:.0f} nodes")


def notifies(postgres: PostgresServer) -> None:
    """Full ones, to many listeners that take them in now and then."""
    listeners = [psycopg.connect(postgres.url, autocommit=True) for _ in range(LISTENERS)]
    for one in listeners:
        one.execute("LISTEN news")
    payload = "x" * 7_500
    with psycopg.connect(postgres.url, autocommit=True) as sender:
        before, began = postgres_cpu(postgres.folder), time.perf_counter()
        for _ in range(NOTIFIES):
            sender.execute("SELECT pg_notify('news', %s)", (payload,))
        for one in listeners:
            one.execute("")
        used = postgres_cpu(postgres.folder) - before
        taken = time.perf_counter() - began
    show(f"full NOTIFYs to {LISTENERS} listeners", f"{NOTIFIES / taken:.0f}/s")
    each = used / NOTIFIES / LISTENERS * 1e6
    show("  CPU of PostgreSQL, a NOTIFY and listener", f"{each:.0f} µs")
    sizes = [private_mb(one.info.backend_pid) for one in listeners]
    show("  memory of such an idle connection", f"{sum(sizes) / len(sizes):.1f} MB")
    for one in listeners:
        one.close()


def private_mb(pid: int) -> float:
    """What goes with the process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


async def main() -> None:
    show_machine()
    with tempfile.TemporaryDirectory() as name:
        postgres = PostgresServer(Path(name) / "postgres", keeps_commits=True)
        try:
            postgres.set("max_connections", str(CONNECTIONS))
            postgres.restart("fast")
            url = postgres.new_database()
            storages: list[Storage] = [open_storage(url, Path(name)) for _ in range(AT_ONCE)]
            journals = [stores_in(one, lambda: 0).journal for one in storages]
            await queue_looks(journals)
            await sweeps(journals)
            await beats(journals, url)
            for storage in storages:
                storage.close()
            notifies(postgres)
        finally:
            postgres.stop()


if __name__ == "__main__":
    asyncio.run(main())
