"""The client of a server, against a server that misbehaves on purpose."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bookline.cli import client as clients
from bookline.cli.client import ServerClient, Unreachable, connect, find_server
from bookline.errors import Refused, TryLater

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
JOB = "import-9780451524935-1-x"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(clients, "PATIENCE_SECONDS", 0.2)


@asynccontextmanager
async def served(answer: Answer, key: str | None = None) -> AsyncIterator[tuple[ServerClient, Any]]:
    """A client of a server that answers everything by ``answer``, and the notices it gave."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    notices: list[str] = []
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        async with connect(url, key, notices.append) as client:
            yield client, notices


def success(data: Any) -> web.Response:
    return web.json_response({"success": True, "data": data, "metadata": {}})


def failure(status: int, code: str, **headers: str) -> web.Response:
    error = {"code": code, "message": code.lower(), "retryable": False}
    body = {"success": False, "data": None, "error": error, "metadata": {}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, headers=named)


def event(seq: int, status: str) -> bytes:
    message = {"type": "workflow_progress", "seq": seq, "status": status, "data": {}}
    return f"id: {seq}\ndata: {json.dumps(message)}\n\n".encode()


async def test_a_broken_stream_goes_on_where_it_was() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Last-Event-ID"])
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        if len(asked) == 1:
            await stream.write(event(1, "started") + b'data: {"type": "ping"}\n\nid: 2\ndata: {"ty')
            assert request.transport is not None
            request.transport.abort()
        else:
            await stream.write(event(2, "metadata_fetched") + event(3, "completed"))
        return stream

    async with served(answer) as (client, notices):
        told = [message["seq"] async for message in client.follow(JOB)]

    assert told == [1, 2, 3]
    assert asked == ["0", "1"]
    assert notices[-1].endswith("is back")


async def test_a_stream_whose_end_is_known_is_over() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async with served(answer) as (client, _):
        assert [message async for message in client.follow(JOB)] == []


async def test_slow_down_is_obeyed_and_said_once() -> None:
    answers = [failure(429, "RATE_LIMIT_EXCEEDED", Retry_After="0") for _ in range(3)]
    keys: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        keys.add(request.headers["Idempotency-Key"])
        return answers.pop() if answers else success({"jobId": JOB})

    async with served(answer) as (client, notices):
        started = await client.start("9780451524935", "auto")

    assert started["jobId"] == JOB
    assert len(keys) == 1
    assert len(notices) == 1


async def test_a_server_that_is_starting_is_waited_for() -> None:
    answers: list[web.StreamResponse] = [
        failure(503, "UNAVAILABLE", Retry_After="5"),
        web.Response(status=502, text="<h1>Bad Gateway</h1>"),
    ]

    async def answer(request: web.Request) -> web.StreamResponse:
        return answers.pop() if answers else success({"status": "running"})

    async with served(answer) as (client, notices):
        assert await client.job(JOB) == {"status": "running"}

    assert len(notices) == 2


async def test_patience_has_an_end() -> None:
    async with connect("http://127.0.0.1:9", None, lambda text: None) as client:
        with pytest.raises(Unreachable):
            await client.job(JOB)


async def test_an_error_keeps_its_code() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return failure(404, "JOB_NOT_FOUND")

    async with served(answer) as (client, _):
        with pytest.raises(Refused) as caught:
            await client.job(JOB)

    assert caught.value.code == "JOB_NOT_FOUND"


async def test_what_is_no_bookline_is_told_as_such() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    async with served(answer) as (client, _):
        with pytest.raises(TryLater, match="no Bookline"):
            await client.job(JOB)
        assert not await find_server(client._url)


async def test_the_key_goes_along() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return success({"bearer": request.headers.get("Authorization")})

    async with served(answer, "secret") as (client, _):
        assert (await client.job(JOB))["bearer"] == "Bearer secret"
