"""Two nodes whose machines' clocks are twenty minutes apart, on one PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from stack import Server, server

from bookline_sandbox import Sandbox

KEY = "a-key-of-16-characters"
RATE = 4  # a second; as many at once
# Set before anything is imported: all of the process goes by it, the engine too.
SET = """
import time as clock
_time, _time_ns = clock.time, clock.time_ns
clock.time = lambda: _time() + {0}
clock.time_ns = lambda: _time_ns() + {0} * 10**9
"""
MINUTES = 60


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest.fixture
async def nodes(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Server, Server]]:
    """The first one's clock is ten minutes behind, the other's as much ahead."""
    env = sandbox.settings() | {
        "BOOKLINE_DATABASE_URL": postgres_url,
        "BOOKLINE_OBJECT_STORE_URL": f"file://{tmp_path}/covers",
        "BOOKLINE_API_KEYS": KEY,
        "BOOKLINE_PROVIDER_RATES": f"google_books={RATE}/s,openlibrary=off,isbndb=off",
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    behind, ahead = SET.format(-10 * MINUTES), SET.format(10 * MINUTES)
    async with (
        server(env, tmp_path / "behind", headers=headers, before=behind) as one,
        server(env, tmp_path / "ahead", headers=headers, before=ahead) as other,
    ):
        yield one, other


async def test_a_provider_gets_no_more_questions_than_its_rate(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    isbns = sandbox.make(5 * RATE)
    began = time.time()

    jobs = [
        (nodes[number % 2], (await nodes[number % 2].begin(isbn, source="google_books"))["jobId"])
        for number, isbn in enumerate(isbns)
    ]
    for node, job_id in jobs:
        assert (await node.until(job_id))["status"] == "completed"

    asked = [one["at"] for one in sandbox.requests if one["route"] == "google_books"]
    assert len(asked) == len(isbns)
    assert max(asked) - began >= (len(isbns) - RATE) / RATE - 0.1  # the first ones come at once


async def test_a_providers_wish_to_be_left_alone_holds_at_both(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = nodes
    hurried, isbn = sandbox.make(2)
    sandbox.faults.add(kind="429", retry_after=4, isbn=hurried, route="google_books")
    first = (await other.begin(hurried, source="google_books"))["jobId"]
    while ((await other.job(first))["lastEvent"] or {}).get("type") != "workflow_retry":
        await asyncio.sleep(0.02)

    assert (await one.finished(isbn, source="google_books"))["status"] == "completed"

    refused, *later = [one["at"] for one in sandbox.requests if one["route"] == "google_books"]
    assert min(later) - refused >= 3.5


async def test_jobs_are_listed_in_the_order_in_which_they_came(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = nodes
    isbns = sandbox.make(4)
    began = time.time()

    for node, isbn in zip((one, other, one, other), isbns, strict=True):
        assert (await node.finished(isbn))["status"] == "completed"

    _, listed, _ = await one.get("/v2/import/jobs")
    items = listed["data"]["items"]
    assert [item["isbn"] for item in items] == isbns[::-1]
    for item in items:
        at = datetime.fromisoformat(item["createdAt"]).timestamp()
        assert began - 2 <= at <= time.time() + 2
