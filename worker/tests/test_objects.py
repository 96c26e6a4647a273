"""Durable Objects: how often they are asked, and what survives that one is put to sleep."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from benching import WORKER
from worlds import Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scripted(upstream: Upstream) -> AsyncIterator[World]:
    async with world(
        upstream, entry="scripted_entry", folders=[WORKER / "tests" / "scripted"]
    ) as made:
        yield made


async def test_an_import_costs_four_steps_and_six_questions_to_its_object(
    scripted: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)
    job_id = await scripted.start(isbn)
    await asyncio.sleep(3)  # nobody asks for its status, which would be a question, too

    async with scripted.http.get(f"/_asked/{job_id}") as answer:
        asked = await answer.json()
    state = (await scripted.bench.order("status", job_id))["__LOCAL_DEV_STEP_OUTPUTS"]

    assert asked == ["open", "begin", "begin", "begin", "begin", "finish"]
    assert len(state) == 4
    assert len(json.dumps(state)) < 32_000


async def test_a_socket_stays_open_while_its_object_sleeps(
    scripted: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)
    async with scripted.http.post(f"/_script/{isbn}", json={"upload-cover": ["pause 4"]}):
        job_id = await scripted.start(isbn)
    told = []

    async with scripted.http.ws_connect(f"/ws/progress?jobId={job_id}") as socket:
        while not told or told[-1]["status"] != "metadata_fetched":
            told.append(json.loads((await socket.receive(timeout=20)).data))
        await scripted.bench.order("evict", job_id)
        told += [json.loads(message.data) async for message in socket]

    assert [one["seq"] for one in told if one["type"] != "ping"] == [1, 2, 3, 4, 5]
    assert socket.close_code == 1000
    assert [one["seq"] for one in await scripted.story(job_id, after=3)] == [4, 5]
    assert await scripted.story(job_id, after=5) == []
