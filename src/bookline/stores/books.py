"""What every library does alike with a book: text that can be kept, and its place in the list.

Way:      library.py → here
Not here: which of two values stands: merging.py.
"""

import json

from bookline.book import Book
from bookline.errors import Refused
from bookline.stores.cursors import read_cursor, write_cursor


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
