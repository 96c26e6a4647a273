"""``AiohttpHttp`` against a server that says exactly what a test wants, well-formed or not."""

import asyncio
import gzip
import json
import logging
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bookline.errors import ProviderDown, ProviderRefused
from bookline.net.aiohttp_http import AiohttpHttp, user_agent
from bookline.ports import Answer
from bookline.providers.answers import read_json

SECRET = "AIza-secret"


class RawServer:
    """Answers each path with the bytes laid out for it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        answer = self.answers.get(head.split(" ")[1].partition("?")[0])
        if answer is None:
            await reader.read()  # it hangs until the client goes away
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    raw = RawServer()
    listening = await asyncio.start_server(raw.answer, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield raw
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def http() -> AsyncIterator[AiohttpHttp]:
    http = AiohttpHttp(contact="mail@bookline.example")
    yield http
    await http.aclose()


def reply(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    headers = {"content_length": str(len(body)), "connection": "close"} | headers
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode() + body


async def test_an_answer_is_read_whole(server: RawServer, http: AiohttpHttp) -> None:
    server.answers["/a"] = reply(b'{"a": 1}', "404 Not Found", Retry_After="3")

    answer = await http.get(f"{server.url}/a", params={"q": "isbn:97 8"}, headers={"X-Key": SECRET})

    assert (answer.status, answer.body) == (404, b'{"a": 1}')
    assert answer.headers["retry-after"] == "3"
    assert answer.url == f"{server.url}/a?q=isbn:97+8"
    assert f"X-Key: {SECRET}" in server.asked[0]


async def test_each_question_says_who_asks(server: RawServer, http: AiohttpHttp) -> None:
    server.answers["/a"] = reply()

    await http.get(f"{server.url}/a")

    assert f"User-Agent: {user_agent('mail@bookline.example')}\r\n" in server.asked[0]
    assert "Accept-Encoding: gzip, deflate\r\n" in server.asked[0]


def test_the_contact_stands_in_brackets_and_breaks_no_header() -> None:
    assert user_agent("a@b.example").endswith(" (a@b.example)")
    assert "\n" not in user_agent("a\r\nX-Evil: 1")
    assert "(" not in user_agent("")


async def test_json_is_posted(server: RawServer, http: AiohttpHttp) -> None:
    server.answers["/v"] = reply(b"[]")

    answer = await http.post(f"{server.url}/v", json={"input": "text"})

    assert answer.body == b"[]"
    assert server.asked[0].startswith("POST /v ")


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
async def test_packed_answers_are_unpacked(
    server: RawServer, http: AiohttpHttp, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    server.answers["/a"] = reply(pack(b'{"a": 1}'), Content_Encoding=encoding)

    assert (await http.get(f"{server.url}/a")).body == b'{"a": 1}'


async def test_an_answer_over_the_cap_is_refused(server: RawServer, http: AiohttpHttp) -> None:
    server.answers["/a"] = reply(b" " * 4_000_001)

    with pytest.raises(ProviderDown, match="over 4 MB"):
        await http.get(f"{server.url}/a")


async def test_a_bomb_is_refused_before_it_is_unpacked(
    server: RawServer, http: AiohttpHttp
) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    server.answers["/a"] = reply(bomb, Content_Encoding="gzip")
    tracemalloc.start()

    with pytest.raises(ProviderDown, match="over 4 MB"):
        await http.get(f"{server.url}/a")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 99999 No\r\n\r\n",
        reply(b"{", content_length="10"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        reply(b"no gzip", Content_Encoding="gzip"),
        reply(b"{}", X="a" * 20_000),
        reply(b"", "302 Found", Location="http://[broken"),
    ],
)
async def test_an_answer_that_breaks_off_or_makes_no_sense_is_an_outage(
    server: RawServer, http: AiohttpHttp, raw: bytes
) -> None:
    server.answers["/a"] = raw

    with pytest.raises(ProviderDown):
        await http.get(f"{server.url}/a", params={"key": SECRET})


@pytest.mark.parametrize("missing", [60, 400, 1_000])
async def test_a_packed_answer_that_is_cut_is_never_taken_for_a_whole_one(
    server: RawServer, http: AiohttpHttp, missing: int
) -> None:
    """The unpacker gives what it has; the reader of JSON finds that it has no end."""
    body = gzip.compress(json.dumps({"books": [n * 7919 % 10_007 for n in range(2_000)]}).encode())
    server.answers["/a"] = reply(body[:-missing], Content_Encoding="gzip")

    with pytest.raises(ProviderDown):
        read_json("A provider", await http.get(f"{server.url}/a"))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "no-url", "http://[", "ftp://a.example/", ""]
)
async def test_no_connection_is_an_outage(http: AiohttpHttp, url: str) -> None:
    with pytest.raises(ProviderDown):
        await http.get(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://nobody.invalid/a", "Cannot reach nobody.invalid. Are you online?"),
        ("http://127.0.0.1:1/a", "Cannot reach 127.0.0.1: "),
    ],
)
async def test_whoever_is_offline_is_told_so(http: AiohttpHttp, url: str, said: str) -> None:
    with pytest.raises(ProviderDown, match=re.escape(said)):
        await http.get(url)


async def test_no_key_stands_in_a_message_or_a_log(
    http: AiohttpHttp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ProviderDown) as raised:
        await http.get(
            f"http://user:{SECRET}@127.0.0.1:1/book/1?key={SECRET}",
            params={"key": SECRET},
            headers={"Authorization": SECRET},
        )

    assert "127.0.0.1:1/book/1" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert SECRET not in caplog.text


async def test_a_redirect_on_the_same_host_is_followed(
    server: RawServer, http: AiohttpHttp
) -> None:
    server.answers["/isbn"] = reply(b"", "302 Found", Location="/books")
    server.answers["/books"] = reply(b'{"b": 2}')

    answer = await http.get(f"{server.url}/isbn")

    assert (answer.body, answer.url) == (b'{"b": 2}', f"{server.url}/books")


@pytest.mark.parametrize(
    "location", ["http://localhost/x", "//127.0.0.1:1/x", "https://127.0.0.1/x", "file:///etc/x"]
)
async def test_a_redirect_elsewhere_is_refused(
    server: RawServer, http: AiohttpHttp, location: str
) -> None:
    server.answers["/a"] = reply(b"", "302 Found", Location=location)

    with pytest.raises(ProviderRefused, match="redirects"):
        await http.get(f"{server.url}/a")


async def test_redirects_end(server: RawServer, http: AiohttpHttp) -> None:
    server.answers["/a"] = reply(b"", "301 Moved", Location="/a")

    with pytest.raises(ProviderRefused, match="3 times"):
        await http.get(f"{server.url}/a")

    assert len(server.asked) == 4


async def test_what_is_posted_is_not_turned_into_a_get(
    server: RawServer, http: AiohttpHttp
) -> None:
    server.answers["/a"] = reply(b"", "303 See Other", Location="/b")

    with pytest.raises(ProviderRefused, match="posted"):
        await http.post(f"{server.url}/a", json={})


async def test_a_limit_from_outside_cuts_a_server_that_hangs(
    server: RawServer, http: AiohttpHttp
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await http.get(f"{server.url}/hangs")


async def test_each_question_of_a_provider_waits_for_its_turn(server: RawServer) -> None:
    turns: list[str] = []

    class Turns:
        async def ask(
            self, provider: str, what: str, question: Callable[[], Awaitable[Answer]]
        ) -> Answer:
            turns.append(provider)
            return await question()

        async def held_seconds(self, provider: str) -> float:
            return 0.0

    server.answers["/a"] = reply()
    http = AiohttpHttp(pace=Turns())
    view = http.for_provider("openlibrary")

    await view.get(f"{server.url}/a")
    await view.post(f"{server.url}/a", json=1)
    await http.get(f"{server.url}/a")
    await http.aclose()

    assert turns == ["openlibrary", "openlibrary"]


async def test_a_closed_one_asks_no_more(server: RawServer) -> None:
    http = AiohttpHttp()
    await http.aclose()

    with pytest.raises(ProviderDown, match="ending"):
        await http.get(server.url)


async def test_closing_ends_the_questions_that_are_open(server: RawServer) -> None:
    http = AiohttpHttp()
    open_question = asyncio.ensure_future(http.get(f"{server.url}/hangs"))
    await until(lambda: bool(server.asked))

    await http.aclose()

    with pytest.raises(ProviderDown):
        await open_question


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.005)
