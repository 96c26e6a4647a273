"""ISBNdb: one book by its ISBN-13, or many at once.

Way:      steps/metadata.py → here → ports.Http
Source:   ISBNdb's OpenAPI 2.7.0, and the older field names that its answers still use.
Rule 1:   a record counts only if one of its ISBN fields is the ISBN asked for.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from bookline.book import Metadata
from bookline.errors import BooklineError, BookNotFound, MetadataIncomplete, ProviderDown, SlowDown
from bookline.isbn import Isbn
from bookline.placeholders import is_no_title
from bookline.ports import Answer, Http
from bookline.providers.answers import check, read_json, read_retry_after
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
    read_subtitle,
    read_title,
    read_url,
    with_https,
)
from bookline.together import Together, outcome_of
from bookline.values import Json

_TITLE: Final = "ISBNdb"
MOST_AT_ONCE: Final = 100  # of the Basic plan, OpenAPI 2.7.0; each counts as one call
MANY_SECONDS: Final = 6.0  # our choice
_ADVICE: Final = (
    "check BOOKLINE_ISBNDB_API_KEY, and that BOOKLINE_ISBNDB_URL is the host of the key's plan"
)


class IsbnDb:
    """ISBNdb v2. A wrong host for the key's plan is refused just like a wrong key."""

    name = "isbndb"

    def __init__(self, http: Http, base_url: str, api_key: str, *, together: bool = False) -> None:
        """``together``: those who ask at the same time are asked for in one question."""
        self._http = http
        self._url = base_url.rstrip("/")
        self._headers = {"Authorization": api_key} if api_key else None
        many = Together(self._find_many, self._find, most=MOST_AT_ONCE, limit_seconds=MANY_SECONDS)
        self._ask = many.ask if together else self._find

    async def find(self, isbn: Isbn) -> Metadata:
        """The record of this ISBN; one question.

        Raises: as ``MetadataProvider.find``.
        """
        return await self._ask(isbn)

    async def _find(self, isbn: Isbn) -> Metadata:
        return read(isbn, await self._http.get(self._url + request(isbn), headers=self._headers))

    async def _find_many(self, isbns: Sequence[Isbn]) -> Mapping[Isbn, Metadata | BooklineError]:
        asked = {"isbns": [isbn.isbn13 for isbn in isbns]}
        answer = await self._http.post(f"{self._url}/books", json=asked, headers=self._headers)
        return read_many(isbns, answer)


def request(isbn: Isbn) -> str:
    """The path of the book."""
    return f"/book/{isbn.isbn13}"


def read(isbn: Isbn, answer: Answer) -> Metadata:
    """The book of an answer.

    Raises: BookNotFound, MetadataIncomplete, and as ``answers.check``.
    """
    check_answer(answer)
    found = read_json(_TITLE, answer)
    book = found.get("book")
    if not isinstance(book, dict):
        if _NOT_FOUND.search(_message(found)):
            raise BookNotFound(f"{_TITLE} does not know {isbn}")
        raise ProviderDown(f"{_TITLE} answered with JSON that holds no book")
    if not _is_of(isbn, book):
        raise BookNotFound(f"{_TITLE} answered with another book than {isbn}")
    return _read_book(isbn, book)


def read_many(isbns: Sequence[Isbn], answer: Answer) -> Mapping[Isbn, Metadata | BooklineError]:
    """The book, or the error, of each ISBN of an answer to many. Misses are silently absent in it,
    and no order is promised.

    Raises: as ``answers.check``; ProviderDown when it is no list of books.
    """
    check_answer(answer)
    data = read_json(_TITLE, answer).get("data")
    if not isinstance(data, list):
        raise ProviderDown(f"{_TITLE} answered with JSON that is no list of books")
    books = [book for book in data[: MOST_AT_ONCE * 2] if isinstance(book, dict)]
    return {isbn: outcome_of(partial(_read_of_many, isbn, books)) for isbn in isbns}


def _read_of_many(isbn: Isbn, books: Sequence[Json]) -> Metadata:
    for book in books:
        if _is_of(isbn, book):
            return _read_book(isbn, book)
    raise BookNotFound(f"{_TITLE} does not know {isbn}")


def _is_of(isbn: Isbn, book: Json) -> bool:
    return names_isbn([book.get(name) for name in ("isbn13", "isbn10", "isbn")], isbn)


def _read_book(isbn: Isbn, book: Json) -> Metadata:
    """Raises: MetadataIncomplete without a title."""
    title, subtitle = _read_titles(book)
    if title is None:
        raise MetadataIncomplete(f"{_TITLE} knows {isbn} without a title")
    return Metadata(
        isbn=isbn.isbn13,
        isbn10=isbn.isbn10,
        title=title,
        subtitle=subtitle,
        authors=read_names(book.get("authors")),
        description=_read_synopsis(book),
        publisher=read_publisher(book.get("publisher")),
        publication_date=read_date(book.get("date_published")),
        page_count=read_pages(book.get("pages")),
        language=read_language(book.get("language")),
        categories=read_categories(_without_marks(book.get("subjects"))),
        cover_url=read_cover(book),
        source=IsbnDb.name,
        source_id=isbn.isbn13,
    )


_NOT_FOUND: Final = re.compile(r"not\s*found|no\s+(?:such\s+)?book|no results", re.IGNORECASE)
_LIMIT: Final = re.compile(r"limit|quota|too many|throttl", re.IGNORECASE)


_LIMITED: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_DAILY: Final = re.compile(r"daily|per day|a day", re.IGNORECASE)
QUOTA_SECONDS: Final = 3_600.0  # our choice: it does not say when the day's quota begins anew


def quota_left(answer: Answer) -> float | None:
    """Seconds until we ask again, where the answer says that the quota of the day is used up and
    not when to come back.
    """
    is_refused = answer.status in _LIMITED and read_retry_after(answer) is None
    if not is_refused or not _LIMIT.search(said := _said(answer)) or not _DAILY.search(said):
        return None
    return QUOTA_SECONDS


def check_answer(answer: Answer) -> None:
    """A 403 is a wrong key, unless it says that the plan's limit is reached."""
    if answer.status == HTTPStatus.FORBIDDEN and _LIMIT.search(_said(answer)):
        said = f"{_TITLE} answered {answer.status}: the limit of the key's plan is reached"
        raise SlowDown(said, None, read_retry_after(answer))
    check(_TITLE, answer, advice=_ADVICE)


def _said(answer: Answer) -> str:
    try:
        return _message(read_json(_TITLE, answer))
    except ProviderDown:
        return ""


def _message(found: Json) -> str:
    words = (found.get(name) for name in ("errorMessage", "error_message", "message", "error"))
    return " ".join(word[:200] for word in words if isinstance(word, str))


_SERIES: Final = re.compile(
    r"\s*\((?:[^()]*\b)?(?:book|vol\.?|volume|#)\s*[0-9]+\)\Z", re.IGNORECASE
)


def _read_titles(book: Json) -> tuple[str | None, str | None]:
    """Title and subtitle: the latter is what ``title_long`` has between title and series."""
    title, long = read_title(book.get("title")), read_title(book.get("title_long"))
    if title is None or long is None:
        return title or long, None
    rest = long[len(title) :].lstrip()
    if not long.casefold().startswith(title.casefold()) or not rest.startswith(":"):
        return long if is_no_title(title) and not is_no_title(long) else title, None
    return title, read_subtitle(_SERIES.sub("", rest[1:]))


_MARK: Final = re.compile(r"~[a-z_ -]{1,30}~", re.IGNORECASE)  # "~autofilled~", seen at authors


def read_names(values: object) -> tuple[str, ...]:
    """Authors, without ISBNdb's own marks."""
    return read_authors(_without_marks(values))


def _without_marks(values: object) -> list[object]:
    return [
        _MARK.sub("", value[:1_000]) if isinstance(value, str) else value
        for value in entries(values)
    ]


def _read_synopsis(book: Json) -> str | None:
    for name in ("synopsis", "synopsys", "overview"):
        if text := read_description(book.get(name)):
            return text
    return None


def read_cover(book: Json) -> str | None:
    """``image``, since the address in ``image_original`` is dead after two hours."""
    url = read_url(book.get("image")) or read_url(book.get("image_original"))
    return with_https(url, "isbndb.com") if url else None
