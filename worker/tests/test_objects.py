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


async def test_an_object_of_an_older_worker_goes_on(scripted: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)
    async with scripted.http.post(f"/_script/{isbn}", json={"fetch-metadata": ["refuse"]}):
        job_id = await scripted.start(isbn)
    before = await scripted.end(job_id)
    async with scripted.http.post(f"/_age/{job_id}") as answer:
        assert await answer.text() == "older"
    await scripted.bench.order("evict", job_id)

    after = await scripted.job(job_id)
    story = await scripted.story(job_id)
    await scripted.ask("POST", f"/v2/import/retry/{job_id}")
    again = await scripted.end(job_id)

    assert after == before
    assert [one["seq"] for one in story] == [1, 2]
    assert (before["status"], again["status"]) == ("failed", "completed")


async def test_the_deadline_ends_a_wait_before_it_begins_and_a_try_in_its_middle(
    upstream: Upstream,
) -> None:
    isbns = await upstream.make(2)
    async with world(
        upstream, entry="scripted_entry", folders=[WORKER / "tests" / "scripted"],
        vars={"JOB_DEADLINE_SECONDS": "3"},
    ) as here:  # fmt: skip
        scripts = ({"fetch-metadata": ["slow 30"]}, {"fetch-metadata": ["hang"]})
        for isbn, script in zip(isbns, scripts, strict=True):
            async with here.http.post(f"/_script/{isbn}", json=script):
                pass
        ends = [await here.end(await here.start(isbn)) for isbn in isbns]

    assert [job["error"]["code"] for job in ends] == ["DEADLINE_EXCEEDED"] * 2
    assert "the last failure was: busy" in ends[0]["error"]["message"]
    assert [job["error"]["attempts"] for job in ends] == [1, 1]


@pytest.mark.parametrize(
    ("step", "act"),
    [("fetch-metadata", "pause 2"), ("upload-cover", "pause 2"), ("save-to-database", "pause 2"),
     ("fetch-metadata", "slow 5")],
)  # fmt: skip
async def test_an_import_whose_instance_is_paused_goes_on_where_it_was(
    scripted: World, upstream: Upstream, step: str, act: str
) -> None:
    """The engine lets a try end and cuts a wait short; then it breaks the run off, by an error."""
    [isbn] = await upstream.make(1)
    async with scripted.http.post(f"/_script/{isbn}", json={step: [act]}):
        job_id = await scripted.start(isbn)
    async with asyncio.timeout(20):
        while (await scripted.job(job_id))["step"] != step:
            await asyncio.sleep(0.05)

    await asyncio.sleep(0.5)
    await scripted.bench.order("pause", job_id)
    async with asyncio.timeout(20):
        while (await scripted.bench.order("status", job_id))["status"] != "paused":
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # a local engine resumes no run that is still being broken off
    paused = await scripted.job(job_id)
    await scripted.bench.order("resume", job_id)
    job = await scripted.end(job_id)
    story = await scripted.story(job_id)

    assert paused["status"] == "running"
    assert (job["status"], job["result"]["warnings"]) == ("completed", [])
    assert [one["status"] for one in story if one["type"] != "workflow_retry"] == [
        "started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed",
    ]  # fmt: skip


async def test_an_import_whose_instance_was_terminated_fails_and_can_be_retried(
    scripted: World, upstream: Upstream
) -> None:
    """One alone is found by the cron trigger, one of a batch by the batch."""
    isbns = await upstream.make(2)
    for isbn in isbns:
        async with scripted.http.post(f"/_script/{isbn}", json={"upload-cover": ["pause 60"]}):
            pass
    alone = await scripted.start(isbns[0])
    _, opened = await scripted.ask("POST", "/v2/import/batch", json={"items": isbns[1:]})
    item = f"/v2/import/batch/{opened['data']['batchId']}/items"
    async with asyncio.timeout(20):
        while not (in_batch := (await scripted.ask("GET", item))[1]["data"]["items"][0]["jobId"]):
            await asyncio.sleep(0.05)
    for job_id in (alone, in_batch):
        async with asyncio.timeout(20):
            while (await scripted.job(job_id))["step"] != "upload-cover":
                await asyncio.sleep(0.05)

        await scripted.bench.order("terminate", job_id)
    async with scripted.http.get("/cdn-cgi/local/scheduled?cron=*+*+*+*+*") as answer:
        assert answer.status == 200
    ends = [await scripted.end(job_id) for job_id in (alone, in_batch)]
    await scripted.ask("POST", f"/v2/import/retry/{alone}")
    again = await scripted.end(alone)

    said = {"code": "INTERNAL_ERROR", "step": None, "attempts": 0}
    said["message"] = "Cloudflare Workflows ended the import (terminated); retry it"
    assert [job["error"] for job in ends] == [said, said]
    assert again["status"] == "completed"
