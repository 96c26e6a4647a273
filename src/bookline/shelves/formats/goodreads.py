"""Goodreads' export: 31 columns until about 2020, 24 since; 32 where "Date Started" was added.

Source:  exports of both kinds. ISBNs come as ``="0439023483"``; a rating of 0 means none; every
         book has 0 owned copies unless its reader said otherwise; the exclusive shelf is one of
         three, or the reader's own.
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, count, day, days, names, prose, span, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "read": "read",
    "currently-reading": "reading",
    "to-read": "to-read",
    "did-not-finish": "did-not-finish",
    "dnf": "did-not-finish",
    "paused": "paused",
    "on-hold": "paused",
}
SHELF_OF = {
    "read": "read",
    "reading": "currently-reading",
    "to-read": "to-read",
    "did-not-finish": "did-not-finish",
    "paused": "paused",
}


def read(cells: Cells) -> Entry:
    """One row of the export."""
    return Entry(
        isbns=(cells["isbn13"], cells["isbn"]),
        title=cells["title"],
        authors=(cells["author"], *names(cells["additional authors"])),
        reading=_reading(cells),
    )


def _reading(cells: Cells) -> Reading:
    exclusive = cells["exclusive shelf"]
    status = STATUS_OF.get(exclusive)
    shelves = [shelf for shelf in names(cells["bookshelves"]) if shelf != exclusive]
    if exclusive and status is None:
        shelves.append(exclusive)
    return Reading(
        status=status,
        rating=stars(cells["my rating"]),
        shelves=tuple(shelves) or None,
        date_added=day(cells["date added"]),
        dates_read=days([span(cells["date started"], cells["date read"])]),
        read_count=count(cells["read count"]),
        review=prose(cells["my review"]),
        notes=prose(cells["private notes"]),
        owned=True if count(cells["owned copies"]) else None,
    )


FORMAT = Format(
    name="goodreads", known_by=all_of("book id", "exclusive shelf", "isbn13"), read=read
)
