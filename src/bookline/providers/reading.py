"""Readers for single values from providers: plain, short and of the right type, or None.

Way:      google_books.py, open_library.py, isbndb.py → here → model.Metadata
Rule 1:   no value of any type or size raises anything.
Rule 2:   no HTML, no control character and no half of a surrogate pair comes out: what is kept
          can be written as UTF-8 and shown as text.
Rule 3:   the work is bounded by the caps, not by what a provider sends.
"""

import html
import re
from calendar import monthrange
from collections.abc import Iterator
from itertools import islice
from typing import Final

from bookline.book import DESCRIPTION_CHARS
from bookline.isbn import Isbn, find_isbn
from bookline.providers.languages import bcp47

# Our choice: far above any real book, far below what a step's record may weigh.
TITLE_CHARS: Final = 500
AUTHOR_CHARS: Final = 200
AUTHORS: Final = 50
AUTHORS_CHARS: Final = 4_000  # of all together
PUBLISHER_CHARS: Final = 300
CATEGORY_CHARS: Final = 100
CATEGORIES: Final = 30
CATEGORIES_CHARS: Final = 2_000  # of all together
SOURCE_ID_CHARS: Final = 100
LANGUAGE_CHARS: Final = 35  # RFC 5646 §4.4.1
URL_CHARS: Final = 2_000
MOST_PAGES: Final = 100_000
EARLIEST_YEAR: Final = 1400  # before it no book was printed
LATEST_YEAR: Final = 2100  # beyond it: another calendar, or a slip
_LOOKED_AT: Final = 200  # entries of a list that are read at all
_IDENTIFIERS: Final = 50  # of one book; three were the most seen
_MARKUP_SHARE: Final = 4  # characters read for each one kept: tags and entities take the rest

# ------------------------------------------------------------------ text
_DROPPED: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters that are no white space
    "\u00ad\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb"  # not seen
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # lone surrogates, noncharacters
)
_WITH_CONTENT: Final = tuple(
    (re.compile(whole, re.DOTALL | re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for whole, closing in (
        (r"<!--.*?-->", r"-->"),
        (r"<script\b.*?</script\s*>?", r"</script\s*>?"),
        (r"<style\b.*?</style\s*>?", r"</style\s*>?"),
    )
)
_PARAGRAPH: Final = re.compile(
    r"</?(?:p|div|h[1-6]|ul|ol|dl|table|blockquote|section|article|hr)\b[^>]*>", re.IGNORECASE
)
_LINE: Final = re.compile(r"</?(?:br|li|tr|dt|dd)\b[^>]*>", re.IGNORECASE)
_TAG: Final = re.compile(r"<[a-zA-Z/!?][^>]*>")
_OPENING: Final = re.compile(r"(?<!<)<++(?=[a-zA-Z/!?])")
_HUGE_REFERENCE: Final = re.compile(r"&#[xX]?[0-9a-fA-F]{9,};?")  # int() refuses 4,300 digits
_ANY_SPACE: Final = re.compile(r"\s+")
_SPACE_IN_LINE: Final = re.compile(r"[^\S\n]+")
_LINE_END: Final = re.compile(r"\r\n?|[\u2028\u2029]")
_SPACE_AROUND_LINE_END: Final = re.compile(r" ?\n ?")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def read_line(value: object, most_chars: int) -> str | None:
    """One line of plain text, or None."""
    if not isinstance(value, str):
        return None
    text = _ANY_SPACE.sub(" ", _plain(value[: most_chars * _MARKUP_SHARE])).strip()
    return text[:most_chars].rstrip() or None


def read_title(value: object) -> str | None:
    """A title or a subtitle."""
    return read_line(value, TITLE_CHARS)


def read_description(value: object) -> str | None:
    """Plain text whose paragraphs are kept as line ends; ``{"type", "value"}`` is read too."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, str):
        return None
    text = _LINE_END.sub("\n", _plain(value[: DESCRIPTION_CHARS * _MARKUP_SHARE]))
    text = _SPACE_AROUND_LINE_END.sub("\n", _SPACE_IN_LINE.sub(" ", text))
    return _EMPTY_LINES.sub("\n\n", text).strip()[:DESCRIPTION_CHARS].rstrip() or None


def _plain(text: str) -> str:
    # Two rounds, since descriptions with their tags escaped once more are common.
    for _ in range(2):
        text = _without_tags(text)
        if "&" not in text:
            break
        text = html.unescape(_HUGE_REFERENCE.sub("", text))
    text = _without_tags(_DROPPED.sub("", text))
    return _OPENING.sub("", text)


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    # Each search ends at the last closing: beyond it, every opening would cost a search to the end.
    for whole, closing in _WITH_CONTENT:
        ends = [found.end() for found in closing.finditer(text)]
        if ends:
            text = whole.sub("", text[: ends[-1]]) + text[ends[-1] :]
    end = text.rfind(">") + 1
    tagged = _LINE.sub("\n", _PARAGRAPH.sub("\n\n", text[:end]))
    return _TAG.sub("", tagged) + text[end:]


# ------------------------------------------------------------------ lists of text
_NO_NAMES: Final = frozenset({"unknown", "unknown author", "n/a", "none", "null", "undefined"})


def read_authors(value: object) -> tuple[str, ...]:
    """Names in the provider's order, without those that say that no name is known."""
    names = _read_lines(value, AUTHOR_CHARS)
    known = (name for name in names if name.casefold() not in _NO_NAMES)
    return _first(known, AUTHORS, AUTHORS_CHARS)


def read_categories(value: object) -> tuple[str, ...]:
    """Subjects in the provider's order."""
    return _first(_read_lines(value, CATEGORY_CHARS), CATEGORIES, CATEGORIES_CHARS)


def read_publisher(value: object) -> str | None:
    """The publisher, or the first of a list."""
    return next(_read_lines(value, PUBLISHER_CHARS), None)


def _read_lines(value: object, most_chars: int) -> Iterator[str]:
    """Each different line of a text, a list of texts, or a list of ``{"name": text}``."""
    seen: set[str] = set()
    for entry in entries(value):
        line = read_line(entry.get("name") if isinstance(entry, dict) else entry, most_chars)
        if line is not None and line.casefold() not in seen:
            seen.add(line.casefold())
            yield line


def _first(lines: Iterator[str], most: int, most_chars: int) -> tuple[str, ...]:
    kept: list[str] = []
    for line in islice(lines, most):
        most_chars -= len(line)
        if most_chars < 0:
            break
        kept.append(line)
    return tuple(kept)


def entries(value: object) -> list[object]:
    """The first entries of a list; a single value counts as a list of one."""
    if isinstance(value, list):
        return value[:_LOOKED_AT]
    return [] if value is None else [value]


# ------------------------------------------------------------------ single facts
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_NUMERIC_DATE: Final = re.compile(
    r"([0-9]{4})(?:[-/.]([0-9]{1,2})(?:[-/.]([0-9]{1,2})(?:[T ].*)?)?)?", re.DOTALL
)
_MONTH: Final = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY: Final = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
_WORDED_DATES: Final = (
    re.compile(rf"(?:{_DAY}\s+)?{_MONTH},?\s+(?P<year>[0-9]{{4}})", re.IGNORECASE),
    re.compile(rf"{_MONTH}\s+{_DAY},?\s+(?P<year>[0-9]{{4}})", re.IGNORECASE),
)
_LONE_YEAR: Final = re.compile(r"(?<![0-9])[0-9]{4}(?![0-9s])")


def read_date(value: object) -> str | None:
    """``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``, as exact as the value is and no more.

    An impossible month or day leaves the part before it; a text that names exactly one year
    (``c1998``, ``[1949]``) gives that year; ``19??`` gives None.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _date(str(value)) if EARLIEST_YEAR <= value <= LATEST_YEAR else None
    if not isinstance(value, str) or len(value) > 100:
        return None
    text = value.strip()
    if numeric := _NUMERIC_DATE.fullmatch(text):
        return _date(*numeric.groups())
    for form in _WORDED_DATES:
        if worded := form.fullmatch(text):
            month = _MONTHS[worded["month"][:3].lower()]
            return _date(worded["year"], str(month), worded["day"])
    years = set(_LONE_YEAR.findall(text))
    return _date(years.pop()) if len(years) == 1 else None


def _date(year: str, month: str | None = None, day: str | None = None) -> str | None:
    if not EARLIEST_YEAR <= int(year) <= LATEST_YEAR:
        return None
    if month is None or not 1 <= int(month) <= 12:
        return year
    if day is None or not 1 <= int(day) <= monthrange(int(year), int(month))[1]:
        return f"{year}-{int(month):02}"
    return f"{year}-{int(month):02}-{int(day):02}"


_PAGES: Final = re.compile(r"([0-9]{1,6})(?:\s*(?:p|pp|pages?)\.?)?", re.IGNORECASE)


def read_pages(value: object) -> int | None:
    """A count of pages from 1 to 100,000."""
    if isinstance(value, str) and len(value) < 20 and (written := _PAGES.fullmatch(value.strip())):
        value = int(written[1])
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_PAGES:
        return value
    return None


def read_language(value: object) -> str | None:
    """A BCP 47 tag where the code or name is known, else the provider's own word."""
    name = read_line(value, LANGUAGE_CHARS)
    return bcp47(name) if name else None


def read_source_id(value: object) -> str | None:
    """The provider's own id of the book."""
    return read_line(value, SOURCE_ID_CHARS)


def read_url(value: object) -> str | None:
    """An address as the provider gives it, its scheme in lower case.

    Whether it may be fetched is not judged here: the cover step refuses aloud, so that nothing
    is dropped silently. One that is too long is cut, which the cover step will find out.
    """
    if not isinstance(value, str):
        return None
    url = _ANY_SPACE.sub("", _DROPPED.sub("", value[: URL_CHARS * 2]))[:URL_CHARS]
    if url.startswith("//"):
        url = "https:" + url[: URL_CHARS - 6]
    scheme, colon, rest = url.partition(":")
    return scheme.lower() + colon + rest if colon else url or None


_HTTP_HOST: Final = re.compile(r"http://([a-z0-9.-]+)(?=[/?#]|\Z)", re.IGNORECASE)


def with_https(url: str, *hosts: str) -> str:
    """The address over https if it is one of the hosts' or below one; else as it is."""
    found = _HTTP_HOST.match(url)
    if found is None:
        return url
    host = found[1].lower()
    ours = any(host == name or host.endswith(f".{name}") for name in hosts)
    return f"https{url[4:]}" if ours and len(url) < URL_CHARS else url


def names_isbn(values: object, isbn: Isbn) -> bool:
    """Whether one of the values is the ISBN, in either form."""
    return any(find_isbn(value) == isbn for value in entries(values)[:_IDENTIFIERS])
