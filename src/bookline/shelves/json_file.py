"""JSON files: LibraryThing's export, Bookline's own, and lists of ISBNs or of items.

Rule 1:  one value at a time is decoded, so that a long file needs the memory of one book.
Source:  RFC 8259.
"""

import json
import re
from collections.abc import Iterator, Mapping

from bookline.errors import Refused
from bookline.reading import Reading, read_reading
from bookline.shelves.cells import column
from bookline.shelves.checking import check
from bookline.shelves.encoding import unreadable
from bookline.shelves.formats import librarything
from bookline.shelves.row import NOTHING, Entry, Row

_SPACE = re.compile(r"\s*")
_ITEMS = re.compile(r'\{\s*"(?:items|books|library|data|results)"\s*:\s*(?=\[)')
_OF_BOOKS = re.compile(r'\{\s*"(?:[^"\\]|\\.){0,100}"\s*:\s*\{')
"""An object of objects: each is a book, named by a number of its own."""
_LONGEST_NUMBER = 30  # digits; our choice
_ISBNS = ("isbn", "isbn13", "isbn10", "isbns", "ean", "input")


def looks_like_json(start: str) -> bool:
    """True when a text begins as a JSON list or object of books."""
    return bool(re.match(r'\s*(\[\s*(?:["{\]]|null\b|true\b|false\b)|\{\s*["}])', start))


def json_format(text: str) -> str:
    """ "librarything" or "json"."""
    first = next(iter(_values(text)), None)
    is_export = isinstance(first, dict) and bool(librarything.JSON_KEYS & set(first))
    return "librarything" if is_export else "json"


def read_json(text: str) -> Iterator[Row]:
    """Each value of the list or object as a row.

    Raises: Refused(UNREADABLE_FILE) where the JSON is broken.
    """
    for value in _values(text):
        yield check(_entry(value), None, value)


def _entry(value: object) -> Entry:
    if isinstance(value, str):
        return Entry(isbns=(value,))
    if not isinstance(value, dict):
        return Entry(isbns=(json.dumps(value)[:64],))
    if librarything.JSON_KEYS & set(value):
        return librarything.read_json(value)
    by_name = {column(name).replace(" ", ""): one for name, one in value.items()}
    authors = by_name.get("authors") or by_name.get("author")
    return Entry(
        isbns=tuple(text for name in _ISBNS for text in _texts(by_name.get(name))),
        title=_text(by_name.get("title")),
        authors=tuple(_texts(authors)),
        reading=_reading(by_name.get("reading")),
    )


def _texts(value: object) -> list[str]:
    """The texts of a value, a list, or a list of ``{"name": text}``."""
    parts = value if isinstance(value, list) else [value]
    named = [one.get("name") if isinstance(one, dict) else one for one in parts]
    return [text for one in named if (text := _text(one))]


def _reading(value: object) -> Reading:
    """As much of it as is right: what a file says wrongly does not cost the row."""
    if not isinstance(value, Mapping):
        return NOTHING
    reading = NOTHING
    for name, one in value.items():
        try:
            reading = reading.merged(read_reading({name: one}))
        except Refused:
            continue
    return reading


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


def _values(text: str) -> Iterator[object]:
    """The values of the outermost list or object, one at a time."""
    decoder = json.JSONDecoder(parse_int=_read_int)
    if text[_after_space(text, 0)] == "{" and not (_ITEMS.match(text) or _OF_BOOKS.match(text)):
        yield from _one_by_one(decoder, text)
        return
    opened = _ITEMS.match(text, _after_space(text, 0))
    place = opened.end() if opened else _after_space(text, 0)
    keyed = text[place : place + 1] == "{"
    closing = "}" if keyed else "]"
    place = _after_space(text, place + 1)
    if text[place : place + 1] == closing:
        return
    while True:
        try:
            if keyed:
                _, place = decoder.raw_decode(text, place)
                place = _expect(text, place, ":")
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise _broken(text, place) from error
        yield value
        place = _after_space(text, place)
        if text[place : place + 1] == closing:
            break
        place = _expect(text, place, ",")
    if not opened and text[place + 1 :].strip():
        raise _broken(text, place + 1)


def _one_by_one(decoder: json.JSONDecoder, text: str) -> Iterator[object]:
    """A book, or one in each line."""
    place = _after_space(text, 0)
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise _broken(text, place) from error
        yield value
        place = _after_space(text, place)


def _read_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else None


def _expect(text: str, place: int, mark: str) -> int:
    place = _after_space(text, place)
    if text[place : place + 1] != mark:
        raise _broken(text, place)
    return _after_space(text, place + 1)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _broken(text: str, place: int) -> Refused:
    return unreadable(f"The JSON is broken at line {text.count(chr(10), 0, place) + 1}.")
