"""Two nodes on one PostgreSQL: what one does the other shows, and a dead one's imports go on."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from stack import PATIENCE_SECONDS, Server, seqs, server, statuses
from websockets.exceptions import InvalidStatus

from bookline_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
ISBN = "9780451524935"
MILESTONES = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]
CONNECTIONS_OF_A_NODE = 10  # docs/scale.md


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


HEADERS = {"Authorization": "Bearer a-key-of-16-characters"}


@pytest.fixture
def env(sandbox: Sandbox, postgres_url: str, tmp_path: Path) -> dict[str, str]:
    return sandbox.settings() | {
        "BOOKLINE_DATABASE_URL": postgres_url,
        "BOOKLINE_OBJECT_STORE_URL": f"file://{tmp_path}/covers",
        "BOOKLINE_API_KEYS": "a-key-of-16-characters",
    }


@pytest.fixture
async def nodes(env: dict[str, str], tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    async with (
        server(env, tmp_path / "one", headers=HEADERS) as one,
        server(env, tmp_path / "other", headers=HEADERS) as other,
    ):
        yield one, other


def waits_for_long(sandbox: Sandbox, isbn: str) -> None:
    sandbox.faults.add(kind="503", retry_after=60, isbn=isbn, route="google_books", times=None)


async def test_what_one_node_imports_every_node_shows(nodes: tuple[Server, Server]) -> None:
    one, other = nodes
    started = await one.begin(ISBN)

    story = await other.story(started["jobId"])

    assert statuses(story) == MILESTONES
    assert seqs(story) == [1, 2, 3, 4, 5]
    assert (await other.job(started["jobId"]))["status"] == "completed"
    status, answer, _ = await other.get(f"/v2/books/{ISBN}")
    assert (status, answer["data"]["isbn"]) == (200, ISBN)
    assert (await other.http.get(f"{other.url}/v2/covers/{ISBN}")).status == 200
    status, answer, _ = await other.get("/v2/books/search", params={"q": "orwell"})
    assert [item["book"]["isbn"] for item in answer["data"]["items"]] == [ISBN]


async def test_a_node_makes_the_index_of_a_large_library_when_it_starts(
    env: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    large = "from bookline.stores import vector_index\nvector_index.LARGE = 1"
    made = "SELECT 1 FROM pg_index WHERE indisvalid AND indexrelid = to_regclass(%s)"
    async with server(env, tmp_path / "one", headers=HEADERS) as node:
        await node.finished(ISBN)
    async with (
        server(env, tmp_path / "other", headers=HEADERS, before=large) as node,
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            while not connection.execute(made, ("bookline.vectors_near_256",)).fetchall():
                await asyncio.sleep(0.1)
        _, answer, _ = await node.get("/v2/books/search", params={"q": "a novel by george orwell"})

    [found] = answer["data"]["items"]
    assert (found["book"]["isbn"], found["match"]) == (ISBN, "meaning")


async def test_a_token_of_one_node_opens_a_story_at_the_other(nodes: tuple[Server, Server]) -> None:
    one, other = nodes
    started = await one.begin(ISBN)

    without = {"Authorization": ""}
    answer = await other.http.get(
        f"{other.url}/v2/import/events/{started['jobId']}?token={started['token']}",
        headers=without,
    )

    assert answer.status == 200
    answer.close()


async def test_a_cancel_at_one_node_ends_what_the_other_runs(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = nodes
    waits_for_long(sandbox, ISBN)
    started = await one.begin(ISBN, source="google_books")
    await one.until(started["jobId"], "running")

    status, _, _ = await other.post(f"/v2/import/cancel/{started['jobId']}")

    assert status == 202
    assert (await other.until(started["jobId"], "cancelled"))["status"] == "cancelled"


async def test_a_dead_nodes_imports_go_on_at_the_other(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = nodes
    sandbox.faults.add(kind="hang", isbn=ISBN, route="google_books")
    job_id = (await one.begin(ISBN, source="google_books"))["jobId"]
    while (await one.job(job_id))["lastEvent"] is None:  # it has begun
        await asyncio.sleep(0.02)

    await one.kill()
    sandbox.faults.clear()
    story = await other.story(job_id)

    assert statuses(story) == MILESTONES
    assert seqs(story) == list(range(1, len(story) + 1))
    assert [m["data"]["by"] for m in story if m["type"] == "workflow_resumed"] == ["restart"]


@pytest.mark.slow
async def test_a_frozen_node_that_wakes_does_no_harm(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    """Frozen in all places at once: before, in and after tries, with what it ran done elsewhere."""
    one, other = nodes
    isbns = sandbox.make(20)
    for place, isbn in enumerate(isbns):
        sandbox.faults.add(kind="delay", ms=50 * place, isbn=isbn, route="google_books")
    jobs = [(await one.begin(isbn))["jobId"] for isbn in isbns]

    os.kill(one.pid, signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE_SECONDS):
        stories = [await other.story(job_id) for job_id in jobs]
    os.kill(one.pid, signal.SIGCONT)
    await asyncio.sleep(5.0)

    for job_id, story in zip(jobs, stories, strict=True):
        assert statuses(story) == MILESTONES
        assert seqs(story) == list(range(1, len(story) + 1))
        assert await other.story(job_id) == await one.story(job_id) == story
    await one.finished(sandbox.make(1)[0])  # it works on


async def test_a_node_that_ends_in_good_order_hands_its_imports_over(
    nodes: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = nodes
    sandbox.faults.add(kind="hang", isbn=ISBN, route="google_books")
    job_id = (await one.begin(ISBN, source="google_books"))["jobId"]
    await one.until(job_id, "running")

    assert await one.stop() == 0
    sandbox.faults.clear()

    assert (await other.until(job_id, "completed"))["attempt"] == 1


async def test_an_api_node_takes_imports_and_a_worker_does_them(
    env: dict[str, str], tmp_path: Path
) -> None:
    async with server(env, tmp_path / "api", headers=HEADERS, options=["--role", "api"]) as api:
        started = await api.begin(ISBN)
        await asyncio.sleep(1.0)
        assert (await api.job(started["jobId"]))["status"] == "queued"

        role = ["--role", "worker"]
        async with server(env, tmp_path / "worker", headers=HEADERS, options=role) as worker:
            story = await api.story(started["jobId"])
            asked = {
                path: (await worker.get(path))[0]
                for path in ("/healthz", "/readyz", "/metrics", "/v2/books", "/")
            }
            with pytest.raises(InvalidStatus, match="403"):
                await worker.heard(started["jobId"])

    assert statuses(story) == MILESTONES
    assert asked == {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v2/books": 404, "/": 404}


@pytest.mark.parametrize("method", ["workflow", "legacy"])
async def test_a_failed_import_that_is_retried_at_an_api_node_goes_on_at_a_worker(
    env: dict[str, str], tmp_path: Path, sandbox: Sandbox, method: str
) -> None:
    if method == "legacy":
        pytest.importorskip("bookline.migration.legacy")
    sandbox.faults.add(kind="wrong_key", isbn=ISBN, route="google_books")
    async with (
        server(env, tmp_path / "api", headers=HEADERS, options=["--role", "api"]) as api,
        server(env, tmp_path / "worker", headers=HEADERS, options=["--role", "worker"]),
    ):
        body = {"isbn": ISBN, "source": "google_books", "method": method}
        job_id = (await api.post("/v2/import", body))[1]["data"]["jobId"]
        await api.until(job_id, "failed")

        assert (await api.post(f"/v2/import/retry/{job_id}"))[0] == 202

        assert (await api.until(job_id, "completed"))["status"] == "completed"


@pytest.mark.slow
async def test_a_short_chaos_of_three_nodes_loses_and_doubles_nothing() -> None:
    """The whole of it takes a quarter of an hour: ``python benchmarks/chaos.py``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "benchmarks" / "chaos.py"),
        "--seconds", "25", "--imports", "40", "--batch", "100",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert b"nothing lost, nothing doubled" in said


async def test_a_node_takes_ten_connections(
    nodes: tuple[Server, Server], sandbox: Sandbox, postgres_url: str
) -> None:
    """As docs/scale.md says: however many imports, lists and searches it is asked for."""
    one, other = nodes
    await asyncio.gather(*(one.finished(isbn) for isbn in sandbox.make(20)))
    await asyncio.gather(*(one.get("/v2/books/search", params={"q": "a"}) for _ in range(20)))
    await other.stop()

    with psycopg.connect(postgres_url) as asking:
        rows = asking.execute(
            """SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND pid != pg_backend_pid()"""
        ).fetchall()

    assert 5 < len(rows) <= CONNECTIONS_OF_A_NODE
