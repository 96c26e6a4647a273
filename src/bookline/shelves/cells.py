"""A record's cells by name, and what stands in them: dates, ratings, lists, reviews.

Rule 1:  a value that cannot be read is None; it never costs the row.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from bookline.reading import LONGEST_SHELF_CHARS, LONGEST_TEXT_CHARS, MOST_PARTS, is_date

LONGEST_TITLE_CHARS = 1_000  # our choice
GUARDED = re.compile(r"'+[=+\-@\t]")
"""A cell that a spreadsheet would take for a formula, made harmless by a leading ``'``."""
_DAY = re.compile(r"\[?(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_TURNED = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)")
_WORDED = re.compile(
    r"(?:([A-Za-z]{3,9})\.? (\d{1,2})|(\d{1,2})[ -]([A-Za-z]{3,9})),?[ -](\d{4})(?!\d)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OUT_OF = re.compile(r"(\d+(?:\.\d+)?) ?(?:/|out of) ?(5|10|100)")
_BREAK = re.compile(r"[ \t]*<br\s*/?>[ \t]*", re.IGNORECASE)


def column(name: str) -> str:
    """A header's name without case, accents and marks: "ISBN/UID" is "isbn uid"."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(
        char if char.isalnum() else " " for char in folded if not unicodedata.combining(char)
    )
    return " ".join(kept.split())


def columns(header: Sequence[str]) -> dict[str, int]:
    """Each named column's place; the second "isbn" is "isbn 2"."""
    places: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for place, name in enumerate(header):
        if key := column(name):
            seen[key] += 1
            places.setdefault(key if seen[key] == 1 else f"{key} {seen[key]}", place)
    return places


class Cells:
    """One record's cells by their columns' names; "" for what is not there."""

    __slots__ = ("_cells", "_places")

    def __init__(self, places: Mapping[str, int], cells: Sequence[str]) -> None:
        self._places = places
        self._cells = cells

    def __getitem__(self, name: str) -> str:
        try:
            cell = self._cells[self._places[name]].strip()
        except (KeyError, IndexError):
            return ""
        return unguarded(cell).strip() if cell[:1] == "'" else cell

    @property
    def names(self) -> Collection[str]:
        """The columns' names, as ``column`` folds them."""
        return self._places

    def first(self, *names: str) -> str:
        """The first of these columns that holds something."""
        return next((value for name in names if (value := self[name])), "")


def unguarded(cell: str) -> str:
    """A cell without the ``'`` that keeps spreadsheets from taking it for a formula."""
    return cell[1:] if cell[:1] == "'" and GUARDED.match(cell) else cell


def day(text: str) -> str | None:
    """YYYY-MM-DD from YYYY/MM/DD, [YYYY-MM-DD], a time stamp, and what spreadsheets make of it:
    24.12.2019, 12/24/2019, 24 Dec 2019, December 24, 2019. None for what has two readings.
    """
    found = _DAY.match(text)
    year, month, date = found.groups() if found else _turned(text) or ("", "", "")
    iso = f"{year}-{month:0>2}-{date:0>2}"
    return iso if is_date(iso) else None


def _turned(text: str) -> tuple[str, str, str] | None:
    """Year, month and day of a date that does not begin with its year."""
    if worded := _WORDED.match(text):
        name = (worded[1] or worded[4])[:3].lower()
        number = str(_MONTHS.index(name) + 1) if name in _MONTHS else ""
        return worded[5], number, worded[2] or worded[3]
    found = _TURNED.match(text)
    if found is None:
        return None
    first, mark, second, year = found.groups()
    if mark == "." or int(first) > 12 or first == second:
        return year, second, first
    return (year, first, second) if int(second) > 12 else None


def span(start: str, end: str) -> str | None:
    """A time of reading: "start/end", or its end alone."""
    first, last = day(start), day(end)
    if last is None:
        return None
    return f"{first}/{last}" if first and first != last else last


def days(times: Sequence[str | None]) -> tuple[str, ...] | None:
    """The known times, or None when there is none."""
    return tuple(one for one in times if one)[:MOST_PARTS] or None


def stars(text: str) -> float | None:
    """A rating from 0.25 to 5, as a number, as ``4/5``, ``8/10`` or ``★★★½``; 0 means none."""
    text = text.replace(",", ".").removesuffix(" stars").strip()
    if text[:1] == "★" or text == "½":
        text = str(text.count("★") + text.count("½") / 2)
    elif parts := _OUT_OF.fullmatch(text):
        text = str(float(parts[1]) * 5 / int(parts[2]))
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.25 <= value <= 5 else None


def count(text: str) -> int | None:
    """A whole number from 0 to 100,000."""
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() and 0 <= value <= 100_000 else None


def names(text: str, mark: str = ",") -> tuple[str, ...]:
    """The parts of a list in a cell, each once, in their order."""
    parts = (part.strip()[:LONGEST_SHELF_CHARS] for part in text.split(mark))
    return tuple(dict.fromkeys(part for part in parts if part))[:MOST_PARTS]


def prose(text: str) -> str | None:
    """A review or note: ``<br/>`` is a line break; None when empty."""
    if "<" in text:
        text = _BREAK.sub("\n", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()[:LONGEST_TEXT_CHARS] or None


def together(*texts: str | None) -> str | None:
    """Several notes as one, an empty line between."""
    return "\n\n".join(text for text in texts if text) or None
