"""What every request passes, without a server: addresses, buckets, tokens, broken routes."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookline.api.gate import Gate, _take_token
from bookline.api.keys import Keys, Tokens
from bookline.api.route_table import RouteRule, RouteTable
from bookline.api.server import create_server
from bookline.errors import Refused, StoreDown
from bookline.setting_values import is_loopback
from bookline.settings import read_settings


def gate(app: ASGIApp, *routes: str, **given: str) -> Gate:
    settings = read_settings({f"BOOKLINE_{name}": value for name, value in given.items()}, None)
    table = RouteTable([RouteRule(path=path, methods=frozenset({"GET"})) for path in routes])
    return Gate(app, settings, Keys([]), Tokens("s"), lambda: 0, routes=table, any_host=False)


def scope_of(query: bytes = b"", headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    named = {"host": "localhost", **(headers or {})}
    return {
        "type": "http", "method": "GET", "path": "/x", "query_string": query, "scheme": "http",
        "client": ("10.0.0.1", 5), "state": {},
        "headers": [
            (name.encode(), value.encode()) for name, value in named.items()
        ],
    }  # fmt: skip


async def ask(app: Gate, scope: dict[str, Any]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("fine")(scope, receive, send)


async def test_an_answer_keeps_its_vary_beside_that_of_cors() -> None:
    async def varies(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Vary": "Accept-Encoding"}
        await PlainTextResponse("fine", headers=headers)(scope, receive, send)

    sent = await ask(gate(varies, CORS_ORIGINS="https://reader.example"), scope_of())

    assert dict(sent[0]["headers"])[b"vary"] == b"Accept-Encoding, Origin"


# ------------------------------------------------------------------ broken routes
async def test_a_route_that_breaks_before_it_answers_is_answered_for() -> None:
    for error, status in ((KeyError("x"), 500), (StoreDown("x"), 503)):

        async def breaks(
            scope: Scope, receive: Receive, send: Send, error: Exception = error
        ) -> None:
            raise error

        sent = await ask(gate(breaks), scope_of())

        assert sent[0]["status"] == status
        assert b'"success":false' in sent[1]["body"]


async def test_an_answer_that_breaks_midway_is_cut_and_not_mended() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise KeyError("x")

    with pytest.raises(KeyError):
        await ask(gate(breaks), scope_of())


async def test_what_comes_after_a_whole_answer_does_no_harm() -> None:
    """starlette answers for what nobody foresaw, and raises it once more."""

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await fine(scope, receive, send)
        raise KeyError("x")

    sent = await ask(gate(breaks), scope_of())

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


# ------------------------------------------------------------------ tokens
@pytest.mark.parametrize(
    ("query", "token", "left"),
    [
        (b"", None, b""),
        (b"token=a.b-c_d", "a.b-c_d", b""),
        (b"jobId=x&token=t&after=3", "t", b"jobId=x&after=3"),
        (b"token=&after=3", None, b"after=3"),
        (b"token=one&token=two", "one", b""),
        (b"token=%C3%BC+%00", "ü \0", b""),
        (b"mytoken=x&token", None, b"mytoken=x&token"),
    ],
)
def test_a_token_leaves_the_query_before_anything_can_log_it(
    query: bytes, token: str | None, left: bytes
) -> None:
    scope = scope_of(query=query)

    assert _take_token(scope) == token
    assert scope["query_string"] == left


@given(st.binary(max_size=80))
def test_any_query_is_read(query: bytes) -> None:
    scope = scope_of(query=query)

    _take_token(scope)

    assert not scope["query_string"].startswith(b"token=")
    assert b"&token=" not in scope["query_string"]


# ------------------------------------------------------------------ who asks
@pytest.mark.parametrize(
    ("forwarded", "caller"),
    [
        (None, "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.2,10.0.0.1", "10.0.0.1"),
        (" , ,", "10.0.0.1"),
    ],
)
async def test_the_last_hop_that_is_no_proxy_of_ours_is_the_caller(
    forwarded: str | None, caller: str
) -> None:
    more = {} if forwarded is None else {"x-forwarded-for": forwarded}
    trusting, plain = scope_of(headers=more), scope_of(headers=more)

    await ask(gate(fine, TRUSTED_PROXIES="10.0.0.1,10.0.0.2"), trusting)
    await ask(gate(fine), plain)

    assert trusting["state"]["caller"] == caller
    assert plain["state"]["caller"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("given", "scheme"), [("https", "https"), ("HTTPS ", "https"), ("gopher", "http"), ("", "http")]
)
async def test_a_proxys_scheme_counts_only_from_a_proxy(given: str, scheme: str) -> None:
    more = {"x-forwarded-proto": given}
    trusting, plain = scope_of(headers=more), scope_of(headers=more)

    await ask(gate(fine, TRUSTED_PROXIES="10.0.0.1"), trusting)
    await ask(gate(fine), plain)

    assert trusting["scheme"] == scheme
    assert plain["scheme"] == "http"


def test_a_route_is_one_bucket_and_what_is_none_is_another() -> None:
    paths = ("/v2/books", "/v2/books/search", "/v2/books/{isbn}", "/v2/import/status/{jobId}")
    table = RouteTable([RouteRule(path=path, methods=frozenset({"GET"})) for path in paths])

    for path in paths:
        found = table.find("GET", path.replace("{isbn}", "9780451524935").replace("{jobId}", "x"))
        assert found is not None
        assert found.path == path
    for path in ("/", "/v2/books/", "/nowhere/1", "/v2/import/status/a/b"):
        assert table.find("GET", path) is None


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True), ("shelf.localhost", True), ("127.0.0.1", True), ("127.8.8.8", True),
        ("::1", True), ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("", False),
        ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
    ],
)  # fmt: skip
def test_loopback_is_what_only_this_machine_reaches(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own


# ------------------------------------------------------------------ being open to others
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "shelf.example"])
def test_a_public_address_without_keys_is_refused_before_anything_starts(
    tmp_path: Path, host: str
) -> None:
    given = {"BOOKLINE_HOST": host, "BOOKLINE_DATA_DIR": str(tmp_path)}
    open_to_all = read_settings(given, None)
    with_keys = read_settings(given | {"BOOKLINE_API_KEYS": "k" * 16}, None)

    with pytest.raises(Refused, match="BOOKLINE_API_KEYS"):
        create_server(open_to_all)
    assert create_server(open_to_all, insecure=True)
    assert create_server(with_keys)


def test_an_empty_list_of_keys_is_no_keys(tmp_path: Path) -> None:
    """BOOKLINE_API_KEYS="," must not open a public address to everybody."""
    for keys in ("", ",", " , "):
        given = {"BOOKLINE_HOST": "0.0.0.0", "BOOKLINE_API_KEYS": keys}
        with pytest.raises(Refused):
            create_server(read_settings(given | {"BOOKLINE_DATA_DIR": str(tmp_path)}, None))


def test_the_document_is_made_once(tmp_path: Path) -> None:
    app = cast(Any, create_server(read_settings({"BOOKLINE_DATA_DIR": str(tmp_path)}, None))._app)

    assert app.openapi() is app.openapi()


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_the_document_is_made_beside_the_event_loop(path: str, tmp_path: Path) -> None:
    """It takes 0.3 s, in which no import may stand still."""
    gate = create_server(read_settings({"BOOKLINE_DATA_DIR": str(tmp_path)}, None))
    app = cast(Any, gate._app)
    made, threads = app.openapi, set()

    def watched() -> dict[str, Any]:
        threads.add(threading.current_thread())
        return cast(dict[str, Any], made())

    app.openapi = watched
    (start, body, *_) = await ask(gate, scope_of() | {"path": path, "root_path": ""})

    assert (start["status"], b"startImport" in body["body"]) == (200, path == "/openapi.json")
    assert threads
    assert threading.main_thread() not in threads


# ------------------------------------------------------------------ parameters
@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("/v2/books", b"limit=0", "limit: must be at least 1"),
        ("/v2/books", b"limit=201", "limit: must be at most 200"),
        ("/v2/books", b"limit=many", "limit: must be a whole number"),
        ("/v2/books/search", b"q=" + b"x" * 501, "q: must have at most 500 characters"),
    ],
)
async def test_a_bad_parameter_is_refused_in_plain_words(
    path: str, query: bytes, says: str, tmp_path: Path
) -> None:
    settings = read_settings({"BOOKLINE_DATA_DIR": str(tmp_path)}, None)
    app = create_server(settings)
    app._app.state.bookline = None  # type: ignore[attr-defined]

    sent = await ask(app, {**scope_of(query), "path": path})

    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["error"]["message"] == says
