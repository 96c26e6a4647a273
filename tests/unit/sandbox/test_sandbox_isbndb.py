"""ISBNdb as recorded."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"
ODD = "9780306406157"


async def get(http: aiohttp.ClientSession, isbn: str) -> Any:
    async with http.get(f"/isbndb/book/{isbn}") as answer:
        assert answer.status == 200
        return (await answer.json())["book"]


async def test_an_unknown_isbn_is_the_recorded_404(
    http: aiohttp.ClientSession, recorded: Callable[[str], list[Any]]
) -> None:
    async with http.get("/isbndb/book/9799999999995") as answer:
        assert answer.status == 404
        assert await answer.json() == recorded("isbndb/errors/404_not_found.json")[0]["body"]


async def test_the_fields_are_those_of_recorded_books_and_of_the_openapi(
    http: aiohttp.ClientSession, recorded: Callable[[str], list[Any]]
) -> None:
    books = [one["book"] for one in recorded("isbndb/books/*.json")]
    schemas = recorded("isbndb/raw/isbndb-openapi-2.7.0.json")[0]["components"]["schemas"]
    known = set(schemas["Book"]["properties"]) | set.union(*(set(book) for book in books))
    found = await get(http, BOOK)

    assert set.intersection(*(set(book) for book in books)) <= set(found) <= known | {"msrp"}


@pytest.mark.parametrize("form", ["json", "form"])
async def test_a_batch_leaves_out_what_it_does_not_know(
    http: aiohttp.ClientSession, form: str
) -> None:
    isbns = [BOOK, "9799999999995", "0743273567"]
    body = {"json": {"isbns": isbns}} if form == "json" else {"data": {"isbns": ",".join(isbns)}}

    async with http.post("/isbndb/books", **body) as answer:
        found = await answer.json()

    assert (found["total"], found["requested"]) == (2, 3)
    assert [book["isbn13"] for book in found["data"]] == [BOOK, "9780743273565"]


async def test_a_batch_of_more_than_a_thousand_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/isbndb/books", json={"isbns": [BOOK] * 1001}) as answer:
        assert answer.status == 400


async def test_each_isbn_of_a_batch_counts(http: aiohttp.ClientSession) -> None:
    async def spent() -> int:
        async with http.get("/isbndb/key") as answer:
            return int((await answer.json())["plan_limit"]["spent"])

    before = await spent()
    async with http.post("/isbndb/books", json={"isbns": [BOOK] * 5}):
        pass

    assert await spent() == before + 5


@pytest.mark.parametrize(
    ("quirk", "field", "expected"),
    [
        ("isbndb_date_is_number", "date_published", 1949),
        ("isbndb_last_first", "authors", ["Orwell, George"]),
        ("isbndb_autofilled", "authors", ["George Orwell ~autofilled~"]),
        ("isbndb_language_name", "language", "German"),
        ("isbndb_language_wrong", "language", "en"),
        ("isbndb_series_in_title_long", "title_long", "Odd (Book 1)"),
        ("isbndb_dimensions_text", "dimensions", "200 p. : ill. ; 22 cm."),
    ],
)
async def test_each_type_seen_is_answered(
    sandbox: Sandbox, http: aiohttp.ClientSession, quirk: str, field: str, expected: object
) -> None:
    sandbox.add_book(
        isbn13=ODD, title="Odd", authors=["George Orwell"], published="1949-06-08",
        language="de", quirks=[quirk],
    )  # fmt: skip

    assert (await get(http, ODD))[field] == expected


async def test_a_picture_may_have_a_capital_scheme(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.add_book(isbn13=ODD, title="Odd", quirks=["isbndb_capital_scheme"])

    assert (await get(http, ODD))["image"].startswith("Http://127.0.0.1:")


async def test_a_key_is_asked_for_where_keys_are_required() -> None:
    async with Sandbox(require_keys=True) as strict, aiohttp.ClientSession(strict.url) as http:
        async with http.get(f"/isbndb/book/{BOOK}") as answer:
            assert answer.status == 403
            assert await answer.json() == {"message": "Forbidden"}
        async with http.get(f"/isbndb/book/{BOOK}", headers={"Authorization": "k"}) as answer:
            assert answer.status == 200
        async with http.get(f"/books/v1/volumes?q={BOOK}") as answer:
            assert answer.status == 429
        async with http.get(f"/books/v1/volumes?q={BOOK}&key=k") as answer:
            assert answer.status == 200
