"""A library written as CSV, JSON or in Goodreads' form, and rows given back as they came.

Rule 1:  what the Goodreads form holds reads back equal (formats/goodreads.py).
Rule 2:  a cell that a spreadsheet would take for a formula gets a leading ``'``; readers take it
         off again. The ISBN cells of the Goodreads form keep its own ``="…"``.
Source:  OWASP, CSV Injection.
"""

import csv
import io
import json
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass

from bookline.book import Book
from bookline.errors import Refused
from bookline.isbn import Isbn
from bookline.reading import Reading
from bookline.shelves.formats.goodreads import SHELF_OF, STATUS_OF
from bookline.shelves.row import NOTHING

_FORMULA = re.compile(r"'*[=+\-@\t]")

CSV_HEADER = (
    "isbn",
    "isbn10",
    "title",
    "subtitle",
    "authors",
    "publisher",
    "publicationDate",
    "pageCount",
    "language",
    "categories",
    "description",
    "status",
    "rating",
    "shelves",
    "dateAdded",
    "datesRead",
    "readCount",
    "review",
    "notes",
    "owned",
)
GOODREADS_HEADER = (
    "Book Id",
    "Title",
    "Author",
    "Author l-f",
    "Additional Authors",
    "ISBN",
    "ISBN13",
    "My Rating",
    "Average Rating",
    "Publisher",
    "Binding",
    "Number of Pages",
    "Year Published",
    "Original Publication Year",
    "Date Read",
    "Date Added",
    "Bookshelves",
    "Bookshelves with positions",
    "Exclusive Shelf",
    "My Review",
    "Spoiler",
    "Private Notes",
    "Read Count",
    "Owned Copies",
    "Date Started",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """A book with what its reader said of it, as the exports need them."""

    isbn: Isbn | None
    title: str
    authors: tuple[str, ...] = ()
    subtitle: str | None = None
    publisher: str | None = None
    publication_date: str | None = None
    page_count: int | None = None
    language: str | None = None
    categories: tuple[str, ...] = ()
    description: str | None = None
    reading: Reading = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportForm:
    """A form of the whole library as a file."""

    media_type: str
    file_name: str | None
    """None: shown where it is asked for, not offered as a file."""
    head: str
    line: Callable[[Book], str]
    between: str = ""
    tail: str = ""


def shelved(book: Book) -> Shelved:
    """A book of the library as the exports need it."""
    facts = book.metadata
    return Shelved(
        isbn=Isbn(book.isbn),  # as it was taken: today's rules may be stricter
        title=facts.title,
        authors=facts.authors,
        subtitle=facts.subtitle,
        publisher=facts.publisher,
        publication_date=facts.publication_date,
        page_count=facts.page_count,
        language=facts.language,
        categories=facts.categories,
        description=facts.description,
        reading=book.reading or NOTHING,
    )


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def csv_row(book: Shelved) -> str:
    """Bookline's own columns."""
    return csv_line([guarded(cell) for cell in _own_cells(book)])


def goodreads_row(book: Shelved) -> str:
    """Goodreads' columns."""
    cells = [guarded(cell) for cell in _goodreads_cells(book)]
    ten = book.isbn.isbn10 if book.isbn else None
    cells[5:7] = [f'="{ten or ""}"', f'="{book.isbn.isbn13 if book.isbn else ""}"']
    return csv_line(cells)


async def export_lines(form: ExportForm, books: AsyncIterator[Book]) -> AsyncGenerator[str, None]:
    """The file in pieces: its head, a piece for each book, its tail."""
    yield form.head
    mark = ""
    async for book in books:
        yield mark + form.line(book)
        mark = form.between
    yield form.tail


def write_failed(
    header: Sequence[str], delimiter: str, rows: Iterable[tuple[Sequence[str], str, str]]
) -> Iterator[str]:
    """Rows as they came, with two columns more: code and reason.

    The two columns of an earlier round are replaced. Without a header, only the rows are written.
    """
    places = [
        at for at, name in enumerate(header) if name.strip().lower() not in ("code", "reason")
    ]
    if header:
        yield csv_line([*(header[at] for at in places), "code", "reason"], delimiter)
    for cells, code, reason in rows:
        kept = [cells[at] if at < len(cells) else "" for at in places] if header else list(cells)
        more = list(cells[len(header) :]) if header else []
        yield csv_line([*kept, code, guarded(reason), *more], delimiter)


def csv_line(cells: Sequence[str], delimiter: str = ",") -> str:
    """One record with its line end."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(cells)
    return text.getvalue()


def _own_cells(book: Shelved) -> list[str]:
    reading = book.reading
    return [
        book.isbn.isbn13 if book.isbn else "",
        (book.isbn.isbn10 if book.isbn else None) or "",
        book.title,
        book.subtitle or "",
        "; ".join(book.authors),
        book.publisher or "",
        book.publication_date or "",
        _number(book.page_count),
        book.language or "",
        "; ".join(book.categories),
        book.description or "",
        reading.status or "",
        _number(reading.rating),
        ", ".join(reading.shelves or ()),
        reading.date_added or "",
        ", ".join(reading.dates_read or ()),
        _number(reading.read_count),
        reading.review or "",
        reading.notes or "",
        "" if reading.owned is None else str(reading.owned).lower(),
    ]


def _goodreads_cells(book: Shelved) -> list[str]:
    reading = book.reading
    author, *others = book.authors or ("",)
    first, _, last = author.rpartition(" ")
    times = reading.dates_read or ()
    started, _, ended = times[-1].rpartition("/") if times else ("", "", "")
    shelves, exclusive = _goodreads_shelves(reading)
    return [
        "",
        book.title,
        author,
        f"{last}, {first}" if first else author,
        ", ".join(others),
        "",
        "",
        _number(reading.rating) or "0",
        "",
        book.publisher or "",
        "",
        _number(book.page_count),
        (book.publication_date or "")[:4],
        "",
        ended.replace("-", "/"),
        (reading.date_added or "").replace("-", "/"),
        ", ".join(shelves),
        "",
        exclusive,
        _one_line(reading.review),
        "",
        _one_line(reading.notes),
        _number(reading.read_count),
        "1" if reading.owned else "0",
        started.replace("-", "/"),
    ]


def _goodreads_shelves(reading: Reading) -> tuple[tuple[str, ...], str]:
    """All shelves and the exclusive one, as Goodreads writes them.

    It names the exclusive shelf among all, but for "read". Where it is none of the usual, it is the
    reader's own, which our reader of the form puts last.
    """
    own = reading.shelves or ()
    if reading.status is None:
        return own, own[-1] if own and own[-1] not in STATUS_OF else ""
    exclusive = SHELF_OF[reading.status]
    return (own if exclusive == "read" else (exclusive, *own)), exclusive


def _one_line(text: str | None) -> str:
    return (text or "").replace("\n", "<br/>")


def _number(value: float | None) -> str:
    return "" if value is None else str(int(value) if value == int(value) else value)


FORMS: Mapping[str, ExportForm] = {
    "csv": ExportForm(
        media_type="text/csv; charset=utf-8",
        file_name="bookline.csv",
        head=csv_line(CSV_HEADER),
        line=lambda book: csv_row(shelved(book)),
    ),
    "json": ExportForm(
        media_type="application/json",
        file_name=None,
        head="[\n",
        line=lambda book: json.dumps(book.to_json(), ensure_ascii=False),
        between=",\n",
        tail="\n]\n",
    ),
    "goodreads": ExportForm(
        media_type="text/csv; charset=utf-8",
        file_name="goodreads_library_export.csv",  # Goodreads' own name
        head=csv_line(GOODREADS_HEADER),
        line=lambda book: goodreads_row(shelved(book)),
    ),
}
"""By the name that a caller gives."""


def read_form(name: str) -> ExportForm:
    """The form of this name. Raises: Refused (INVALID_REQUEST)."""
    if name not in FORMS:
        raise Refused("INVALID_REQUEST", f"format must be one of {', '.join(FORMS)}")
    return FORMS[name]
