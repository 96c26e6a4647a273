"""Google Books: which questions, which volume, and what its refusals mean."""

from dataclasses import replace

import pytest
from provider_fakes import (
    MOBY_DICK,
    NO_ISBN10,
    NO_VOLUMES,
    FakeHttp,
    answered,
    google,
    page,
    volume,
    volumes,
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
from bookline.providers.google_books import quota_left
from bookline.values import Json

PATH = "/books/v1/volumes"
OTHER_ID = [{"type": "OTHER", "identifier": "PRNC:32101064790353"}]


async def test_a_volume_is_read_with_all_its_facts() -> None:
    facts: Json = {
        "subtitle": "Or, The Whale",
        "authors": ["Herman Melville", "Nathaniel Philbrick"],
        "publisher": "Penguin",
        "publishedDate": "2002-12-31",
        "description": "<p>A captain.</p><p>A whale &amp; a ship.</p>",
        "pageCount": 720,
        "language": "en",
        "categories": ["Fiction"],
        "imageLinks": {
            "smallThumbnail": "http://books.google.com/books/content?id=x&zoom=5&edge=curl",
            "thumbnail": "http://books.google.com/books/content?id=x&zoom=1&edge=curl&source=gbs",
        },
    }
    http = FakeHttp({PATH: answered(volumes(volume(**facts)))})

    book = await google(http).find(MOBY_DICK)

    assert book.to_json() == {
        "isbn": "9780142437247",
        "isbn10": "0142437247",
        "title": "Moby-Dick",
        "subtitle": "Or, The Whale",
        "author": "Herman Melville",
        "authors": ["Herman Melville", "Nathaniel Philbrick"],
        "description": "A captain.\n\nA whale & a ship.",
        "publisher": "Penguin",
        "publicationDate": "2002-12-31",
        "pageCount": 720,
        "language": "en",
        "categories": ["Fiction"],
        "coverUrl": "https://books.google.com/books/content?id=x&zoom=1&source=gbs",
        "source": "google_books",
        "sourceId": "mobyVolume01",
        "fields": {},
    }


async def test_the_isbn_is_asked_in_each_form_until_one_is_known() -> None:
    unknown = answered(NO_VOLUMES)
    http = FakeHttp(
        {
            f"{PATH} isbn:9780142437247": unknown,
            f"{PATH} isbn:0142437247": unknown,
            f"{PATH} 9780142437247": answered(volumes(volume())),
        }
    )

    book = await google(http).find(MOBY_DICK)

    assert book.title == "Moby-Dick"
    assert len(http.asked) == 3


async def test_an_unknown_book_is_not_found_after_every_form() -> None:
    http = FakeHttp({PATH: answered(NO_VOLUMES)})

    with pytest.raises(BookNotFound):
        await google(http).find(NO_ISBN10)

    assert http.asked == [f"{PATH} isbn:9791032305690", f"{PATH} 9791032305690"]


async def test_a_volume_without_the_isbn_is_another_book() -> None:
    other = volume(title="Another", industryIdentifiers=OTHER_ID)
    http = FakeHttp({PATH: answered(volumes(other, volume()))})

    assert (await google(http).find(MOBY_DICK)).title == "Moby-Dick"


async def test_volumes_of_other_books_alone_are_not_found() -> None:
    http = FakeHttp({PATH: answered(volumes(volume(industryIdentifiers=OTHER_ID)))})

    with pytest.raises(BookNotFound):
        await google(http).find(MOBY_DICK)


async def test_the_old_form_of_the_isbn_counts_too() -> None:
    ids = [{"type": "ISBN_10", "identifier": "0142437247"}]
    http = FakeHttp({PATH: answered(volumes(volume(industryIdentifiers=ids)))})

    assert (await google(http).find(MOBY_DICK)).isbn == "9780142437247"


async def test_of_several_volumes_the_fullest_book_is_taken() -> None:
    magazine = volume(
        title="Magazine", printType="MAGAZINE", pageCount=9, publisher="A", subtitle="B"
    )
    fuller = volume(title="Fuller", pageCount=720)
    http = FakeHttp({PATH: answered(volumes(magazine, volume(), fuller))})

    assert (await google(http).find(MOBY_DICK)).title == "Fuller"


async def test_a_volume_without_a_title_is_incomplete() -> None:
    http = FakeHttp({PATH: answered(volumes(volume(title="  ")))})

    with pytest.raises(MetadataIncomplete):
        await google(http).find(MOBY_DICK)


async def test_a_title_may_come_from_a_later_question() -> None:
    http = FakeHttp(
        {
            f"{PATH} isbn:9780142437247": answered(volumes(volume(title=None))),
            f"{PATH} isbn:0142437247": answered(volumes(volume())),
        }
    )

    assert (await google(http).find(MOBY_DICK)).title == "Moby-Dick"


async def test_the_key_goes_in_a_header_only() -> None:
    http = FakeHttp({PATH: answered(volumes(volume()))})

    await google(http, "key-1").find(MOBY_DICK)
    await google(http, "").find(MOBY_DICK)

    assert http.headers == [{"X-goog-api-key": "key-1"}, {}]


@pytest.mark.parametrize(
    ("links", "cover"),
    [
        ({"thumbnail": "http://127.0.0.1:9/c?zoom=1&edge=curl"}, "http://127.0.0.1:9/c?zoom=1"),
        (
            {"thumbnail": "http://bks3.books.google.com/b?edge=curl"},
            "https://bks3.books.google.com/b",
        ),
        ({"thumbnail": 7, "smallThumbnail": "https://a.example/b"}, "https://a.example/b"),
        ({"thumbnail": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({}, None),
        ([], None),
    ],
)
async def test_the_cover_is_the_thumbnail_without_its_curl(
    links: object, cover: str | None
) -> None:
    http = FakeHttp({PATH: answered(volumes(volume(imageLinks=links)))})

    assert (await google(http).find(MOBY_DICK)).cover_url == cover


def refused(code: int, reason: str, **more: object) -> Answer:
    error = {"code": code, "message": "key AIza", "errors": [{"reason": reason}], **more}
    return answered({"error": error}, code)


def out_of_quota(unit: str | None, limit: str = "1000") -> Answer:
    """As Google says it since 2025."""
    metadata = {"quota_unit": unit, "quota_limit_value": limit} if unit else None
    told = {"metadata": metadata}
    details = [{"reason": "RATE_LIMIT_EXCEEDED", **told}, {"links": []}, "none"]
    return refused(429, "rateLimitExceeded", status="RESOURCE_EXHAUSTED", details=details)


@pytest.mark.parametrize(
    ("answer", "outcome", "says"),
    [
        (refused(400, "keyInvalid"), WrongKey, "BOOKLINE_GOOGLE_BOOKS_API_KEY"),
        (
            refused(400, "badRequest", details=[{"reason": "API_KEY_INVALID"}]),
            WrongKey,
            "BOOKLINE_GOOGLE_BOOKS_API_KEY",
        ),
        (refused(403, "accessNotConfigured"), WrongKey, "Books API"),
        (refused(403, "unknownLocation"), WrongKey, "BOOKLINE_GOOGLE_BOOKS_COUNTRY"),
        (refused(403, "forbidden"), WrongKey, "BOOKLINE_GOOGLE_BOOKS_API_KEY"),
        (refused(403, "dailyLimitExceeded"), SlowDown, "midnight Pacific"),
        (refused(403, "userRateLimitExceeded"), SlowDown, "quota"),
        (refused(400, "quotaExceeded"), SlowDown, "quota"),
        (refused(429, "rateLimitExceeded", status="RESOURCE_EXHAUSTED"), SlowDown, "quota"),
        (answered([], 429), SlowDown, "rate limiting"),
        (refused(503, "backendFailed"), ProviderDown, "503"),
        (refused(400, "invalid"), ProviderRefused, "400"),
        (page(403), WrongKey, "403"),
        (page(502), ProviderDown, "502"),
        (page(404), ProviderRefused, "URL"),
        (page(200), ProviderDown, "web page"),
        (answered({}), ProviderDown, "no list"),
        (answered({"message": "Forbidden"}), ProviderDown, "no list"),
    ],
)
async def test_each_refusal_says_what_to_do(
    answer: Answer, outcome: type[BooklineError], says: str
) -> None:
    with pytest.raises(outcome, match=says) as raised:
        await google(FakeHttp({PATH: answer}), "AIza").find(MOBY_DICK)

    assert type(raised.value) is outcome
    assert "AIza" not in str(raised.value)


async def test_an_outage_at_a_later_question_is_not_taken_for_an_unknown_book() -> None:
    http = FakeHttp({PATH: [answered(NO_VOLUMES), answered({}, 429, retry_after="9")]})

    with pytest.raises(SlowDown) as raised:
        await google(http).find(MOBY_DICK)

    assert raised.value.retry_after_seconds == 9


async def test_hits_that_are_claimed_and_not_sent_are_no_answer() -> None:
    http = FakeHttp({"/books/v1/volumes": answered({"kind": "books#volumes", "totalItems": 3})})

    with pytest.raises(ProviderDown, match="sends none"):
        await google(http).find(MOBY_DICK)


@pytest.mark.parametrize(
    ("answer", "hours"),
    [
        (refused(403, "dailyLimitExceeded"), 19.0),
        (refused(400, "quotaExceeded"), 19.0),
        (refused(403, "userRateLimitExceeded"), None),
        (refused(429, "rateLimitExceeded"), None),
        (out_of_quota("1/d/{project}"), 19.0),
        (out_of_quota("1/d/{project}", "0"), None),
        (out_of_quota("1/min/{project}/{user}"), None),
        (out_of_quota(None), None),
        (refused(503, "backendFailed"), None),
        (answered({"items": []}), None),
    ],
)
def test_the_quota_of_the_day_begins_anew_at_midnight_pacific(
    answer: Answer, hours: float | None
) -> None:
    at = {"date": "Mon, 30 Nov 2026 13:00:00 GMT"}

    left = quota_left(replace(answer, headers={**answer.headers, **at}))

    assert left == (None if hours is None else hours * 3_600)


def test_a_quota_that_says_when_to_come_back_is_a_pause_as_any_other() -> None:
    told = replace(refused(403, "dailyLimitExceeded"), headers={"retry-after": "5"})

    assert quota_left(told) is None
