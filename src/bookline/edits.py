"""Edits of a book by its reader: read from a request, checked, and applied with their locks.

Way:      api/ and cli/ → shelf.py → here
Rule 1:   an edited field is locked, one that was emptied too; ``unlock`` frees it, and what stands
          there stands until an import brings something.
Rule 2:   what a reader says of a book (``reading``) is never locked.
Rule 3:   a value is checked as a provider's is: plain text, capped, true dates.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

from bookline.book import DESCRIPTION_CHARS, FIELDS, Book, Cover
from bookline.errors import Refused
from bookline.languages import bcp47
from bookline.reading import Reading, read_reading
from bookline.values import Json

USER: Final = "user"
"""The source of an edited field."""
LONGEST_TEXT_CHARS = 1_000  # our choice
MOST_PARTS = 100  # our choice: authors or categories of one book
MOST_PAGES = 100_000  # our choice
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")  # RFC 5646, its shape
_LANGUAGE_CHARS: Final = 35  # RFC 5646 §4.4.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What shall be different."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Field (as in ``FIELDS``) → its new value, empty to empty it."""
    unlock: frozenset[str] = frozenset()
    reading: Reading | None = None
    """What the reader says now."""
    forgotten: tuple[str, ...] = ()
    """Fields of the reading (as in its JSON) that are emptied."""

    @property
    def changes_book(self) -> bool:
        return bool(self.values or self.unlock)

    @property
    def changes_reading(self) -> bool:
        return bool(self.reading or self.forgotten)


def read_edit(body: Json) -> Edit:
    """Raises: Refused (INVALID_REQUEST) that names the field and what is wrong with it."""
    unknown = [ascii(name)[:50] for name in body if name not in EDITABLE]
    if unknown:
        known = ", ".join(EDITABLE)
        raise Refused("INVALID_REQUEST", f"{unknown[0]} cannot be edited; only {known} can")
    values = {name: _CHECKS[name](body[name], name) for name in _CHECKS if name in body}
    unlock = _unlocked(body.get("unlock", []))
    both = sorted(unlock & set(values))
    if both:
        raise Refused("INVALID_REQUEST", f"{both[0]} cannot be edited and unlocked at once")
    reading, forgotten = _reading(body["reading"]) if "reading" in body else (None, ())
    if not (values or unlock or reading or forgotten):
        raise Refused("INVALID_REQUEST", f"nothing to change: send one of {', '.join(EDITABLE)}")
    return Edit(values=values, unlock=unlock, reading=reading, forgotten=forgotten)


def edited(edit: Edit, at: str) -> Callable[[Book], Book]:
    """What makes the edited book of a book; ``at`` is the time of the edit, ISO 8601."""

    def change(book: Book) -> Book:
        values = {FIELDS[name]: value for name, value in edit.values.items()}
        sources = {name: source for name, source in book.sources.items() if name not in values}
        sources |= {name: USER for name, value in edit.values.items() if value}
        locked = (*book.locked, *edit.values)
        return replace(
            book,
            metadata=replace(book.metadata, **values),
            provenance=replace(book.provenance, fields=sources),
            locked=tuple(dict.fromkeys(name for name in locked if name not in edit.unlock)),
            edited_at=at,
        )

    return change


def with_own_cover(cover: Cover, at: str) -> Callable[[Book], Book]:
    """What makes the book with this cover of a book: locked, as every edited field."""

    def change(book: Book) -> Book:
        return replace(
            book,
            cover=cover,
            provenance=replace(book.provenance, fields={**book.sources, "cover": USER}),
            locked=tuple(dict.fromkeys((*book.locked, "cover"))),
            edited_at=at,
        )

    return change


def said_now(edit: Edit) -> Callable[[Reading], Reading]:
    """What makes the reader's data after the edit of those before it."""

    def change(older: Reading) -> Reading:
        return older.without(edit.forgotten).merged(edit.reading or Reading())

    return change


def _refused(name: str, why: str) -> Refused:
    return Refused("INVALID_REQUEST", f"{name} {why}", {"path": name})


def _text(value: object, name: str, most: int = LONGEST_TEXT_CHARS) -> str | None:
    """Plain text in one piece; None for nothing."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise _refused(name, f"must be a text of at most {most:,} characters, or null")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _refused(name, "is not valid Unicode") from error
    text = "".join(char for char in value if char in "\n\t" or char.isprintable())
    return text.strip() or None


def _title(value: object, name: str) -> str:
    text = _text(value, name)
    if text is None:
        raise _refused(name, "cannot be emptied")
    return " ".join(text.split())


def _line(value: object, name: str) -> str | None:
    text = _text(value, name)
    return text and " ".join(text.split())


def _description(value: object, name: str) -> str | None:
    return _text(value, name, DESCRIPTION_CHARS)


def _list(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_PARTS:
        raise _refused(name, f"must be a list of at most {MOST_PARTS} texts, or null")
    lines = []
    for place, one in enumerate(value):
        line = _line(one, f"{name}[{place}]")
        if line is None:
            raise _refused(f"{name}[{place}]", "must be a text that is not empty")
        lines.append(line)
    return tuple(dict.fromkeys(lines))


def _date(value: object, name: str) -> str | None:
    if value in (None, ""):
        return None
    wrong = _refused(name, "must be a date as YYYY, YYYY-MM or YYYY-MM-DD, or null")
    if not isinstance(value, str) or not value.isascii() or not _DATE.fullmatch(value):
        raise wrong
    try:
        date.fromisoformat(value + "0000-01-01"[len(value) :])
    except ValueError as error:
        raise wrong from error
    return value


def _pages(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PAGES:
        raise _refused(name, f"must be a whole number from 1 to {MOST_PAGES:,}, or null")
    return value


def _language(value: object, name: str) -> str | None:
    if value in (None, ""):
        return None
    tag = bcp47(value) if isinstance(value, str) and len(value) <= _LANGUAGE_CHARS else None
    if tag is None or not _LANGUAGE.fullmatch(tag):
        raise _refused(name, 'must be a language tag like "en" or "pt-BR", or null')
    return tag


def _unlocked(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _refused("unlock", 'must be a list of fields like ["title"]')
    unknown = sorted(set(value) - set(FIELDS))
    if unknown:
        raise _refused("unlock", f"knows only {', '.join(FIELDS)}; not {ascii(unknown[0])[:50]}")
    return frozenset(value)


def _reading(value: object) -> tuple[Reading | None, tuple[str, ...]]:
    """What is said, and the fields that are emptied: null for all of it, or for one."""
    if value is None:
        return None, tuple(Reading().to_json())
    said = read_reading(value)
    emptied = [name for name, one in value.items() if one is None]  # type: ignore[attr-defined]
    return said, tuple(emptied)


_CHECKS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "title": _title,
    "subtitle": _line,
    "authors": _list,
    "description": _description,
    "publisher": _line,
    "publicationDate": _date,
    "pageCount": _pages,
    "language": _language,
    "categories": _list,
}
EDITABLE: Final = (*_CHECKS, "reading", "unlock")
