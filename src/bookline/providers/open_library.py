"""Open Library: the Books API first, then the edition's record (and the work's) for what it lacks.

Way:      steps/metadata.py → here → ports.Http
Source:   openlibrary.org/dev/docs/api/books; openlibrary/plugins/books/dynlinks.py; recorded
          editions and works.
Rule 1:   a hit counts only if its identifiers hold the ISBN.
Rule 2:   the first answer has the facts that matter. Whatever goes wrong after it, be it an
          outage, costs a description at most and never the book.
"""

import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from bookline.book import DESCRIPTION_CHARS, Metadata
from bookline.errors import BooklineError, BookNotFound, MetadataIncomplete, ProviderDown
from bookline.isbn import Isbn
from bookline.ports import Answer, Http
from bookline.providers.answers import check, read_json
from bookline.providers.dates import read_date
from bookline.providers.markdown import without_marks
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
)
from bookline.time_limit import time_limit
from bookline.values import Json

_TITLE: Final = "Open Library"
_ADVICE: Final = "set BOOKLINE_CONTACT to an address: it blocks callers who name none"
MORE_SECONDS: Final = 3.0  # our choice, for all further questions together
_MOST_AUTHORS_ASKED: Final = 5  # our choice: each is a question of its own
_MOST_REDIRECTS: Final = 2  # from one record to another, after a merge

_log = logging.getLogger(__name__)


class OpenLibrary:
    """Open Library, which needs no key but wants to know whom to write to."""

    name = "openlibrary"

    def __init__(
        self,
        http: Http,
        base_url: str,
        covers_url: str,
        *,
        more_seconds: float = MORE_SECONDS,
    ) -> None:
        self._http = http
        self._more_seconds = more_seconds
        self._url = base_url.rstrip("/")
        self._covers_url = covers_url.rstrip("/")

    async def find(self, isbn: Isbn) -> Metadata:
        """The edition of this ISBN, as full as the further questions could make it.

        Raises: as ``MetadataProvider.find``.
        """
        answer = await self._http.get(f"{self._url}/api/books", params=request(isbn))
        try:
            book, key = read(isbn, answer, self._covers_url)
        except (BookNotFound, ProviderDown) as failure:
            if not _is_no_answer(answer, failure):
                raise
            return await self._find_record(isbn)
        return await self._completed(isbn, book, key)

    async def _find_record(self, isbn: Isbn) -> Metadata:
        """The edition by its own address: what counts where the Books API knows nothing.

        Raises: BookNotFound for a 404 alone, and as ``answers.check``.
        """
        edition = await self._record(f"/isbn/{isbn.isbn13}")
        if not _holds(isbn, edition):
            raise BookNotFound(f"{_TITLE} does not know {isbn}")
        book = read_edition(isbn, edition, self._covers_url)
        keys = _keys([edition], _EDITION)
        key = keys[0] if keys else f"/isbn/{isbn.isbn13}"
        return await self._completed(isbn, book, key, edition)

    async def _completed(
        self, isbn: Isbn, book: Metadata, key: str, edition: Json | None = None
    ) -> Metadata:
        """The book with what the records tell; whatever fails there costs no more than that."""
        try:
            async with (
                time_limit(self._more_seconds),
                aclosing(self._fuller(isbn, book, key, edition)) as fuller,
            ):
                async for better in fuller:
                    book = better
        except (BooklineError, TimeoutError) as error:
            _log.info("%s: no further facts: %s", _TITLE, type(error).__name__)
        return book

    async def _fuller(
        self, isbn: Isbn, book: Metadata, key: str, edition: Json | None
    ) -> AsyncGenerator[Metadata, None]:
        """The book after each further answer."""
        edition = edition if edition is not None else await self._record(key)
        if not _holds(isbn, edition):
            return
        book = with_edition(book, edition, self._covers_url)
        yield book
        if book.authors and book.description:
            return
        author_keys = _keys(edition.get("authors"), _AUTHOR)
        if work_keys := _keys(edition.get("works"), _WORK):
            work = await self._record(work_keys[0])
            author_keys = author_keys or _keys(work.get("authors"), _AUTHOR)
            book = replace(
                book,
                description=book.description or _read_text(work.get("description")),
                categories=book.categories or read_categories(work.get("subjects")),
            )
            yield book
        if book.authors:
            return
        for author_key in author_keys[:_MOST_AUTHORS_ASKED]:
            name = (await self._record(author_key)).get("name")
            book = replace(book, authors=read_authors([*book.authors, name]))
            yield book

    async def _record(self, key: str) -> Json:
        """A record by its key, followed when it was merged into another.

        Raises: BookNotFound (deleted too), and as ``answers.check``.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._http.get(f"{self._url}{key}.json")
            check_answer(answer)
            record = read_json(_TITLE, answer)
            kind = record.get("type")
            kind = kind.get("key") if isinstance(kind, dict) else kind
            if kind == "/type/delete":
                break
            if kind != "/type/redirect":
                return record
            location = record.get("location")
            if not isinstance(location, str) or not _RECORD.fullmatch(location):
                break
            key = location
        raise BookNotFound(f"{_TITLE} has deleted a record")


def check_answer(answer: Answer) -> None:
    """Raises: as ``answers.check``."""
    check(_TITLE, answer, advice=_ADVICE)


# ------------------------------------------------------------------ the Books API
def request(isbn: Isbn) -> Mapping[str, str]:
    """The parameters of the first question, with both forms of the ISBN at once."""
    keys = ",".join(f"ISBN:{form}" for form in isbn.forms)
    return {"bibkeys": keys, "format": "json", "jscmd": "data"}


def read(isbn: Isbn, answer: Answer, covers_url: str) -> tuple[Metadata, str]:
    """The book, and the key of its record.

    Raises: BookNotFound, MetadataIncomplete, and as ``answers.check``.
    """
    check_answer(answer)
    found = read_json(_TITLE, answer)
    known = [data for form in isbn.forms if (data := found.get(f"ISBN:{form}")) is not None]
    if found and not known:
        raise ProviderDown(f"{_TITLE} answered with JSON that is not about this book")
    if not all(isinstance(data, dict) for data in known):
        raise ProviderDown(f"{_TITLE} answered with JSON that holds no book")
    right = [data for data in known if _holds(isbn, data.get("identifiers"))]
    if not right:
        raise BookNotFound(f"{_TITLE} does not know {isbn}")
    for data in right:
        if title := read_title(data.get("title")):
            return _read_data(isbn, title, data, covers_url)
    raise MetadataIncomplete(f"{_TITLE} knows {isbn} without a title")


def _holds(isbn: Isbn, identifiers: object) -> bool:
    if not isinstance(identifiers, dict):
        return False
    return any(names_isbn(identifiers.get(name), isbn) for name in ("isbn_13", "isbn_10"))


def _read_data(isbn: Isbn, title: str, data: Json, covers_url: str) -> tuple[Metadata, str]:
    keys = _keys([data], _EDITION)
    book = Metadata(
        isbn=isbn.isbn13,
        isbn10=isbn.isbn10,
        title=title,
        subtitle=read_subtitle(data.get("subtitle")),
        authors=read_authors(data.get("authors")),
        publisher=read_publisher(data.get("publishers")),
        publication_date=read_date(data.get("publish_date")),
        page_count=_read_pages(data),
        categories=read_categories(data.get("subjects")),
        cover_url=_read_cover(data.get("cover"), covers_url),
        source=OpenLibrary.name,
        source_id=keys[0].removeprefix("/books/") if keys else None,
    )
    return book, keys[0] if keys else f"/isbn/{isbn.isbn13}"


_COVER: Final = re.compile(r"/b/id/(-?[0-9]{1,18})-[SML]\.jpg", re.ASCII)


def _read_cover(links: object, covers_url: str) -> str | None:
    if not isinstance(links, dict):
        return None
    for size in ("large", "medium", "small"):
        url = read_url(links.get(size))
        if url is None:
            continue
        numbered = _COVER.search(url)
        return _cover_url(int(numbered[1]), covers_url) if numbered else url
    return None


def _cover_url(number: int, covers_url: str) -> str | None:
    # Without default=false a picture that is not there is a 1×1 GIF with status 200.
    return f"{covers_url}/b/id/{number}-L.jpg?default=false" if number > 0 else None


def _is_no_answer(answer: Answer, failure: Exception) -> bool:
    """The Books API says ``{}`` when it knows nothing, and when it has stumbled over a record or
    lost its database (``bare except`` in dynlinks.py); both look alike, so the record is asked for.
    """
    return isinstance(failure, BookNotFound) or answer.status >= 500


def _read_pages(record: Json) -> int | None:
    """``number_of_pages``, else the count in ``pagination``."""
    return read_pages(record.get("number_of_pages")) or read_pages(record.get("pagination"))


def _read_text(value: object) -> str | None:
    """A description: Markdown, by Open Library's own editor."""
    text = value.get("value") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return None
    return read_description(without_marks(text[: DESCRIPTION_CHARS * 4]))


def read_edition(isbn: Isbn, edition: Json, covers_url: str) -> Metadata:
    """The book of an edition's record. Raises: MetadataIncomplete without a title."""
    title = read_title(edition.get("title")) or read_title(edition.get("full_title"))
    if title is None:
        raise MetadataIncomplete(f"{_TITLE} knows {isbn} without a title")
    book = Metadata(isbn=isbn.isbn13, isbn10=isbn.isbn10, title=title, source=OpenLibrary.name)
    return with_edition(book, edition, covers_url)


# ------------------------------------------------------------------ the records
_EDITION: Final = re.compile(r"/books/OL[0-9]{1,18}M", re.ASCII)
_WORK: Final = re.compile(r"/works/OL[0-9]{1,18}W", re.ASCII)
_AUTHOR: Final = re.compile(r"/authors/OL[0-9]{1,18}A", re.ASCII)
_RECORD: Final = re.compile("|".join(kind.pattern for kind in (_EDITION, _WORK, _AUTHOR)), re.ASCII)


def with_edition(book: Metadata, edition: Json, covers_url: str) -> Metadata:
    """The book with what only the edition's record tells."""
    return replace(
        book,
        subtitle=book.subtitle or read_subtitle(edition.get("subtitle")),
        description=book.description or _read_text(edition.get("description")),
        publisher=book.publisher or read_publisher(edition.get("publishers")),
        publication_date=book.publication_date or read_date(edition.get("publish_date")),
        page_count=book.page_count or _read_pages(edition),
        language=book.language or _read_language(edition.get("languages")),
        categories=book.categories or read_categories(edition.get("subjects")),
        cover_url=book.cover_url or _read_covers(edition.get("covers"), covers_url),
        source_id=book.source_id or _read_id(edition),
    )


def _read_language(languages: object) -> str | None:
    """The first of the languages, from keys such as ``/languages/eng``."""
    for entry in entries(languages):
        key = entry.get("key") if isinstance(entry, dict) else entry
        if isinstance(key, str) and (tag := read_language(key.removeprefix("/languages/"))):
            return tag
    return None


def _read_covers(numbers: object, covers_url: str) -> str | None:
    """The first picture that is one: the list may begin with -1 or null."""
    for number in entries(numbers):
        if type(number) is int and 0 < number < 10**18:  # True is an int, and no picture
            return _cover_url(number, covers_url)
    return None


def _read_id(edition: Json) -> str | None:
    keys = _keys([edition], _EDITION)
    return keys[0].removeprefix("/books/") if keys else None


def _keys(values: object, kind: re.Pattern[str]) -> list[str]:
    """The different keys of a kind in a list of ``{"key"}`` or ``{"author": {"key"}}``.

    An edition was seen that names the same three authors seventy times.
    """
    found: dict[str, None] = {}
    for value in entries(values):
        entry = value.get("author", value) if isinstance(value, dict) else value
        key = entry.get("key") if isinstance(entry, dict) else entry
        if isinstance(key, str) and kind.fullmatch(key):
            found[key] = None
    return list(found)
