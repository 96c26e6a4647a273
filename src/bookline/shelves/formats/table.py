"""Any other table with a column that may hold ISBNs, or with title and author.

Rule 1:  columns go by the names that people give them, in a few languages; Bookline's own CSV
         export is such a table too. Whatever has "ISBN" in its name may hold one.
"""

from collections.abc import Collection

from bookline.isbn import find_isbn
from bookline.reading import STATUSES, Reading
from bookline.shelves.cells import Cells, column, count, day, days, names, prose, stars
from bookline.shelves.formats.format import Format
from bookline.shelves.formats.librarything import first_last
from bookline.shelves.row import Entry

ISBNS = (
    *("isbn13", "isbn 13", "isbn", "isbn10", "isbn 10", "isbns", "isbn number", "isbn uid"),
    *("ean", "ean13", "ean 13", "ean isbn13", "isbn ean", "gtin", "barcode", "isbn nr"),
    *("isbn nummer", "code isbn", "codigo isbn", "input", "upc isbn10", "barcodes", "ean code"),
    *("code barres", "code barre", "codigo de barras", "codice a barre", "strichcode", "gtin13"),
)
TITLES = ("title", "book title", "book", "titel", "buchtitel", "titre", "titulo", "titolo", "name",
          "book name", "work", "work title", "full title", "otsikko", "nazev", "cim")  # fmt: skip
AUTHORS = (
    *("authors", "author", "author s", "author name", "book author", "creators", "creator"),
    *("primary author", "autor", "autoren", "verfasser", "auteur", "auteurs", "autores"),
    *("autore", "autori", "auteur s", "autor en", "author text", "author full name", "writer"),
    *("writers", "by", "author l f", "forfatter", "forfattare", "tekija", "kirjailija", "szerzo"),
)


def _stems(text: str) -> tuple[str, ...]:
    return tuple(map(column, text.split("|")))


# How a column of titles or authors begins in other languages: "Titre du livre", "Autor(es)".
_TITLE_STEMS = _stems(
    "tit|tytu|nazev|nazov|naslov|nimi|nimeke|kitap ad|basl|naam|назва|загла|τιτλος|書名|书名|"
    "タイトル|제목|כותר|العنوان"
)
_AUTHOR_STEMS = _stems(
    "aut|verfasser|forfatt|schrijver|escritor|scrittor|tekij|kirjail|szerz|yazar|avtor|written by|"
    "автор|συγγραφ|著者|作者|저자|מחבר|المؤلف"
)
_GIVEN_NAMES = 3  # our choice: more words behind a comma are further authors
_NUMBER = 9  # digits of the shortest ISBN: a cell with as many is none that names a column
STATUS_OF = {one: one for one in STATUSES} | {
    "currently-reading": "reading",
    "in progress": "reading",
    "finished": "read",
    "want to read": "to-read",
    "dnf": "did-not-finish",
    "completed": "read",
    "currently reading": "reading",
    "to read": "to-read",
    "tbr": "to-read",
    "want-to-read": "to-read",
    "unread": "to-read",
    "not started": "to-read",
    "planned": "to-read",
    "did not finish": "did-not-finish",
    "abandoned": "did-not-finish",
    "stopped reading": "did-not-finish",
    "on hold": "paused",
    "on-hold": "paused",
}
OWNED = {"yes": True, "true": True, "1": True, "y": True, "x": True, "no": False, "false": False}


def known_by(header: Collection[str]) -> bool:
    """True for a table of books; not for one without a header, whose first row holds an ISBN."""
    if any(map(find_isbn, header)):
        return False
    has_title = bool(_named(header, TITLES, _TITLE_STEMS))
    has_both = has_title and bool(_named(header, AUTHORS, _AUTHOR_STEMS))
    return has_both or any(one in ISBNS for one in header) or bool(_others(header))


def read(cells: Cells) -> Entry:
    """One row."""
    authors = cells.first(*_named(cells.names, AUTHORS, _AUTHOR_STEMS)) or _whole_name(cells)
    return Entry(
        isbns=tuple(cells[name] for name in (*_known(cells.names), *_others(cells.names))),
        title=cells.first(*_named(cells.names, TITLES, _TITLE_STEMS)),
        authors=_authors(authors),
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


def _named(header: Collection[str], names: Collection[str], stems: tuple[str, ...]) -> list[str]:
    """The columns of these names; where there is none, those that begin as they do elsewhere."""
    return [one for one in names if one in header] or [
        one for one in header if one.startswith(stems)
    ]


def _authors(text: str) -> tuple[str, ...]:
    """ "Doe, Jane" is one name, turned; "Jane Doe, Max Roe" are two."""
    if ";" in text:
        return tuple(map(first_last, names(text, ";")))
    family, _, given = text.partition(",")
    is_turned = (
        " " not in family.strip() and "," not in given and 0 < len(given.split()) <= _GIVEN_NAMES
    )
    return (first_last(text),) if is_turned else names(text)


def _known(header: Collection[str]) -> list[str]:
    return [one for one in ISBNS if one in header]


def _whole_name(cells: Cells) -> str:
    return f"{cells['first name']} {cells['last name']}".strip()


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
