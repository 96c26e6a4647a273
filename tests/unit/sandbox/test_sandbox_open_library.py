"""Open Library as recorded."""

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bookline_sandbox import Sandbox
from bookline_sandbox.open_library import failure

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"
ODD = "9780306406157"


async def get(http: aiohttp.ClientSession, path: str, **query: str) -> Any:
    async with http.get(f"/openlibrary{path}", params=query) as answer:
        return await answer.json()


async def data(http: aiohttp.ClientSession, keys: str) -> Any:
    return await get(http, "/api/books", bibkeys=keys, format="json", jscmd="data")


async def test_the_object_is_keyed_as_asked_and_unknown_keys_are_absent(
    http: aiohttp.ClientSession,
) -> None:
    found = await data(http, f"ISBN:0451524934,ISBN:9799999999995,ISBN:{BOOK}")

    assert list(found) == ["ISBN:0451524934", f"ISBN:{BOOK}"]
    assert found[f"ISBN:{BOOK}"]["identifiers"]["isbn_10"] == ["0451524934"]
    assert "description" not in found[f"ISBN:{BOOK}"]


async def test_an_unknown_isbn_is_an_empty_object_or_a_404(http: aiohttp.ClientSession) -> None:
    assert await data(http, "ISBN:9799999999995") == {}

    async with http.get("/openlibrary/isbn/9799999999995.json") as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": "notfound", "key": "/isbn/9799999999995"}


async def test_the_fields_are_those_of_recorded_answers(
    http: aiohttp.ClientSession, recorded: Callable[[str], list[Any]]
) -> None:
    files = recorded("openlibrary/api_books/*.json")
    values = [value for one in files for value in one.values()]
    found = (await data(http, f"ISBN:{BOOK}"))[f"ISBN:{BOOK}"]

    always = set.intersection(*(set(value) for value in values))
    assert always <= set(found) <= set.union(*(set(value) for value in values))


async def test_the_edition_has_the_fields_of_recorded_editions(
    http: aiohttp.ClientSession, recorded: Callable[[str], list[Any]]
) -> None:
    editions = recorded("openlibrary/editions/*.json")
    found = await get(http, f"/isbn/{BOOK}.json")

    always = set.intersection(*(set(edition) for edition in editions))
    assert always <= set(found) <= set.union(*(set(edition) for edition in editions))


async def test_an_isbn_redirects_to_its_edition_under_the_same_base(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get(f"/openlibrary/isbn/{BOOK}.json", allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["location"] == "/openlibrary/books/OL45152493M.json"


async def test_an_author_is_reached_from_edition_and_work(http: aiohttp.ClientSession) -> None:
    edition = await get(http, f"/isbn/{BOOK}.json")
    work = await get(http, f"{edition['works'][0]['key']}.json")
    author = await get(http, f"{work['authors'][0]['author']['key']}.json")

    assert edition["authors"] == [{"key": author["key"]}]
    assert author["name"] == "George Orwell"


async def test_search_finds_several_isbns_at_once(http: aiohttp.ClientSession) -> None:
    found = await get(
        http, "/search.json", q=f"isbn:({BOOK} OR 9780743273565)", fields="key,title,isbn,editions"
    )

    assert found["numFound"] == 2
    assert BOOK in found["docs"][0]["isbn"]
    assert found["docs"][0]["editions"]["docs"][0]["key"] == "/books/OL45152493M"


async def test_the_other_forms_of_the_books_api_answer(http: aiohttp.ClientSession) -> None:
    details = await get(http, "/api/books", bibkeys=f"ISBN:{BOOK}", format="json", jscmd="details")
    view = await get(http, "/api/books", bibkeys="OLID:OL45152493M", format="json")
    async with http.get("/openlibrary/api/books", params={"bibkeys": f"ISBN:{BOOK}"}) as answer:
        script = await answer.text()

    assert details[f"ISBN:{BOOK}"]["details"]["authors"][0]["name"] == "George Orwell"
    assert view["OLID:OL45152493M"]["preview"] == "noview"
    assert script.startswith("var _OLBookInfo = {")


@pytest.mark.parametrize(
    ("quirk", "field", "expected"),
    [
        ("openlibrary_cover_minus_one", "covers", [-1, 30640615]),
        ("openlibrary_cover_null", "covers", [None, 30640615]),
        ("openlibrary_text_object", "description", {"type": "/type/text", "value": "Long."}),
        ("openlibrary_authors_on_work", "authors", None),
        ("openlibrary_isbn10_only", "isbn_13", None),
    ],
)
async def test_an_edition_comes_in_each_form_seen(
    sandbox: Sandbox, http: aiohttp.ClientSession, quirk: str, field: str, expected: object
) -> None:
    sandbox.add_book(isbn13=ODD, title="Odd", authors=["A B"], description="Long.", quirks=[quirk])
    edition = await get(http, f"/isbn/{ODD}.json")

    assert edition.get(field) == expected


@pytest.mark.parametrize(
    ("published", "expected"),
    [("1949-06-08", "June 8, 1949"), ("1949-06", "June 1949"), ("19??", "19??")],
)
async def test_dates_are_written_out(
    sandbox: Sandbox, http: aiohttp.ClientSession, published: str, expected: str
) -> None:
    sandbox.add_book(isbn13=ODD, title="Odd", published=published)

    assert (await data(http, f"ISBN:{ODD}"))[f"ISBN:{ODD}"]["publish_date"] == expected


@pytest.mark.parametrize(("name", "status"), [("429_site", 429), ("500_internal_error", 500)])
async def test_failures_have_the_recorded_bodies(
    recorded: Callable[[str], list[Any]], name: str, status: int
) -> None:
    body = recorded(f"openlibrary/errors/{name}.json")[0]["body"]

    assert body["message"] in failure(status).body.decode()


async def test_a_503_is_html() -> None:
    assert failure(503).content_type.startswith("text/html")
    assert b"No server is available to handle this request." in failure(503).body
