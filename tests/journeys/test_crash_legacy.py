"""The legacy importer carries on after a kill as the workflow does, and side by side with it.

Real processes, really killed (SIGKILL). The cases are test_crash.py's, the importer is the other.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from test_crash import ISBN, begin, check_story, get, only_job, stack, story

pytest.importorskip("bookline.migration.legacy")


@pytest.mark.parametrize(
    ("step", "edge"),
    [
        pytest.param("fetch-metadata", "before", marks=pytest.mark.slow),
        ("fetch-metadata", "recorded"),
        pytest.param("upload-cover", "after", marks=pytest.mark.slow),
        pytest.param("upload-cover", "recorded", marks=pytest.mark.slow),
        pytest.param("generate-embedding", "before", marks=pytest.mark.slow),
        ("save-to-database", "after"),
        pytest.param("save-to-database", "recorded", marks=pytest.mark.slow),
    ],
)
async def test_a_kill_at_the_edges_of_its_steps_loses_and_doubles_nothing(
    tmp_path: Path, step: str, edge: str
) -> None:
    async with stack(tmp_path, step, edge, "1") as (sandbox, server, client):
        await begin(client, server.url, method="legacy")
        assert await server.death() == -9
        await server.start()

        job_id = await only_job(client, server.url)
        events = await story(client, server.url, job_id)
        job = await get(client, f"{server.url}/v2/import/status/{job_id}")
        book = await get(client, f"{server.url}/v2/books/{ISBN}")

        check_story(events)
        types = Counter(event["type"] for event in events)
        assert types["workflow_resumed"] == 1
        assert types["workflow_retry"] == (0 if edge == "recorded" else 1)  # the try counts
        assert (job["status"], job["method"]) == ("completed", "legacy")
        assert book["cover"] is not None
        assert book["embedding"] is not None
        assert sandbox.counts[ISBN]["google_books"] == 1
        is_done_again = step == "upload-cover" and edge == "after"
        assert sandbox.counts[ISBN]["covers"] == (2 if is_done_again else 1)


@pytest.mark.parametrize(
    "edge",
    ["opened", *(pytest.param(edge, marks=pytest.mark.slow) for edge in ("ending", "ended"))],
)
async def test_a_kill_around_its_first_and_last_write_loses_nothing(
    tmp_path: Path, edge: str
) -> None:
    async with stack(tmp_path, "-", edge, "1") as (sandbox, server, client):
        await begin(client, server.url, method="legacy")
        assert await server.death() == -9
        await server.start()

        jobs = await get(client, f"{server.url}/v2/import/jobs")
        assert [job["method"] for job in jobs["items"]] == ["legacy"]
        events = await story(client, server.url, jobs["items"][0]["jobId"])

        check_story(events)
        assert sandbox.counts[ISBN] == {"google_books": 1, "covers": 1}


async def test_a_kill_in_its_retry_wait_forgets_neither_tries_nor_the_wait(tmp_path: Path) -> None:
    async with stack(tmp_path, "fetch-metadata", "waiting", "2") as (sandbox, server, client):
        sandbox.faults.add(isbn=ISBN, times=2, route="google_books", kind="503")
        await begin(client, server.url, method="legacy")
        assert await server.death() == -9
        await server.start()

        job_id = await only_job(client, server.url)
        events = await story(client, server.url, job_id)

        check_story(events)
        retries = [event["data"] for event in events if event["type"] == "workflow_retry"]
        assert [retry["attempt"] for retry in retries] == [1, 2]
        assert sandbox.counts[ISBN]["google_books"] == 3


async def test_a_kill_in_the_middle_of_both_methods_is_counted_once_each(tmp_path: Path) -> None:
    async with stack(tmp_path, "upload-cover", "after", "12") as (sandbox, server, client):
        isbns = sandbox.make(30)
        methods = dict(zip(isbns, ["workflow", "legacy"] * 15, strict=True))
        await asyncio.gather(
            *(begin(client, server.url, isbn, method) for isbn, method in methods.items())
        )
        assert await server.death() == -9
        await server.start()

        jobs = (await get(client, f"{server.url}/v2/import/jobs?limit=100"))["items"]
        stories = await asyncio.gather(*(story(client, server.url, job["jobId"]) for job in jobs))
        for isbn in set(isbns) - {job["isbn"] for job in jobs}:
            job_id = await begin(client, server.url, isbn, methods[isbn])
            assert job_id is not None
            stories.append(await story(client, server.url, job_id))

        for events in stories:
            check_story(events)
        resumed = sum(event["type"] == "workflow_resumed" for told in stories for event in told)
        assert resumed > 2, "the kill came in the middle of several imports"
        books = (await get(client, f"{server.url}/v2/books?limit=100"))["items"]
        assert sorted(book["isbn"] for book in books) == sorted(isbns)
        told = await get(client, f"{server.url}/v2/metrics/imports?window=1h")
        for method in ("workflow", "legacy"):
            assert told["methods"][method]["count"] == 15
            assert told["methods"][method]["byOutcome"]["done"] == 15
        rollout = await get(client, f"{server.url}/v2/rollout")
        assert rollout["open"] == {"workflow": 0, "legacy": 0}
        gates = {gate["gate"]: gate["value"] for gate in rollout["gates"]}
        assert (gates["lost"], gates["doubled"]) == (0, 0)
