"""The same scripted steps tell the same story on every engine, byte for byte but for times."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from scripts import Script, ScriptedSteps

from benching import WORKER
from bookline.app import running
from bookline.engine.memory import MemoryEngine
from bookline.engine.places import Places
from bookline.engine.tries import Policy
from bookline.engine.world import World as EngineWorld
from bookline.imports import Imports, Order
from bookline.progress.journal import Journal
from bookline.settings import Settings
from bookline.stores.opening import stores_in_memory
from postgres_server import PostgresServer
from worlds import OVER, Upstream, world

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCALE = 0.02
SCRIPTS: Mapping[str, Script] = {
    "it works": {},
    "each step fails once": {
        "fetch-metadata": ["down"], "upload-cover": ["down"], "generate-embedding": ["down"],
        "save-to-database": ["down"],
    },
    "the last try works": {"fetch-metadata": ["down"] * 3, "upload-cover": ["down"] * 5},
    "the tries are used up": {"fetch-metadata": ["down"] * 9},
    "nobody knows the book": {"fetch-metadata": ["refuse"]},
    "an optional step fails for good": {"upload-cover": ["refuse"]},
    "both optional steps fail for good": {
        "upload-cover": ["down"] * 9, "generate-embedding": ["refuse"],
    },
    "the library is down": {"save-to-database": ["down"] * 9},
    "nothing can be saved": {"save-to-database": ["down"] * 9, "save-to-fallback": ["down"] * 9},
    "a provider says when to come back": {"fetch-metadata": ["slow 0.4"]},
    "a try hangs": {"fetch-metadata": ["hang"]},
    "something unforeseen": {"generate-embedding": ["break"]},
    "cancelled in a wait": {"fetch-metadata": ["slow 30"]},
    "cancelled in a try": {"fetch-metadata": ["pause 14"]},
    "retried after a failure": {"fetch-metadata": ["down", "refuse"]},
    "retried where it failed": {
        "save-to-database": ["down"] * 4, "save-to-fallback": ["down"] * 4,
    },
    "retried twice": {"fetch-metadata": ["refuse", "refuse"]},
}  # fmt: skip


class Engine(Protocol):
    """One engine with scripted steps, as the tests use it."""

    async def start(self, isbn: str, script: Script) -> str: ...

    async def job(self, job_id: str) -> dict[str, Any]: ...

    async def story(self, job_id: str) -> list[dict[str, Any]]: ...

    async def cancel(self, job_id: str) -> None: ...

    async def retry(self, job_id: str) -> None: ...


async def cancel_in_a_wait(engine: Engine, job_id: str) -> None:
    await until_told(engine, job_id, "workflow_retry")
    await engine.cancel(job_id)


async def cancel_in_a_try(engine: Engine, job_id: str) -> None:
    async with asyncio.timeout(90):
        while (await engine.job(job_id))["step"] is None:
            await asyncio.sleep(0.1)
    await engine.cancel(job_id)


async def retry(engine: Engine, job_id: str) -> None:
    await end(engine, job_id)
    await engine.retry(job_id)


async def retry_twice(engine: Engine, job_id: str) -> None:
    await retry(engine, job_id)
    await retry(engine, job_id)


ACTS: Mapping[str, Callable[[Engine, str], Awaitable[None]]] = {
    "cancelled in a wait": cancel_in_a_wait,
    "cancelled in a try": cancel_in_a_try,
    "retried after a failure": retry,
    "retried where it failed": retry,
    "retried twice": retry_twice,
}
"""What somebody does while the script runs."""


async def until_told(engine: Engine, job_id: str, kind: str) -> None:
    async with asyncio.timeout(90):
        while (await engine.job(job_id))["lastEvent"] is None:
            await asyncio.sleep(0.1)
        while (await engine.job(job_id))["lastEvent"]["type"] != kind:
            await asyncio.sleep(0.1)


class DictNotes:
    """Fills ``Notes`` in this process."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.calls: dict[tuple[str, str], int] = {}

    async def script(self, isbn: str) -> Script:
        return self.scripts[isbn]

    async def count(self, isbn: str, step: str) -> int:
        call = self.calls.get((isbn, step), 0)
        self.calls[isbn, step] = call + 1
        return call


class Here:
    """An engine in this process."""

    def __init__(self, journal: Journal, imports: Imports, notes: DictNotes) -> None:
        self._journal = journal
        self._notes = notes
        self._imports = imports

    async def start(self, isbn: str, script: Script) -> str:
        self._notes.scripts[isbn] = script
        job, _ = await self._imports.start(Order(isbn=isbn))
        return job.job_id

    async def job(self, job_id: str) -> dict[str, Any]:
        return (await self._imports.find(job_id)).to_json()

    async def story(self, job_id: str) -> list[dict[str, Any]]:
        return [json.loads(one.message) for one in await self._journal.read(job_id, 0, 1_000)]

    async def cancel(self, job_id: str) -> None:
        await self._imports.cancel(job_id)

    async def retry(self, job_id: str) -> None:
        await self._imports.retry(job_id)


class OnTheBench:
    """The Worker."""

    def __init__(self, there: Any) -> None:
        self._there = there

    async def start(self, isbn: str, script: Script) -> str:
        async with self._there.http.post(f"/_script/{isbn}", json=script) as answer:
            assert answer.status == 200
        return await self._there.start(isbn)

    async def job(self, job_id: str) -> dict[str, Any]:
        return await self._there.job(job_id)

    async def story(self, job_id: str) -> list[dict[str, Any]]:
        return await self._there.story(job_id)

    async def cancel(self, job_id: str) -> None:
        status, answer = await self._there.ask("POST", f"/v2/import/cancel/{job_id}")
        assert status == 202, answer

    async def retry(self, job_id: str) -> None:
        status, answer = await self._there.ask("POST", f"/v2/import/retry/{job_id}")
        assert status == 202, answer


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def memory() -> AsyncIterator[Engine]:
    async def choose(user_id: str | None, isbn: str) -> str:
        return "workflow"

    notes, journal = DictNotes(), stores_in_memory(now_ms).journal
    engine = MemoryEngine(
        EngineWorld(
            runs=journal, steps=ScriptedSteps(notes), policy=Policy(retry_scale=SCALE),
            node="node", clock=now_ms, places=Places(64),
        )
    )  # fmt: skip
    imports = Imports(
        journal, {"workflow": engine}, usable=["openlibrary"], node="node", clock=now_ms,
        choose=choose,
    )  # fmt: skip
    yield Here(journal, imports, notes)
    await engine.stop()


@asynccontextmanager
async def dbos(folder: Path, database_url: str = "") -> AsyncIterator[Engine]:
    """The whole application, with scripted steps."""
    notes = DictNotes()
    settings = Settings(
        data_dir=folder, retry_scale=SCALE, embedder="none", database_url=database_url
    )
    async with running(settings, wrap_steps=lambda steps: ScriptedSteps(notes)) as app:
        yield Here(app.journal, app.imports, notes)


@asynccontextmanager
async def bench(upstream: Upstream) -> AsyncIterator[Engine]:
    async with world(
        upstream, vars={"RETRY_SCALE": str(SCALE)}, entry="scripted_entry",
        folders=[WORKER / "tests" / "scripted"],
    ) as there:  # fmt: skip
        yield OnTheBench(there)


MEMORY, SQLITE, POSTGRES, CLOUDFLARE = (
    "memory",
    "dbos on SQLite",
    "dbos on PostgreSQL",
    "Cloudflare",
)
NUMBERS = itertools.count()


def new_isbn() -> str:
    digits = f"9789980{next(NUMBERS):05}"
    total = sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


Told = tuple[dict[str, Any], list[dict[str, Any]]] | BaseException


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def told(
    upstream: Upstream, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[tuple[str, str], Told]:
    """(script, engine) → the job at its end and its story; all scripts run at once.

    A process has one DBOS at a time, so PostgreSQL's turn comes behind SQLite's.
    """
    folder, url = tmp_path_factory.mktemp("dbos"), postgres_server.new_database()
    async with memory() as one, bench(upstream) as other, dbos(folder / "sqlite") as first:
        told = await play({MEMORY: one, SQLITE: first, CLOUDFLARE: other})
    async with dbos(folder / "postgres", url) as second:
        told |= await play({POSTGRES: second})
    postgres_server.drop_database(url)
    return told


async def play(engines: Mapping[str, Engine]) -> dict[tuple[str, str], Told]:
    places = [(script, engine) for script in SCRIPTS for engine in engines]
    plays = [play_one(script, engines[engine]) for script, engine in places]
    return dict(zip(places, await asyncio.gather(*plays, return_exceptions=True), strict=True))


async def play_one(script: str, engine: Engine) -> Told:
    job_id = await engine.start(new_isbn(), SCRIPTS[script])
    if script in ACTS:
        await ACTS[script](engine, job_id)
    job = await end(engine, job_id)
    story = await engine.story(job_id)
    assert [event["seq"] for event in story] == list(range(1, len(story) + 1))
    return plain(job), in_order([plain(event) for event in story])


async def end(engine: Engine, job_id: str, run_seconds: float = 120.0) -> dict[str, Any]:
    async with asyncio.timeout(run_seconds):
        while True:
            job = await engine.job(job_id)
            if job["status"] in OVER:
                return job
            await asyncio.sleep(0.4)  # all scripts are asked for at once


def plain(value: Any) -> Any:
    """The same without what differs by nature: times, the name of the job, and which of two steps
    side by side was the first to look whether it is cancelled.
    """
    if isinstance(value, dict):
        if "CANCELLED" in {value.get("code"), (value.get("error") or {}).get("code")}:
            value = {**value, "step": None, "attempt": None}
        return {name: plain(inner) for name, inner in value.items() if name not in TIMES}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str):
        return _ISBN.sub("ISBN", value)
    return value


def in_order(story: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the retries of the steps side by side before all that is told behind them: of
    two steps that know nothing of each other, either may be told first.
    """

    def place(event: dict[str, Any]) -> tuple[str, int] | None:
        step = event["data"].get("step") if event["type"] == "workflow_retry" else None
        return (step, event["data"]["attempt"]) if step in SIDE_BY_SIDE else None

    retries = sorted((event for event in story if place(event)), key=place)
    others = [event for event in story if not place(event)]
    return [{**one, "progress": None, "seq": None} for one in retries] + [
        {**one, "seq": None} for one in others
    ]


SIDE_BY_SIDE = {"upload-cover", "generate-embedding"}
TIMES = {"timestamp", "jobId", "delayMs", "createdAt", "lastUpdated", "isbn", "inputIsbn"}
_ISBN = re.compile(r"97899800\d{5}")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("engine", [SQLITE, POSTGRES, CLOUDFLARE])
async def test_every_engine_tells_the_same_story(
    told: Mapping[tuple[str, str], Told], engine: str, script: str
) -> None:
    for place in ((script, engine), (script, MEMORY)):
        if isinstance(failure := told[place], BaseException):
            raise failure
    job, story = told[script, engine]

    like_job, like_story = told[script, MEMORY]
    assert json.dumps(story, indent=1) == json.dumps(like_story, indent=1)
    assert json.dumps(job, indent=1) == json.dumps(like_job, indent=1)
