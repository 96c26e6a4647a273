"""One row of a library file, as every format gives it."""

from dataclasses import dataclass, field

from bookline.isbn import Isbn
from bookline.reading import Reading

NOTHING = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a format finds in one record, before anything is checked."""

    isbns: tuple[str, ...] = ()
    """The texts that may hold an ISBN, the best first."""
    title: str = ""
    authors: tuple[str, ...] = ()
    reading: Reading = NOTHING
    open_library_id: str | None = None
    """An edition or work of Open Library ("OL7353617M"), where the export has it."""
    not_a_book: str | None = None
    """What it is instead ("movie"), where the export says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, checked. It has an ISBN, or a title to look up, or it is refused."""

    line: int | None
    """The physical line on which it begins, the header is 1; None for JSON."""
    input: str
    """The ISBN as it came; the title where there is none."""
    isbn: Isbn | None
    repaired: bool = False
    """Zeros that a spreadsheet dropped were put back; the check digit proves them."""
    title: str = ""
    authors: tuple[str, ...] = ()
    reading: Reading = NOTHING
    open_library_id: str | None = None
    refused: str | None = None
    """Why it cannot be imported."""
    cells: object = field(default=(), compare=False)
    """The record as it came: a list of cells, or a JSON value."""
