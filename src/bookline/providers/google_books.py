"""Google Books: asked for the ISBN-13, then the ISBN-10, then the plain digits.

Way:      steps/metadata.py → here → ports.Http
Source:   developers.google.com/books/docs/v1/using; recorded answers and errors, 2012 to 2026.
Rule 1:   a hit counts only if its identifiers hold the ISBN: the search is fuzzy, even with isbn:.
Rule 2:   the key goes in a header, so that it stands in no address and no log of one.
Not here: larger sizes of the picture: the cover step asks for them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from bookline.book import Metadata
from bookline.errors import BookNotFound, MetadataIncomplete, ProviderDown, SlowDown, WrongKey
from bookline.isbn import Isbn
from bookline.ports import Answer, Http
from bookline.providers.answers import (
    DAY_SECONDS,
    answered_at,
    check,
    read_json,
    read_retry_after,
)
from bookline.providers.dates import read_date
from bookline.providers.pages import read_pages
from bookline.providers.reading import (
    entries,
    names_isbn,
    read_authors,
    read_categories,
    read_description,
    read_language,
    read_publisher,
    read_source_id,
    read_subtitle,
    read_title,
    read_url,
    with_https,
)
from bookline.values import Json

_TITLE: Final = "Google Books"
_ADVICE: Final = "check BOOKLINE_GOOGLE_BOOKS_API_KEY, and that the Books API is enabled for it"
_ITEMS: Final = 40  # the API's own limit of a page

# Reasons as they stand in error.errors[], error.status and error.details[].
_QUOTA: Final = frozenset({
    "dailyLimitExceeded", "dailyLimitExceededUnreg", "limitExceeded", "quotaExceeded",
    "rateLimitExceeded", "rateLimitExceededUnreg", "userRateLimitExceeded",
    "userRateLimitExceededUnreg", "variableTermLimitExceeded",
    "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED",
})  # fmt: skip
_DAILY: Final = frozenset({"dailyLimitExceeded", "dailyLimitExceededUnreg", "quotaExceeded"})
_DAILY_UNIT: Final = "1/d/"
"""How a 429's details say the same since 2025, beside a reason that says any limit. A limit of 0 is
none that begins anew: it is what who has no key is told."""
# Midnight Pacific time as UTC has it in winter; in summer we come an hour late.
_MIDNIGHT_SECONDS: Final = 8 * 3_600.0
_KEY: Final = frozenset({
    "accessNotConfigured", "keyExpired", "keyInvalid", "ipRefererBlocked",
    "API_KEY_EXPIRED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_INVALID",
    "API_KEY_IP_ADDRESS_BLOCKED", "API_KEY_SERVICE_BLOCKED", "SERVICE_DISABLED",
})  # fmt: skip


class GoogleBooks:
    """Google Books by its public API. ``country`` is an ISO 3166 code; a server needs one."""

    name = "google_books"

    def __init__(self, http: Http, base_url: str, api_key: str, country: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/volumes"
        self._headers = {"X-goog-api-key": api_key} if api_key else None
        self._country = country

    async def find(self, isbn: Isbn) -> Metadata:
        """The fullest volume that names this very ISBN; up to three questions.

        Raises: as ``MetadataProvider.find``.
        """
        without_title: MetadataIncomplete | None = None
        for params in requests(isbn, self._country):
            answer = await self._http.get(self._url, params=params, headers=self._headers)
            try:
                return read(isbn, answer)
            except BookNotFound:
                continue
            except MetadataIncomplete as error:
                without_title = error
        raise without_title or BookNotFound(f"{_TITLE} does not know {isbn}")


def requests(isbn: Isbn, country: str) -> Iterator[Mapping[str, str]]:
    """The parameters of each question, in turn: some books are found by one form only."""
    where = {"country": country} if country else {}
    for query in (*(f"isbn:{form}" for form in isbn.forms), isbn.isbn13):
        yield {"q": query, **where}


def read(isbn: Isbn, answer: Answer) -> Metadata:
    """The best volume of an answer: one with a title, printed rather than not, then the fullest.

    Raises: BookNotFound, MetadataIncomplete (the volumes that match have no title), and as
    ``answers.check``.
    """
    check_answer(answer)
    found = read_json(_TITLE, answer)
    if "items" not in found and "totalItems" not in found:
        raise ProviderDown(f"{_TITLE} answered with JSON that is no list of volumes")
    if _claims_hits(found):
        raise ProviderDown(f"{_TITLE} says that it knows books and sends none")
    volumes = [item for item in entries(found.get("items"))[:_ITEMS] if _matches(isbn, item)]
    if not volumes:
        raise BookNotFound(f"{_TITLE} does not know {isbn}")
    books = [book for volume in volumes if (book := _read_volume(isbn, volume)) is not None]
    if not books:
        raise MetadataIncomplete(f"{_TITLE} knows {isbn} without a title")
    return max(books, key=lambda one: one[0])[1]


def _claims_hits(found: Json) -> bool:
    total = found.get("totalItems")
    return isinstance(total, int) and total > 0 and not entries(found.get("items"))


def check_answer(answer: Answer) -> None:
    """Raises: as ``answers.check``."""
    if 400 <= answer.status < 500:
        reasons = _reasons(answer)
        said = f"{_TITLE} answered {answer.status}"
        if reasons & _QUOTA:
            day = "; the quota of the day begins anew at midnight Pacific time"
            until = day if _is_daily(answer) else ""
            raise SlowDown(f"{said}: the quota is used up{until}", None, read_retry_after(answer))
        if "unknownLocation" in reasons:
            raise WrongKey(f"{said}: it cannot tell our country; set BOOKLINE_GOOGLE_BOOKS_COUNTRY")
        if refused := sorted(reasons & _KEY):
            raise WrongKey(f"{said} ({refused[0]}): {_ADVICE}")
    check(_TITLE, answer, advice=_ADVICE)


def quota_left(answer: Answer) -> float | None:
    """Seconds until the quota of the day begins anew, where the answer says that it is used up and
    not when to come back.
    """
    is_refused = 400 <= answer.status < 500 and read_retry_after(answer) is None
    if not is_refused or not _is_daily(answer):
        return None
    return DAY_SECONDS - (answered_at(answer) - _MIDNIGHT_SECONDS) % DAY_SECONDS


def _is_daily(answer: Answer) -> bool:
    details = [one for one in entries(_error(answer).get("details")) if isinstance(one, dict)]
    told = [one["metadata"] for one in details if isinstance(one.get("metadata"), dict)]
    units = [str(one.get("quota_unit")) for one in told if one.get("quota_limit_value") != "0"]
    return bool(_reasons(answer) & _DAILY) or any(one.startswith(_DAILY_UNIT) for one in units)


def _error(answer: Answer) -> Json:
    try:
        error = read_json(_TITLE, answer).get("error")
    except ProviderDown:
        return {}
    return error if isinstance(error, dict) else {}


def _reasons(answer: Answer) -> frozenset[str]:
    error = _error(answer)
    parts = [*entries(error.get("errors")), *entries(error.get("details"))]
    words = [error.get("status"), *(part.get("reason") for part in parts if isinstance(part, dict))]
    return frozenset(word for word in words if isinstance(word, str))


def _matches(isbn: Isbn, item: object) -> bool:
    identifiers = _info(item).get("industryIdentifiers")
    named = [one.get("identifier") for one in entries(identifiers) if isinstance(one, dict)]
    return names_isbn(named, isbn)


def _info(item: object) -> Json:
    info = item.get("volumeInfo") if isinstance(item, dict) else None
    return info if isinstance(info, dict) else {}


def _read_volume(isbn: Isbn, item: object) -> tuple[tuple[bool, int], Metadata] | None:
    """A volume with its rank; None without a title."""
    info = _info(item)
    title = read_title(info.get("title"))
    if title is None:
        return None
    book = Metadata(
        isbn=isbn.isbn13,
        isbn10=isbn.isbn10,
        title=title,
        subtitle=read_subtitle(info.get("subtitle")),
        authors=read_authors(info.get("authors")),
        description=read_description(info.get("description")),
        publisher=read_publisher(info.get("publisher")),
        publication_date=read_date(info.get("publishedDate")),
        page_count=read_pages(info.get("pageCount")) or read_pages(info.get("printedPageCount")),
        language=read_language(info.get("language")),
        categories=read_categories(info.get("categories")),
        cover_url=read_cover(info.get("imageLinks")),
        source=GoogleBooks.name,
        source_id=read_source_id(item.get("id") if isinstance(item, dict) else None),
    )
    known = sum(1 for fact in book.to_json().values() if fact)
    return (info.get("printType") == "BOOK", known), book


_EDGE: Final = re.compile(r"(?<=[?&])edge=[^&#]*&?")


def read_cover(links: object) -> str | None:
    """The thumbnail without its curled edge. Larger links of scanned books may be inside pages."""
    if not isinstance(links, dict):
        return None
    for size in ("thumbnail", "smallThumbnail", "small", "medium", "large", "extraLarge"):
        url = read_url(links.get(size))
        if url is not None:
            flat = _EDGE.sub("", url).rstrip("?&")
            return with_https(flat, "google.com", "googleusercontent.com")
    return None
