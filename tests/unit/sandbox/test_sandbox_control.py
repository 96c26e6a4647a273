"""The calls under /_sandbox."""

from typing import Any

import aiohttp
import pytest

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"


async def post(http: aiohttp.ClientSession, path: str, value: object) -> tuple[int, object]:
    async with http.post(f"/_sandbox/{path}", json=value) as answer:
        return answer.status, await answer.json()


async def get(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(path) as answer:
        return await answer.json()


async def delete(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.delete(path) as answer:
        return await answer.json()


async def test_rules_are_added_listed_and_deleted(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    status, _ = await post(http, "faults", [{"kind": "429", "isbn": BOOK}, {"kind": "hang"}])
    listed = await get(http, "/_sandbox/faults")
    deleted = await delete(http, "/_sandbox/faults")

    assert status == 201
    assert [rule["kind"] for rule in listed] == ["status", "hang"]
    assert deleted == sandbox.faults.as_list() == []


async def test_a_bad_rule_is_refused_with_the_reason(http: aiohttp.ClientSession) -> None:
    status, body = await post(http, "faults", {"kind": "explode"})

    assert status == 400
    assert "unknown kind 'explode'" in str(body)


async def test_requests_are_told_in_order_and_by_isbn(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    for isbn in (BOOK, "9780743273565", "0451524934"):
        await get(http, f"/isbndb/book/{isbn}")
    told = await get(http, f"/_sandbox/requests?isbn={BOOK}")
    counts = await get(http, "/_sandbox/counts")

    assert [one["path"] for one in told] == [f"/isbndb/book/{BOOK}", "/isbndb/book/0451524934"]
    assert told[0].keys() == {"n", "at", "route", "isbn", "path", "status", "fault"}
    assert counts == {BOOK: {"isbndb": 2}, "9780743273565": {"isbndb": 1}}

    await delete(http, "/_sandbox/requests")
    assert (sandbox.requests, sandbox.counts) == ([], {})


async def test_an_added_book_is_known_and_replaces_the_old(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    for title in ("First", "Second"):
        book = {"isbn13": "9780306406157", "title": title, "known_by": ["isbndb"]}
        assert (await post(http, "books", book))[0] == 201
        answer = await get(http, "/isbndb/book/9780306406157")
        assert answer["book"]["title"] == title

    assert (await post(http, "books", {"isbn13": "1"}))[0] == 400


async def test_made_up_books_are_answered_at_once(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    status, made = await post(http, "make", {"count": 3, "prefix": "9798888"})
    assert status == 201
    assert isinstance(made, dict)

    for isbn in made["isbns"]:
        assert (await get(http, f"/isbndb/book/{isbn}"))["book"]["isbn13"] == isbn
        assert isbn.startswith("9798888")


@pytest.mark.parametrize(
    "value", [[], {}, {"count": 0}, {"count": 10**9}, {"count": 1, "prefix": "123"},
              {"count": 1, "known_by": ["amazon"]}],
)  # fmt: skip
async def test_a_bad_count_or_prefix_is_refused(http: aiohttp.ClientSession, value: object) -> None:
    assert (await post(http, "make", value))[0] == 400


async def test_the_books_are_listed_with_who_knows_them(http: aiohttp.ClientSession) -> None:
    books = await get(http, "/_sandbox/books")
    known = {book["isbn13"]: book["known_by"] for book in books}

    assert known[BOOK] == ["google_books", "openlibrary", "isbndb"]
