"""workerd is killed for real: what was done is not done again, and every import ends once."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from benching import READY_SECONDS, WORKER
from worlds import OVER, Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCRIPTED = WORKER / "tests" / "scripted"


async def revive(here: World, job_ids: list[str]) -> None:
    """Kills the runtime, waits until the bench has it back, and sets its instances going again."""
    await here.bench.order("kill")
    await back(here)
    await set_going(here, job_ids)


async def set_going(here: World, job_ids: Iterable[str]) -> None:
    """Sets all going that the engine has. A local one loses its alarms with the process, and whom
    it was still to begin; Cloudflare keeps them.
    """
    for job_id in job_ids:
        with contextlib.suppress(RuntimeError):  # it has none of that name
            await here.bench.order("wake", job_id)


async def back(here: World) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                if (await here.ask("GET", "/healthz"))[0] == 200:
                    return
            except (aiohttp.ClientError, OSError):
                pass  # nobody is there yet
            await asyncio.sleep(0.2)


def scripted_world(upstream: Upstream, persist: Path) -> AbstractAsyncContextManager[World]:
    return world(
        upstream, persist=persist, entry="scripted_entry", folders=[SCRIPTED],
        vars={"RETRY_SCALE": "0.02"},
    )  # fmt: skip


async def script(here: World, isbn: str, acts: dict[str, list[str]]) -> None:
    async with here.http.post(f"/_script/{isbn}", json=acts) as answer:
        assert answer.status == 200


async def begin(here: World, isbn: str, acts: dict[str, list[str]]) -> str:
    await script(here, isbn, acts)
    return await here.start(isbn)


async def start_batch(here: World, isbns: list[str]) -> str:
    status, answer = await here.ask("POST", "/v2/import/batch", json={"items": isbns})
    assert status == 202, answer
    return answer["data"]["batchId"]


async def reached(here: World, job_id: str, **wanted: object) -> None:
    async with asyncio.timeout(60):
        while True:
            job = await here.job(job_id)
            if all(job[name] == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.05)


def told(story: list[dict[str, Any]]) -> list[str]:
    return [one["status"] or one["type"] for one in story]


async def test_a_killed_runtime_loses_nothing_and_repeats_nothing(
    upstream: Upstream, tmp_path: Path
) -> None:
    """One import dies in a try, one in a retry wait, one at the last try of an optional step."""
    isbns = await upstream.make(3)
    async with scripted_world(upstream, tmp_path) as here:
        in_a_try = await begin(here, isbns[0], {"upload-cover": ["pause 60"]})
        in_a_wait = await begin(here, isbns[1], {"fetch-metadata": ["slow 12"]})
        at_the_last = await begin(
            here, isbns[2], {"generate-embedding": ["down", "down", "pause 60"]}
        )
        await reached(here, in_a_try, step="upload-cover")
        await reached(here, in_a_wait, step="fetch-metadata", attempt=1)
        await reached(here, at_the_last, step="generate-embedding", attempt=3)

        await revive(here, [in_a_try, in_a_wait, at_the_last])

        ends = [await here.end(one, 60) for one in (in_a_try, in_a_wait, at_the_last)]
        stories = [await here.story(one) for one in (in_a_try, in_a_wait, at_the_last)]

    assert [job["status"] for job in ends] == ["completed"] * 3
    assert told(stories[0]) == [
        "started", "metadata_fetched", "workflow_resumed", "workflow_retry", "cover_uploaded",
        "embedding_generated", "completed",
    ]  # fmt: skip
    died = stories[0][3]["data"]
    assert (died["step"], died["attempt"]) == ("upload-cover", 1)
    assert died["error"] == {"code": "COVER_FAILED", "message": "the process died in this try"}
    assert told(stories[1]) == [
        "started", "workflow_retry", "metadata_fetched", "cover_uploaded", "embedding_generated",
        "completed",
    ]  # fmt: skip
    [warned] = ends[2]["result"]["warnings"]
    assert (warned["step"], warned["code"]) == ("generate-embedding", "EMBEDDING_FAILED")
    for story in stories:
        assert [one["seq"] for one in story] == list(range(1, len(story) + 1))


@pytest.mark.parametrize("count", [30, pytest.param(300, marks=pytest.mark.slow)])
async def test_many_imports_end_once_each_though_the_runtime_is_killed(
    upstream: Upstream, tmp_path: Path, count: int
) -> None:
    """All are started at once; a third of the way the runtime is killed amid those that run."""
    isbns = await upstream.make(count)
    stories: dict[str, list[dict[str, Any]]] = {}

    async def watched(job_id: str) -> None:
        stories[job_id] = await to_its_end(here, job_id)

    async with world(upstream, persist=tmp_path, vars={"RETRY_SCALE": "0.05"}) as here:
        job_ids = await at_once(here.start, isbns)
        ends = asyncio.gather(*map(watched, job_ids))
        while len(stories) < count // 3:
            await asyncio.sleep(0.05)
        caught = [job_id for job_id in job_ids if job_id not in stories]
        await revive(here, caught)
        await ends
        page = await here.ask("GET", "/v2/books?limit=200")

    assert caught
    assert Counter(told(story)[-1] for story in stories.values()) == {"completed": count}
    assert {told(story).count("completed") for story in stories.values()} == {1}
    for story in stories.values():
        assert [one["seq"] for one in story] == list(range(1, len(story) + 1))
    listed = {book["isbn"] for book in page[1]["data"]["items"]}
    assert len(listed) == min(count, 200)
    assert listed <= set(isbns)


async def to_its_end(here: World, job_id: str) -> list[dict[str, Any]]:
    """A job's story, watched until it ends; a watcher whose line breaks comes back."""
    async with asyncio.timeout(600):
        while True:
            try:
                story = await here.story(job_id)
                if story and story[-1]["status"] in OVER:
                    return story
            except (aiohttp.ClientError, OSError):
                pass  # killed
            await asyncio.sleep(0.2)


async def at_once(ask: Callable[[str], Awaitable[Any]], items: Sequence[str]) -> list[Any]:
    """The answers in the items' order, ten questions at a time."""
    slots = asyncio.Semaphore(10)

    async def one(item: str) -> Any:
        async with slots:
            return await ask(item)

    return await asyncio.gather(*map(one, items))


async def test_a_job_whose_door_died_behind_keeping_it_starts_with_the_next_minute(
    upstream: Upstream, tmp_path: Path
) -> None:
    """One dies before its start, one before its retry; who retried may come back or not."""
    isbns = await upstream.make(2)
    async with scripted_world(upstream, tmp_path) as here:
        to_retry = await begin(
            here, isbns[0], {"save-to-database": ["refuse"], "save-to-fallback": ["refuse"]}
        )
        assert (await here.end(to_retry))["status"] == "failed"
        before_start = asyncio.create_task(hold(here, "start", "/v2/import", {"isbn": isbns[1]}))
        before_retry = asyncio.create_task(hold(here, "restart", f"/v2/import/retry/{to_retry}"))
        await reached(here, to_retry, status="queued")
        to_start = await only_job(here, isbns[1])

        await here.bench.order("kill")
        await asyncio.gather(before_start, before_retry)
        await back(here)
        waiting = [(await here.job(one))["status"] for one in (to_start, to_retry)]
        async with here.http.get("/cdn-cgi/local/scheduled?cron=*+*+*+*+*") as answer:
            assert answer.status == 200
        ends = [await here.end(one, 60) for one in (to_start, to_retry)]
        stories = [await here.story(one) for one in (to_start, to_retry)]

    assert waiting == ["queued", "queued"]
    assert [job["status"] for job in ends] == ["completed"] * 2
    assert [told(story).count("completed") for story in stories] == [1, 1]
    assert told(stories[1]).count("metadata_fetched") == 1, "the retry kept what was done"


async def hold_at(here: World, what: str) -> None:
    """From now on whoever asks the engine for this waits until he is killed."""
    async with here.http.post(f"/_hold/{what}") as answer:
        assert answer.status == 200


async def hold(here: World, what: str, path: str, body: object = None) -> None:
    """Asks; the door waits for the engine at ``what`` until it is killed."""
    await hold_at(here, what)
    with pytest.raises((aiohttp.ClientError, OSError)):
        await here.ask("POST", path, **({} if body is None else {"json": body}))


async def only_job(here: World, isbn: str) -> str:
    async with asyncio.timeout(60):
        while True:
            _, answer = await here.ask("GET", f"/v2/import/jobs?isbn={isbn}")
            if answer["data"]["items"]:
                return answer["data"]["items"][0]["jobId"]
            await asyncio.sleep(0.1)


async def test_a_batch_ends_whole_though_the_runtime_is_killed_amid_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    isbns = await upstream.make(30)
    async with world(upstream, persist=tmp_path, vars={"RETRY_SCALE": "0.05"}) as here:
        batch_id = await start_batch(here, isbns)
        await counted(here, batch_id, lambda counts: counts["completed"] >= 5)

        await here.bench.order("kill")
        await back(here)
        items = await items_of(here, batch_id)
        caught = [one["jobId"] for one in items if one["state"] != "completed"]
        await set_going(here, caught)
        batch = await counted(here, batch_id, lambda counts: counts["completed"] == 30)
        items = await items_of(here, batch_id)
        stories = await at_once(here.story, [one["jobId"] for one in items])
        page = await here.ask("GET", "/v2/books?limit=200")
        told_of = await batch_story(here, batch_id)

    assert caught
    assert batch["status"] == "completed"
    assert {name: count for name, count in batch["counts"].items() if count} == {
        "total": 30, "completed": 30,
    }  # fmt: skip
    assert [one["state"] for one in items] == ["completed"] * 30
    assert {told(story).count("completed") for story in stories} == {1}
    assert {book["isbn"] for book in page[1]["data"]["items"]} == set(isbns)
    ended = [one["data"]["index"] for one in told_of if one["type"] == "batch_item"]
    assert sorted(ended) == list(range(30))


@pytest.mark.parametrize("held", ["start_all", "after-start_all"])
async def test_a_batch_whose_object_dies_around_a_start_starts_each_import_once(
    upstream: Upstream, tmp_path: Path, held: str
) -> None:
    """It dies before the engine has its jobs, or before it has noted so."""
    isbns = await upstream.make(3)
    async with scripted_world(upstream, tmp_path) as here:
        for isbn in isbns:
            await script(here, isbn, {"upload-cover": ["pause 60"]})
        await hold_at(here, held)
        batch_id = await start_batch(here, isbns)
        job_ids = [await only_job(here, isbn) for isbn in isbns]
        if held != "start_all":
            for job_id in job_ids:
                await reached(here, job_id, step="upload-cover")

        await here.bench.order("kill")
        await back(here)
        await set_going(here, job_ids)
        await counted(here, batch_id, lambda counts: counts["completed"] == 3)
        stories = [await here.story(job_id) for job_id in job_ids]

    assert [told(story).count("metadata_fetched") for story in stories] == [1, 1, 1]
    assert [told(story).count("completed") for story in stories] == [1, 1, 1]


async def test_a_batch_whose_object_dies_before_a_retry_retries_all_the_same(
    upstream: Upstream, tmp_path: Path
) -> None:
    isbns = await upstream.make(2)
    async with scripted_world(upstream, tmp_path) as here:
        await script(
            here, isbns[0], {"save-to-database": ["refuse"], "save-to-fallback": ["refuse"]}
        )
        batch_id = await start_batch(here, isbns)
        await counted(here, batch_id, lambda counts: counts["failed"] + counts["completed"] == 2)
        to_retry = (await items_of(here, batch_id))[0]["jobId"]
        await hold_at(here, "restart")
        assert (await here.ask("POST", f"/v2/import/batch/{batch_id}/retry"))[0] == 202
        await reached(here, to_retry, status="queued")

        await here.bench.order("kill")
        await back(here)
        await counted(here, batch_id, lambda counts: counts["completed"] == 2)
        story = await here.story(to_retry)

    assert told(story).count("completed") == 1
    assert told(story).count("metadata_fetched") == 1, "the retry kept what was done"


async def counted(
    here: World, batch_id: str, is_reached: Callable[[dict[str, int]], bool]
) -> dict[str, Any]:
    """The batch, once its counts are so; asking sets its object's alarm again, which a local
    runtime loses when it is killed.
    """
    async with asyncio.timeout(240):
        while True:
            _, answer = await here.ask("GET", f"/v2/import/batch/{batch_id}")
            if is_reached(answer["data"]["counts"]):
                return answer["data"]
            await asyncio.sleep(0.2)


async def items_of(here: World, batch_id: str) -> list[dict[str, Any]]:
    _, answer = await here.ask("GET", f"/v2/import/batch/{batch_id}/items?limit=200")
    return answer["data"]["items"]


async def batch_story(here: World, batch_id: str) -> list[dict[str, Any]]:
    async with here.http.get(f"/v2/import/batch/{batch_id}/events") as answer:
        lines = (await answer.text()).splitlines()
    return [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data:")]
