"""Kill the machine in the middle of a batch: each row is there once, and each ends once."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stack import PATIENCE_SECONDS, Server, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("rows", [100, pytest.param(300, marks=pytest.mark.slow)])
async def test_a_batch_survives_two_kills(tmp_path: Path, rows: int) -> None:
    """40 % of the rows have no ISBN, as in real exports; one in ten is the same book again."""
    without, twice = rows * 4 // 10, rows // 10
    async with Sandbox() as sandbox:
        isbns = sandbox.make(rows - without - twice, "978990")
        for number, isbn in enumerate(sandbox.make(without, "978991")):
            title, author = f"Lonely Row {number:03}x", f"Ann O{number:03}x"
            sandbox.add_book(isbn13=isbn, title=title, authors=[author])
        lines = [f"Some title,Some author,{isbn}" for isbn in (*isbns, *isbns[:twice])]
        lines += [f"Lonely Row {n:03}x,Ann O{n:03}x," for n in range(without)]
        file = "\n".join(["Title,Author,ISBN", *lines, ""])
        env = sandbox.settings() | {"BOOKLINE_EMBEDDER": "none"}
        async with server(env, tmp_path / "data") as api:
            status, answer, _ = await api.post(
                "/v2/import/file", data=file, headers={"Content-Type": "text/csv"}
            )
            assert status == 202, answer
            batch_id = answer["data"]["batchId"]
            for least in (rows // 5, rows * 3 // 5):
                await _at_least(api, batch_id, least)
                await api.kill()
                await api.start()

            batch = await _at_least(api, batch_id, rows)
            items = await _items(api, batch_id)
            ends = [m["data"] for m in await _story(api, batch_id) if m["type"] == "batch_item"]
            jobs = {item["jobId"] for item in items}
            stories = [await api.story(job_id) for job_id in sorted(jobs)]

    assert batch["status"] == "completed"
    assert batch["counts"]["total"] == rows
    assert batch["counts"]["completed"] + batch["counts"]["completedWithWarnings"] == rows
    assert [item["index"] for item in items] == list(range(rows))
    assert all(item["isbn"] for item in items)
    assert len(jobs) == rows - twice
    assert Counter(end["index"] for end in ends) == Counter(range(rows))
    for told in stories:
        assert [message["seq"] for message in told] == list(range(1, len(told) + 1))
        assert [message["status"] for message in told].count("completed") == 1


async def _at_least(api: Server, batch_id: str, ended: int) -> dict[str, Any]:
    """The batch, once so many of its items have ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            status, answer, _ = await api.get(f"/v2/import/batch/{batch_id}")
            assert status == 200, answer
            batch: dict[str, Any] = answer["data"]
            counts = batch["counts"]
            if counts["total"] - counts["queued"] - counts["running"] >= ended:
                return batch
            await asyncio.sleep(0.05)


async def _items(api: Server, batch_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        _, answer, _ = await api.get(f"/v2/import/batch/{batch_id}/items?limit=200{query}")
        items += answer["data"]["items"]
        cursor = answer["data"]["nextCursor"]
    return items


async def _story(api: Server, batch_id: str) -> list[dict[str, Any]]:
    async with api.http.get(f"{api.url}/v2/import/batch/{batch_id}/events") as answer:
        lines = [line async for line in answer.content if line.startswith(b"data: ")]
    return [json.loads(line[6:]) for line in lines]
