"""Searching by title and author, in each provider's own wire format, against the sandbox."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import BookNotFound, ProviderDown, SlowDown, WrongKey
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.ports import Answer, BookSearch
from bookline.providers.title_search import (
    GoogleBooksSearch,
    IsbnDbSearch,
    OpenLibrarySearch,
    asked,
    asked_title,
    read_google,
    read_isbndb,
    read_open_library,
    read_open_library_edition,
)
from bookline_sandbox import Sandbox

COVERS = "https://covers.openlibrary.org"


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(params=["openlibrary", "google_books", "isbndb"])
async def search(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[BookSearch]:
    http = AiohttpHttp()
    made: dict[str, BookSearch] = {
        "openlibrary": OpenLibrarySearch(http, f"{sandbox.url}/openlibrary", COVERS),
        "google_books": GoogleBooksSearch(http, f"{sandbox.url}/books/v1", "key", "US"),
        "isbndb": IsbnDbSearch(http, f"{sandbox.url}/isbndb", "key"),
    }
    yield made[request.param]
    await http.aclose()


async def test_a_book_is_found_by_title_and_author(search: BookSearch) -> None:
    found = await search.search("Lord of the Flies", "William Golding")

    assert [one.isbn for one in found] == ["9780140283334"]
    assert found[0].title == "Lord of the Flies"
    assert found[0].authors == ("William Golding",)
    assert found[0].cover_url


async def test_series_subtitle_and_marks_do_not_hide_a_book(search: BookSearch) -> None:
    found = await search.search('Lord of the "Flies": a novel (Islands, #1)', "William Golding")

    assert [one.isbn for one in found] == ["9780140283334"]


async def test_a_title_that_nobody_knows_is_an_empty_answer(search: BookSearch) -> None:
    assert await search.search("Zzyzx Qwxv", "Nobody At All") == []


@pytest.mark.parametrize(
    ("kind", "error"), [("500", ProviderDown), ("429", SlowDown), ("wrong_key", WrongKey)]
)
async def test_an_outage_is_no_empty_answer(
    search: BookSearch, sandbox: Sandbox, kind: str, error: type[Exception]
) -> None:
    sandbox.faults.add(kind=kind, times=None)

    with pytest.raises(error):
        await search.search("Lord of the Flies", "William Golding")


async def test_an_id_of_open_library_leads_to_its_edition(sandbox: Sandbox) -> None:
    http = AiohttpHttp()
    search = OpenLibrarySearch(http, f"{sandbox.url}/openlibrary", COVERS)
    number = sandbox.catalogue.by_isbn["9780140283334"].number

    edition = await search.find_record(f"OL{number}M")
    work = await search.find_record(f"OL{number}W")
    nothing = await search.find_record("OL999999999999M")
    await http.aclose()

    assert edition is not None
    assert work is not None
    assert edition.isbn == work.isbn == "9780140283334"
    assert nothing is None


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Guards! Guards! (Discworld, #8)", "Guards Guards"),
        ("Sapiens: A Brief History", "Sapiens"),
        ("(untitled)", "untitled"),
        ('a "b" OR c', "a b c"),
        (":", ""),
    ],
)
def test_a_title_is_asked_for_without_series_subtitle_and_commands(title: str, words: str) -> None:
    assert asked_title(title) == words


def test_what_is_asked_for_is_short() -> None:
    assert len(asked("word " * 1_000)) <= 200


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from([
            "docs", "items", "books", "data", "title", "isbn", "editions", "volumeInfo",
            "industryIdentifiers", "identifier", "authors", "author_name", "key", "cover_i",
            "first_publish_year", "isbn13", "imageLinks", "isbn_13",
        ]),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON_VALUES)
def test_no_answer_breaks_a_reader(value: Any) -> None:
    answer = Answer(status=200, body=json.dumps(value).encode())
    for read in (
        lambda: read_open_library(answer, COVERS), lambda: read_google(answer),
        lambda: read_isbndb(answer), lambda: read_open_library_edition(answer),
    ):  # fmt: skip
        try:
            read()
        except (ProviderDown, BookNotFound):
            continue
