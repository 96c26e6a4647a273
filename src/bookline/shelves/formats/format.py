"""What makes a format: how its header is known, and how one of its records is read."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bookline.shelves.cells import Cells
from bookline.shelves.row import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of table. Known by its columns, never by the file's name."""

    name: str
    known_by: Callable[[Collection[str]], bool]
    read: Callable[[Cells], Entry]


def all_of(*columns: str) -> Callable[[Collection[str]], bool]:
    """A header that has all of these columns."""
    return lambda header: all(column in header for column in columns)
