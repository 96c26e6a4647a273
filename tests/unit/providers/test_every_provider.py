"""What holds for all three providers, whatever they are sent."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_fakes import (
    MOBY_DICK,
    SURROGATE_HALF,
    FakeHttp,
    answered,
    data,
    edition,
    google,
    isbndb,
    one_book,
    open_library,
    page,
    provider_with,
    record,
    volume,
    volumes,
)

from bookline.book import DESCRIPTION_CHARS, Metadata
from bookline.errors import (
    BooklineError,
    BookNotFound,
    GiveUp,
    MetadataIncomplete,
    ProviderDown,
    SlowDown,
    TryLater,
    WrongKey,
)
from bookline.ports import Answer

PROVIDERS = ("google_books", "openlibrary", "isbndb")
UNKNOWN = {
    "google_books": answered({"kind": "books#volumes", "totalItems": 0}),
    "openlibrary": answered({}),
    "isbndb": answered({"errorMessage": "Not Found"}, 404),
}
every_provider = pytest.mark.parametrize("name", PROVIDERS)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@every_provider
async def test_a_known_book_says_where_it_is_from(name: str) -> None:
    provider = provider_with(name, one_book(name))

    book = await provider.find(MOBY_DICK)

    assert provider.name == name
    assert (book.isbn, book.title, book.source) == (MOBY_DICK.isbn13, "Moby-Dick", name)


@every_provider
async def test_an_unknown_book_is_final_and_no_outage(name: str) -> None:
    """Not knowing is an answer; only not being able to answer is an outage."""
    with pytest.raises(BookNotFound):
        await provider_with(name, UNKNOWN[name]).find(MOBY_DICK)


@every_provider
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered({}, 429, retry_after="5"), SlowDown),
        (answered({}, 401), WrongKey),
        (answered({}, 403), WrongKey),
        (answered({}, 408), ProviderDown),
        (answered({}, 500), ProviderDown),
        (page(503), ProviderDown),
        (page(200), ProviderDown),
        (answered([]), ProviderDown),
        (Answer(status=200, body=b'{"items": [{"vol'), ProviderDown),
        (Answer(status=200, body=b"[" * 100_000), ProviderDown),
        (ProviderDown("no connection"), ProviderDown),
    ],
)
async def test_the_outcomes_are_told_apart_alike(
    name: str, answer: Answer | Exception, outcome: type[BooklineError]
) -> None:
    with pytest.raises(outcome) as raised:
        await provider_with(name, answer).find(MOBY_DICK)

    assert type(raised.value) is outcome


@every_provider
@pytest.mark.parametrize("title", [None, "", " \t\u200b", 7, ["Moby"], "<b></b>", SURROGATE_HALF])
async def test_a_book_without_a_title_is_incomplete(name: str, title: object) -> None:
    with pytest.raises(MetadataIncomplete):
        await provider_with(name, one_book(name, title=title)).find(MOBY_DICK)


@every_provider
async def test_a_book_of_any_size_stays_small(name: str) -> None:
    """What is kept of an import stays under 128 KB, a description of 500 KB or not."""
    long = "😀" * 125_000
    facts: dict[str, Any] = dict.fromkeys(
        ["title", "subtitle", "description", "synopsis", "publisher", "title_long"], long
    )
    many = [f"{number} {'😀' * 250}" for number in range(500)]
    facts |= {"authors": many, "categories": many, "subjects": many}
    facts |= {"image": long, "imageLinks": {"thumbnail": long}, "cover": {"large": long}}
    answer = one_book(name, **facts)

    book = await provider_with(name, answer).find(MOBY_DICK)

    assert len(json.dumps(book.to_json(), ensure_ascii=False).encode()) < 120_000
    assert len(book.description or "") in (0, DESCRIPTION_CHARS)


def check_plain(book: Metadata) -> None:
    json.dumps(book.to_json(), ensure_ascii=False, allow_nan=False).encode()
    assert Metadata.from_json(book.to_json()) == book
    assert book.title.strip()


def find(provider: Any) -> None:
    """Whatever comes of it is a plain book or one of our errors."""
    try:
        check_plain(asyncio.run(provider.find(MOBY_DICK)))
    except (TryLater, GiveUp):
        pass


GOOGLE_FIELDS = (
    *volume()["volumeInfo"], "subtitle", "publisher", "publishedDate", "description", "pageCount",
    "categories", "imageLinks",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(GOOGLE_FIELDS), JSON, max_size=4), JSON)
def test_no_value_in_any_field_of_google_makes_it_fail(
    facts: dict[str, Any], other: object
) -> None:
    items = volumes(other, volume(**facts), {"volumeInfo": other, "id": other})
    find(google(FakeHttp({"/books/v1/volumes": answered(items)})))
    find(google(FakeHttp({"/books/v1/volumes": answered({"items": other})})))
    find(google(FakeHttp({"/books/v1/volumes": answered({"error": other}, 403)})))


DATA_FIELDS = (
    "key", "title", "subtitle", "authors", "identifiers", "publishers", "publish_date", "subjects",
    "number_of_pages", "cover",
)  # fmt: skip
EDITION_FIELDS = (
    "key", "type", "location", "isbn_13", "authors", "works", "publishers", "publish_date",
    "languages", "subjects", "covers", "description", "number_of_pages",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(DATA_FIELDS), JSON, max_size=4),
    st.dictionaries(st.sampled_from(EDITION_FIELDS), JSON, max_size=4),
    JSON,
)
def test_no_value_in_any_field_of_open_library_makes_it_fail(
    facts: dict[str, Any], more: dict[str, Any], other: object
) -> None:
    http = FakeHttp(
        {
            "/api/books": answered(data(**facts)),
            "/books/OL101M.json": answered(edition(works=[{"key": "/works/OL5W"}]) | more),
            "/works/OL5W.json": answered({"authors": other, "description": other, "type": other}),
        }
    )
    find(open_library(http))
    find(open_library(FakeHttp({"/api/books": answered({f"ISBN:{MOBY_DICK}": other})})))


ISBNDB_FIELDS = (
    "title", "title_long", "isbn13", "isbn10", "isbn", "authors", "date_published", "publisher",
    "language", "pages", "synopsis", "synopsys", "overview", "image", "image_original", "subjects",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(ISBNDB_FIELDS), JSON, max_size=4), JSON)
def test_no_value_in_any_field_of_isbndb_makes_it_fail(
    facts: dict[str, Any], other: object
) -> None:
    path = f"/book/{MOBY_DICK}"
    find(isbndb(FakeHttp({path: answered(record(**facts))})))
    find(isbndb(FakeHttp({path: answered({"book": other})})))
