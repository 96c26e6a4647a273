"""The sources of metadata, with their addresses and keys as a Worker has them.

Way:      cloud.py → here → providers/
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bookline.net.pace import Paced
from bookline.ports import BookSearch, Http, MetadataProvider, Pace
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.providers.title_search import GoogleBooksSearch, IsbnDbSearch, OpenLibrarySearch
from on_cloudflare.net import FetchHttp

GOOGLE, OPEN_LIBRARY, ISBNDB = (
    "https://www.googleapis.com/books/v1", "https://openlibrary.org", "https://api2.isbndb.com",
)  # fmt: skip
COVERS = "https://covers.openlibrary.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Values that may lie in the Secrets Store, and so are asked for."""

    google: str
    isbndb: str
    keys: str
    tokens: str

    @classmethod
    async def of(cls, env: Any) -> "Secrets":
        names = ("GOOGLE_BOOKS_API_KEY", "ISBNDB_API_KEY", "API_KEYS", "TOKEN_SECRET")
        google, isbndb, keys, tokens = [await _secret(env, name) for name in names]
        return cls(google=google, isbndb=isbndb, keys=keys, tokens=tokens)


async def _secret(env: Any, name: str) -> str:
    """A variable, a secret, or what a Secrets Store binding gives; empty where there is none."""
    value = getattr(env, name, None)
    if value is None or isinstance(value, str):
        return value or ""
    return str(await value.get())


class Sources:
    """Those that can be asked: Google and ISBNdb with a key, or by an address not their own.

    ``var`` gives a variable, or what stands behind it where there is none.
    """

    def __init__(
        self, var: Callable[[str, str], str], secrets: Secrets, user_agent: str, pace: Pace | None
    ) -> None:
        self._http = FetchHttp(user_agent)
        self._pace = pace
        self._google = (
            var("GOOGLE_BOOKS_URL", GOOGLE), secrets.google, var("GOOGLE_BOOKS_COUNTRY", "US")
        )  # fmt: skip
        self._open_library = (
            var("OPENLIBRARY_URL", OPEN_LIBRARY), var("OPENLIBRARY_COVERS_URL", COVERS)
        )  # fmt: skip
        self._isbndb = (var("ISBNDB_URL", ISBNDB), secrets.isbndb)
        self._has_google = bool(secrets.google) or self._google[0] != GOOGLE
        self._has_isbndb = bool(secrets.isbndb) or self._isbndb[0] != ISBNDB

    @property
    def usable(self) -> Sequence[str]:
        return [one.name for one in self.providers]

    @property
    def providers(self) -> Sequence[MetadataProvider]:
        """In the order in which ``auto`` asks them."""
        every: list[MetadataProvider] = [OpenLibrary(self._of("openlibrary"), *self._open_library)]
        if self._has_google:
            every.insert(0, GoogleBooks(self._of("google_books"), *self._google))
        if self._has_isbndb:
            every.append(IsbnDb(self._of("isbndb"), *self._isbndb))
        return every

    @property
    def searches(self) -> Sequence[BookSearch]:
        """In the order in which they are asked by title and author."""
        every: list[BookSearch] = [OpenLibrarySearch(self._of("openlibrary"), *self._open_library)]
        if self._has_google:
            every.append(GoogleBooksSearch(self._of("google_books"), *self._google))
        if self._has_isbndb:
            every.append(IsbnDbSearch(self._of("isbndb"), *self._isbndb))
        return every

    def _of(self, provider: str) -> Http:
        return self._http if self._pace is None else Paced(self._http, self._pace, provider)
