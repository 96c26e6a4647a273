"""BookWyrm's export of 27 columns and more.

Source:  bookwyrm, views/preferences/export.py (header and shelf names).
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, day, days, names, prose, span, stars, together
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "read": "read",
    "reading": "reading",
    "to-read": "to-read",
    "stopped-reading": "did-not-finish",
}


def read(cells: Cells) -> Entry:
    """One row of the export."""
    shelf = cells["shelf"]
    status = STATUS_OF.get(shelf)
    own = cells["shelf name"] or shelf
    return Entry(
        isbns=(cells["isbn 13"], cells["isbn 10"]),
        title=cells["title"],
        authors=names(cells["author text"]),
        open_library_id=cells["openlibrary key"] or None,
        reading=Reading(
            status=status,
            rating=stars(cells["rating"]),
            shelves=(own,) if shelf and status is None else None,
            date_added=day(cells.first("date added", "shelf date")),
            dates_read=days([span(cells["start date"], cells["finish date"])]),
            review=together(prose(cells["review name"]), prose(cells["review content"])),
        ),
    )


FORMAT = Format(
    name="bookwyrm", known_by=all_of("author text", "remote id", "openlibrary key"), read=read
)
