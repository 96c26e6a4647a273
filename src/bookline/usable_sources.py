"""Which sources of metadata can be asked, and in which order ``auto`` asks them.

Way:      settings.py and the Cloudflare Worker → here
"""

from urllib.parse import urlsplit

GOOGLE_BOOKS_URL = "https://www.googleapis.com/books/v1"
ISBNDB_URL = "https://api2.isbndb.com"
OPENLIBRARY_URL = "https://openlibrary.org"
OPENLIBRARY_COVERS_URL = "https://covers.openlibrary.org"


def usable_sources(
    *, google_books_key: str, google_books_url: str, isbndb_key: str, isbndb_url: str
) -> tuple[str, ...]:
    """Open Library always; the others with a key, or at an address that is not their own."""
    usable = []
    if google_books_key or google_books_url != GOOGLE_BOOKS_URL:
        usable.append("google_books")
    usable.append("openlibrary")
    if isbndb_key or not f".{urlsplit(isbndb_url).hostname}".endswith(".isbndb.com"):
        usable.append("isbndb")
    return tuple(usable)
