"""Google Books as recorded."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bookline_sandbox import Sandbox
from bookline_sandbox.google_books import failure

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"


async def find(http: aiohttp.ClientSession, query: str) -> Any:
    async with http.get("/books/v1/volumes", params={"q": query}) as answer:
        assert answer.content_type == "application/json"
        return await answer.json()


@pytest.mark.parametrize("query", [f"isbn:{BOOK}", BOOK, "isbn:0451524934"])
async def test_each_form_of_the_query_finds_the_book(
    sandbox: Sandbox, http: aiohttp.ClientSession, query: str
) -> None:
    found = await find(http, query)

    assert found["totalItems"] == 1
    info = found["items"][0]["volumeInfo"]
    assert {"type": "ISBN_13", "identifier": BOOK} in info["industryIdentifiers"]
    assert info["imageLinks"]["thumbnail"].startswith(f"{sandbox.url}/books/content?id=")
    assert "edge=curl" in info["imageLinks"]["thumbnail"]


@pytest.mark.parametrize("query", ["isbn:9799999999995", "isbn:nonsense", "war and peace"])
async def test_an_unknown_isbn_is_an_empty_answer_of_google(
    http: aiohttp.ClientSession, query: str
) -> None:
    assert await find(http, query) == {"kind": "books#volumes", "totalItems": 0}


async def test_the_fields_are_those_of_recorded_volumes(
    http: aiohttp.ClientSession, recorded: Callable[[str], list[Any]]
) -> None:
    volumes = recorded("google_books/volumes/*.json")
    found = (await find(http, BOOK))["items"][0]

    always = set.intersection(*(set(one) for one in volumes))
    info_always = set.intersection(*(set(one["volumeInfo"]) for one in volumes))
    info_ever = set.union(*(set(one["volumeInfo"]) for one in volumes))
    assert always <= set(found) <= set.union(*(set(one) for one in volumes))
    assert info_always <= set(found["volumeInfo"]) <= info_ever
    for part in ("saleInfo", "accessInfo"):
        assert set.intersection(*(set(one[part]) for one in volumes)) <= set(found[part])


async def test_one_volume_names_larger_pictures(http: aiohttp.ClientSession) -> None:
    volume_id = (await find(http, BOOK))["items"][0]["id"]

    async with http.get(f"/books/v1/volumes/{volume_id}") as answer:
        info = (await answer.json())["volumeInfo"]

    assert {"small", "medium", "large", "extraLarge"} <= set(info["imageLinks"])
    assert info["categories"][0] == "Fiction / Dystopian"


async def test_an_unknown_volume_is_a_503_as_recorded(http: aiohttp.ClientSession) -> None:
    async with http.get("/books/v1/volumes/AAAAAAAAAAAA") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["errors"][0]["reason"] == "backendFailed"


async def test_without_a_query_there_is_no_answer(http: aiohttp.ClientSession) -> None:
    async with http.get("/books/v1/volumes") as answer:
        assert answer.status == 400


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_failures_have_the_recorded_bodies(
    recorded: Callable[[str], list[Any]], status: int
) -> None:
    errors = [one for one in recorded("google_books/errors/*.json") if one["status"] == status]
    body = failure(status).body.decode()

    recorded_error = errors[0]["body"]["error"]
    assert recorded_error["message"] in body
    assert recorded_error["errors"][0]["reason"] in body


@pytest.mark.parametrize(
    ("quirk", "query", "expected"),
    [
        ("google_needs_isbn10", "isbn:{isbn13}", 0),
        ("google_needs_isbn10", "isbn:{isbn10}", 1),
        ("google_needs_plain", "isbn:{isbn10}", 0),
        ("google_needs_plain", "{isbn13}", 1),
        ("google_e_book_twin", "isbn:{isbn13}", 2),
    ],
)
async def test_some_books_are_found_in_one_way_only(
    sandbox: Sandbox, http: aiohttp.ClientSession, quirk: str, query: str, expected: int
) -> None:
    isbn = sandbox.add_book(isbn13="9780306406157", title="Odd", quirks=[quirk])
    found = await find(http, query.format(isbn13=isbn, isbn10="0306406152"))

    assert found["totalItems"] == expected


async def test_a_book_may_have_no_isbn_at_google(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    isbn = sandbox.add_book(isbn13="9780306406157", title="Odd", quirks=["google_ids_are_other"])
    info = (await find(http, isbn))["items"][0]["volumeInfo"]

    assert [one["type"] for one in info["industryIdentifiers"]] == ["OTHER"]
