"""ISBNdb: the many ways it writes the same thing."""

from typing import Any

import pytest
from provider_fakes import MOBY_DICK, FakeHttp, answered, isbndb, page, record

from bookline.book import Metadata
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
from bookline.providers.isbndb import QUOTA_SECONDS, quota_left
from bookline.values import Json

PATH = "/book/9780142437247"


async def read(**facts: Any) -> Metadata:
    return await isbndb(FakeHttp({PATH: answered(record(**facts))})).find(MOBY_DICK)


async def test_a_book_is_read_with_all_its_facts() -> None:
    book = await read(
        title_long="Moby-Dick: Or, The Whale (Book 2)",
        publisher="Penguin",
        synopsis="A captain.<br/>A whale.",
        date_published="2002-12-31",
        pages=720,
        language="en_US",
        subjects=["Whaling", "PQ"],
        image="Https://images.isbndb.com/covers/72/47/9780142437247.jpg",
        msrp="0.00",
        related=[],
        dimensions_structured={},
    )

    assert book.to_json() == {
        "isbn": "9780142437247",
        "isbn10": "0142437247",
        "title": "Moby-Dick",
        "subtitle": "Or, The Whale",
        "author": "Melville, Herman",
        "authors": ["Melville, Herman"],
        "description": "A captain.\nA whale.",
        "publisher": "Penguin",
        "publicationDate": "2002-12-31",
        "pageCount": 720,
        "language": "en-US",
        "categories": ["Whaling"],
        "coverUrl": "https://images.isbndb.com/covers/72/47/9780142437247.jpg",
        "source": "isbndb",
        "sourceId": "9780142437247",
        "fields": {},
    }


async def test_the_marks_of_an_automatic_fill_are_taken_off() -> None:
    book = await read(authors=["田中 卓也 ~autofilled~", "Orvig"])

    assert book.authors == ("田中 卓也", "Orvig")


@pytest.mark.parametrize("name", ["synopsis", "synopsys", "overview"])
async def test_the_description_has_three_names(name: str) -> None:
    assert (await read(**{name: "A whale."})).description == "A whale."


@pytest.mark.parametrize(
    ("title", "title_long", "read_as"),
    [
        ("Moby", None, ("Moby", None)),
        ("Moby", "Moby", ("Moby", None)),
        ("Moby", "Moby (Book 2)", ("Moby", None)),
        ("Moby", "Moby: A Whale", ("Moby", "A Whale")),
        ("Moby", "Mobydick: A Whale", ("Moby", None)),
        ("Moby", "白鯨", ("Moby", None)),
        ("Moby", "MOBY : A Whale", ("Moby", "A Whale")),
        ("Moby", "Moby: N/A", ("Moby", None)),
        ("Untitled", "Moby: A Whale", ("Moby: A Whale", None)),
        ("Untitled", "????", ("Untitled", None)),
        ("Unknown", "Unknown: A Novel", ("Unknown", "A Novel")),
        (None, "Moby: A Whale", ("Moby: A Whale", None)),
    ],
)
async def test_the_subtitle_is_what_the_long_title_adds(
    title: str | None, title_long: str | None, read_as: tuple[str, str | None]
) -> None:
    book = await read(title=title, title_long=title_long)

    assert (book.title, book.subtitle) == read_as


async def test_numbers_and_texts_are_read_alike() -> None:
    book = await read(date_published=2015, pages="174")

    assert (book.publication_date, book.page_count) == ("2015", 174)
    assert (await read(date_published="July 1982")).publication_date == "1982-07"


async def test_a_picture_that_stays_is_preferred_to_one_that_dies_in_two_hours() -> None:
    both = await read(image="http://images.isbndb.com/a.jpg", image_original="https://b.example/b")
    one = await read(image="", image_original="https://b.example/b")

    assert both.cover_url == "https://images.isbndb.com/a.jpg"
    assert one.cover_url == "https://b.example/b"


@pytest.mark.parametrize("field", ["isbn13", "isbn10", "isbn"])
async def test_any_of_the_isbn_fields_will_do(field: str) -> None:
    none = {"isbn13": None, "isbn10": None, "isbn": None}

    assert (await read(**(none | {field: "0142437247"}))).title == "Moby-Dick"


async def test_the_key_goes_in_a_header_only() -> None:
    http = FakeHttp({PATH: answered(record())})

    await isbndb(http, "key-2").find(MOBY_DICK)
    await isbndb(http, "").find(MOBY_DICK)

    assert http.headers == [{"Authorization": "key-2"}, {}]


@pytest.mark.parametrize(
    ("answer", "outcome", "says"),
    [
        (answered({"errorMessage": "Not Found"}, 404), BookNotFound, "not know"),
        (Answer(status=404), BookNotFound, "not know"),
        (answered(record(isbn13="9780060853983", isbn="0060853980")), BookNotFound, "another"),
        (answered(record(title=None)), MetadataIncomplete, "title"),
        (answered({"message": "Forbidden"}, 403), WrongKey, "BOOKLINE_ISBNDB_URL"),
        (answered({"message": "Unauthorized"}, 401), WrongKey, "BOOKLINE_ISBNDB_API_KEY"),
        (answered({"message": "Limit Exceeded"}, 429), SlowDown, "rate limiting"),
        (answered({"message": "Internal server error"}, 500), ProviderDown, "500"),
        (answered({"message": "Bad Request"}, 400), ProviderRefused, "400"),
        (answered({"book": None}), ProviderDown, "no book"),
        (answered({"message": "soon"}), ProviderDown, "no book"),
        (answered([record()]), ProviderDown, "no object"),
        (page(404), ProviderRefused, "URL"),
        (page(200), ProviderDown, "web page"),
    ],
)
async def test_each_outcome_is_told_apart(
    answer: Answer, outcome: type[BooklineError], says: str
) -> None:
    with pytest.raises(outcome, match=says) as raised:
        await isbndb(FakeHttp({PATH: answer})).find(MOBY_DICK)

    assert type(raised.value) is outcome


@pytest.mark.parametrize(
    "said",
    [{"errorMessage": "Not Found"}, {"message": "Not found", "error_message": "x"},
     {"errorMessage": "Book not found"}],
)  # fmt: skip
async def test_not_found_is_not_found_whatever_its_status_says(said: Json) -> None:
    with pytest.raises(BookNotFound):
        await isbndb(FakeHttp({f"/book/{MOBY_DICK}": answered(said)})).find(MOBY_DICK)


async def test_another_message_with_status_200_is_no_answer() -> None:
    http = FakeHttp({f"/book/{MOBY_DICK}": answered({"errorMessage": "Internal error"})})

    with pytest.raises(ProviderDown):
        await isbndb(http).find(MOBY_DICK)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"message": "Limit Exceeded"}, SlowDown),
        ({"message": "Daily quota reached"}, SlowDown),
        ({"message": "Too many requests"}, SlowDown),
        ({"message": "Forbidden"}, WrongKey),
        ({}, WrongKey),
    ],
)
async def test_a_403_for_the_plans_limit_is_no_wrong_key(
    said: Json, outcome: type[Exception]
) -> None:
    with pytest.raises(outcome):
        await isbndb(FakeHttp({f"/book/{MOBY_DICK}": answered(said, 403)})).find(MOBY_DICK)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (answered({"message": "Daily quota reached"}, 403), QUOTA_SECONDS),
        (answered({"message": "Limit of 500 calls per day exceeded"}, 429), QUOTA_SECONDS),
        (answered({"message": "Limit Exceeded"}, 429), None),
        (answered({"message": "Daily news"}, 403), None),
        (answered({"message": "Daily quota reached"}), None),
    ],
)
def test_a_plans_quota_of_the_day_is_known_by_its_words(
    answer: Answer, seconds: float | None
) -> None:
    assert quota_left(answer) == seconds
