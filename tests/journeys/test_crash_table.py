"""The table "When the process is killed" in the docs, row by row: each is really killed there.

Every row for imports that complete, fail, are cancelled and are retried, by both methods. In each
of them the first try fails, so that there is a retry wait to die in.
"""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_crash import (
    ISBN,
    Server,
    get,
    post,
    stack,
    story,
    until_the_engine_has_ended_all,
    until_told,
)

from bookline.methods import legacy_room
from bookline_sandbox import Sandbox

DOCS = Path(__file__).parents[2] / "docs" / "the-way-of-an-import.md"
PLACES = {
    "before the job is kept": "unopened",
    "after it is kept, before the engine knows": "opened",
    "after the engine knows, before the claim": "unclaimed",
    "after the claim": "claimed",
    "after a try was marked, or in its effect": "before",
    "after the effect, before its record": "after",
    "after the record, before its event": "recorded",
    "after the event": "told",
    "in a retry wait": "waiting",
    "after the last record, before the end": "ending",
    "after the end, before the engine's outcome": "ended",
}
"""Row of the table → where crashing_server.py dies."""
METHODS = ("workflow", "legacy") if legacy_room() else ("workflow",)
ENDS = ("completed", "failed", "cancelled", "retried")
MOST_ASKED = {"completed": 3, "failed": 7, "cancelled": 3, "retried": 6}
"""Questions to Google Books: each try once (an unknown ISBN takes three), and one try that died."""
ONLY_IN_THE_RETRY = {"told", "waiting"}  # the run before it passes all other places, too


def test_each_row_of_the_docs_table_is_killed_at_and_no_other() -> None:
    table = DOCS.read_text("utf-8").partition("## When the process is killed")[2]
    rows = [
        line.split("|")[1].strip() for line in table.partition("## ")[0].splitlines() if "|" in line
    ]

    assert rows[2:] == list(PLACES)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("row", PLACES)
async def test_a_kill_loses_and_doubles_nothing(
    tmp_path: Path, row: str, end: str, method: str
) -> None:
    edge = PLACES[row]
    nth = 2 if end == "retried" and edge not in ONLY_IN_THE_RETRY else 1
    scale = "10" if end == "cancelled" else "0.3"
    place = ("fetch-metadata", edge, str(nth))
    async with stack(tmp_path, *place, RETRY_SCALE=scale) as (sandbox, server, client):
        job_id = await act(sandbox, server, client, end=end, method=method, edge=edge)
        assert await server.death() == -9
        await server.start()

        job_id = await ask_again(server, client, job_id, end=end, method=method)
        events = await story(client, server.url, job_id)

        jobs = (await get(client, f"{server.url}/v2/import/jobs"))["items"]
        assert [(job["jobId"], job["method"]) for job in jobs] == [(job_id, method)]
        check(events, end)
        asked = sandbox.counts.get(ISBN, {}).get("google_books", 0)
        assert asked <= MOST_ASKED[end]
        await until_the_engine_has_ended_all(tmp_path)
        await check_what_may_follow(sandbox, server, client, job_id, events, jobs[0]["status"])


async def act(
    sandbox: Sandbox,
    server: Server,
    client: aiohttp.ClientSession,
    *,
    end: str,
    method: str,
    edge: str,
) -> str | None:
    """Lets it go on until it dies. The job's id, where the server still said it."""
    job_id = None
    if end == "retried":
        fault(sandbox, "not_found", 99)
        job_id = await start(server, client, method)
        assert job_id is not None
        assert (await story(client, server.url, job_id))[-1]["status"] == "failed"
        sandbox.faults.clear()
    fault(sandbox, "503", 99 if end == "cancelled" else 1)
    if end == "failed":
        fault(sandbox, "not_found", 99)
    if end == "retried":
        with contextlib.suppress(aiohttp.ClientError):
            await post(client, f"{server.url}/v2/import/retry/{job_id}")
        return job_id
    job_id = await start(server, client, method)
    if end == "cancelled" and edge in {"ending", "ended"}:
        await until_told(client, server.url, job_id, "workflow_retry")
        with contextlib.suppress(aiohttp.ClientError):
            await post(client, f"{server.url}/v2/import/cancel/{job_id}")
    return job_id


async def ask_again(
    server: Server, client: aiohttp.ClientSession, job_id: str | None, *, end: str, method: str
) -> str:
    """As a client does that may have had no answer: the same question, with the same key."""
    if end == "retried":
        status = await get(client, f"{server.url}/v2/import/status/{job_id}")
        if status["status"] == "failed":  # the retry was not kept
            assert (await post(client, f"{server.url}/v2/import/retry/{job_id}"))[0] == 202
    again = await start(server, client, method) if end != "retried" else job_id
    assert again is not None
    assert job_id in {None, again}
    if end == "cancelled":
        status = await get(client, f"{server.url}/v2/import/status/{again}")
        if status["status"] != "cancelled":
            answered, _ = await post(client, f"{server.url}/v2/import/cancel/{again}")
            assert answered in {202, 409}  # its end may just be written anew
    return again


async def start(server: Server, client: aiohttp.ClientSession, method: str) -> str | None:
    order = {"isbn": ISBN, "source": "google_books", "method": method}
    key = {"Idempotency-Key": "the-same-each-time"}
    try:
        async with client.post(f"{server.url}/v2/import", json=order, headers=key) as answer:
            assert answer.status == 202, await answer.text()
            job_id: str = (await answer.json())["data"]["jobId"]
            return job_id
    except aiohttp.ClientError:
        return None


def fault(sandbox: Sandbox, kind: str, times: int) -> None:
    sandbox.faults.add(route="google_books", kind=kind, isbn=ISBN, times=times)


def check(events: list[dict[str, Any]], end: str) -> None:
    """Gapless, each thing once, one end a run."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    told = Counter(event["status"] for event in events if event["type"] == "workflow_progress")
    ends = {"retried": ["failed", "completed"]}.get(end, [end])
    assert [event["status"] for event in events if event["status"] in ENDS] == ends
    assert set(told.values()) == {1}
    tries = [event["data"]["attempt"] for event in events if event["type"] == "workflow_retry"]
    assert tries == sorted(set(tries))


async def check_what_may_follow(
    sandbox: Sandbox,
    server: Server,
    client: aiohttp.ClientSession,
    job_id: str,
    events: list[dict[str, Any]],
    status: str,
) -> None:
    """A book is there; a failed job can be retried at once; a cancelled one stays as it is."""
    sandbox.faults.clear()
    answered, _ = await post(client, f"{server.url}/v2/import/retry/{job_id}")
    assert answered == (202 if status == "failed" else 409)
    after = await story(client, server.url, job_id)
    if status != "failed":
        assert after == events
    assert after[-1]["status"] == ("cancelled" if status == "cancelled" else "completed")
    if status != "cancelled":
        book = await get(client, f"{server.url}/v2/books/{ISBN}")
        assert book["cover"] is not None
        assert book["embedding"] is not None
