"""The client of a server, against a server that misbehaves on purpose."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bookline.cli.opening import find_server
from bookline.client import (
    BooklineClient,
    Progress,
    Resumed,
    Retry,
    Unknown,
    Unreachable,
    Warned,
    connection,
    read_event,
)
from bookline.errors import Refused, TryLater

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
JOB = "import-9780451524935-1-x"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PAUSE_SECONDS", 0.01)


@asynccontextmanager
async def served(
    answer: Answer, key: str | None = None
) -> AsyncIterator[tuple[BooklineClient, Any]]:
    """A client of a server that answers everything by ``answer``, and the notices it gave."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    notices: list[str] = []
    async with TestServer(app) as server:
        url = str(server.make_url(""))
        async with BooklineClient(url, key, notice=notices.append) as client:
            yield client, notices


def success(data: Any) -> web.Response:
    return web.json_response({"success": True, "data": data, "metadata": {}})


def failure(status: int, code: str, **headers: str) -> web.Response:
    error = {"code": code, "message": code.lower(), "retryable": False}
    body = {"success": False, "data": None, "error": error, "metadata": {}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response(body, status=status, headers=named)


def message(kind: str, data: Any = None, seq: int = 7, **more: Any) -> dict[str, Any]:
    every = {"jobId": JOB, "timestamp": "2026-11-22T22:44:11.685Z", "status": None, "progress": 0.5}
    return {"type": kind, "seq": seq, **every, "data": data or {}, **more}


def event(seq: int, status: str, kind: str = "workflow_progress") -> bytes:
    told = message(kind, seq=seq, status=status)
    return f"id: {seq}\ndata: {json.dumps(told)}\n\n".encode()


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
        told = [event.seq async for event in client.follow(JOB)]

    assert told == [1, 2, 3]
    assert asked == ["0", "1"]
    assert notices[-1].endswith("is back")


async def test_a_stream_whose_end_is_known_is_over() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async with served(answer) as (client, _):
        assert [event async for event in client.follow(JOB)] == []


async def test_slow_down_is_obeyed_and_said_once() -> None:
    answers = [failure(429, "RATE_LIMIT_EXCEEDED", Retry_After="0") for _ in range(3)]
    keys: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        keys.add(request.headers["Idempotency-Key"])
        return (
            answers.pop()
            if answers
            else success({"jobId": JOB, "isbn": "9780451524935", "token": ""})
        )

    async with served(answer) as (client, notices):
        started = await client.start("9780451524935")

    assert started.job_id == JOB
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
        assert await client.status(JOB) == {"status": "running"}

    assert len(notices) == 2


async def test_patience_has_an_end() -> None:
    async with BooklineClient("http://127.0.0.1:9", patience_seconds=0.2) as client:
        with pytest.raises(Unreachable):
            await client.status(JOB)


async def test_an_error_keeps_its_code() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return failure(404, "JOB_NOT_FOUND")

    async with served(answer) as (client, _):
        with pytest.raises(Refused) as caught:
            await client.status(JOB)

    assert caught.value.code == "JOB_NOT_FOUND"


async def test_what_is_no_bookline_is_told_as_such() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    async with served(answer) as (client, _):
        with pytest.raises(TryLater, match="no Bookline"):
            await client.status(JOB)
        assert not await find_server(client.url)


async def test_the_key_goes_along() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return success({"bearer": request.headers.get("Authorization")})

    async with served(answer, "secret") as (client, _):
        assert (await client.status(JOB))["bearer"] == "Bearer secret"


# ------------------------------------------------------------------ events
def test_each_type_of_event_is_read_as_what_it_is() -> None:
    every: dict[str, Any] = {"job_id": JOB, "seq": 7, "at": "2026-11-22T22:44:11.685Z"}
    failed: dict[str, Any] = {"code": "PROVIDER_ERROR", "message": "Google Books answered 503"}
    where: dict[str, Any] = {"step": "fetch-metadata"}
    milestone = message("workflow_progress", {"isbn": "…"}, status="started", progress=0.0)
    retry = message("workflow_retry", where | {"attempt": 1, "delayMs": 1034, "error": failed})
    warned = message("workflow_warning", where | failed)
    resumed = message("workflow_resumed", {"by": "restart"})

    assert read_event(milestone) == Progress(
        **every, raw=milestone, status="started", progress=0.0, data={"isbn": "…"}
    )
    assert read_event(retry) == Retry(
        **every, raw=retry, **where, attempt=1, delay_seconds=1.034, **failed
    )
    assert read_event(warned) == Warned(**every, raw=warned, **where, **failed)
    assert read_event(resumed) == Resumed(**every, raw=resumed, by="restart")


@pytest.mark.parametrize(
    "odd",
    [
        message("workflow_paused", {"why": "the provider sleeps"}),
        message("workflow_retry", {"step": "fetch-metadata"}),
        message("workflow_resumed", ["restart"]),
        {"type": "workflow_progress", "seq": 7},
        {"seq": 7},
    ],
)
def test_what_a_newer_server_tells_is_unknown_and_no_error(odd: dict[str, Any]) -> None:
    told = read_event(odd)

    assert isinstance(told, Unknown)
    assert told.type == str(odd.get("type"))
    assert told.raw == odd


async def test_an_event_told_again_is_yielded_once_and_an_unknown_one_is_yielded() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(event(1, "started") + event(1, "started"))
        await stream.write(event(2, "", "workflow_paused") + event(3, "completed"))
        return stream

    async with served(answer) as (client, _):
        told = [(one.seq, type(one)) async for one in client.follow(JOB)]

    assert told == [(1, Progress), (2, Unknown), (3, Progress)]


async def test_a_token_and_the_seq_seen_last_go_along() -> None:
    asked: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append((request.query["token"], request.headers["Last-Event-ID"]))
        return web.Response(status=204)

    async with served(answer) as (client, _):
        assert [one async for one in client.follow(JOB, after=4, token="1.a+b")] == []

    assert asked == [("1.a+b", "4")]


async def test_a_stream_that_is_none_is_told_as_such() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<h1>Sign in</h1>", content_type="text/html")

    async with served(answer) as (client, _):
        with pytest.raises(TryLater, match="no Bookline"):
            await anext(client.follow(JOB))


async def test_a_name_stays_one_part_of_the_path() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return success({"path": request.raw_path})

    async with served(answer) as (client, _):
        assert (await client.status("../jobs?x"))["path"] == "/v2/import/status/..%2Fjobs%3Fx"


async def test_an_event_keeps_its_message_as_it_was_sent() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(event(1, "completed"))
        return stream

    async with served(answer) as (client, _):
        told = [one.raw async for one in client.follow(JOB)]

    assert told == [message("workflow_progress", seq=1, status="completed")]


# ------------------------------------------------------------------ moving over
CHANGES: dict[str, Callable[[BooklineClient], Awaitable[Any]]] = {
    "change": lambda client: client.change_rollout(incident="grey covers", reason="seen"),
    "advance": lambda client: client.advance_rollout("all quiet"),
    "rollback": lambda client: client.rollback_rollout("phones ring"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_the_rollout_is_never_sent_twice(change: str) -> None:
    """Two incidents, or two stages at once, would be worse than an error."""
    asked = 0

    async def hang_up(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with served(hang_up) as (client, _):
        with pytest.raises(Unreachable, match="the connection broke"):
            await CHANGES[change](client)

    assert asked == 1


async def test_a_refused_advance_brings_its_gates() -> None:
    gates = [{"gate": "sample", "passed": False}]

    async def refuse(_: web.Request) -> web.Response:
        error = {"code": "INVALID_STATE", "message": "no", "details": {"gates": gates}}
        return web.json_response({"success": False, "error": error, "metadata": {}}, status=409)

    async with served(refuse) as (client, _):
        with pytest.raises(Refused) as refused:
            await client.advance_rollout()

    assert refused.value.details == {"gates": gates}


async def test_a_server_that_says_no_for_now_is_not_said_to_be_silent() -> None:
    answers = iter([failure(503, "FULL", Retry_After="1"), success({"jobId": JOB})])

    async def answer(_: web.Request) -> web.StreamResponse:
        return next(answers)

    async with served(answer) as (client, notices):
        await client.status(JOB)

    assert "cannot take this now (full); trying again for 60 s" in notices[0]
    assert "is back" in notices[1]
