"""LibraryThing's exports: a table with tabs, and a JSON object keyed by its own book numbers.

Source:  exports. The table's ISBNs and dates stand in square brackets; authors are "Last, First";
         JSON's ``isbn`` is a list, or an object with numbers as keys.
"""

from collections.abc import Mapping
from itertools import chain

from bookline.reading import Reading
from bookline.shelves.cells import Cells, day, days, names, prose, span, stars, together
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "currently reading": "reading",
    "to read": "to-read",
    "read but unowned": "read",
}
OWNED_OF = {"your library": True, "read but unowned": False, "wishlist": False}
JSON_KEYS = {"books_id", "primaryauthor"}


def read(cells: Cells) -> Entry:
    """One row of the table."""
    return Entry(
        isbns=(cells["isbn"], *names(cells["isbns"])),
        title=cells["title"],
        authors=tuple(
            first_last(one)
            for one in (cells["primary author"], *names(cells["secondary author"], "|"))
            if one
        ),
        reading=_reading(
            collections=names(cells["collections"]),
            tags=names(cells["tags"]),
            rating=cells["rating"],
            review=cells["review"],
            notes=(cells["comment"], cells["private comment"]),
            started=cells["date started"],
            ended=cells["date read"],
            added=cells["entry date"],
        ),
    )


def read_json(book: Mapping[str, object]) -> Entry:
    """One book of the JSON export."""
    authors = book.get("authors")
    parts = authors if isinstance(authors, list) else []
    found = [one.get("fl") for one in parts if isinstance(one, dict)]
    kept = tuple(one for one in found if isinstance(one, str) and one)
    primary = _text(book.get("primaryauthor"))
    return Entry(
        isbns=tuple(_texts(book.get("isbn")))
        + tuple(_texts(book.get("originalisbn")))
        + tuple(_texts(book.get("ean"))),
        title=_text(book.get("title")),
        authors=kept or ((first_last(primary),) if primary else ()),
        reading=_reading(
            collections=tuple(_texts(book.get("collections"))),
            tags=tuple(_texts(book.get("tags"))),
            rating=_text(book.get("rating")),
            review=_text(book.get("review")),
            notes=(_text(book.get("comment")), _text(book.get("privatecomment"))),
            started=_text(book.get("datestarted")),
            ended=_text(book.get("dateread")),
            added=_text(book.get("entrydate")),
        ),
    )


def first_last(name: str) -> str:
    """ "Orwell, George" as "George Orwell"."""
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma and first.strip() else name


def _reading(
    *,
    collections: tuple[str, ...],
    tags: tuple[str, ...],
    rating: str,
    review: str,
    notes: tuple[str, str],
    started: str,
    ended: str,
    added: str,
) -> Reading:
    kinds = [one.lower() for one in collections]
    dates = days([span(started, ended)])
    status = next((STATUS_OF[kind] for kind in kinds if kind in STATUS_OF), None)
    own = [
        one
        for one, kind in zip(collections, kinds, strict=True)
        if kind not in STATUS_OF | OWNED_OF
    ]
    return Reading(
        status=status or ("read" if dates else None),
        rating=stars(rating),
        shelves=tuple(dict.fromkeys(chain(tags, own))) or None,
        date_added=day(added),
        dates_read=dates,
        review=prose(review),
        notes=together(prose(notes[0]), prose(notes[1])),
        owned=next((OWNED_OF[kind] for kind in kinds if kind in OWNED_OF), None),
    )


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def _texts(value: object) -> list[str]:
    """The texts in a value, in a list, or in an object's values."""
    if isinstance(value, Mapping):
        value = list(value.values())
    parts = value if isinstance(value, list) else [value]
    return [text for part in parts if (text := _text(part))]


FORMAT = Format(
    name="librarything", known_by=all_of("book id", "primary author", "collections"), read=read
)
