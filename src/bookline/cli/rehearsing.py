"""The whole move in a minute: simulated readers, a sandbox, the real importers, the real gates.

Way:      the command ``rollout rehearse`` → here → app.py, migration/rollouts.py
Rule 1:   nothing is shortened but time: the gates have their usual numbers, and the rollout moves
          by itself as it does in service.
Rule 2:   nothing is kept: all lies in a folder that goes at the end.
Not here: how one import goes, and what the gates are.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bookline.app import App, running
from bookline.book import Metadata
from bookline.errors import TryLater, WrongKey
from bookline.imports import Order
from bookline.job import ImportInput
from bookline.migration.rollout import Change
from bookline.migration.rollouts import WEEK_MS, Rollouts, Standing
from bookline.settings import Settings, read_settings
from bookline.steps.joined import AllSteps
from bookline.values import Json
from bookline_sandbox.catalogue import real_books

LATENCY_MS = 600  # of each answer: the slow end of what providers take
RATE = 30.0  # imports begun in a second: half of what one process can do
LIMIT_SECONDS = 300.0
DRAIN_SECONDS = 30.0
READERS = 400
BOOKS = 24  # the sandbox draws each cover once, and that is what costs it most
FAULTY_SHARE = 3  # with the fault, every third import by the workflow is refused by the provider
AFTER_100_SECONDS = 3.0  # at 100 %, so that legacy drains while imports still come in


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How it went."""

    faulty: bool
    percent: int
    drained: bool
    seconds: float
    rollout: Json
    metrics: Json

    @property
    def is_as_it_should_be(self) -> bool:
        """A healthy workflow reaches 100 %; a faulty one is back at 0 %. Nothing is left open."""
        return self.percent == (0 if self.faulty else 100) and self.drained

    def to_json(self) -> Json:
        return {
            "ok": self.is_as_it_should_be,
            "faulty": self.faulty,
            "percent": self.percent,
            "drained": self.drained,
            "seconds": round(self.seconds, 1),
            "rollout": self.rollout,
            "metrics": self.metrics,
        }


@dataclass(frozen=True, slots=True)
class WrongKeyNowAndThen:
    """A fault of the workflow alone: some of its processes have a key that the provider refuses."""

    real: Callable[[ImportInput], Awaitable[Metadata]]
    calls: "itertools.count[int]"

    async def __call__(self, order: ImportInput) -> Metadata:
        if next(self.calls) % FAULTY_SHARE == 0:
            raise WrongKey("the provider refuses this key (injected by the rehearsal)")
        return await self.real(order)


async def rehearse(*, faulty: bool, tell: Callable[[str], None]) -> Rehearsal:
    """Runs it to its end, which is 100 %, 0 %, or ``LIMIT_SECONDS``.

    Raises: Refused where there is no legacy importer.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bookline-rehearsal-") as folder:
        async with (
            _sandbox() as environment,
            _running(_settings(environment, Path(folder)), faulty=faulty) as app,
        ):
            change = Change(percent=10, automatic=True)
            moved = await app.rollouts.change(change, "rehearsal", "the first stage")
            tell(_moved(moved))
            traffic = asyncio.create_task(_traffic(app))
            try:
                percent = await _watch(app, traffic, tell, began)
            finally:
                traffic.cancel()
                await asyncio.gather(traffic, return_exceptions=True)
            drained = await _drained(app.rollouts)
            return Rehearsal(
                faulty=faulty,
                percent=percent,
                drained=drained,
                seconds=time.monotonic() - began,
                rollout=await app.rollouts.describe(),
                metrics=await app.rollouts.metrics("rehearsal", WEEK_MS),
            )


@asynccontextmanager
async def _sandbox() -> AsyncIterator[dict[str, str]]:
    """The sandbox in a process of its own, as providers are: Bookline's settings for it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline_sandbox", "--port", "0", "--latency-ms", str(LATENCY_MS),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said = await process.stdout.readline() if process.stdout is not None else b""
        if not said:
            raise TryLater("the sandbox did not start; what it said stands above")
        yield json.loads(said)["settings"]
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            process.terminate()
        await process.wait()


def _settings(environment: dict[str, str], folder: Path) -> Settings:
    return read_settings(
        {
            **environment,
            "BOOKLINE_DATA_DIR": str(folder),
            "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
        },
        env_file=None,
    )


def _running(settings: Settings, *, faulty: bool) -> AbstractAsyncContextManager[App]:
    return running(settings, wrap_steps=_faulty) if faulty else running(settings)


def _faulty(steps: AllSteps) -> AllSteps:
    return replace(steps, metadata=WrongKeyNowAndThen(steps.metadata, itertools.count()))


async def _traffic(app: App) -> None:
    """Readers who import books, at an even pace, until cancelled."""
    isbns = [book.isbn13 for book in islice(real_books(), BOOKS)]
    due = time.monotonic()
    for number in itertools.count():
        user = f"reader-{number * 7 % READERS}"
        await app.imports.start(Order(isbn=isbns[number % len(isbns)], user_id=user))
        due += 1 / RATE
        await asyncio.sleep(max(due - time.monotonic(), 0))


async def _watch(
    app: App, traffic: "asyncio.Task[None]", tell: Callable[[str], None], began: float
) -> int:
    """Tells of each move and of each five seconds; the percent at which it ended."""
    number = (await app.rollouts.standing()).number
    told = began
    while time.monotonic() - began < LIMIT_SECONDS:
        await asyncio.sleep(0.1)
        if traffic.done():
            traffic.result()
        standing = await app.rollouts.standing()
        if standing.number != number:
            number = standing.number
            tell(_moved(standing))
            if standing.rollout.percent in {0, 100}:
                await asyncio.sleep(AFTER_100_SECONDS)
                return (await app.rollouts.standing()).rollout.percent
        if time.monotonic() - told >= 5.0:
            told = time.monotonic()
            tell(await _counts(app.rollouts, standing))
    return (await app.rollouts.standing()).rollout.percent


def _moved(standing: Standing) -> str:
    revision = standing.revision
    why = f" by {revision.actor}: {revision.reason}" if revision else ""
    return f"{standing.rollout.percent:>3} %{why}"


async def _counts(rollouts: Rollouts, standing: Standing) -> str:
    closed = [gate for gate in await rollouts.judge(standing) if not gate.passed]
    if any(gate.name == "sample" for gate in closed):
        closed = closed[:1]  # the others say little without one
    waits = "; ".join(f"{gate.name}: {gate.message}" for gate in closed) or "all gates passed"
    return f"      {waits}"


async def _drained(rollouts: Rollouts) -> bool:
    """Waits until no job of either method is open."""
    end = time.monotonic() + DRAIN_SECONDS
    while any((await rollouts.open_jobs()).values()):
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True
