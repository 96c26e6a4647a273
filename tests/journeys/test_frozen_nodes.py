"""A node that is frozen at an edge of a step, and wakes when others have done its work: no harm.

Frozen for real (SIGSTOP), in a place that the process reaches by itself. The nodes beat more often
than usual, so that the others need not be waited for.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stack import PATIENCE_SECONDS, Server, seqs, server, statuses
from test_crash import MILESTONES, SIDE_BY_SIDE, STEPS

from bookline_sandbox import Sandbox

HERE = Path(__file__).parent
ISBN = "9780451524935"
AWAKE_SECONDS = 2.0  # what it was about to do is done or refused by then
QUICK = """
from bookline.engine import leases
leases.BEAT_SECONDS, leases.DEAD_SECONDS = 0.3, 1.5
"""
FREEZE = """
import signal, sys
from pathlib import Path
sys.path.append({here!r})
from crashing_server import Killer, arm
arm({step!r}, {edge!r}, Killer(Path("frozen"), {nth}, signal.SIGSTOP))
"""


@asynccontextmanager
async def two_nodes(
    sandbox: Sandbox, url: str, folder: Path, step: str, edge: str, nth: int = 1
) -> AsyncIterator[tuple[Server, Server]]:
    """One that will be frozen, and another one."""
    env = sandbox.settings() | {
        "BOOKLINE_DATABASE_URL": url,
        "BOOKLINE_OBJECT_STORE_URL": f"file://{folder}/covers",
        "BOOKLINE_RETRY_SCALE": "0.3",
    }
    before = QUICK + FREEZE.format(here=str(HERE), step=step, edge=edge, nth=nth)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(server(env, folder / "one", before=before))
        stack.callback(lambda: os.kill(one.pid, signal.SIGCONT))
        yield one, await stack.enter_async_context(server(env, folder / "other", before=QUICK))


async def until_frozen(node: Server) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.02)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


async def freeze_and_wake(one: Server, other: Server) -> list[dict[str, Any]]:
    """The import's story as the other node ended it; it is the same when the first is awake."""
    job_id = await begun(one)
    await until_frozen(one)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (items := (await other.get("/v2/import/jobs"))[1]["data"]["items"]):
            await asyncio.sleep(0.1)
        story = await other.story(job_id or items[0]["jobId"])

    os.kill(one.pid, signal.SIGCONT)
    await asyncio.sleep(AWAKE_SECONDS)

    job_id = items[0]["jobId"]
    assert await one.story(job_id) == await other.story(job_id) == story
    assert (await one.job(job_id)) == (await other.job(job_id))
    assert seqs(story) == list(range(1, len(story) + 1))
    assert statuses(story) == MILESTONES
    return story


async def begun(node: Server) -> str | None:
    """Its job; None if the node froze before it answered."""
    try:
        async with asyncio.timeout(2):
            return str((await node.begin(ISBN, source="google_books"))["jobId"])
    except TimeoutError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("edge", ["before", "after", "recorded"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_node_frozen_at_any_edge_of_any_step_is_refused_when_it_wakes(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path, step: str, edge: str
) -> None:
    beside = SIDE_BY_SIDE - {step} if step in SIDE_BY_SIDE else set()
    async with two_nodes(sandbox, postgres_url, tmp_path, step, edge) as (one, other):
        story = await freeze_and_wake(one, other)
        book = (await other.get(f"/v2/books/{ISBN}"))[1]["data"]
        counted = (await other.get("/v2/metrics/imports?window=7d"))[1]["data"]
        works = await one.finished(sandbox.make(1)[0])

    retried = Counter(one["data"]["step"] for one in story if one["type"] == "workflow_retry")
    assert sum(one["type"] == "workflow_resumed" for one in story) == 1
    assert retried[step] == (0 if edge == "recorded" else 1)  # the try counts
    assert all(retried[name] <= (name in beside) for name in retried if name != step)
    assert book["cover"] is not None
    assert book["embedding"] is not None
    assert counted["methods"]["workflow"]["byOutcome"]["done"] == 1
    # What was about to be asked when it froze is asked when it wakes, and its answer refused.
    assert sandbox.counts[ISBN]["google_books"] <= (2 if step == "fetch-metadata" else 1)
    assert sandbox.counts[ISBN]["covers"] <= (2 if step in SIDE_BY_SIDE else 1)
    assert works["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("edge", ["opened", "ending", "ended"])
async def test_a_node_frozen_around_the_first_and_the_last_write_is_refused_when_it_wakes(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path, edge: str
) -> None:
    async with two_nodes(sandbox, postgres_url, tmp_path, "-", edge) as (one, other):
        await freeze_and_wake(one, other)
        counted = (await other.get("/v2/metrics/imports?window=7d"))[1]["data"]

    assert counted["methods"]["workflow"]["byOutcome"]["done"] == 1
    assert sandbox.counts[ISBN] == {"google_books": 1, "covers": 1}


@pytest.mark.slow
async def test_a_node_frozen_in_a_retry_wait_is_refused_when_it_wakes(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    sandbox.faults.add(kind="503", isbn=ISBN, route="google_books", times=1)
    place = ("fetch-metadata", "waiting")
    async with two_nodes(sandbox, postgres_url, tmp_path, *place) as (one, other):
        story = await freeze_and_wake(one, other)

    retries = [one["data"] for one in story if one["type"] == "workflow_retry"]
    assert [(one["step"], one["attempt"]) for one in retries] == [("fetch-metadata", 1)]
    assert sandbox.counts[ISBN]["google_books"] == 2
