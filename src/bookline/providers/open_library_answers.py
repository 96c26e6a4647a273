"""What Open Library's answers hold: the Books API's, and the records of editions.

Way:      open_library.py, title_search.py → here
Source:   openlibrary.org/dev/docs/api/books; openlibrary/plugins/books/dynlinks.py; recorded
          editions and works.
Rule 1:   a hit counts only if its identifiers hold the ISBN.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bookline.book import DESCRIPTION_CHARS, Metadata
from bookline.errors import BookNotFound, MetadataIncomplete, ProviderDown
from bookline.isbn import Isbn
from bookline.ports import Answer
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
from bookline.values import Json

NAME: Final = "openlibrary"
TITLE: Final = "Open Library"
_ADVICE: Final = "set BOOKLINE_CONTACT to an address: it blocks callers who name none"


def check_answer(answer: Answer) -> None:
    """Raises: as ``answers.check``."""
    check(TITLE, answer, advice=_ADVICE)


# ------------------------------------------------------------------ the Books API
def request(*isbns: Isbn) -> Mapping[str, str]:
    """The parameters of the first question, with both forms of each ISBN at once."""
    keys = ",".join(f"ISBN:{form}" for isbn in isbns for form in isbn.forms)
    return {"bibkeys": keys, "format": "json", "jscmd": "data"}


def read(isbn: Isbn, answer: Answer, covers_url: str) -> tuple[Metadata, str]:
    """The book, and the key of its record.

    Raises: BookNotFound, MetadataIncomplete, and as ``answers.check``.
    """
    check_answer(answer)
    return read_found(isbn, read_json(TITLE, answer), covers_url)


def read_found(isbn: Isbn, found: Json, covers_url: str) -> tuple[Metadata, str]:
    """Raises: as ``read``."""
    known = [data for form in isbn.forms if (data := found.get(f"ISBN:{form}")) is not None]
    if found and not known:
        raise ProviderDown(f"{TITLE} answered with JSON that is not about this book")
    if not all(isinstance(data, dict) for data in known):
        raise ProviderDown(f"{TITLE} answered with JSON that holds no book")
    right = [data for data in known if holds(isbn, data.get("identifiers"))]
    if not right:
        raise BookNotFound(f"{TITLE} does not know {isbn}")
    for data in right:
        if title := read_title(data.get("title")):
            return _read_data(isbn, title, data, covers_url)
    raise MetadataIncomplete(f"{TITLE} knows {isbn} without a title")


def only_of(isbn: Isbn, found: Json) -> Json:
    """What an answer for many has of this one."""
    names = (f"ISBN:{form}" for form in isbn.forms)
    return {name: found[name] for name in names if name in found}


def details_of(found: object) -> Json | None:
    details = found.get("details") if isinstance(found, dict) else None
    return details if isinstance(details, dict) else None


def is_edition(key: str) -> bool:
    return EDITION.fullmatch(key) is not None


def holds(isbn: Isbn, identifiers: object) -> bool:
    if not isinstance(identifiers, dict):
        return False
    return any(names_isbn(identifiers.get(name), isbn) for name in ("isbn_13", "isbn_10"))


def _read_data(isbn: Isbn, title: str, data: Json, covers_url: str) -> tuple[Metadata, str]:
    keys = keys_of([data], EDITION)
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
        source=NAME,
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


def _read_pages(record: Json) -> int | None:
    """``number_of_pages``, else the count in ``pagination``."""
    return read_pages(record.get("number_of_pages")) or read_pages(record.get("pagination"))


def read_text(value: object) -> str | None:
    """A description: Markdown, by Open Library's own editor."""
    text = value.get("value") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return None
    return read_description(without_marks(text[: DESCRIPTION_CHARS * 4]))


def read_edition(isbn: Isbn, edition: Json, covers_url: str) -> Metadata:
    """The book of an edition's record. Raises: MetadataIncomplete without a title."""
    title = read_title(edition.get("title")) or read_title(edition.get("full_title"))
    if title is None:
        raise MetadataIncomplete(f"{TITLE} knows {isbn} without a title")
    book = Metadata(isbn=isbn.isbn13, isbn10=isbn.isbn10, title=title, source=NAME)
    return with_edition(book, edition, covers_url)


# ------------------------------------------------------------------ the records
EDITION: Final = re.compile(r"/books/OL[0-9]{1,18}M", re.ASCII)
WORK: Final = re.compile(r"/works/OL[0-9]{1,18}W", re.ASCII)
AUTHOR: Final = re.compile(r"/authors/OL[0-9]{1,18}A", re.ASCII)
RECORD: Final = re.compile("|".join(kind.pattern for kind in (EDITION, WORK, AUTHOR)), re.ASCII)


def with_edition(book: Metadata, edition: Json, covers_url: str) -> Metadata:
    """The book with what only the edition's record tells."""
    return replace(
        book,
        subtitle=book.subtitle or read_subtitle(edition.get("subtitle")),
        description=book.description or read_text(edition.get("description")),
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
    keys = keys_of([edition], EDITION)
    return keys[0].removeprefix("/books/") if keys else None


def keys_of(values: object, kind: re.Pattern[str]) -> list[str]:
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
