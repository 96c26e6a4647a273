"""Kill a batch's server at each edge of what its imports do together: every book is there once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stack import PATIENCE_SECONDS
from test_crash import MILESTONES, STEPS, get, stack, story

BOOKS = 12
SOURCES = ("google_books", "openlibrary", "isbndb")


@pytest.mark.parametrize(
    "nth", ["2", "4", *(pytest.param(nth, marks=pytest.mark.slow) for nth in ("1", "3", "5"))]
)
@pytest.mark.parametrize("edge", ["writing", "written"])
async def test_a_kill_around_a_write_of_many_loses_and_doubles_nothing(
    tmp_path: Path, edge: str, nth: str
) -> None:
    await _killed(tmp_path, "any", edge, nth)


@pytest.mark.slow
@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_any_edge_of_one_books_step_harms_no_book(
    tmp_path: Path, step: str, edge: str
) -> None:
    await _killed(tmp_path, step, edge, "7")


async def _killed(folder: Path, step: str, edge: str, nth: str) -> None:
    """A batch from three sources whose server dies there, and the next one."""
    async with stack(folder, step, edge, nth) as (sandbox, server, client):
        isbns = sandbox.make(BOOKS)
        items = [{"isbn": one, "source": SOURCES[n % 3]} for n, one in enumerate(isbns)]
        batch_id = await _begin(client, server.url, items)
        assert await server.death() == -9
        await server.start()

        ends = await _ends(client, server.url, batch_id)
        batch = await get(client, f"{server.url}/v2/import/batch/{batch_id}")
        jobs = [end["jobId"] for end in ends]
        stories = {job_id: await story(client, server.url, job_id) for job_id in jobs}
        books = [await get(client, f"{server.url}/v2/books/{isbn}") for isbn in isbns]

    assert batch["status"] == "completed"
    assert batch["counts"]["completed"] == BOOKS
    assert sorted(end["index"] for end in ends) == list(range(BOOKS))
    assert len(set(jobs)) == BOOKS
    for events in stories.values():
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        told = [event["status"] for event in events if event["type"] == "workflow_progress"]
        assert told == MILESTONES
    assert all(book["cover"] is not None and book["embedding"] is not None for book in books)


async def _begin(client: aiohttp.ClientSession, url: str, items: Any) -> str:
    async with client.post(f"{url}/v2/import/batch", json={"items": items}) as answer:
        assert answer.status == 202, await answer.text()
        batch_id: str = (await answer.json())["data"]["batchId"]
        return batch_id


async def _ends(client: aiohttp.ClientSession, url: str, batch_id: str) -> list[dict[str, Any]]:
    """What is told of each item, to the batch's end."""
    ends = []
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        client.get(f"{url}/v2/import/batch/{batch_id}/events") as answer,
    ):
        async for line in answer.content:
            told = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            if told.get("type") == "batch_item":
                ends.append(told["data"])
    return ends
