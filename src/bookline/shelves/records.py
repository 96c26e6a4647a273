"""Delimited text as records, each with the physical line on which it begins.

Way:      reading.py → here
Rule 1:   a stray quote spoils its own row alone. A record over several lines is taken only when its
          quotes are well-formed and it is as wide as the header; else each line is a record.
Source:   RFC 4180.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

LONGEST_LINE_CHARS = 20 * 1024 * 1024  # a file's own limit
LIKELY_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Record:
    line: int
    cells: list[str]


class Lines:
    """The physical lines of a text, with those that the present record has taken."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: list[str] = []
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._text)
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self) -> None:
        """The line just read comes again."""
        self._again.append(self.taken.pop())
        self.number -= 1

    def give_back_all_but_one(self) -> str:
        """The first line taken; the others come again."""
        first, *others = self.taken
        self._again.extend(reversed(others))
        self.number -= len(others)
        return first


def read_records(lines: Lines, delimiter: str, width: int | None) -> Iterator[Record]:
    """Each record that is not blank. ``width`` is the header's number of cells; None: no header."""
    csv.field_size_limit(LONGEST_LINE_CHARS)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.taken = []
        start = lines.number + 1
        cells = next(reader, None)
        if cells is None:
            return
        if len(lines.taken) > 1 and not _well_formed(lines.taken, delimiter, width):
            cells = one_line(lines.give_back_all_but_one(), delimiter, width)
            reader = csv.reader(lines, delimiter=delimiter)
        if any(cell.strip() for cell in cells):
            yield Record(start, cells)


def one_line(line: str, delimiter: str, width: int | None) -> list[str]:
    """A line's cells, whatever its quotes: read as quotes when that fits, else as text."""
    line = line.rstrip("\r\n")
    quoted: list[str] = next(csv.reader([line], delimiter=delimiter), [])
    if width is None or len(quoted) == width:
        return quoted
    plain: list[str] = line.split(delimiter)
    return plain if len(plain) == width else quoted


def find_delimiter(header: str) -> str:
    """The delimiter that occurs most in a header, outside quotes."""
    bare = "".join(header.split('"')[::2])
    return max(LIKELY_DELIMITERS, key=bare.count)


def _well_formed(taken: Sequence[str], delimiter: str, width: int | None) -> bool:
    try:
        records = list(csv.reader(taken, delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return len(records) == 1 and (width is None or len(records[0]) == width)
