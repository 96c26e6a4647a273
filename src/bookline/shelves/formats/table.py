"""Any other table with a column that may hold ISBNs, or with title and author.

Rule 1:  columns go by the names that people give them, in a few languages; Bookline's own CSV
         export is such a table too. Whatever has "ISBN" in its name may hold one.
"""

from collections.abc import Collection

from bookline.reading import STATUSES, Reading
from bookline.shelves.cells import Cells, count, day, days, names, prose, stars
from bookline.shelves.formats.format import Format
from bookline.shelves.row import Entry

ISBNS = (
    *("isbn13", "isbn 13", "isbn", "isbn10", "isbn 10", "isbns", "isbn number", "isbn uid"),
    *("ean", "ean13", "ean 13", "ean isbn13", "isbn ean", "gtin", "barcode", "isbn nr"),
    *("isbn nummer", "code isbn", "codigo isbn", "input", "upc isbn10"),
)
TITLES = ("title", "book title", "book", "titel", "buchtitel", "titre", "titulo", "titolo", "name",
          "book name", "work", "work title", "full title", "otsikko", "nazev", "cim")  # fmt: skip
AUTHORS = (
    *("authors", "author", "author s", "author name", "book author", "creators", "creator"),
    *("primary author", "autor", "autoren", "verfasser", "auteur", "auteurs", "autores"),
    *("autore", "autori", "auteur s", "autor en", "author text", "author full name", "writer"),
    *("writers", "by", "author l f", "forfatter", "forfattare", "tekija", "kirjailija", "szerzo"),
)
_NUMBER = 9  # digits of the shortest ISBN: a cell with as many is none that names a column
STATUS_OF = {one: one for one in STATUSES} | {
    "currently-reading": "reading",
    "in progress": "reading",
    "finished": "read",
    "want to read": "to-read",
    "dnf": "did-not-finish",
}
OWNED = {"yes": True, "true": True, "1": True, "no": False, "false": False}


def known_by(header: Collection[str]) -> bool:
    """True for a table of books."""
    has_title = any(one in header for one in TITLES) and any(one in header for one in AUTHORS)
    return has_title or any(one in ISBNS for one in header) or bool(_others(header))


def read(cells: Cells) -> Entry:
    """One row."""
    authors = cells.first(*AUTHORS)
    return Entry(
        isbns=tuple(value for name in (*ISBNS, *_others(cells.names)) if (value := cells[name])),
        title=cells.first(*TITLES),
        authors=names(authors, ";" if ";" in authors else ","),
        reading=Reading(
            status=STATUS_OF.get(
                cells.first("status", "read status", "exclusive shelf", "shelf").lower()
            ),
            rating=stars(cells.first("my rating", "rating", "star rating", "stars")),
            shelves=names(cells.first("shelves", "bookshelves", "tags")) or None,
            date_added=day(cells.first("date added", "added", "dateadded")),
            dates_read=days(
                [_time(one) for one in names(cells.first("dates read", "datesread", "date read"))]
            ),
            read_count=count(cells.first("read count", "readcount")),
            review=prose(cells.first("my review", "review")),
            notes=prose(cells.first("private notes", "notes")),
            owned=OWNED.get(cells["owned"].lower()),
        ),
    )


def _others(header: Collection[str]) -> list[str]:
    """Columns like "Book ISBN" or "ISBN-13/EAN". A line alone may head a list, or hold a number."""
    named = [one for one in header if "isbn" in one and one not in ISBNS]
    return [one for one in named if len(header) > 1 and sum(map(str.isdigit, one)) < _NUMBER]


def _time(text: str) -> str | None:
    """A day, or two with a ``/`` between as Bookline itself writes them."""
    first, _, last = text.partition("/")
    if len(first) == 10 and (start := day(first)) and (end := day(last)):
        return f"{start}/{end}"
    return day(text)


FORMAT = Format(name="csv", known_by=known_by, read=read)
