"""An import on Cloudflare's own engine, from the request to the book."""

import asyncio
import json

import pytest

from worlds import Upstream, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_import_ends_with_its_book_in_the_library(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)

    job = await here.end(await here.start(isbn))

    assert job["status"] == "completed"
    assert job["result"]["storedIn"] == "database"
    assert job["result"]["warnings"] == []
    status, answer = await here.ask("GET", f"/v2/books/{isbn}")
    assert (status, answer["data"]["title"]) == (200, job["result"]["title"])
    assert answer["data"]["embedding"] == {"model": "@cf/baai/bge-m3", "dimensions": 1024}
    async with here.http.get(answer["data"]["cover"]["url"]) as cover:
        assert cover.content_type == answer["data"]["cover"]["contentType"]
        assert cover.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_the_story_is_told_in_order(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)
    job_id = await here.start(isbn)

    story = await here.story(job_id)

    assert [(one["seq"], one["status"], one["progress"]) for one in story] == [
        (1, "started", 0.0),
        (2, "metadata_fetched", 0.25),
        (3, "cover_uploaded", 0.5),
        (4, "embedding_generated", 0.75),
        (5, "completed", 1.0),
    ]


async def test_a_watcher_sees_the_whole_story_on_its_socket(
    here: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)
    job_id = await here.start(isbn)

    async with here.http.ws_connect(f"/ws/progress?jobId={job_id}") as socket:
        told = [json.loads(message.data) async for message in socket]

    assert [one["seq"] for one in told if one["type"] != "ping"] == [1, 2, 3, 4, 5]
    assert socket.close_code == 1000


async def test_a_socket_for_a_job_that_nobody_knows_is_closed(here: World) -> None:
    async with here.http.ws_connect("/ws/progress?jobId=import-none") as socket:
        await asyncio.wait_for(socket.receive(), 5)

    assert socket.close_code == 4404


async def test_a_book_that_nobody_knows_fails_after_one_try(
    here: World, upstream: Upstream
) -> None:
    job = await here.end(await here.start("9780000000019"))

    assert job["status"] == "failed"
    assert job["error"]["code"] == "BOOK_NOT_FOUND"
    assert (job["error"]["step"], job["error"]["attempts"]) == ("fetch-metadata", 1)


async def test_a_failing_provider_is_asked_again_and_each_retry_is_told(
    here: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)
    await upstream.fault({"route": "openlibrary", "isbn": isbn, "kind": "503", "times": 4})
    job_id = await here.start(isbn, source="openlibrary")

    job = await here.end(job_id)

    assert job["status"] == "completed"
    story = await here.story(job_id)
    retries = [one["data"] for one in story if one["type"] == "workflow_retry"]
    assert [(one["step"], one["attempt"]) for one in retries] == [
        ("fetch-metadata", 1),
        ("fetch-metadata", 2),
    ]
    assert [one["seq"] for one in story] == list(range(1, len(story) + 1))
