"""Open Library: the facts of the first answer, and what further records add to them."""

import asyncio
from collections.abc import Mapping

import pytest
from provider_fakes import (
    MOBY_DICK,
    NO_ISBN10,
    FakeHttp,
    answered,
    data,
    edition,
    open_library,
    page,
)

from bookline.errors import (
    BooklineError,
    BookNotFound,
    MetadataIncomplete,
    ProviderDown,
    ProviderRefused,
    SlowDown,
    WrongKey,
)
from bookline.ports import Answer
from bookline.providers.open_library import OpenLibrary
from bookline.providers.open_library_answers import request
from bookline.values import Json

BOOKS = "/api/books"
EDITION = "/books/OL101M.json"
WORK = "/works/OL55W.json"
RECORD = "/isbn/9780142437247.json"
UNKNOWN = answered({"error": "notfound", "key": "/isbn/9780142437247"}, 404)
WORKS = [{"key": "/works/OL55W"}]


def test_both_forms_are_asked_in_one_question() -> None:
    asked = request(MOBY_DICK)

    assert asked["bibkeys"] == "ISBN:9780142437247,ISBN:0142437247"
    assert asked["jscmd"] == "data"
    assert request(NO_ISBN10)["bibkeys"] == "ISBN:9791032305690"


async def test_a_book_is_read_with_all_its_facts() -> None:
    facts = data(
        subtitle="Or, The Whale",
        publishers=[{"name": "Penguin"}, {"name": "Viking"}],
        number_of_pages=720,
        subjects=[{"name": "Whaling", "url": "https://x"}, {"name": "Sea stories"}],
        cover={"large": "https://covers.openlibrary.org/b/id/4321-L.jpg"},
    )
    http = FakeHttp({BOOKS: answered(facts), EDITION: answered(edition())})

    book = await open_library(http).find(MOBY_DICK)

    assert book.to_json() == {
        "isbn": "9780142437247",
        "isbn10": "0142437247",
        "title": "Moby-Dick",
        "subtitle": "Or, The Whale",
        "author": "Herman Melville",
        "authors": ["Herman Melville"],
        "description": "A captain and a whale.",
        "publisher": "Penguin",
        "publicationDate": "2002-12-31",
        "pageCount": 720,
        "language": "en",
        "categories": ["Whaling", "Sea stories"],
        "coverUrl": "https://covers.example/b/id/4321-L.jpg?default=false",
        "source": "openlibrary",
        "sourceId": "OL101M",
        "fields": {},
    }
    assert http.asked == [BOOKS, EDITION]


async def test_the_edition_fills_what_the_first_answer_lacks() -> None:
    sparse = {"ISBN:0142437247": {"title": "Moby", "identifiers": {"isbn_10": ["0-14-243724-7"]}}}
    full = edition(
        publishers=["Penguin"], publish_date="June 1983", number_of_pages=9, covers=[-1, None, 77],
        authors=[{"key": "/authors/OL7A"}], subjects=["Sea"], subtitle="A Whale",
        description={"type": "/type/text", "value": "Told."},
    )  # fmt: skip
    http = FakeHttp(
        {
            BOOKS: answered(sparse),
            "/isbn/9780142437247.json": answered(full),
            "/authors/OL7A.json": answered({"name": "Herman Melville"}),
        }
    )

    book = await open_library(http).find(MOBY_DICK)

    assert (book.publisher, book.publication_date, book.page_count) == ("Penguin", "1983-06", 9)
    assert (book.subtitle, book.description, book.authors) == (
        "A Whale",
        "Told.",
        ("Herman Melville",),
    )
    assert book.cover_url == "https://covers.example/b/id/77-L.jpg?default=false"
    assert book.source_id == "OL101M"


async def test_the_work_gives_authors_and_description_that_the_edition_lacks() -> None:
    authors = [{"author": {"key": "/authors/OL7A"}}, {"author": {"key": "/authors/OL8A"}}]
    http = FakeHttp(
        {
            BOOKS: answered(data(authors=[])),
            EDITION: answered(edition(works=WORKS, description=None)),
            WORK: answered({"authors": authors, "description": "Of a whale."}),
            "/authors/OL7A.json": answered({"name": "Herman Melville"}),
            "/authors/OL8A.json": answered({"name": "Another"}),
        }
    )

    book = await open_library(http).find(MOBY_DICK)

    assert book.authors == ("Herman Melville", "Another")
    assert book.description == "Of a whale."


async def test_an_author_named_seventy_times_is_asked_for_once() -> None:
    http = FakeHttp(
        {
            BOOKS: answered(data(authors=[])),
            EDITION: answered(edition(authors=[{"key": "/authors/OL7A"}] * 70)),
            "/authors/OL7A.json": answered({"name": "Herman Melville"}),
        }
    )

    book = await open_library(http).find(MOBY_DICK)

    assert book.authors == ("Herman Melville",)
    assert http.asked.count("/authors/OL7A.json") == 1


@pytest.mark.parametrize(
    "trouble",
    [
        answered({"error": "notfound"}, 404),
        answered({"status": 429}, 429),
        page(503),
        page(403),
        page(200),
        Answer(status=200, body=b'{"cut'),
        ProviderDown("it hangs", "PROVIDER_TIMEOUT"),
        answered({"type": {"key": "/type/delete"}}),
        answered({"type": {"key": "/type/redirect"}, "location": "https://evil.example/"}),
        answered({"type": {"key": "/type/redirect"}, "location": "/books/OL101M"}),
        answered(edition(isbn_13=["9780060853983"], description="Of another book.")),
    ],
)
async def test_no_trouble_with_the_edition_loses_the_book(trouble: Answer | Exception) -> None:
    http = FakeHttp({BOOKS: answered(data()), EDITION: trouble})

    book = await open_library(http).find(MOBY_DICK)

    assert book.title == "Moby-Dick"
    assert book.description is None


async def test_a_record_that_hangs_does_not_lose_the_book() -> None:
    class Hanging(FakeHttp):
        async def get(
            self,
            url: str,
            *,
            params: Mapping[str, str] | None = None,
            headers: Mapping[str, str] | None = None,
        ) -> Answer:
            if url.endswith(WORK):
                await asyncio.Event().wait()
            return await super().get(url, params=params, headers=headers)

    http = Hanging(
        {
            BOOKS: answered(data()),
            EDITION: answered(edition(works=WORKS, description=None)),
        }
    )
    provider = OpenLibrary(
        http, "https://provider.example", "https://covers.example", more_seconds=0.01
    )

    book = await provider.find(MOBY_DICK)

    assert (book.title, book.language) == ("Moby-Dick", "en")


async def test_trouble_with_the_work_keeps_what_the_edition_gave() -> None:
    http = FakeHttp(
        {
            BOOKS: answered(data()),
            EDITION: answered(edition(works=WORKS, description=None)),
            WORK: page(500),
        }
    )

    assert (await open_library(http).find(MOBY_DICK)).language == "en"


async def test_a_record_that_was_merged_is_followed() -> None:
    moved = {"type": {"key": "/type/redirect"}, "location": "/books/OL102M"}
    http = FakeHttp(
        {
            BOOKS: answered(data()),
            EDITION: answered(moved),
            "/books/OL102M.json": answered(edition()),
        }
    )

    assert (await open_library(http).find(MOBY_DICK)).description == "A captain and a whale."


async def test_a_key_that_is_no_key_is_not_asked_for() -> None:
    http = FakeHttp({BOOKS: answered(data(key="/../admin?x="))})

    await open_library(http).find(MOBY_DICK)

    assert http.asked == [BOOKS, "/isbn/9780142437247.json"]


@pytest.mark.parametrize(
    ("links", "cover"),
    [
        ({"large": "http://x/b/id/-1-L.jpg"}, None),
        (
            {"small": "http://x/covers/b/id/9-S.jpg"},
            "https://covers.example/b/id/9-L.jpg?default=false",
        ),
        ({"large": "https://elsewhere.example/a.jpg"}, "https://elsewhere.example/a.jpg"),
        ("none", None),
    ],
)
async def test_the_cover_is_the_large_one_by_its_number(links: object, cover: str | None) -> None:
    http = FakeHttp({BOOKS: answered(data(cover=links)), EDITION: answered(edition())})

    assert (await open_library(http).find(MOBY_DICK)).cover_url == cover


@pytest.mark.parametrize(
    ("answer", "outcome", "says"),
    [
        (answered({}), BookNotFound, "not know"),
        (answered(data(identifiers={"isbn_13": ["9780060853983"]})), BookNotFound, "not know"),
        (answered(data(identifiers=None)), BookNotFound, "not know"),
        (answered(data(title="")), MetadataIncomplete, "title"),
        (answered({"ISBN:9780142437247": []}), ProviderDown, "no book"),
        (answered({"error": "internal_error"}), ProviderDown, "not about"),
        (answered({"status": 429}, 429), SlowDown, "rate limiting"),
        (page(200), ProviderDown, "web page"),
        (page(403), WrongKey, "BOOKLINE_CONTACT"),
        (answered({}, 422), ProviderRefused, "422"),
    ],
)
async def test_each_outcome_is_told_apart(
    answer: Answer, outcome: type[BooklineError], says: str
) -> None:
    with pytest.raises(outcome, match=says) as raised:
        await open_library(FakeHttp({BOOKS: answer, RECORD: UNKNOWN})).find(MOBY_DICK)

    assert type(raised.value) is outcome


@pytest.mark.parametrize("answer", [answered({}), answered({"error": "x"}, 500), page(503)])
async def test_no_answer_of_the_books_api_is_followed_up(answer: Answer) -> None:
    """It says ``{}`` when it stumbles, too: only the record's own 404 is "not found"."""
    http = FakeHttp({BOOKS: answer, RECORD: answered(edition(pagination="xii, 97 p."))})

    book = await open_library(http).find(MOBY_DICK)

    assert (book.title, book.page_count, book.language) == ("Moby-Dick", 97, "en")
    assert (book.description, book.source_id) == ("A captain and a whale.", "OL101M")
    assert http.asked == [BOOKS, RECORD]


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (UNKNOWN, BookNotFound),
        (answered(edition(type={"key": "/type/delete"})), BookNotFound),
        (answered(edition(isbn_13=["9780060853983"])), BookNotFound),
        (answered(edition(title="")), MetadataIncomplete),
        (page(503), ProviderDown),
        (answered({}, 429), SlowDown),
        (ProviderDown("cut"), ProviderDown),
    ],
)
@pytest.mark.parametrize("answer", [answered({}), page(503)])
async def test_the_record_has_the_last_word(
    answer: Answer, record: Answer | Exception, outcome: type[BooklineError]
) -> None:
    with pytest.raises(outcome) as raised:
        await open_library(FakeHttp({BOOKS: answer, RECORD: record})).find(MOBY_DICK)

    assert type(raised.value) is outcome


@pytest.mark.parametrize("status", [429, 403])
async def test_who_is_told_to_slow_down_asks_nothing_more(status: int) -> None:
    http = FakeHttp({BOOKS: answered({}, status)})

    with pytest.raises(BooklineError):
        await open_library(http).find(MOBY_DICK)

    assert http.asked == [BOOKS]


async def test_a_record_without_authors_asks_its_work() -> None:
    record = edition(description=None, works=WORKS)
    work = {
        "description": "A **whale**.",
        "subjects": ["Whaling", "In library"],
        "authors": [{"author": {"key": "/authors/OL7A"}}],
    }
    http = FakeHttp(
        {
            BOOKS: answered({}),
            RECORD: answered(record),
            WORK: answered(work),
            "/authors/OL7A.json": answered({"name": "Herman Melville, 1819-1891"}),
        }
    )

    book = await open_library(http).find(MOBY_DICK)

    assert (book.authors, book.description) == (("Herman Melville",), "A whale.")
    assert book.categories == ("Whaling",)


@pytest.mark.parametrize(
    ("languages", "tag"),
    [([{"key": "/languages/fre"}], "fr"), (["/languages/wel"], "cy"),
     ([{"key": 7}, {"key": "/languages/spa"}], "es"),
     ([{"key": "/languages/und"}], None), ("/languages/ger", "de"), ({}, None), (None, None)],
)  # fmt: skip
async def test_a_language_is_read_from_its_key(languages: Json, tag: str | None) -> None:
    http = FakeHttp({BOOKS: answered(data()), EDITION: answered(edition(languages=languages))})

    assert (await open_library(http).find(MOBY_DICK)).language == tag


async def test_an_author_is_found_on_the_work_among_roles_without_keys() -> None:
    roles = [{"type": {"key": "/type/author_role"}} for _ in range(12)]
    work = {"authors": [*roles, {"author": {"key": "/authors/OL7A"}}]}
    http = FakeHttp(
        {
            BOOKS: answered(data(authors=[])),
            EDITION: answered(edition(works=WORKS)),
            WORK: answered(work),
            "/authors/OL7A.json": answered({"name": "Herman Melville"}),
        }
    )

    assert (await open_library(http).find(MOBY_DICK)).authors == ("Herman Melville",)


@pytest.mark.parametrize("record", [page(404), page(200), answered({"name": ""})])
async def test_an_author_record_that_says_nothing_costs_no_book(record: Answer) -> None:
    facts = data(authors=[{"name": ""}])
    authors = [{"key": "/authors/OL7A"}]
    http = FakeHttp(
        {
            BOOKS: answered(facts),
            EDITION: answered(edition(authors=authors)),
            "/authors/OL7A.json": record,
        }
    )

    book = await open_library(http).find(MOBY_DICK)

    assert (book.title, book.authors, book.language) == ("Moby-Dick", (), "en")


async def test_a_number_of_pages_wins_over_the_pagination() -> None:
    facts = data(number_of_pages=479, pagination="496 p.")
    http = FakeHttp({BOOKS: answered(facts), EDITION: answered(edition())})

    assert (await open_library(http).find(MOBY_DICK)).page_count == 479
