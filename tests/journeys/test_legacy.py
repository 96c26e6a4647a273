"""The legacy importer over HTTP, in two processes on one folder: all that a job promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, seqs, server, statuses

from bookline_sandbox import Sandbox

pytest.importorskip("bookline.migration.legacy")
pytestmark = pytest.mark.asyncio(loop_scope="session")

ISBN = "9780451524935"


@dataclass
class Stack:
    sandbox: Sandbox
    one: Server
    other: Server

    async def begin(self, isbn: str = ISBN, source: str = "google_books") -> str:
        """A legacy import by ``one``."""
        order = {"isbn": isbn, "source": source, "method": "legacy"}
        status, answer, _ = await self.one.post("/v2/import", order)
        assert (status, answer["data"]["method"]) == (202, "legacy")
        job_id: str = answer["data"]["jobId"]
        return job_id

    async def waiting(self, isbn: str, source: str) -> str:
        """One that waits half a minute for its second try, as all that ask this source then do."""
        self.sandbox.faults.add(route=source, isbn=isbn, kind="429", retry_after=30, times=1)
        job_id = await self.begin(isbn, source)
        async for _, message in self.one.sse(job_id):
            if message["type"] == "workflow_retry":
                return job_id
        raise AssertionError("it does not wait")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("legacy") / "data"
    async with (
        Sandbox() as sandbox,
        server(sandbox.settings(), folder) as one,
        server(sandbox.settings(), folder) as other,
    ):
        yield Stack(sandbox, one, other)


async def running(api: Server) -> float:
    _, text, _ = await api.get("/metrics")
    lines = text.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("bookline_running_im"))


async def test_an_import_is_told_listed_and_kept_as_any_other(stack: Stack) -> None:
    job_id = await stack.begin()

    story = await stack.other.story(job_id)

    assert seqs(story) == [1, 2, 3, 4, 5]
    assert statuses(story) == [
        "started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed",
    ]  # fmt: skip
    job = await stack.other.job(job_id)
    assert (job["method"], job["status"], job["progress"]) == ("legacy", "completed", 1)
    _, listed, _ = await stack.other.get("/v2/import/jobs?method=legacy&status=completed")
    assert job_id in [one["jobId"] for one in listed["data"]["items"]]
    _, book, _ = await stack.other.get(f"/v2/books/{ISBN}")
    assert book["data"]["provenance"]["jobId"] == job_id
    assert book["data"]["embedding"] is not None


async def test_a_cancel_that_came_by_another_process_ends_a_wait_at_once(stack: Stack) -> None:
    job_id = await stack.waiting("9780061120084", "isbndb")
    asked = stack.sandbox.counts["9780061120084"]["isbndb"]
    assert await running(stack.one) >= 1
    assert await running(stack.other) == 0

    status, _, _ = await stack.other.post(f"/v2/import/cancel/{job_id}")

    assert status in {200, 202}
    job = await stack.other.until(job_id)
    assert stack.sandbox.counts["9780061120084"]["isbndb"] == asked  # the wait was not over
    assert (job["status"], job["error"]["code"]) == ("cancelled", "CANCELLED")
    status, refused, _ = await stack.one.post(f"/v2/import/retry/{job_id}")
    assert (status, refused["error"]["code"]) == (409, "INVALID_STATE")


async def test_a_retry_by_another_process_keeps_what_was_done(stack: Stack) -> None:
    isbn = stack.sandbox.make(1)[0]
    stack.sandbox.faults.add(route="google_books", isbn=isbn, kind="wrong_key", times=1)
    job_id = await stack.begin(isbn)
    failed = await stack.one.until(job_id)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "PROVIDER_AUTH")

    status, _, _ = await stack.other.post(f"/v2/import/retry/{job_id}")

    assert status in {200, 202}
    job = await stack.one.until(job_id, "completed")
    assert job["result"]["isbn"] == isbn
    story = await stack.one.story(job_id)
    assert seqs(story) == list(range(1, len(story) + 1))
    assert [told["data"] for told in story if told["type"] == "workflow_resumed"] == [
        {"by": "retry"}
    ]


async def test_a_wait_goes_on_in_the_process_that_is_left(stack: Stack) -> None:
    """``one`` stops in good order; ``other`` takes its job over, and waits as long as was told."""
    isbn = stack.sandbox.make(1)[0]
    job_id = await stack.waiting(isbn, "openlibrary")
    asked = stack.sandbox.counts[isbn]["openlibrary"]

    await stack.one.stop()

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await running(stack.other) == 0:
            await asyncio.sleep(0.1)
    status, _, _ = await stack.other.post(f"/v2/import/cancel/{job_id}")
    job: Any = await stack.other.until(job_id)
    assert status in {200, 202}
    assert (job["status"], job["error"]["attempts"]) == ("cancelled", 1)
    assert stack.sandbox.counts[isbn]["openlibrary"] == asked
    await stack.one.start()
