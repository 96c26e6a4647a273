"""What every library does alike with a book: text that can be kept.

Way:      library.py → here
Not here: which of two values stands: merging.py.
"""

import json

from bookline.book import Book
from bookline.values import compact


def storable(book: Book) -> Book:
    """The book with the halves of characters, which no UTF-8 can hold, replaced by U+FFFD.

    They come from providers' JSON that was cut inside an escape (``\\ud83d`` alone).
    """
    text = compact(book.to_stored())
    try:
        text.encode()
    except UnicodeEncodeError:
        mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Book.from_stored(json.loads(mended))
    return book
