"""Kill the machine in the middle and it carries on: nothing lost, nothing done twice.

Real processes, really killed (SIGKILL), at each edge of each step and in each retry wait.
"""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from forked import Forked
from stack import PATIENCE_SECONDS

from bookline_sandbox import Sandbox

HERE = Path(__file__).parent
SOURCE = (HERE / "crashing_server.py").read_text()
ISBN, OTHER_ISBN = "9780451524935", "9780142437247"
STEPS = ("fetch-metadata", "upload-cover", "generate-embedding", "save-to-database")
SIDE_BY_SIDE = {"upload-cover", "generate-embedding"}
MILESTONES = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]


@pytest.fixture(params=["prepared", pytest.param("own way", marks=pytest.mark.slow)], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers' engine: as ever, or DBOS' own way, through threads alone."""
    monkeypatch.setenv("ENGINE", request.param)


class Server:
    """A server process that may die; ``start`` begins the next one on the same data."""

    def __init__(self, environment: dict[str, str], place: Sequence[str]) -> None:
        self._environment = environment
        self._place = place
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: Forked | None = None
        self._folder = Path(environment["BOOKLINE_DATA_DIR"]).parent

    async def start(self, *place: str) -> None:
        argv = ["crashing_server.py", str(self._port), *(place or self._place)]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = Forked(
            SOURCE, argv, env=self._environment, cwd=HERE, log=self._folder / "server.log"
        )
        async with aiohttp.ClientSession() as client:
            for _ in range(2_400):
                if self._process.poll() is not None:
                    raise AssertionError((self._folder / "server.log").read_text())
                try:
                    async with client.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError("the server was not ready within two minutes")

    async def death(self) -> int:
        """How it ended; waits for it."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)


@asynccontextmanager
async def stack(
    folder: Path, *place: str, **settings: str
) -> AsyncIterator[tuple[Sandbox, Server, aiohttp.ClientSession]]:
    """Sandbox in this process, server in another, a client; all gone at the end."""
    async with Sandbox(port=0) as sandbox, aiohttp.ClientSession() as client:
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("BOOKLINE_")},
            **sandbox.settings(),
            "BOOKLINE_DATA_DIR": str(folder / "data"),
            "BOOKLINE_RATE_LIMIT_START": "off",
            "BOOKLINE_RATE_LIMIT_READ": "off",
            "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
            "BOOKLINE_RETRY_SCALE": "0.3",
        }
        environment.update({f"BOOKLINE_{name}": text for name, text in settings.items()})
        server = Server(environment, place)
        try:
            await server.start()
            yield sandbox, server, client
        finally:
            await server.kill()


async def begin(
    client: aiohttp.ClientSession, url: str, isbn: str = ISBN, method: str = "workflow"
) -> str | None:
    """The job id; None if the server died before it answered."""
    order = {"isbn": isbn, "source": "google_books", "method": method}
    try:
        async with client.post(f"{url}/v2/import", json=order) as answer:
            assert answer.status == 202, await answer.text()
            job_id: str = (await answer.json())["data"]["jobId"]
            return job_id
    except aiohttp.ClientError:
        return None


async def only_job(client: aiohttp.ClientSession, url: str) -> str:
    """The id of the one job that there is: its server may have died before it said it."""
    [job] = (await get(client, f"{url}/v2/import/jobs"))["items"]
    return str(job["jobId"])


async def story(
    client: aiohttp.ClientSession, url: str, job_id: str, seconds: float = PATIENCE_SECONDS
) -> list[dict[str, Any]]:
    """All events of a job, to its end."""
    told = []
    async with asyncio.timeout(seconds), client.get(f"{url}/v2/import/events/{job_id}") as answer:
        assert answer.status == 200
        async for line in answer.content:
            if line.startswith(b"data: "):
                told.append(json.loads(line.removeprefix(b"data: ")))  # noqa: PERF401
    return [event for event in told if event["type"] != "ping"]


async def get(client: aiohttp.ClientSession, url: str) -> Any:
    async with client.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["data"]


def check_story(events: list[dict[str, Any]]) -> None:
    """Gapless, never doubled, in order, with one end."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    told = [event["status"] for event in events if event["type"] == "workflow_progress"]
    assert told == MILESTONES
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress)


@pytest.mark.parametrize("edge", ["before", "after", "recorded"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_any_edge_of_any_step_loses_and_doubles_nothing(
    tmp_path: Path, step: str, edge: str
) -> None:
    """A kill in one of two steps side by side may be one in the other, too."""
    beside = SIDE_BY_SIDE - {step} if step in SIDE_BY_SIDE else set()
    async with stack(tmp_path, step, edge, "1") as (sandbox, server, client):
        await begin(client, server.url)
        assert await server.death() == -9
        await server.start()

        job_id = await only_job(client, server.url)
        events = await story(client, server.url, job_id)
        job = await get(client, f"{server.url}/v2/import/status/{job_id}")
        book = await get(client, f"{server.url}/v2/books/{ISBN}")

        check_story(events)
        types = Counter(event["type"] for event in events)
        assert types["workflow_resumed"] == 1
        retried = Counter(
            event["data"]["step"] for event in events if event["type"] == "workflow_retry"
        )
        assert retried[step] == (0 if edge == "recorded" else 1)  # the try counts
        assert all(retried[other] <= (other in beside) for other in retried if other != step)
        assert job["status"] == "completed"
        assert book["cover"] is not None
        assert book["embedding"] is not None
        asked = sandbox.counts[ISBN]
        is_done_again = step == "fetch-metadata" and edge == "after"
        assert asked["google_books"] == (2 if is_done_again else 1)
        assert asked["covers"] in ({1, 2} if beside else {1})
        if step == "save-to-database" and edge != "recorded":
            assert job["attempt"] == 2


@pytest.mark.parametrize("edge", ["opened", "ending", "ended"])
async def test_a_kill_around_the_first_and_the_last_write_loses_nothing(
    tmp_path: Path, edge: str
) -> None:
    async with stack(tmp_path, "-", edge, "1") as (sandbox, server, client):
        await begin(client, server.url)
        assert await server.death() == -9
        await server.start()

        jobs = await get(client, f"{server.url}/v2/import/jobs")
        assert len(jobs["items"]) == 1
        events = await story(client, server.url, jobs["items"][0]["jobId"])

        check_story(events)
        assert sandbox.counts[ISBN] == {"google_books": 1, "covers": 1}


async def post(client: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with client.post(url) as answer:
        return answer.status, await answer.json()


async def test_a_kill_after_a_failed_end_leaves_it_to_be_retried(tmp_path: Path) -> None:
    """Between the journal's end and the engine's outcome: nobody will record that outcome."""
    async with stack(tmp_path, "-", "ended", "1") as (sandbox, server, client):
        sandbox.faults.add(route="google_books", kind="not_found", isbn=ISBN, times=9)
        job_id = await begin(client, server.url)
        assert await server.death() == -9
        await server.start()
        failed = await story(client, server.url, str(job_id))
        sandbox.faults.clear()

        status, answer = await post(client, f"{server.url}/v2/import/retry/{job_id}")
        events = await story(client, server.url, str(job_id))

        assert failed[-1]["status"] == "failed"
        assert status == 202, answer
        assert events[-1]["status"] == "completed"
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_a_kill_after_a_cancelled_end_leaves_it_cancelled(tmp_path: Path) -> None:
    async with stack(tmp_path, "-", "ended", "1", RETRY_SCALE="10") as (sandbox, server, client):
        sandbox.faults.add(route="google_books", kind="503", isbn=ISBN, times=9)
        job_id = await begin(client, server.url)
        await until_told(client, server.url, job_id, "workflow_retry")
        with contextlib.suppress(aiohttp.ClientError):
            await post(client, f"{server.url}/v2/import/cancel/{job_id}")
        assert await server.death() == -9
        await server.start()

        events = await story(client, server.url, str(job_id))
        status, _ = await post(client, f"{server.url}/v2/import/retry/{job_id}")

        assert events[-1]["status"] == "cancelled"
        assert status == 409
        await until_the_engine_has_ended_all(tmp_path)
        assert await story(client, server.url, str(job_id)) == events
        assert sandbox.counts[ISBN] == {"google_books": 1}


async def test_a_kill_after_a_retrys_end_loses_nothing(tmp_path: Path) -> None:
    async with stack(tmp_path, "-", "ended", "2") as (sandbox, server, client):
        sandbox.faults.add(route="google_books", kind="not_found", isbn=ISBN, times=9)
        job_id = await begin(client, server.url)
        await story(client, server.url, str(job_id))
        for _ in range(2):  # the second retry finds what the kill has left of the first
            status, answer = await post(client, f"{server.url}/v2/import/retry/{job_id}")
            assert status == 202, answer
            if not (tmp_path / "data" / "died").exists():
                assert await server.death() == -9
                await server.start()
                sandbox.faults.clear()

        events = await story(client, server.url, str(job_id))

        ends = [event["status"] for event in events if event["status"] in {"failed", "completed"}]
        assert ends == ["failed", "failed", "completed"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


NEXT = "book-import-99"


async def test_what_began_under_an_older_version_ends_under_it(tmp_path: Path) -> None:
    """Running ones, and failed ones that are retried."""
    async with stack(tmp_path, "fetch-metadata", "waiting", "2") as (sandbox, server, client):
        sandbox.faults.add(route="google_books", kind="not_found", isbn=OTHER_ISBN, times=9)
        failed = await begin(client, server.url, OTHER_ISBN)
        await story(client, server.url, str(failed))
        sandbox.faults.clear()
        sandbox.faults.add(route="google_books", kind="503", isbn=ISBN, times=2)
        running = await begin(client, server.url)
        assert await server.death() == -9

        await server.start("-", "never", "1", NEXT)
        status, answer = await post(client, f"{server.url}/v2/import/retry/{failed}")
        stories = [await story(client, server.url, str(one)) for one in (running, failed)]
        new = await begin(client, server.url)

        assert status == 202, answer
        check_story(stories[0])
        assert stories[1][-1]["status"] == "completed"
        check_story(await story(client, server.url, str(new)))


async def test_what_began_under_a_later_version_fails_with_the_reason(tmp_path: Path) -> None:
    place = ("fetch-metadata", "waiting", "1", NEXT)
    async with stack(tmp_path, *place) as (sandbox, server, client):
        sandbox.faults.add(route="google_books", kind="503", isbn=ISBN, times=1)
        job_id = await begin(client, server.url)
        assert await server.death() == -9

        await server.start("-", "never", "1")
        events = await story(client, server.url, str(job_id))
        status, _ = await post(client, f"{server.url}/v2/import/retry/{job_id}")
        again = await story(client, server.url, str(job_id))

        for told in (events, again):
            assert told[-1]["status"] == "failed"
            assert NEXT in told[-1]["data"]["error"]["message"]
        assert status == 202
        assert len(again) > len(events)


async def until_told(
    client: aiohttp.ClientSession, url: str, job_id: str | None, kind: str
) -> None:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        client.get(f"{url}/v2/import/events/{job_id}") as answer,
    ):
        async for line in answer.content:
            if line.startswith(b"data: ") and json.loads(line[6:])["type"] == kind:
                return


async def until_the_engine_has_ended_all(folder: Path) -> None:
    """No workflow is left as running in the engine's own book."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.closing(sqlite3.connect(folder / "data" / "engine.db")) as database:
                states = {row[0] for row in database.execute("SELECT status FROM workflow_status")}
            if not states & {"PENDING", "ENQUEUED"}:
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("fetch-metadata", {"route": "google_books", "kind": "503"}),
        ("upload-cover", {"route": "covers", "kind": "503"}),
        ("generate-embedding", {"route": "embeddings", "kind": "503"}),
    ],
)
async def test_a_kill_in_a_retry_wait_forgets_neither_tries_nor_the_wait(
    tmp_path: Path, step: str, fault: dict[str, Any]
) -> None:
    embedder = {"EMBEDDER": "openai", "EMBEDDER_MODEL": "m"} if step == "generate-embedding" else {}
    async with Sandbox(port=0) as other:
        if embedder:
            embedder["EMBEDDER_URL"] = f"{other.url}/v1"
            other.faults.add(isbn="*", times=2, **fault)
        async with stack(tmp_path, step, "waiting", "2", **embedder) as (sandbox, server, client):
            if not embedder:
                sandbox.faults.add(isbn=ISBN, times=2, **fault)
            job_id = await begin(client, server.url)
            assert job_id is not None
            assert await server.death() == -9
            await server.start()

            events = await story(client, server.url, job_id)

            check_story(events)
            told = [event["data"] for event in events if event["type"] == "workflow_retry"]
            retries = [retry["attempt"] for retry in told if retry["step"] == step]
            assert retries == [1, 2]
            beside = [retry for retry in told if retry["step"] != step]  # it died in the kill
            assert [retry["attempt"] for retry in beside] in ([], [1])
            assert sandbox.counts[ISBN]["google_books"] == (3 if step == "fetch-metadata" else 1)
            assert sandbox.counts[ISBN]["covers"] in ([3] if step == "upload-cover" else [1, 2])


async def test_a_kill_in_the_wait_for_a_locked_library_still_saves_once(tmp_path: Path) -> None:
    async with stack(tmp_path, "save-to-database", "waiting", "1") as (sandbox, server, client):
        async with locked_out(tmp_path / "data" / "library.db"):
            job_id = await begin(client, server.url)
            assert job_id is not None
            assert await server.death() == -9
        await server.start()

        events = await story(client, server.url, job_id)

        check_story(events)
        assert sandbox.counts[ISBN] == {"google_books": 1, "covers": 1}
        assert events[-1]["data"]["storedIn"] == "database"


async def test_a_crash_in_every_try_ends_the_job_instead_of_the_process(tmp_path: Path) -> None:
    """A job that takes its process down each time must not do so for ever."""
    async with stack(tmp_path, "fetch-metadata", "before", "1") as (sandbox, server, client):
        job_id = await begin(client, server.url)
        assert job_id is not None
        for _ in range(4):
            assert await server.death() == -9
            (tmp_path / "data" / "died").unlink()
            await server.start()

        events = await story(client, server.url, job_id)

        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["status"] == "failed"
        error = events[-1]["data"]["error"]
        assert (error["code"], error["step"], error["attempts"]) == (
            "PROVIDER_ERROR", "fetch-metadata", 4,
        )  # fmt: skip
        assert ISBN not in sandbox.counts


async def test_thirty_imports_and_a_kill_in_the_middle_are_thirty_books(tmp_path: Path) -> None:
    async with stack(tmp_path, "upload-cover", "after", "12") as (sandbox, server, client):
        isbns = sandbox.make(30)
        await asyncio.gather(*(begin(client, server.url, isbn) for isbn in isbns))
        assert await server.death() == -9
        await server.start()

        jobs = (await get(client, f"{server.url}/v2/import/jobs?limit=100"))["items"]
        stories = await asyncio.gather(*(story(client, server.url, job["jobId"]) for job in jobs))
        missing = set(isbns) - {job["isbn"] for job in jobs}
        again = [await begin(client, server.url, isbn) for isbn in missing]
        stories += [await story(client, server.url, job_id) for job_id in again if job_id]

        for events in stories:
            check_story(events)
        books = (await get(client, f"{server.url}/v2/books?limit=100"))["items"]
        assert sorted(book["isbn"] for book in books) == sorted(isbns)
        assert all(sandbox.counts[isbn]["google_books"] <= 2 for isbn in isbns)


@asynccontextmanager
async def locked_out(path: Path) -> AsyncIterator[None]:
    """The library's file cannot be written meanwhile: its table has another name."""
    connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS)
    connection.execute("ALTER TABLE books RENAME TO hidden_books")
    connection.commit()
    try:
        yield
    finally:
        connection.execute("ALTER TABLE hidden_books RENAME TO books")
        connection.commit()
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
