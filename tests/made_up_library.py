"""A reader's library of 350 rows, made up, and its export in each format that is read.

Way:      journeys → here → a sandbox that knows the books
Rule 1:   what the library must say afterwards comes from here, never from the code under test.
Rule 2:   40 % of the rows have no ISBN, as in real exports; some of those are not sure, some
          nobody knows.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import made_up_exports as exports
from bookline_sandbox.catalogue import Book, check_digit_13, isbn10_of

ROWS: Final = 350
TWICE: Final = 10
"""Rows whose ISBN stands in the file before."""
WITH_ISBN: Final = 210
UNSURE: Final = 12
"""Rows without an ISBN whose title two books have."""
UNKNOWN: Final = 8
"""Rows without an ISBN whose book nobody knows."""
_ADJECTIVES = ("Amber", "Broken", "Crimson", "Distant", "Emerald", "Fallen", "Gentle")
_NOUNS = ("Anchor", "Bridge", "Castle", "Desert", "Estuary", "Forest", "Garden", "Harvest")
_NAMES = ("Abbott", "Baxter", "Carver", "Dalton", "Ellis", "Fisher", "Graham", "Hobbs", "Irving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: what the file has, and what must come of it."""

    isbn: str
    """Of the book that is meant, whether the file says so or not."""
    has_isbn: bool
    title: str
    author: str
    reading: Mapping[str, Any]
    """As the API shows it; all that this reader ever said of the book."""
    is_sure: bool = True
    is_known: bool = True


def made_up_rows() -> list[Row]:
    """All rows, those without an ISBN between the others."""
    rows = [_row(number) for number in range(ROWS - TWICE)]
    return [*rows, *(row for row in rows if row.has_isbn)][:ROWS]


def books_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What the providers know, in the sandbox's shape; twins of the rows that are not sure too."""
    known = {row.isbn: _book(row.isbn, row) for row in rows if row.is_known}
    for number, row in enumerate(row for row in rows if not row.is_sure):
        twin = _isbn(900 + number)
        known[twin] = _book(twin, row) | {"authors": [f"{row.author} Other"]}
    return list(known.values())


def _row(number: int) -> Row:
    without = number % 17 in (1, 3, 6, 8, 10, 13, 15)  # 140 of 340
    place = number // 17 * 7 + (1, 3, 6, 8, 10, 13, 15).index(number % 17) if without else -1
    author = f"{chr(65 + number % 26)}. {_NAMES[number % 9]}{chr(97 + number % 23)}"
    return Row(
        isbn=_isbn(number),
        has_isbn=not without,
        title=_title(number),
        author=author,
        reading=_reading(number),
        is_sure=not 20 <= place < 20 + UNSURE,
        is_known=not 60 <= place < 60 + UNKNOWN,
    )


def _isbn(number: int) -> str:
    twelve = f"978{number % 10}99{number:06}" if number % 5 else f"97801{number:07}"
    return twelve + check_digit_13(twelve)


def _title(number: int) -> str:
    marks = ("", ", Again", ' of "Sorts"', " & Co.", " – Été", "; or Not", " 漢字", " #1")
    words = f"{_ADJECTIVES[number % 7]} {_NOUNS[number % 8]} {number:03}q"
    return words + marks[number % 8]


def _reading(number: int) -> dict[str, Any]:
    status = ("read", "to-read", "reading", "did-not-finish")[number % 4]
    day, month = 1 + number % 28, 1 + number % 12
    was_read = status == "read"
    texts = (
        "=1+1",
        "Fine, \"really\".\nAnd long: 'so'.",
        "-- none --",
        "@somebody says",
        "Été 漢字 😀",
    )
    return {
        "status": status,
        "rating": float(1 + number % 5) if number % 3 else None,
        "shelves": [f"shelf {number % 9}", "=sum"] if number % 4 else None,
        "dateAdded": f"2019-{month:02}-{day:02}",
        "datesRead": [f"{'2020-01-01/' if number % 3 else ''}2020-{month:02}-{day:02}"]
        if was_read
        else None,
        "readCount": 1 + number % 3 if was_read else 0,
        "review": texts[number % 5] if number % 2 else None,
        "notes": texts[number % 3] if number % 6 == 0 else None,
        "owned": True if number % 3 == 0 else None,
    }


def _book(isbn: str, row: Row) -> dict[str, Any]:
    book = Book(isbn13=isbn, title=row.title)
    return {
        "isbn13": isbn,
        "title": row.title,
        "authors": [f"{row.author} Elder" if not row.is_sure else row.author],
        "publisher": "Made-up House",
        "published": "1999-05-06",
        "pages": 100 + book.number % 300,
        "language": "en",
        "categories": ["Fiction / General"],
        "description": f"All about {row.title}.",
        "cover": book.number % 4 == 0,
    }


# ------------------------------------------------------------------ files
Cells = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """How one format writes a library down."""

    name: str
    """As the preview calls it."""
    write: Callable[[Sequence[Row]], str]
    carries: tuple[str, ...]
    """What of a reading it has a place for."""
    status_of: Mapping[str, str | None] = field(default_factory=dict)
    """Statuses that come back otherwise."""
    asks: bool = True
    """Whether rows without an ISBN have a title that more than one book may have."""

    def expected(self, row: Row) -> dict[str, Any]:
        """The reading of a row after this format."""
        kept = {name: row.reading[name] if name in self.carries else None for name in row.reading}
        status = row.reading["status"]
        return (
            kept
            if "status" not in self.carries
            else kept | {"status": self.status_of.get(status, status)}
        )


def _table(header: str, delimiter: str, cells: Callable[[Row], Cells]) -> Callable[..., str]:
    """What writes rows under a true header; cells that are not named are empty."""
    columns = next(csv.reader([header.splitlines()[0]], delimiter=delimiter))

    def write(rows: Sequence[Row]) -> str:
        out = io.StringIO()
        table = csv.DictWriter(out, columns, restval="", delimiter=delimiter)
        table.writeheader()
        for row in rows:
            table.writerow({name: "" if one is None else one for name, one in cells(row).items()})
        return out.getvalue()

    return write


def _listed(values: Sequence[str] | None, mark: str = ", ") -> str:
    return mark.join(values or ())


def _time(row: Row) -> tuple[str, str]:
    """Begin and end of the time of reading, or two empty texts."""
    start, _, end = next(iter(row.reading["datesRead"] or ()), "").rpartition("/")
    return start, end


def _breaks(text: str | None) -> str | None:
    return text and text.replace("\n", "<br/>")


def _given(row: Row) -> str:
    return row.isbn if row.has_isbn else ""


def _goodreads(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    own = {"reading": "currently-reading"}.get(said["status"], said["status"])
    isbn10 = isbn10_of(row.isbn) if row.has_isbn else None
    return {
        "Book Id": row.isbn[:9], "Title": row.title, "Author": row.author,
        "ISBN": f'="{isbn10 or ""}"', "ISBN13": f'="{_given(row)}"',
        "My Rating": int(said["rating"] or 0), "Average Rating": "3.9",
        "Date Read": end.replace("-", "/"), "Date Started": start.replace("-", "/"),
        "Date Added": said["dateAdded"].replace("-", "/"),
        "Bookshelves": _listed([*(said["shelves"] or ()), *([own] if own != "read" else [])]),
        "Exclusive Shelf": own, "My Review": _breaks(said["review"]),
        "Private Notes": _breaks(said["notes"]), "Read Count": said["readCount"],
        "Owned Copies": 1 if said["owned"] else 0,
    }  # fmt: skip


def _storygraph(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    status = {"reading": "currently-reading"}.get(said["status"], said["status"])
    times = "-".join(one.replace("-", "/") for one in (start, end) if one)
    return {
        "Title": row.title, "Authors": row.author, "Read Status": status,
        "ISBN/UID": _given(row) or "b07mnwkf2m", "Date Added": said["dateAdded"].replace("-", "/"),
        "Dates Read": times, "Last Date Read": end.replace("-", "/"),
        "Read Count": said["readCount"], "Star Rating": said["rating"],
        "Review": said["review"], "Tags": _listed(said["shelves"]),
        "Owned?": {True: "Yes", None: ""}[said["owned"]],
    }  # fmt: skip


def _collections(row: Row) -> list[str]:
    """LibraryThing says by a book's collections whether it is read and whose it is."""
    kinds = {"reading": ["Currently reading"], "to-read": ["To read"]}
    owned = ["Your library"] if row.reading["owned"] else []
    return [*owned, *kinds.get(row.reading["status"], [])]


def _librarything(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    first, _, last = row.author.rpartition(" ")
    return {
        "Book Id": row.isbn[-6:], "Title": row.title, "Primary Author": f"{last}, {first}",
        "Review": said["review"], "Rating": said["rating"], "Private Comment": said["notes"],
        "Date Started": f"[{start}]" if start else "", "Date Read": f"[{end}]" if end else "",
        "ISBN": f"[{_given(row)}]", "ISBNs": _given(row), "Tags": _listed(said["shelves"]),
        "Collections": _listed(_collections(row)), "Entry Date": f"[{said['dateAdded']}]",
    }  # fmt: skip


def _librarything_json(rows: Sequence[Row]) -> str:
    return json.dumps({str(number): _librarything_book(row) for number, row in enumerate(rows, 1)})


def _librarything_book(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    return {
        "books_id": row.isbn[-6:], "title": row.title,
        "authors": [{"fl": row.author}] if row.author else [],
        "isbn": {"2": row.isbn} if row.has_isbn else [], "collections": _collections(row),
        "tags": said["shelves"] or [], "rating": said["rating"] or 0,
        "review": said["review"] or "",
        "privatecomment": said["notes"] or "", "datestarted": start, "dateread": end,
        "entrydate": said["dateAdded"],
    }  # fmt: skip


def _libib(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    statuses = {
        "read": "Completed", "reading": "In progress", "to-read": "Not begun",
        "did-not-finish": "Abandoned",
    }  # fmt: skip
    return {
        "item_type": "book", "title": row.title, "creators": row.author, "ean_isbn13": _given(row),
        "tags": _listed(said["shelves"], ","), "notes": said["notes"], "rating": said["rating"],
        "review": said["review"], "status": statuses[said["status"]], "began": start,
        "completed": end, "added": said["dateAdded"], "copies": 1 if said["owned"] else 0,
    }  # fmt: skip


def _calibre(row: Row) -> Cells:
    said = row.reading
    return {
        "author_sort": row.author, "authors": row.author, "title": row.title,
        "isbn": _given(row), "identifiers": f"isbn:{row.isbn}" if row.has_isbn else "amazon:B07",
        "rating": said["rating"], "tags": _listed(said["shelves"]),
        "timestamp": f"{said['dateAdded']}T10:00:00+00:00", "uuid": f"u-{row.isbn}",
        "comments": "<p>Of the book, not of its reader.</p>",
    }  # fmt: skip


def _openreads(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    statuses = {
        "read": "finished", "reading": "in_progress", "to-read": "planned",
        "did-not-finish": "abandoned",
    }  # fmt: skip
    return {
        "title": row.title, "author": row.author, "isbn": _given(row),
        "status": statuses[said["status"]], "rating": said["rating"], "deleted": "false",
        "tags": _listed(said["shelves"], "|||||"), "my_review": said["review"],
        "notes": said["notes"], "date_added": f"{said['dateAdded']}T00:00:00.000",
        "readings": f"{start}T00:00:00.000|{end}T00:00:00.000|" if end else "",
    }  # fmt: skip


def _bookwyrm(row: Row) -> Cells:
    said, (start, end) = row.reading, _time(row)
    status = {"did-not-finish": "stopped-reading"}.get(said["status"], said["status"])
    return {
        "title": row.title, "author_text": row.author, "remote_id": "https://example.org/book/1",
        "isbn_13": _given(row), "start_date": start, "finish_date": end, "rating": said["rating"],
        "review_content": said["review"], "shelf": status, "shelf_name": status,
        "shelf_date": said["dateAdded"],
    }  # fmt: skip


def _open_library(row: Row) -> Cells:
    """By its own numbers alone: an edition's where there is an ISBN, else the work's."""
    number = Book(isbn13=row.isbn, title="").number
    shelves = {
        "read": "Already Read", "reading": "Currently Reading", "to-read": "Want to Read",
        "did-not-finish": "Stopped Reading",
    }  # fmt: skip
    edition = f"OL{number}M" if row.has_isbn else ""
    shelf = shelves[row.reading["status"]]
    return {"Work Id": f"OL{number}W", "Edition Id": edition, "Bookshelf": shelf}


CSV_HEADER = (
    "Titel;Autor;EAN;Status;Rating;Shelves;Date Added;Dates Read;Read Count;Review;Notes;Owned"
)


def _csv(row: Row) -> Cells:
    said = row.reading
    return {
        "Titel": row.title, "Autor": row.author, "EAN": _given(row), "Status": said["status"],
        "Rating": said["rating"], "Shelves": _listed(said["shelves"]),
        "Date Added": said["dateAdded"], "Dates Read": _listed(said["datesRead"]),
        "Read Count": said["readCount"], "Review": said["review"], "Notes": said["notes"],
        "Owned": "yes" if said["owned"] else "",
    }  # fmt: skip


def _json(rows: Sequence[Row]) -> str:
    items = [
        {"title": row.title, "authors": [row.author], "reading": row.reading}
        | ({"isbn": row.isbn} if row.has_isbn else {})
        for row in rows
    ]
    return json.dumps({"items": items}, ensure_ascii=False)


EVERYTHING = tuple(_reading(0))
NO_COUNT = tuple(name for name in EVERYTHING if name != "readCount")
_BY_DATES = {"did-not-finish": None}
EXPORTS: Mapping[str, Export] = {
    "goodreads": Export(
        name="goodreads",
        write=_table(exports.GOODREADS_32, ",", _goodreads),
        carries=EVERYTHING,
    ),
    "storygraph": Export(
        name="storygraph",
        write=_table(exports.STORYGRAPH, ",", _storygraph),
        carries=tuple(name for name in EVERYTHING if name != "notes"),
    ),
    "librarything": Export(
        name="librarything",
        write=_table(exports.LIBRARYTHING, "\t", _librarything),
        carries=NO_COUNT,
        status_of=_BY_DATES,
    ),
    "librarything-json": Export(
        name="librarything", write=_librarything_json, carries=NO_COUNT, status_of=_BY_DATES
    ),
    "libib": Export(name="libib", write=_table(exports.LIBIB, ",", _libib), carries=NO_COUNT),
    "calibre": Export(
        name="calibre",
        write=_table(exports.CALIBRE, ",", _calibre),
        carries=("rating", "shelves", "dateAdded"),
    ),
    "openreads": Export(
        name="openreads",
        write=_table(exports.OPENREADS, ",", _openreads),
        carries=tuple(name for name in NO_COUNT if name != "owned"),
    ),
    "bookwyrm": Export(
        name="bookwyrm",
        write=_table(exports.BOOKWYRM, ",", _bookwyrm),
        carries=("status", "rating", "dateAdded", "datesRead", "review"),
    ),
    "openlibrary": Export(
        name="openlibrary",
        write=_table(exports.OPEN_LIBRARY, ",", _open_library),
        carries=("status",),
        asks=False,
    ),
    "csv": Export(name="csv", write=_table(CSV_HEADER, ";", _csv), carries=EVERYTHING),
    "json": Export(name="json", write=_json, carries=EVERYTHING),
    "list": Export(
        name="list",
        write=lambda rows: "".join(f"{row.isbn}\n" for row in rows),
        carries=(),
        asks=False,
    ),
}


def rows_for(export: Export) -> list[Row]:
    """The rows as this format can have them."""
    rows = made_up_rows()
    if export.name == "list":
        rows = [replace(row, has_isbn=True) for row in rows]
    return rows if export.asks else [replace(row, is_sure=True) for row in rows]
