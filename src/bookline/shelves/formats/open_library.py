"""Open Library's reading log: works and editions by Open Library's own ids, without an ISBN.

Source:  openlibrary, plugins/upstream/mybooks.py: "Work Id,Edition Id,Bookshelf", later with more.
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, day, names, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "already read": "read",
    "currently reading": "reading",
    "want to read": "to-read",
    "stopped reading": "did-not-finish",
}


def read(cells: Cells) -> Entry:
    """One row of the log."""
    shelf = cells["bookshelf"]
    status = STATUS_OF.get(shelf.lower())
    return Entry(
        isbns=(cells["isbn13"], cells["isbn"]),
        title=cells["title"],
        authors=names(cells.first("authors", "author")),
        open_library_id=cells.first("edition id", "work id") or None,
        reading=Reading(
            status=status,
            rating=stars(cells.first("my rating", "rating")),
            shelves=(shelf,) if shelf and status is None else None,
            date_added=day(cells.first("date added", "created")),
        ),
    )


FORMAT = Format(
    name="openlibrary", known_by=all_of("work id", "edition id", "bookshelf"), read=read
)
