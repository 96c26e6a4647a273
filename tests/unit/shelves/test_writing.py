"""What is written reads back equal, and no spreadsheet takes a cell for a formula."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_up_exports as exports
from bookline.book import Book, Metadata, Provenance
from bookline.errors import Refused
from bookline.isbn import read_isbn
from bookline.reading import Reading, read_reading
from bookline.shelves.file import open_library_file
from bookline.shelves.row import Row
from bookline.shelves.writing import (
    CSV_HEADER,
    FORMS,
    GOODREADS_HEADER,
    Shelved,
    csv_line,
    csv_row,
    export_lines,
    goodreads_row,
    guarded,
    write_failed,
)

plain = st.text(st.characters(categories=["L", "N", "P", "Zs", "S"]), min_size=1, max_size=20)
words = plain.map(lambda text: " ".join(text.replace(",", "").split())).filter(bool)
dates = st.dates(min_value=date(1900, 1, 1)).map(str)
readings = st.builds(
    Reading,
    status=st.none() | st.sampled_from(["read", "reading", "to-read", "did-not-finish", "paused"]),
    rating=st.none() | st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]),
    shelves=st.none()
    | st.lists(words.map(lambda one: f"s-{one}"), min_size=1, max_size=3, unique=True).map(tuple),
    date_added=st.none() | dates,
    dates_read=st.none() | dates.map(lambda one: (one,)),
    read_count=st.none() | st.integers(0, 100),
    review=st.none() | words.map(lambda one: f"{one}\n\n{one}"),
    notes=st.none() | words,
    owned=st.none() | st.just(True),
)
books = st.builds(
    Shelved,
    isbn=st.none() | st.just(read_isbn("9780451524935")),
    title=words,
    authors=st.lists(words, min_size=1, max_size=3, unique=True).map(tuple),
    reading=readings,
)


def write_csv(shelf: list[Shelved]) -> list[str]:
    return [csv_line(CSV_HEADER), *map(csv_row, shelf)]


def write_goodreads(shelf: list[Shelved]) -> list[str]:
    return [csv_line(GOODREADS_HEADER), *map(goodreads_row, shelf)]


def shelved(row: Row) -> Shelved:
    return Shelved(isbn=row.isbn, title=row.title, authors=row.authors, reading=row.reading)


def read_back(lines: list[str]) -> list[Shelved]:
    return [shelved(row) for row in open_library_file("".join(lines).encode()).rows()]


@settings(max_examples=40, deadline=None)
@given(st.lists(books, max_size=5))
def test_the_goodreads_form_reads_back_equal(shelf: list[Shelved]) -> None:
    assert read_back(write_goodreads(shelf)) == shelf


def test_a_goodreads_export_goes_round_equal() -> None:
    taken = [shelved(row) for row in open_library_file(exports.GOODREADS.encode()).rows()]

    assert read_back(write_goodreads(taken)) == taken


@pytest.mark.parametrize(
    ("bookshelves", "exclusive"),
    [
        ("", "read"),
        ("fav", "read"),
        ("to-read", "to-read"),
        ("currently-reading, fav", "currently-reading"),
        ("paused", "paused"),
        ("fav, abandoned", "abandoned"),
    ],
)
def test_shelves_go_back_to_goodreads_as_they_came(bookshelves: str, exclusive: str) -> None:
    header = ("Book Id", "Title", "ISBN13", "Bookshelves", "Exclusive Shelf")
    text = csv_line(header) + csv_line(("1", "A", "", bookshelves, exclusive))
    [taken] = read_back([text])

    _, line = write_goodreads([taken])

    given = dict(zip(GOODREADS_HEADER, next(csv.reader([line])), strict=True))
    assert (given["Bookshelves"], given["Exclusive Shelf"]) == (bookshelves, exclusive)


@settings(max_examples=40, deadline=None)
@given(st.lists(books, max_size=5))
def test_the_csv_keeps_each_readers_data(shelf: list[Shelved]) -> None:
    back = read_back(write_csv(shelf))

    assert [one.reading for one in back] == [one.reading for one in shelf]
    assert [one.isbn for one in back] == [one.isbn for one in shelf]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=10))
def test_no_cell_begins_as_a_formula_and_each_comes_back(text: str) -> None:
    from bookline.shelves.cells import unguarded

    cell = guarded(text)

    assert cell[:1] not in {"=", "+", "-", "@", "\t"} or not cell
    assert unguarded(cell) == text


def test_only_the_isbn_cells_of_the_goodreads_form_keep_their_sign() -> None:
    book = Shelved(isbn=read_isbn("9780451524935"), title="=1+1", authors=("@who",))

    _, line = write_goodreads([book])

    cells = next(csv.reader(io.StringIO(line)))
    assert cells[1:7] == ["'=1+1", "'@who", "'@who", "", '="0451524934"', '="9780451524935"']


async def some_books(count: int) -> AsyncIterator[Book]:
    for number in range(count):
        yield Book(
            metadata=Metadata(isbn=f"978000000000{number}", title="鯨"),
            provenance=Provenance(
                source="", source_id=None, job_id="j", imported_at="", updated_at=""
            ),
        )


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_json_is_a_plain_list(count: int) -> None:
    text = "".join([line async for line in export_lines(FORMS["json"], some_books(count))])

    assert json.loads(text) == [book.to_json() async for book in some_books(count)]


def test_failed_rows_come_back_as_they_came_with_two_columns_that_are_ignored() -> None:
    header = ["ISBN", "Title", "code", "reason"]
    rows = [(["x", "A", "OLD", "old"], "BOOK_NOT_FOUND", "Nobody knows it.")]

    text = "".join(write_failed(header, ";", rows))

    assert text == "ISBN;Title;code;reason\r\nx;A;BOOK_NOT_FOUND;Nobody knows it.\r\n"
    assert read_back([text]) == [Shelved(isbn=None, title="A")]


def test_newer_values_win_and_null_erases_nothing() -> None:
    older = Reading(status="reading", rating=3, review="Good")

    assert older.merged(Reading(rating=4)) == Reading(status="reading", rating=4, review="Good")


@settings(max_examples=40, deadline=None)
@given(readings)
def test_a_reading_goes_round_through_json(reading: Reading) -> None:
    assert read_reading(json.loads(json.dumps(reading.to_json()))) == reading


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "reading"),
        ({"mood": 1}, "reading.mood"),
        ({"rating": 0}, "reading.rating"),
        ({"rating": True}, "reading.rating"),
        ({"status": "lost"}, "reading.status"),
        ({"dateAdded": "2020/01/01"}, "reading.dateAdded"),
        ({"datesRead": ["2020-01-01", "2020-02-30"]}, "reading.datesRead[1]"),
        ({"shelves": "one"}, "reading.shelves"),
        ({"owned": 1}, "reading.owned"),
    ],
)
def test_a_wrong_reading_is_refused_by_its_path(value: object, path: str) -> None:
    with pytest.raises(Refused) as refused:
        read_reading(value)

    assert refused.value.details == {"path": path}
