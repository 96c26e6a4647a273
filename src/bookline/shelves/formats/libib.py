"""Libib's export of 30 columns, which may hold films, music and games beside books.

Source:  Libib's header; ``status`` is one of "Not Begun", "In Progress", "Completed", "Abandoned".
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, count, day, days, names, prose, span, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "completed": "read",
    "in progress": "reading",
    "not begun": "to-read",
    "abandoned": "did-not-finish",
}


def read(cells: Cells) -> Entry:
    """One row of the export."""
    kind = cells["item type"].lower()
    whole = f"{cells['first name']} {cells['last name']}".strip()
    collection = cells["collection"]
    ended = span(cells["began"], cells["completed"])
    return Entry(
        isbns=(cells["ean isbn13"], cells["upc isbn10"]),
        title=cells["title"],
        authors=names(cells["creators"]) or ((whole,) if whole else ()),
        not_a_book=kind if kind and kind != "book" else None,
        reading=Reading(
            status=STATUS_OF.get(cells["status"].lower()),
            rating=stars(cells["rating"]),
            shelves=tuple(dict.fromkeys((*names(cells["tags"]), *names(collection)))) or None,
            date_added=day(cells["added"]),
            dates_read=days([ended]),
            review=prose(cells["review"]),
            notes=prose(cells["notes"]),
            owned=True if count(cells["copies"]) else None,
        ),
    )


FORMAT = Format(name="libib", known_by=all_of("item type", "ean isbn13"), read=read)
