"""The providers that the settings name, each with its own address and key.

Way:     app.py → here → providers/
"""

from collections.abc import Sequence

from bookline.net.aiohttp_http import AiohttpHttp
from bookline.ports import BookSearch, MetadataProvider
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.providers.title_search import GoogleBooksSearch, IsbnDbSearch, OpenLibrarySearch
from bookline.settings import Settings


def providers_of(
    settings: Settings, http: AiohttpHttp, *, together: bool = False
) -> Sequence[MetadataProvider]:
    """Those that can be asked, in the order in which ``auto`` asks them. ``together``: for many
    books at the same time, where a provider takes such questions.
    """
    every: dict[str, MetadataProvider] = {
        "google_books": GoogleBooks(
            http.for_provider("google_books"),
            settings.google_books_url,
            settings.google_books_api_key.get_secret_value(),
            settings.google_books_country,
        ),
        "openlibrary": OpenLibrary(
            http.for_provider("openlibrary"),
            settings.openlibrary_url,
            settings.openlibrary_covers_url,
            together=together,
        ),
        "isbndb": IsbnDb(
            http.for_provider("isbndb"),
            settings.isbndb_url,
            settings.isbndb_api_key.get_secret_value(),
            together=together,
        ),
    }
    return [every[name] for name in settings.usable_sources]


def searches_of(settings: Settings, http: AiohttpHttp) -> Sequence[BookSearch]:
    """Those that can be asked by title and author, in the order in which they are."""
    every: dict[str, BookSearch] = {
        "openlibrary": OpenLibrarySearch(
            http.for_provider("openlibrary"),
            settings.openlibrary_url,
            settings.openlibrary_covers_url,
        ),
        "google_books": GoogleBooksSearch(
            http.for_provider("google_books"),
            settings.google_books_url,
            settings.google_books_api_key.get_secret_value(),
            settings.google_books_country,
        ),
        "isbndb": IsbnDbSearch(
            http.for_provider("isbndb"),
            settings.isbndb_url,
            settings.isbndb_api_key.get_secret_value(),
        ),
    }
    return [search for name, search in every.items() if name in settings.usable_sources]
