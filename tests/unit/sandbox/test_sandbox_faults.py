"""Faults on demand, each kind once, and which requests they meet."""

import asyncio
import io
import json
import time

import aiohttp
import pytest
from PIL import Image

from bookline_sandbox import BadRule, Sandbox
from bookline_sandbox.faults import KINDS, Faults

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"
OTHER = "9780743273565"
GOOGLE = f"/books/v1/volumes?q=isbn:{BOOK}"
ISBNDB = f"/isbndb/book/{BOOK}"
OPEN_LIBRARY = f"/openlibrary/api/books?bibkeys=ISBN:{BOOK}&format=json&jscmd=data"
COVER = f"/isbndb/images/covers/49/35/{BOOK}.jpg"


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, str, bytes]:
    async with http.get(path, allow_redirects=False) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_a_delay_delays(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    sandbox.faults.add(kind="delay", ms=60)
    start = time.monotonic()

    assert (await get(http, ISBNDB))[0] == 200
    assert time.monotonic() - start >= 0.06


@pytest.mark.parametrize("path", [GOOGLE, ISBNDB, OPEN_LIBRARY, COVER])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_has_the_body_of_the_provider(
    sandbox: Sandbox, http: aiohttp.ClientSession, path: str, status: int
) -> None:
    sandbox.faults.add(kind=str(status), isbn=BOOK)

    assert (await get(http, path))[0] == status
    assert (await get(http, path))[0] == 200


@pytest.mark.parametrize("after", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_429_may_say_when_to_come_again(
    sandbox: Sandbox, http: aiohttp.ClientSession, after: int | str
) -> None:
    sandbox.faults.add(kind="429", retry_after=after)

    async with http.get(ISBNDB) as answer:
        assert answer.headers["retry-after"] == str(after)


async def test_a_hanging_request_ends_when_the_client_leaves(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="hang")

    hanging = asyncio.create_task(get(http, ISBNDB))
    while not sandbox.requests:
        await asyncio.sleep(0.001)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)

    assert sandbox.requests[-1]["status"] is None
    assert sandbox.requests[-1]["fault"] == "hang"
    assert (await get(http, ISBNDB))[0] == 200


@pytest.mark.parametrize("path", [GOOGLE, COVER])
async def test_a_cut_answer_ends_before_its_length(
    sandbox: Sandbox, http: aiohttp.ClientSession, path: str
) -> None:
    sandbox.faults.add(kind="cut")

    with pytest.raises(aiohttp.ClientPayloadError):
        await get(http, path)


async def test_a_closed_connection_gives_no_answer(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="close", times=None)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await get(http, ISBNDB)


@pytest.mark.parametrize("path", [GOOGLE, COVER])
async def test_a_wrong_type_is_a_page_with_status_200(
    sandbox: Sandbox, http: aiohttp.ClientSession, path: str
) -> None:
    sandbox.faults.add(kind="wrong_type")

    assert (await get(http, path))[:2] == (200, "text/html")


async def test_garbage_is_no_json_and_no_picture(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="garbage", times=None)

    with pytest.raises(ValueError):
        json.loads((await get(http, GOOGLE))[2])
    with pytest.raises(OSError), Image.open(io.BytesIO((await get(http, COVER))[2])) as image:
        image.load()


async def test_not_found_is_each_providers_own_answer(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="not_found", isbn=BOOK, times=None)

    assert b'"totalItems":0' in (await get(http, GOOGLE))[2]
    assert (await get(http, ISBNDB))[0] == 404
    assert (await get(http, OPEN_LIBRARY))[2] == b"{}"
    assert (await get(http, COVER))[0] == 404
    assert (await get(http, f"/isbndb/book/{OTHER}"))[0] == 200


async def test_a_wrong_key_is_each_providers_own_answer(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="wrong_key", times=None)

    status, _, body = await get(http, GOOGLE)
    assert status == 400
    assert b"keyInvalid" in body
    assert (await get(http, ISBNDB))[::2] == (403, b'{"message":"Forbidden"}')


@pytest.mark.parametrize(("path", "least"), [(GOOGLE, 4_000_000), (COVER, 10_000_001)])
async def test_a_huge_answer_is_true_but_too_large(
    sandbox: Sandbox, http: aiohttp.ClientSession, path: str, least: int
) -> None:
    sandbox.faults.add(kind="huge")
    status, _, body = await get(http, path)

    assert status == 200
    assert len(body) > least


async def test_a_redirect_leads_where_the_rule_says(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="redirect", url="http://10.0.0.1/x", route="covers")

    async with http.get(COVER, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["location"]) == (302, "http://10.0.0.1/x")


@pytest.mark.parametrize("path", [GOOGLE, ISBNDB, OPEN_LIBRARY])
async def test_a_wrong_book_names_other_isbns(
    sandbox: Sandbox, http: aiohttp.ClientSession, path: str
) -> None:
    sandbox.faults.add(kind="wrong_book", isbn=BOOK)
    status, _, body = await get(http, path)

    assert status == 200
    assert b'"title"' in body
    assert b'"' + BOOK.encode() + b'"' not in body
    assert b"0451524934" not in body


async def test_a_wrong_book_can_stand_in_for_an_unknown_one(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="wrong_book")

    assert (await get(http, "/isbndb/book/9799999999995"))[0] == 200


async def test_no_title_and_a_big_description(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add({"kind": "no_title"}, {"kind": "big_description", "after": 1})

    assert b'"title":' not in (await get(http, ISBNDB))[2]
    assert len((await get(http, ISBNDB))[2]) > 499_000


@pytest.mark.parametrize(
    ("kind", "start", "content_type"),
    [
        ("not_image", b"<html>", "image/jpeg"),
        ("tiny_image", b"GIF8", "image/gif"),
        ("bomb", b"\x89PNG", "image/png"),
    ],
)
async def test_a_cover_may_be_no_cover(
    sandbox: Sandbox, http: aiohttp.ClientSession, kind: str, start: bytes, content_type: str
) -> None:
    sandbox.faults.add(kind=kind)
    status, found_type, body = await get(http, COVER)

    assert (status, found_type) == (200, content_type)
    assert body.startswith(start)


async def test_a_bomb_claims_more_than_it_holds(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="bomb")
    body = (await get(http, COVER))[2]

    assert len(body) < 1000
    assert int.from_bytes(body[16:20]) == int.from_bytes(body[20:24]) == 30_000


async def test_a_rule_meets_its_isbn_and_route_only(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="500", isbn="0-451-52493-4", route="isbndb", times=None)

    assert (await get(http, ISBNDB))[0] == 500
    assert (await get(http, GOOGLE))[0] == 200
    assert (await get(http, f"/isbndb/book/{OTHER}"))[0] == 200


async def test_a_rule_starts_after_some_requests_and_ends_after_some(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="503", after=2, times=2)
    statuses = [(await get(http, ISBNDB))[0] for _ in range(6)]

    assert statuses == [200, 200, 503, 503, 200, 200]


async def test_in_a_batch_a_book_fault_meets_its_isbn_alone(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add(kind="not_found", isbn=BOOK)

    async with http.post("/isbndb/books", json={"isbns": [BOOK, OTHER]}) as answer:
        assert [book["isbn13"] for book in (await answer.json())["data"]] == [OTHER]


async def test_a_delay_and_another_fault_add_up(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.faults.add({"kind": "delay", "ms": 1}, {"kind": "not_found"}, {"kind": "503"})
    await get(http, ISBNDB)

    assert sandbox.requests[-1]["fault"] == "delay+not_found+503"


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "explode"},
        {"kind": "999"},
        {"kind": "status"},
        {"kind": "delay"},
        {"kind": "delay", "ms": -1},
        {"kind": "delay", "ms": True},
        {"kind": "redirect"},
        {"kind": "hang", "ms": 5},
        {"kind": "hang", "times": 0},
        {"kind": "hang", "after": "1"},
        {"kind": "hang", "isbn": "123"},
        {"kind": "hang", "route": "amazon"},
        {"kind": "bomb", "route": "isbndb"},
        {"kind": "no_title", "route": "embeddings"},
        {"kind": "429", "retry_after": [1]},
        {"kind": "429", "retry_after": "1\r\nX: y"},
        {"kind": "huge", "bytes": 10**12},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, object]) -> None:
    faults = Faults()

    with pytest.raises(BadRule):
        faults.add({"kind": "hang"}, rule)

    assert faults.as_list() == []


async def test_every_kind_meets_some_route() -> None:
    assert all(KINDS.values())
