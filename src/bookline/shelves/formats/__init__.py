"""The formats that are read, the most exact first. A new one: its file, and one line here."""

from bookline.shelves.formats import (
    bookwyrm,
    calibre,
    goodreads,
    libib,
    librarything,
    open_library,
    openreads,
    storygraph,
    table,
)
from bookline.shelves.formats.format import Format

FORMATS: tuple[Format, ...] = (
    goodreads.FORMAT,
    storygraph.FORMAT,
    librarything.FORMAT,
    libib.FORMAT,
    calibre.FORMAT,
    openreads.FORMAT,
    bookwyrm.FORMAT,
    open_library.FORMAT,
    table.FORMAT,
)
