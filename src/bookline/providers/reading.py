"""Readers for single values from providers: plain, short and of the right type, or None.

Way:      google_books.py, open_library.py, isbndb.py → here → book.Metadata
Rule 1:   no value of any type or size raises anything.
Rule 2:   plain text comes out, without control characters and halves of surrogate pairs: it can
          be written as UTF-8, and is shown as text, never as HTML.
Rule 3:   the work is bounded by the caps, not by what a provider sends.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from bookline.book import DESCRIPTION_CHARS
from bookline.isbn import Isbn, find_isbn
from bookline.languages import bcp47
from bookline.placeholders import is_no_description, is_no_title
from bookline.providers.names import tidy_name, tidy_publisher, tidy_subject
from bookline.providers.text import plain_line, plain_text

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
LANGUAGE_WORDS_CHARS: Final = 100
URL_CHARS: Final = 2_000
_LOOKED_AT: Final = 200  # entries of a list that are read at all
_IDENTIFIERS: Final = 50  # of one book; three were the most seen

# ------------------------------------------------------------------ text
_MARKUP_SHARE: Final = 4  # characters read for each one kept: tags and entities take the rest
_URL_DROPPED: Final = re.compile(
    "[\x00-\x20\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ANY_SPACE: Final = re.compile(r"\s+")
_SPACE_IN_LINE: Final = re.compile(r"[^\S\n]+")
_LINE_END: Final = re.compile(r"\r\n?|[\u2028\u2029]")
_SPACE_AROUND_LINE_END: Final = re.compile(r" ?\n ?")
_BEFORE_NEXT_AREA: Final = re.compile(r"\s+[/:;=]\Z")  # ISBD: "Title /", before the author
_EMPTY_LINES: Final = re.compile(r"\n{3,}")


def read_line(value: object, most_chars: int) -> str | None:
    """One line of plain text, or None."""
    if not isinstance(value, str):
        return None
    text = _ANY_SPACE.sub(" ", plain_line(value[: most_chars * _MARKUP_SHARE])).strip()
    return text[:most_chars].rstrip() or None


def read_title(value: object) -> str | None:
    """A title, placeholders too: ``Untitled`` stands until somebody knows better (merging.py)."""
    line = read_line(value, TITLE_CHARS)
    return line and (_BEFORE_NEXT_AREA.sub("", line) or line)


def read_subtitle(value: object) -> str | None:
    """A subtitle; None for what stands for none."""
    line = read_title(value)
    return None if line is None or is_no_title(line) else line


def read_description(value: object) -> str | None:
    """Plain text whose paragraphs are kept as line ends; ``{"type", "value"}`` is read too."""
    if isinstance(value, dict):
        value = value.get("value")
    if not isinstance(value, str):
        return None
    text = _LINE_END.sub("\n", plain_text(value[: DESCRIPTION_CHARS * _MARKUP_SHARE]))
    text = _SPACE_AROUND_LINE_END.sub("\n", _SPACE_IN_LINE.sub(" ", text))
    text = _EMPTY_LINES.sub("\n\n", text).strip()[:DESCRIPTION_CHARS].rstrip()
    return None if is_no_description(text) else text


# ------------------------------------------------------------------ lists of text
def read_authors(value: object) -> tuple[str, ...]:
    """Names in the provider's order, without those that say that no name is known."""
    return _first(_read_lines(value, AUTHOR_CHARS, tidy_name), AUTHORS, AUTHORS_CHARS)


def read_categories(value: object) -> tuple[str, ...]:
    """Subjects in the provider's order, without call numbers, codes and machine tags."""
    lines = _read_lines(value, CATEGORY_CHARS, tidy_subject)
    return _first(lines, CATEGORIES, CATEGORIES_CHARS)


def read_publisher(value: object) -> str | None:
    """The publisher, or the first of a list that is one."""
    return next(_read_lines(value, PUBLISHER_CHARS, tidy_publisher), None)


def _read_lines(value: object, most_chars: int, tidy: Callable[[str], str | None]) -> Iterator[str]:
    """Each different line of a text, a list of texts, or a list of ``{"name": text}``."""
    seen: set[str] = set()
    for entry in entries(value):
        line = read_line(entry.get("name") if isinstance(entry, dict) else entry, most_chars)
        line = tidy(line) if line is not None else None
        same = unicodedata.normalize("NFC", line).casefold() if line is not None else ""
        if line is not None and same not in seen:
            seen.add(same)
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
def read_language(value: object) -> str | None:
    """The first of a list, or of several in one text, that says a language: its BCP 47 tag where
    the code or name is known, else the provider's own word.
    """
    names = [name for one in entries(value) if (name := read_line(one, LANGUAGE_WORDS_CHARS))]
    tags = [tag for name in names if (tag := bcp47(name))]
    return tags[0][:LANGUAGE_CHARS] if tags else None


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
    url = _ANY_SPACE.sub("", _URL_DROPPED.sub("", value[: URL_CHARS * 2]))[:URL_CHARS]
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
