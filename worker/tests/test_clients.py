"""Bookline's own clients work against the Worker as they are."""

import asyncio
import json
import subprocess

import pytest

from benching import NODE, WORKER
from bookline.client import BooklineClient
from worlds import Upstream, World

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLIENT_JS = WORKER.parent / "src" / "bookline" / "page" / "client.js"


@pytest.mark.parametrize("way", ["socket", "stream"])
async def test_client_js_starts_and_follows_an_import(
    here: World, upstream: Upstream, way: str
) -> None:
    [isbn] = await upstream.make(1)
    forget = "delete globalThis.WebSocket;" if way == "stream" else ""
    script = f"""
        {forget}
        const {{ createClient }} = await import({json.dumps(CLIENT_JS.as_uri())});
        const client = createClient({{ baseUrl: {json.dumps(here.bench.url)} }});
        const {{ jobId, token }} = await client.startImport({json.dumps(isbn)});
        const seen = [];
        const onEvent = (event) => seen.push(event.seq);
        const {{ reason }} = await client.follow(jobId, {{ token, onEvent }});
        const {{ status }} = await client.getStatus(jobId);
        console.log(JSON.stringify({{ reason, seen, status }}));
    """

    done = await asyncio.to_thread(
        subprocess.run, [NODE, "--input-type=module", "--eval", script],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2_000:]
    assert json.loads(done.stdout) == {
        "reason": "over", "seen": [1, 2, 3, 4, 5], "status": "completed",
    }  # fmt: skip


async def test_the_python_client_starts_and_follows_an_import(
    here: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)

    async with BooklineClient(here.bench.url) as client:
        started = await client.start(isbn)
        seen = [event.seq async for event in client.follow(started.job_id)]
        status = await client.status(started.job_id)
        book = await client.book(isbn)
        cover = await client.cover(isbn)

    assert seen == [1, 2, 3, 4, 5]
    assert status["status"] == "completed"
    assert (book["isbn"], cover[:2]) == (isbn, b"\xff\xd8")
