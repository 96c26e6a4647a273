"""What each lever on the engine brings: CPU of an import, in turns, in one run.

The application runs in this process without HTTP in front; the sandbox in another. Other work on
the machine moves the milliseconds, so the ratios are what counts.
"""

import argparse
import gc
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop
from common import made_up_books, median_ms, sandbox_process, show, show_machine
from dbos import DBOS
from imports import Upstream, alone, at_once, bookline, joined

from bookline.api.serving import COLLECT_AT
from bookline.engine import dbos_statements
from bookline.engine.dbos import DbosEngine
from bookline.stores.brief_writes import BriefWrites, Item

ALONE, MANY = 40, 200
CORES = os.sched_getaffinity(0)
COLLECTOR = gc.get_threshold()
in_the_loop = BriefWrites.put


class InThreads(DbosEngine):
    """Prepared statements, in DBOS' thread alone."""

    def _prepare(self, _where: Path | str, dbos: DBOS) -> None:
        dbos_statements.prepare(dbos._sys_db)


def no_brief_writes(_self: BriefWrites, _item: Item) -> bool:
    return False


def as_dbos() -> None:
    """DBOS' own statements, threads, every core, Python's own garbage collector thresholds."""
    BriefWrites.put = no_brief_writes  # type: ignore[method-assign, assignment]
    joined.DbosEngine = partial(DbosEngine, prepared=False)
    os.sched_setaffinity(0, CORES)
    gc.set_threshold(*COLLECTOR)


def in_threads() -> None:
    as_dbos()
    joined.DbosEngine = InThreads


def prepared() -> None:
    as_dbos()
    BriefWrites.put = in_the_loop  # type: ignore[method-assign]
    joined.DbosEngine = DbosEngine


def one_core() -> None:
    prepared()
    os.sched_setaffinity(0, {max(CORES)})


def collector() -> None:
    prepared()
    gc.set_threshold(*COLLECT_AT)


def everything() -> None:
    one_core()
    gc.set_threshold(*COLLECT_AT)


LEVERS: dict[str, Callable[[], None]] = {
    "DBOS' own statements": as_dbos,
    "prepared statements, through threads": in_threads,
    "prepared, from the event loop": prepared,
    "from the event loop, one core": one_core,
    "from the event loop, rarer collection": collector,
    "from the event loop, both": everything,
}


async def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    Upstream.watch()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in LEVERS}
    async with sandbox_process() as (url, environment):
        for turn in range(rounds):
            for place, (name, pull) in enumerate(LEVERS.items()):
                pull()
                prefix = 100 + 2 * (turn * len(LEVERS) + place)
                with tempfile.TemporaryDirectory() as folder:
                    async with bookline(environment, Path(folder)) as (app, ends):
                        one = await alone(
                            app, ends, await made_up_books(url, ALONE, f"978{prefix}")
                        )
                        books = await made_up_books(url, MANY, f"978{prefix + 1}")
                        rate, cpu_ms = await at_once(app, ends, books)
                found[name].append((cpu_ms, rate, median_ms(one)))
    as_dbos()
    show_machine()
    print(f"load of the machine besides: {os.getloadavg()[0]:.1f}; medians of {rounds} rounds, "
          f"{MANY} imports, 50 in flight; overhead one at a time")  # fmt: skip
    base = statistics.median(row[0] for row in found["DBOS' own statements"])
    for name, rows in found.items():
        cpu_ms, rate, overhead = (statistics.median(column) for column in zip(*rows, strict=True))
        show(
            name,
            f"{cpu_ms:.1f} ms CPU",
            f"× {cpu_ms / base:.2f}, {rate:.0f}/s, P50 {overhead:.1f} ms",
        )


if __name__ == "__main__":
    uvloop.run(main())
