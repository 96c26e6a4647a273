"""What a reader says of a book: status, rating, shelves, dates, review. Never of the book itself.

Rule 1:  newer values win, null never erases (``merged``).
Rule 2:  dates are YYYY-MM-DD; a time of reading is "start/end"; a rating is 0.25 to 5.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date

from bookline.errors import Refused

STATUSES = ("read", "reading", "to-read", "did-not-finish", "paused")
LONGEST_TEXT_CHARS = 100_000  # our choice; the longest review in real exports has 20,000
MOST_PARTS = 500  # our choice: shelves or dates of one book
LONGEST_SHELF_CHARS = 200  # our choice
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reader's own data of one book; None where nothing is known."""

    status: str | None = None
    """One of STATUSES."""
    rating: float | None = None
    shelves: tuple[str, ...] | None = None
    date_added: str | None = None
    dates_read: tuple[str, ...] | None = None
    """Each YYYY-MM-DD or "start/end"."""
    read_count: int | None = None
    review: str | None = None
    notes: str | None = None
    owned: bool | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) is not None for one in fields(self))

    def merged(self, newer: "Reading") -> "Reading":
        """This with every value that the newer one has."""
        values = {}
        for one in fields(self):
            new = getattr(newer, one.name)
            values[one.name] = getattr(self, one.name) if new is None else new
        return Reading(**values)

    def without(self, names: Collection[str]) -> "Reading":
        """This without the values of these names, as they are in JSON."""
        return replace(self, **{_NAMES[name]: None for name in names})

    def to_json(self) -> dict[str, object]:
        """In the API's shape: camelCase, lists, all fields."""
        return {name: _plain(getattr(self, field)) for name, field in _NAMES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOf:
    """What one reader said of one book, and when."""

    isbn: str
    """ISBN-13."""
    user_id: str | None
    """None: the library's one reader."""
    reading: Reading
    at: str
    """ISO 8601."""


_NAMES = {
    "status": "status",
    "rating": "rating",
    "shelves": "shelves",
    "dateAdded": "date_added",
    "datesRead": "dates_read",
    "readCount": "read_count",
    "review": "review",
    "notes": "notes",
    "owned": "owned",
}


def read_reading(value: object, path: str = "reading") -> Reading:
    """A reading that a client sent.

    Raises: Refused(INVALID_REQUEST) that names the path of what is wrong.
    """
    if not isinstance(value, Mapping):
        raise _refused(path, "must be an object")
    unknown = sorted(str(name) for name in value if name not in _NAMES)
    if unknown:
        raise _refused(f"{path}.{unknown[0][:64]}", "is not a field of a reading")
    given = {
        _NAMES[name]: _CHECKS[name](one, f"{path}.{name}")
        for name, one in value.items()
        if one is not None
    }
    return Reading(**given)  # type: ignore[arg-type]  # each check gives its field's type


def read_stored(document: str) -> Reading:
    """From the JSON of ``to_json``, as the library keeps it."""
    return read_reading(json.loads(document))


def is_date(text: str) -> bool:
    """True for a day of the calendar, as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _refused(path: str, why: str) -> Refused:
    return Refused("INVALID_REQUEST", f"{path} {why}", {"path": path})


def _status(value: object, path: str) -> str:
    if value not in STATUSES:
        raise _refused(path, f"must be one of {', '.join(STATUSES)}")
    return str(value)


def _rating(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.25 <= value <= 5:
        raise _refused(path, "must be a number from 0.25 to 5")
    return float(value)


def _count(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
        raise _refused(path, "must be a whole number from 0 to 100,000")
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT_CHARS:
        raise _refused(path, f"must be a text of at most {LONGEST_TEXT_CHARS:,} characters")
    return _unicode(value, path)


def _unicode(text: str, path: str) -> str:
    """JSON can hold half of a character pair, which cannot be written down."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refused(path, "is not valid Unicode") from error
    return text


def _owned(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(path, "must be true or false")
    return value


def _day(value: object, path: str) -> str:
    if not isinstance(value, str) or not is_date(value):
        raise _refused(path, "must be a date as YYYY-MM-DD")
    return value


def _list(value: object, path: str) -> list[str]:
    if (
        not isinstance(value, list)
        or len(value) > MOST_PARTS
        or not all(isinstance(one, str) and len(one) <= LONGEST_SHELF_CHARS for one in value)
    ):
        raise _refused(path, f"must be a list of at most {MOST_PARTS} short texts")
    return value


def _shelves(value: object, path: str) -> tuple[str, ...]:
    return tuple(_unicode(one, path) for one in _list(value, path))


def _times(value: object, path: str) -> tuple[str, ...]:
    times = _list(value, path)
    for place, one in enumerate(times):
        parts = one.split("/")
        if len(parts) > 2 or not all(is_date(part) for part in parts):
            raise _refused(f"{path}[{place}]", "must be YYYY-MM-DD or two of them with a / between")
    return tuple(times)


_CHECKS = {
    "status": _status,
    "rating": _rating,
    "shelves": _shelves,
    "dateAdded": _day,
    "datesRead": _times,
    "readCount": _count,
    "review": _text,
    "notes": _text,
    "owned": _owned,
}
