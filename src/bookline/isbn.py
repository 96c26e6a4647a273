"""ISBN-10 and ISBN-13: reading every form that people paste, and nothing else.

Source:   ISO 2108; International ISBN Agency, Users' Manual (check digits, prefixes 978 and 979).
Rule 1:   the ISBN-13 is the canonical form in keys, ids and vectors.
Not here: ranges of groups and publishers. They change often and refuse real books.
"""

import re
import unicodedata
from dataclasses import dataclass

from bookline.errors import InvalidIsbn

LONGEST_INPUT_CHARS = 64  # our choice; "978-0-451-52493-5" has 17
# Dashes that Unicode does not class as such but that are pasted as hyphens.
_MORE_HYPHENS = "\u2212\u2043\u30fc"  # minus sign, hyphen bullet, katakana's long mark
# Cyrillic and Greek letters that look like X, typed for it on such a keyboard.
_LIKE_X = dict.fromkeys(map(ord, "\u0425\u0445\u03a7\u03c7"), "X")
# Ten digits 0 with a right check digit in both forms: what programs write for "no ISBN".
_FILLERS = frozenset({"9780000000002"})
# How exports wrap a number so that spreadsheets leave it alone: Goodreads, LibraryThing.
_WRAPPED = re.compile(r'^(?:="(.*)"|\[(.*)\])$', re.DOTALL)
_DAMAGED = re.compile(r"^\d[.,]\d+E\+\d+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Isbn:
    """A valid ISBN. ``isbn13`` is 13 digits; ``isbn10`` is None for the prefix 979."""

    isbn13: str

    @property
    def isbn10(self) -> str | None:
        """The same number's old form, with its own check digit."""
        if not self.isbn13.startswith("978"):
            return None
        body = self.isbn13[3:12]
        return body + _check_digit_10(body)

    @property
    def forms(self) -> tuple[str, ...]:
        """The ISBN-13, then the ISBN-10 when there is one."""
        ten = self.isbn10
        return (self.isbn13,) if ten is None else (self.isbn13, ten)

    def __str__(self) -> str:
        return self.isbn13


def read_isbn(text: str) -> Isbn:
    """The ISBN that a text holds.

    Spaces, hyphens of all kinds and invisible marks are dropped; digits of any width or script
    are read; ``x`` (a Cyrillic or Greek one too) may stand for ten in the last place of ten; the
    wrappings ``="…"`` and ``[…]`` of well-known exports are taken off.

    Raises: InvalidIsbn with the rule that is broken.
    """
    if len(text) > LONGEST_INPUT_CHARS:
        raise InvalidIsbn(text[:LONGEST_INPUT_CHARS] + "…", f"this has {len(text)} characters")
    wrapped = _WRAPPED.match(text.strip())
    compact = _compact(wrapped[1] or wrapped[2] or "" if wrapped else text)
    if not compact:
        raise InvalidIsbn(text, "this is empty")
    if _DAMAGED.match(text.strip()):
        raise InvalidIsbn(text, "a spreadsheet has damaged it; its last digits are lost")
    if len(compact) == 10:
        return _read_10(text, compact)
    if len(compact) == 13:
        return _read_13(text, compact)
    if not compact.replace("X", "").isdigit():
        raise InvalidIsbn(text, "it may hold only digits, hyphens and spaces")
    if len(compact) == 9:
        raise InvalidIsbn(text, "this has 9; a spreadsheet may have dropped a leading zero")
    raise InvalidIsbn(text, f"this has {len(compact)}")


def find_isbn(text: object) -> Isbn | None:
    """The ISBN that a value holds, or None: for values from providers, which hold anything."""
    if not isinstance(text, str):
        return None
    try:
        return read_isbn(text)
    except InvalidIsbn:
        return None


def _compact(text: str) -> str:
    """Digits and X alone; any other character stays, so that it is refused later."""
    if text.isascii() and text.isalnum():  # nearly all: ten times as fast
        return text.upper()
    kept: list[str] = []
    for char in text:
        if char in _MORE_HYPHENS or unicodedata.category(char) in {"Zs", "Cc", "Cf", "Pd", "Mn"}:
            continue
        digit = unicodedata.digit(char, None) if unicodedata.category(char) == "Nd" else None
        kept.append(str(digit) if digit is not None else unicodedata.normalize("NFKC", char))
    return "".join(kept).upper().translate(_LIKE_X)


def _read_10(text: str, compact: str) -> Isbn:
    if not (compact[:9].isascii() and compact[:9].isdigit() and compact[9] in "0123456789X"):
        raise InvalidIsbn(text, "X may stand only in the last place, other letters nowhere")
    _refuse_all_same(text, compact)
    right = _check_digit_10(compact[:9])
    if compact[9] != right:
        raise InvalidIsbn(text, f"the check digit is {compact[9]} and should be {right}")
    body = "978" + compact[:9]
    return Isbn(body + _check_digit_13(body))


def _read_13(text: str, compact: str) -> Isbn:
    if not (compact.isascii() and compact.isdigit()):
        raise InvalidIsbn(text, "13 characters must all be digits")
    _refuse_all_same(text, compact)
    if compact[:3] not in {"978", "979"}:
        raise InvalidIsbn(text, "13 digits must begin with 978 or 979")
    if compact.startswith("9790"):
        raise InvalidIsbn(text, "979-0 is the prefix of printed music (ISMN), not of books")
    right = _check_digit_13(compact[:12])
    if compact[12] != right:
        raise InvalidIsbn(text, f"the check digit is {compact[12]} and should be {right}")
    if compact in _FILLERS:
        raise InvalidIsbn(text, "it is a filler for a missing ISBN")
    return Isbn(compact)


def _refuse_all_same(text: str, compact: str) -> None:
    # 0000000000 has a right check digit; seen as a filler in real exports (calibre refuses it too).
    if len(set(compact)) == 1:
        raise InvalidIsbn(text, "all digits are the same")


def _check_digit_10(nine: str) -> str:
    total = sum((10 - place) * int(digit) for place, digit in enumerate(nine))
    rest = (11 - total % 11) % 11
    return "X" if rest == 10 else str(rest)


def _check_digit_13(twelve: str) -> str:
    total = sum((3 if place % 2 else 1) * int(digit) for place, digit in enumerate(twelve))
    return str((10 - total % 10) % 10)
