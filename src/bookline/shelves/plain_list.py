"""A plain list of ISBNs, with any separators, and notes beside them.

Rule 1:  a line makes an item for each piece that looks like an ISBN, and at least one.
"""

import re
from collections.abc import Iterator

from bookline.isbn import find_isbn
from bookline.shelves.checking import DATE_OR_TIME, check, repair
from bookline.shelves.row import Entry, Row

_SEPARATORS = re.compile(r"[,;\t|]+")
_LIKE_ISBN = re.compile(r"[\d０-９][\d０-９\-‐-―−  ]{6,22}[\dXx０-９]")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NO_TITLE = re.compile(r"isbn(?:[-\s]?1[03]\b)?|\S*://\S*", re.IGNORECASE)


def looks_like_isbns(line: str) -> bool:
    """True when a line holds a valid ISBN, or one whose zeros were lost."""
    return any(find_isbn(one) or repair(one) for one in _pieces(line))


def read_line(line: str, number: int) -> Iterator[Row]:
    """The items of one line that is not blank."""
    pieces = _pieces(line)
    if not pieces:
        yield check(Entry(isbns=(line.strip(),)), number, [line.strip()])
        return
    title = _words(line, pieces) if len(pieces) == 1 and find_isbn(pieces[0]) else ""
    for piece in pieces:
        yield check(Entry(isbns=(piece,), title=title), number, [piece])


def _pieces(line: str) -> list[str]:
    """What looks like an ISBN: a whole cell, else each word of it."""
    found: list[str] = []
    for cell in _SEPARATORS.split(line.strip()):
        text = cell.strip(" \"'")
        if find_isbn(text):
            found.append(text)
        else:
            found.extend(_in_words(text))
    return found


def _in_words(text: str) -> list[str]:
    text = DATE_OR_TIME.sub(" ", text)  # a scanner's list has the time beside each ISBN
    words = [word for word in text.split() if find_isbn(word)]
    if words:
        return [word for word in text.split() if find_isbn(word) or _LIKE_ISBN.fullmatch(word)]
    return [one.strip() for one in _LIKE_ISBN.findall(text)]


def _words(line: str, pieces: list[str]) -> str:
    """The first cell with words beside a line's only ISBN: most likely its title."""
    for cell in _SEPARATORS.split(line.strip()):
        for piece in pieces:
            cell = cell.replace(piece, " ")  # noqa: PLW2901
        words = " ".join(_NO_TITLE.sub(" ", cell).split()).strip(" \"'-–—:#")
        if _LETTERS.search(words):
            return words
    return ""
