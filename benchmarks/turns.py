"""What a turn at a provider costs: one statement a question, against a line that takes many.

The limits' tables are the real ones; the provider answers at once and its rate never makes anybody
wait. Interleaved rounds in one run, so the ratios are what counts.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from common import show, show_machine

from bookline.limits import Limits
from bookline.net.pace import SharedPace
from bookline.ports import Answer
from bookline.rates import Rate
from bookline.stores.opening import open_storage, stores_in

RATE = Rate(count=1_000_000, seconds=1)
AT_ONCE, QUESTIONS = 64, 1_000
Ask = Callable[[], Awaitable[object]]


async def answered() -> Answer:
    return Answer(status=200)


def one_by_one(limits: Limits) -> Ask:
    return lambda: limits.reserve("ask:one", RATE.count, RATE.seconds)


def in_line(limits: Limits) -> Ask:
    pace = SharedPace(limits, {"line": RATE})
    return lambda: pace.ask("line", "a book", answered)


async def cpu_us(ask: Ask) -> float:
    """Microseconds of CPU a question, ``AT_ONCE`` in flight."""

    async def some() -> None:
        for _ in range(QUESTIONS // AT_ONCE):
            await ask()

    began = time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return (time.process_time() - began) / QUESTIONS * 1e6


async def measure(url: str, folder: Path, rounds: int) -> None:
    storage = open_storage(url, folder)
    stores = stores_in(storage, storage.clock)
    ways = {"one statement a question": one_by_one, "a line": in_line}
    took: dict[str, list[float]] = {name: [] for name in ways}
    asks = {name: way(stores.limits) for name, way in ways.items()}
    for _ in range(rounds):
        for name, ask in asks.items():
            took[name].append(await cpu_us(ask))
    first = statistics.median(took["one statement a question"])
    for name, values in took.items():
        median = statistics.median(values)
        show(f"{name}, CPU a question", f"{median:.0f} µs, x {median / first:.2f}")
    stores.journal.close()
    storage.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database-url", default="", help="a PostgreSQL; else SQLite")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    show_machine()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(given.database_url, Path(folder), given.rounds))


if __name__ == "__main__":
    main()
