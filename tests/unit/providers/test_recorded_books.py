"""Recorded answers are read into the books of a reviewed table; a change is shown book by book.

The table (``recorded_books.tsv``) holds facts alone; the recordings lie in the folder that
RECORDED_ANSWERS names, or beside the project. After a change that is meant:
``python tests/unit/providers/test_recorded_books.py > tests/unit/providers/recorded_books.tsv``,
and read the difference.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from provider_fakes import answered, volumes
from test_recordings import PLACES, isbn_of, recorded

from bookline.book import Metadata
from bookline.isbn import find_isbn
from bookline.providers import google_books, isbndb, open_library_answers

TABLE = Path(__file__).with_name("recorded_books.tsv")
COLUMNS = (
    "answer", "title", "subtitle", "authors", "publisher", "publicationDate", "pageCount",
    "language", "categories", "cover", "description",
)  # fmt: skip


def books() -> Iterator[tuple[str, Metadata]]:
    """Each recorded answer that holds a book, by name."""
    for name, volume in recorded("google_books/volumes"):
        if isbn := isbn_of(volume):
            yield f"google_books/{name}", google_books.read(isbn, answered(volumes(volume)))
    for name, edition in recorded("openlibrary/editions"):
        numbers = [*edition.get("isbn_13", []), *edition.get("isbn_10", [])]
        if isbn := next((one for number in numbers if (one := find_isbn(number))), None):
            book = open_library_answers.read_edition(isbn, edition, "https://covers.example")
            yield f"openlibrary/{name}", book
    for name, saved in recorded("isbndb/books"):
        if isbn := find_isbn(saved["book"]["isbn13"]):
            yield f"isbndb/{name}", isbndb.read(isbn, answered(saved))


def row(name: str, book: Metadata) -> dict[str, str]:
    """The facts of a book as text; of cover and description only whether they are there."""
    facts = book.to_json()
    shown = {
        "answer": name,
        "authors": " | ".join(book.authors),
        "categories": " | ".join(book.categories),
        "cover": "yes" if book.cover_url else "",
        "description": f"{len(book.description)} characters" if book.description else "",
    }
    return {
        column: shown[column] if column in shown else str(facts[column] or "") for column in COLUMNS
    }


def expected() -> dict[str, dict[str, str]]:
    head, *lines = TABLE.read_text("utf-8").splitlines()
    rows = (dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines)
    return {one["answer"]: one for one in rows}


@pytest.mark.skipif(not PLACES.is_dir(), reason="the recordings are not at hand")
def test_every_recorded_answer_is_the_book_of_the_table() -> None:
    known = expected()
    read = {name: row(name, book) for name, book in books()}
    changed = {
        name: {
            column: (known[name][column], read[name][column])
            for column in COLUMNS
            if known[name][column] != read[name][column]
        }
        for name in known.keys() & read.keys()
    }

    assert {name: change for name, change in changed.items() if change} == {}
    assert known.keys() == read.keys()


if __name__ == "__main__":
    sys.stdout.write("\t".join(COLUMNS) + "\n")
    for its_name, its_book in books():
        line = row(its_name, its_book)
        sys.stdout.write("\t".join(line[column].replace("\t", " ") for column in COLUMNS) + "\n")
