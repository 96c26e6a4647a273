"""What every library does alike with a book: which one lies over which, and text that can be kept.

Way:     library.py → here
Rule 1:  by the books' own times, not by who comes first: keeping A then B, or B then A, ends alike.
"""

import json
from dataclasses import replace

from bookline.book import Book
from bookline.errors import Refused
from bookline.stores.cursors import read_cursor, write_cursor


def combined(book: Book, standing: Book) -> Book:
    """The one that was imported last laid over the other; at the same time, ``book``.

    So an entry of the fallback store that is drained late fills gaps, and never turns back what
    an import has brought since.
    """
    behind = book.provenance.updated_at < standing.provenance.updated_at
    late, early = (standing, book) if behind else (book, standing)
    merged = late.merged_over(early)
    first = min(book.provenance.imported_at, standing.provenance.imported_at)
    return replace(merged, provenance=replace(merged.provenance, imported_at=first))


def storable(book: Book) -> Book:
    """The book with the halves of characters, which no UTF-8 can hold, replaced by U+FFFD.

    They come from providers' JSON that was cut inside an escape (``\\ud83d`` alone).
    """
    text = json.dumps(book.to_stored(), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Book.from_stored(json.loads(mended))
    return book


def place(book: Book) -> tuple[str, str]:
    """Where a book stands in the list, which has the greatest place first."""
    return book.provenance.updated_at, book.isbn


def write_place(book: Book) -> str:
    """The cursor behind this book."""
    return write_cursor(*place(book))


def read_place(cursor: str) -> tuple[str, str]:
    """The place that a cursor holds. Raises: Refused when it is not ours."""
    updated_at, isbn = read_cursor(cursor, str, str)
    if not (updated_at.isascii() and isbn.isascii()):
        raise Refused("INVALID_REQUEST", "the cursor is not one of ours")
    return updated_at, isbn
