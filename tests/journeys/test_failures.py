"""An upstream that always fails ends the job with code, step and number of tries; nobody waits."""

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bookline import workflow
from bookline.app import App, running
from bookline.imports import Order
from bookline.settings import read_settings
from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

ISBN = "9780451524935"
QUICK = {
    "BOOKLINE_RETRY_SCALE": "0.02",
    "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
}


@asynccontextmanager
async def bookline(
    folder: Path, sandbox: Sandbox, settings: dict[str, str] | None = None
) -> AsyncIterator[App]:
    environment = {**sandbox.settings(), **QUICK, "BOOKLINE_DATA_DIR": str(folder)}
    async with running(read_settings({**environment, **(settings or {})}, None)) as app:
        yield app


async def import_one(app: App, source: str = "google_books") -> list[dict[str, Any]]:
    job, _ = await app.imports.start(Order(isbn=ISBN, source=source))
    return [
        json.loads(event.message)
        async for events in app.hub.follow(job.job_id, 0)
        for event in events
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def upstream() -> AsyncIterator[Sandbox]:
    async with Sandbox(port=0) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(upstream: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """One for all failures. They are about one book: that opens no circuit."""
    async with bookline(tmp_path_factory.mktemp("failures"), upstream) as app:
        yield app


@pytest.mark.parametrize("source", ["google_books", "openlibrary", "isbndb", "auto"])
@pytest.mark.parametrize(
    ("kind", "code", "tries"),
    [
        ("500", "PROVIDER_ERROR", 4),
        ("503", "PROVIDER_ERROR", 4),
        ("429", "PROVIDER_RATE_LIMITED", 4),
        ("408", "PROVIDER_ERROR", 4),
        ("hang", "PROVIDER_TIMEOUT", 4),
        ("cut", "PROVIDER_ERROR", 4),
        ("close", "PROVIDER_ERROR", 4),
        ("wrong_type", "PROVIDER_ERROR", 4),
        ("garbage", "PROVIDER_ERROR", 4),
        ("huge", "PROVIDER_ERROR", 4),
        ("not_found", "BOOK_NOT_FOUND", 1),
        ("wrong_book", "BOOK_NOT_FOUND", 1),
        ("no_title", "METADATA_INCOMPLETE", 1),
        ("wrong_key", "PROVIDER_AUTH", 1),
        ("418", "PROVIDER_ERROR", 1),
    ],
)
async def test_each_class_of_failure_ends_the_job_and_says_why(
    shared: App,
    upstream: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    kind: str,
    code: str,
    tries: int,
) -> None:
    if kind == "hang":  # a try that hangs ends after 0.2 s instead of 15
        short = dataclasses.replace(workflow.FETCH_METADATA, limit_seconds=0.2)
        monkeypatch.setattr(workflow, "FETCH_METADATA", short)
    if kind == "wrong_key" and source in {"openlibrary", "auto"}:
        pytest.skip("Open Library takes no key")
    routes = ("google_books", "openlibrary", "isbndb")
    upstream.faults.clear()
    upstream.faults.add(*({"route": one, "kind": kind, "times": None} for one in routes))

    events = await import_one(shared, source)

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["status"] == "failed"
    error = events[-1]["data"]["error"]
    assert (error["code"], error["step"], error["attempts"]) == (code, "fetch-metadata", tries)
    assert error["message"]
    assert [event["type"] for event in events].count("workflow_retry") == tries - 1
    job = await shared.imports.find(events[0]["jobId"])
    assert (job.status, job.error) == ("failed", error)
    assert await shared.shelf.find_many([ISBN]) == {}


@pytest.mark.parametrize(
    ("kind", "tries"), [("500", 6), ("cut", 6), ("not_found", 1), ("not_image", 1), ("bomb", 1)]
)
async def test_a_cover_that_fails_for_good_is_a_warning(
    tmp_path: Path, kind: str, tries: int
) -> None:
    async with Sandbox(port=0) as sandbox, bookline(tmp_path, sandbox) as app:
        sandbox.faults.add({"route": "covers", "kind": kind, "times": None})

        events = await import_one(app)

        assert events[-1]["status"] == "completed"
        result = events[-1]["data"]["result"]
        assert [warned["step"] for warned in result["warnings"]] == ["upload-cover"]
        assert f"after {tries} tr" in result["warnings"][0]["message"]
        assert result["coverR2Key"] is None
        assert [one["type"] for one in events].count("workflow_warning") == 1
        book = await app.shelf.find(ISBN)
        assert book.cover is None


async def test_an_embedder_that_is_down_is_a_warning(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox:
        sandbox.faults.add({"route": "embeddings", "kind": "503", "times": None})
        embedder = {
            "BOOKLINE_EMBEDDER": "openai",
            "BOOKLINE_EMBEDDER_URL": f"{sandbox.url}/v1",
            "BOOKLINE_EMBEDDER_MODEL": "m",
        }
        async with bookline(tmp_path, sandbox, embedder) as app:
            events = await import_one(app)

            result = events[-1]["data"]["result"]
            assert [warned["step"] for warned in result["warnings"]] == ["generate-embedding"]
            assert result["hasEmbedding"] is False


async def test_a_library_that_is_down_saves_aside_and_is_drained_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.patience.STORE_SECONDS", 0.2)
    async with Sandbox(port=0) as sandbox, bookline(tmp_path, sandbox) as app:
        await _rename(app, "books", "hidden")

        events = await import_one(app)
        waiting = await app.fallback.find(f"book:isbn:{ISBN}")
        await _rename(app, "hidden", "books")
        drained = await app.upkeep.drain()
        assert app.library is not None
        book = await app.library.find(ISBN)

        result = events[-1]["data"]["result"]
        assert (result["saved"], result["storedIn"]) == (True, "kv")
        assert [warned["code"] for warned in result["warnings"]] == ["SAVE_FAILED"]
        assert waiting is not None
        assert drained == 1
        assert book is not None
        assert book.embedding is not None
        assert await app.fallback.find(f"book:isbn:{ISBN}") is None


async def test_a_library_that_is_switched_off_is_no_fault(tmp_path: Path) -> None:
    off = {"BOOKLINE_LIBRARY": "off"}
    async with Sandbox(port=0) as sandbox, bookline(tmp_path, sandbox, off) as app:
        events = await import_one(app)

        result = events[-1]["data"]["result"]
        assert (result["storedIn"], result["warnings"]) == ("kv", [])


async def test_a_deadline_cuts_a_running_try_and_a_retry_starts_it_anew(tmp_path: Path) -> None:
    short = {"BOOKLINE_JOB_DEADLINE_SECONDS": "8"}
    async with Sandbox(port=0) as sandbox, bookline(tmp_path, sandbox, short) as app:
        sandbox.faults.add(route="google_books", kind="hang", times=1)

        events = await import_one(app)
        job_id = events[0]["jobId"]
        await app.imports.retry(job_id)
        whole = [one async for some in app.hub.follow(job_id, len(events)) for one in some]

        assert events[-1]["data"]["error"]["code"] == "DEADLINE_EXCEEDED"
        after = [json.loads(one.message) for one in whole]
        assert after[0]["type"] == "workflow_resumed"
        assert after[0]["data"] == {"by": "retry"}
        assert after[-1]["status"] == "completed"
        assert after[0]["seq"] == len(events) + 1


async def test_a_500_kb_description_is_cut_and_the_import_goes_through(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox, bookline(tmp_path, sandbox) as app:
        sandbox.faults.add(route="google_books", kind="big_description", times=1)

        events = await import_one(app)

        assert events[-1]["status"] == "completed"
        assert max(len(json.dumps(event).encode()) for event in events) < 32_000
        book = await app.shelf.find(ISBN)
        assert 10_000 < len(book.metadata.description or "") <= 20_000


async def _rename(app: App, old: str, new: str) -> None:
    """Takes the library away, or brings it back, under its feet."""
    import sqlite3

    with sqlite3.connect(app.settings.database_dir / "library.db", timeout=10) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
    connection.close()
