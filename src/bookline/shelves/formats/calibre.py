"""Calibre's catalogue as CSV.

Source:  calibre, src/calibre/library/catalogs/csv_xml.py: authors and tags are joined with ", ",
         ratings go to 5, ``isbn`` has lost all but its digits, ``identifiers`` reads "isbn:…".
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, day, names, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry


def read(cells: Cells) -> Entry:
    """One row of the catalogue. Its comments are the book's description, not the reader's."""
    identifiers = [one.partition(":") for one in names(cells["identifiers"])]
    return Entry(
        isbns=(*(value for kind, _, value in identifiers if kind == "isbn"), cells["isbn"]),
        title=cells["title"],
        authors=names(cells["authors"].replace(" & ", ",")),
        reading=Reading(
            rating=stars(cells["rating"]),
            shelves=names(cells["tags"]) or None,
            date_added=day(cells["timestamp"]),
        ),
    )


FORMAT = Format(
    name="calibre", known_by=all_of("author sort", "authors", "title", "uuid"), read=read
)
