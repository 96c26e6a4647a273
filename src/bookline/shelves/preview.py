"""What is in a library file, before anything is started."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from bookline.shelves.file import LibraryFile
from bookline.shelves.row import Row

MOST_REFUSED_SHOWN = 20  # the API's
SAMPLE_ROWS = 5  # the API's


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Counts of rows: ``rows`` = ``with_isbn`` + ``without_isbn``, refused among the latter."""

    format: str
    encoding: str
    rows: int
    with_isbn: int
    without_isbn: int
    repaired: int
    duplicates: int
    """Rows after the first of an ISBN."""
    already_there: int
    """Different ISBNs that need no import."""
    refused: tuple[tuple[int, Row], ...]
    """The first ones, each with its place among the rows, from 0."""
    refused_count: int
    sample: tuple[tuple[int, Row], ...]


def preview(
    file: LibraryFile, already_there: Callable[[Collection[str]], Collection[str]]
) -> Preview:
    """All rows counted once. ``already_there`` is asked once: which of these ISBN-13s are.

    Raises: what ``LibraryFile.rows`` raises.
    """
    counted = _Counted()
    for index, row in enumerate(file.rows()):
        counted.add(index, row)
    return Preview(
        format=file.format,
        encoding=file.encoding,
        rows=counted.rows,
        with_isbn=counted.with_isbn,
        without_isbn=counted.rows - counted.with_isbn,
        repaired=counted.repaired,
        duplicates=counted.with_isbn - len(counted.isbns),
        already_there=len(already_there(counted.isbns)) if counted.isbns else 0,
        refused=tuple(counted.refused),
        refused_count=counted.refused_count,
        sample=tuple(counted.sample),
    )


class _Counted:
    def __init__(self) -> None:
        self.rows = self.with_isbn = self.repaired = self.refused_count = 0
        self.isbns: set[str] = set()
        self.refused: list[tuple[int, Row]] = []
        self.sample: list[tuple[int, Row]] = []

    def add(self, index: int, row: Row) -> None:
        self.rows += 1
        self.repaired += row.repaired
        if row.isbn is not None:
            self.with_isbn += 1
            self.isbns.add(row.isbn.isbn13)
        if row.refused is not None:
            self.refused_count += 1
            if len(self.refused) < MOST_REFUSED_SHOWN:
                self.refused.append((index, row))
        if len(self.sample) < SAMPLE_ROWS:
            self.sample.append((index, row))


def to_json(one: Preview) -> dict[str, object]:
    """In the API's shape."""
    return {
        "format": one.format,
        "encoding": one.encoding,
        "rows": one.rows,
        "withIsbn": one.with_isbn,
        "withoutIsbn": one.without_isbn,
        "repaired": one.repaired,
        "duplicates": one.duplicates,
        "alreadyThere": one.already_there,
        "refused": list(_refused(one.refused)),
        "refusedCount": one.refused_count,
        "sample": [item_json(index, row) for index, row in one.sample],
    }


def _refused(rows: Collection[tuple[int, Row]]) -> Iterator[dict[str, object]]:
    for index, row in rows:
        yield {
            "index": index,
            "line": row.line,
            "input": row.input,
            "code": "INVALID_ISBN",
            "message": row.refused,
        }


def item_json(index: int, row: Row) -> dict[str, object]:
    """A row as an item that has not begun."""
    refused = {"code": "INVALID_ISBN", "message": row.refused} if row.refused else None
    return {
        "index": index,
        "line": row.line,
        "input": row.input,
        "isbn": row.isbn.isbn13 if row.isbn else None,
        "jobId": None,
        "state": "refused" if refused else "queued",
        "title": row.title or None,
        "authors": list(row.authors),
        "error": refused,
        "candidates": [],
        "reading": row.reading.to_json() if row.reading else None,
    }
