"""Starting and ending the sandbox."""

import asyncio
import json
import signal
import sys
import time

import aiohttp
import pytest

from bookline_sandbox import BadRule, Sandbox, serve

BOOK = "9780451524935"


async def status(http: aiohttp.ClientSession) -> int:
    async with http.get(f"/isbndb/book/{BOOK}") as answer:
        return answer.status


async def test_it_closes_at_once_even_with_a_hanging_request() -> None:
    async with aiohttp.ClientSession() as http:
        async with Sandbox() as sandbox:
            sandbox.faults.add(kind="hang")
            hanging = asyncio.create_task(http.get(f"{sandbox.url}/isbndb/book/{BOOK}"))
            while not sandbox.requests:
                await asyncio.sleep(0.001)

        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_its_settings_lead_to_it() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession() as http:
        settings = sandbox.settings()
        url = f"{settings['BOOKLINE_ISBNDB_URL']}/book/{BOOK}"

        async with http.get(url) as answer:
            image = (await answer.json())["book"]["image"]

    assert image.startswith(f"http://{settings['BOOKLINE_COVER_HOSTS']}/")
    assert settings["BOOKLINE_ALLOW_PRIVATE_COVERS"] == "on"


async def test_latency_delays_every_answer() -> None:
    async with Sandbox(latency_ms=40) as sandbox, aiohttp.ClientSession(sandbox.url) as http:
        start = time.monotonic()
        assert await status(http) == 200

    assert time.monotonic() - start >= 0.04


async def test_serve_runs_until_cancelled() -> None:
    ready: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(faults=[{"kind": "503"}], ready=ready.set_result))
    sandbox = await ready

    async with aiohttp.ClientSession(sandbox.url) as http:
        assert await status(http) == 503
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_serve_refuses_a_bad_rule() -> None:
    with pytest.raises(BadRule):
        await serve(faults=[{"kind": "explode"}])


async def test_it_listens_on_this_machine_only() -> None:
    with pytest.raises(ValueError, match="this machine only"):
        await Sandbox(host="0.0.0.0").__aenter__()


async def test_a_taken_port_is_told() -> None:
    async with Sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])

        with pytest.raises(OSError, match="in use"):
            await Sandbox(port=port).__aenter__()


async def test_as_a_process_it_says_where_it_is_and_ends_on_a_signal() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline_sandbox", "--port", "0", "--fault", '{"kind": "404"}',
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    url = json.loads(await process.stdout.readline())["url"]

    async with aiohttp.ClientSession(url) as http:
        assert await status(http) == 404
    process.send_signal(signal.SIGTERM)

    assert await process.wait() == 0
