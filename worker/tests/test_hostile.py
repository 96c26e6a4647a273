"""What a provider or a caller sends cannot end the interpreter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from worlds import Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEEP = b"[" * 100_000


@asynccontextmanager
async def provider(body: bytes) -> AsyncIterator[str]:
    """An Open Library that answers everything with this."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_nested_json_ends_one_import_and_no_other(upstream: Upstream) -> None:
    [isbn] = await upstream.make(1, known_by=["google_books"])
    async with provider(DEEP) as url, world(upstream, vars={"OPENLIBRARY_URL": url}) as here:
        bad = await here.end(await here.start(isbn, source="openlibrary"))

        good = await here.end(await here.start(isbn, source="google_books"))

    assert (bad["status"], bad["error"]["code"]) == ("failed", "PROVIDER_ERROR")
    assert good["status"] == "completed"


@pytest.mark.parametrize("body", [b"[" * 16_000, b'{"isbn":' * 1_900, b"\xff", b"", b"[]"])
async def test_a_callers_body_is_refused(here: World, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    status, answer = await here.ask("POST", "/v2/import/workflow", data=body, headers=headers)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_body_that_is_too_large_is_refused(here: World) -> None:
    status, answer = await here.ask("POST", "/v2/import/workflow", json={"isbn": "x" * 20_000})

    assert (status, answer["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_hundred_requests_for_jobs_that_nobody_knows_keep_nothing(here: World) -> None:
    answers = await asyncio.gather(
        *(here.ask("GET", f"/v2/import/status/import-guess-{number}") for number in range(100))
    )

    assert {(status, answer["error"]["code"]) for status, answer in answers} == {
        (404, "JOB_NOT_FOUND")
    }
