"""At the door of a real server: foreign pages, unknown names, HEAD, hosts, broken-off bodies.

Not here: heads, frames and connections without end: test_peers.py.
"""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "k" * 20
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
FRIEND = "https://reader.example"
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with server(sandbox.settings(), tmp_path_factory.mktemp("doors") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    env = sandbox.settings() | {
        "BOOKLINE_API_KEYS": KEY,
        "BOOKLINE_CORS_ORIGINS": FRIEND,
        "BOOKLINE_TRUSTED_PROXIES": "127.0.0.1",
    }
    async with server(env, tmp_path_factory.mktemp("guarded") / "data") as running:
        yield running


def code(answer: tuple[int, Any, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


# ------------------------------------------------------------------ other people's pages
@pytest.mark.parametrize("headers", FOREIGN, ids=["site", "null", "port", "picture"])
async def test_a_foreign_page_is_refused_whatever_it_asks(
    api: Server, guarded: Server, headers: dict[str, str]
) -> None:
    for running, more in ((api, {}), (guarded, WITH_KEY)):
        for path in ("/v2/covers/9780451524935", "/v2/books", "/healthz", "/openapi.json"):
            answer = await running.get(path, headers=headers | more)
            assert code(answer) == (403, "FORBIDDEN")
            assert answer[2]["Cross-Origin-Resource-Policy"] == "same-origin"
        started = await running.post(
            "/v2/import/workflow", {"isbn": "9780451524935"}, headers=headers | more
        )
        assert code(started) == (403, "FORBIDDEN")


async def test_a_foreign_page_uses_up_nothing_and_an_allowed_one_is_answered(
    guarded: Server,
) -> None:
    answer = await guarded.get("/v2/books", headers={"Origin": FRIEND} | WITH_KEY)

    assert answer[0] == 200
    assert answer[2]["Access-Control-Allow-Origin"] == FRIEND


async def test_a_foreign_page_can_neither_watch_nor_learn_by_a_websocket(
    api: Server, sandbox: Sandbox
) -> None:
    job_id = (await api.finished(sandbox.make(1)[0]))["jobId"]

    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        told, closed = await api.heard(job_id, origin=origin)
        assert (told, closed) == ([], 1008)
    own, closed = await api.heard(job_id, origin=api.url)
    assert len(own) == 5


async def test_a_link_from_another_site_leads_to_the_page(api: Server) -> None:
    visit = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }

    for path in ("/", "/docs", "/?fbclid=1"):
        assert (await api.get(path, headers=visit))[0] == 200
    assert code(await api.get("/v2/books", headers=visit)) == (403, "FORBIDDEN")


async def test_behind_a_proxy_our_own_page_has_the_proxys_name(guarded: Server) -> None:
    forwarded = {
        "X-Forwarded-Host": "books.example",
        "X-Forwarded-Proto": "https",
        "Origin": "https://books.example",
        **WITH_KEY,
    }

    status, answer, headers = await guarded.post(
        "/v2/import/workflow", {"isbn": "9780451524935"}, headers=forwarded
    )

    assert status == 202
    assert headers["Location"].startswith("https://books.example/v2/import/status/")
    assert answer["data"]["wsUrl"].startswith("wss://books.example/ws/progress?")


# ------------------------------------------------------------------ names
@pytest.mark.parametrize(
    "host", ["a/b", "a b", "<script>", "evil.example/x?", "user@evil.example", "a,b", "x:99999999"]
)
async def test_a_host_that_is_none_is_refused_and_never_repeated(
    guarded: Server, host: str
) -> None:
    answer = await guarded.post(
        "/v2/import/workflow", {"isbn": "9780451524935"}, headers={"Host": host} | WITH_KEY
    )

    assert code(answer) == (400, "INVALID_REQUEST")
    assert host not in str(answer[1])
    assert "Location" not in answer[2]


def operations(document: dict[str, Any], *, with_body: bool = False) -> Iterator[tuple[str, str]]:
    """Method and path of each route, with something where the path needs it."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            known = path.replace("{isbn}", "9780451524935").replace("{index}", "0")
            if not with_body or "application/json" in content:
                yield method.upper(), known.replace("{", "").replace("}", "")


async def test_every_route_names_the_parameter_that_it_does_not_know(api: Server) -> None:
    _, document, _ = await api.get("/openapi.json")

    for method, path in operations(document):
        answer = await api.ask(method, f"{path}?colour=red&limit=", json={})
        assert code(answer) == (400, "INVALID_REQUEST"), (method, path)
        assert "colour" in answer[1]["error"]["message"]
    assert code(await api.get("/openapi.json?colour=red")) == (400, "INVALID_REQUEST")
    assert code(await api.get("/v2/books?token=x")) == (400, "INVALID_REQUEST")
    told, closed = await api.heard("import-x", "&colour=red")
    assert (told, closed) == ([], 1008)


async def test_every_body_names_the_field_that_it_does_not_know(api: Server) -> None:
    _, document, _ = await api.get("/openapi.json")
    with_body = list(operations(document, with_body=True))

    for method, path in with_body:
        answer = await api.ask(method, path, json={"colour": "red"})
        assert code(answer) == (400, "INVALID_REQUEST"), (method, path)
        assert "colour" in answer[1]["error"]["message"]
    assert len(with_body) >= 6


# ------------------------------------------------------------------ HEAD
async def test_head_answers_wherever_get_does(api: Server, sandbox: Sandbox) -> None:
    job = await api.finished(sandbox.make(1)[0])
    paths = [
        "/", "/page/app.css", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics",
        "/v2/books", f"/v2/books/{job['isbn']}", f"/v2/covers/{job['isbn']}", "/v2/rollout",
        "/v2/import/jobs", f"/v2/import/status/{job['jobId']}",
        f"/v2/import/events/{job['jobId']}", "/v2/books/9780000000019", "/nowhere",
    ]  # fmt: skip

    for path in paths:
        got = await api.get(path)
        async with api.http.head(api.url + path) as head:
            assert head.status == got[0], path
            assert await head.read() == b"", path
            assert head.headers["Content-Type"] == got[2]["Content-Type"]
            assert head.headers.get("ETag") == got[2].get("ETag")
    assert "HEAD" in (await api.ask("DELETE", "/v2/import/jobs"))[2]["Allow"]


async def test_head_of_a_stream_that_is_open_ends_at_once(api: Server, sandbox: Sandbox) -> None:
    isbn = sandbox.make(1)[0]
    sandbox.faults.add(kind="delay", ms=30_000, isbn=isbn, times=None)
    job_id = (await api.begin(isbn))["jobId"]

    async with asyncio.timeout(PATIENCE_SECONDS):
        status, body, headers = await api.ask("HEAD", f"/v2/import/events/{job_id}")
    assert (await api.job(job_id))["status"] in {"queued", "running"}  # the stream is still open

    await api.post(f"/v2/import/cancel/{job_id}")
    assert (status, body) == (200, b"")
    assert headers["Content-Type"].startswith("text/event-stream")
    assert "Traceback" not in api.log


# ------------------------------------------------------------------ bodies
async def test_a_body_that_breaks_off_is_no_news(api: Server) -> None:
    def break_off() -> None:
        for body in (b'{"isbn": "97', b""):
            with closing(socket.create_connection(("127.0.0.1", api.port))) as peer:
                peer.sendall(
                    b"POST /v2/import/workflow HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + body
                )

    known = len(api.log)
    await asyncio.to_thread(break_off)
    await api.get("/healthz")
    await asyncio.sleep(0.2)

    assert "Traceback" not in api.log[known:]
    assert "ERROR" not in api.log[known:]
    assert "WARNING" not in api.log[known:]


async def test_a_body_that_says_that_it_is_too_long_is_refused_unread(api: Server) -> None:
    def ask() -> bytes:
        with closing(socket.create_connection(("127.0.0.1", api.port))) as peer:
            peer.sendall(
                b"POST /v2/import/workflow HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 17000\r\n\r\n{"
            )
            return peer.recv(65_536)

    assert (await asyncio.to_thread(ask)).split()[1] == b"413"


# ------------------------------------------------------------------ limits
async def test_a_refused_start_costs_nothing_of_the_limit_and_is_one_line(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = sandbox.settings() | {"BOOKLINE_RATE_LIMIT_START": "2/hour"}
    isbn = sandbox.make(1)[0]
    async with server(env, tmp_path / "data") as limited:
        path = "/v2/import/workflow"
        for _ in range(3):
            assert code(await limited.post(path, {"isbn": "x"}))[0] == 400
            assert code(await limited.post(path, {"isbn": isbn, "more": 1}))[0] == 400
            assert code(await limited.post(path, {"isbn": isbn}, headers=FOREIGN[0]))[0] == 403

        begun = [(await limited.post(path, {"isbn": isbn}))[0] for _ in range(5)]

        assert begun == [202, 202, 429, 429, 429]
        lines = [line for line in limited.log.splitlines() if "a start was refused" in line]
        assert sum("code=INVALID_ISBN" in line for line in lines) == 3
        assert sum("code=INVALID_REQUEST" in line for line in lines) == 3
        assert sum("code=RATE_LIMIT_EXCEEDED" in line for line in lines) == 1


async def test_a_locked_journal_stops_no_read_and_readyz_says_so(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = sandbox.settings() | {"BOOKLINE_RATE_LIMIT_READ": "1000/minute"}
    async with server(env, tmp_path / "data") as limited:
        job = await limited.finished(sandbox.make(1)[0])
        with closing(
            sqlite3.connect(tmp_path / "data" / "journal.db", timeout=PATIENCE_SECONDS)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(PATIENCE_SECONDS):
                for path in (f"/v2/books/{job['isbn']}", "/v2/books", "/v2/import/jobs") * 3:
                    assert (await limited.get(path))[0] == 200
                while (answer := await limited.get("/readyz"))[0] == 200 or (
                    answer[1]["error"]["details"]["dependencies"]["limits"]["ok"]
                ):
                    await limited.get("/v2/books")
            other.rollback()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await limited.get("/readyz"))[0] != 200 or not (
                answer[1]["data"]["dependencies"]["limits"]["ok"]
            ):
                await limited.get("/v2/books")  # what the limits keep is kept behind a question
