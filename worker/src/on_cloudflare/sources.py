"""The sources of metadata, with their addresses and keys as a Worker has them.

Way:      cloud.py → here → providers/
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bookline.errors import Resting
from bookline.net.pace import Paced
from bookline.net.rests import title
from bookline.ports import Answer, BookSearch, Http, MetadataProvider, Pace
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.providers.title_search import GoogleBooksSearch, IsbnDbSearch, OpenLibrarySearch
from bookline.usable_sources import (
    GOOGLE_BOOKS_URL,
    ISBNDB_URL,
    OPENLIBRARY_COVERS_URL,
    OPENLIBRARY_URL,
    usable_sources,
)
from on_cloudflare.net import FetchHttp


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


class NeverWaiting:
    """Http for one provider: who asks while it wants to be left alone is sent away and comes again.

    Rows are looked up in the round of a batch's object, which hands jobs over behind them.
    """

    def __init__(self, http: Http, pace: Pace, provider: str) -> None:
        self._http = http
        self._pace = pace
        self._provider = provider

    async def get(self, url: str, **more: Any) -> Answer:
        """Raises: Resting."""
        await self._check()
        return await self._http.get(url, **more)

    async def post(self, url: str, **more: Any) -> Answer:
        """Raises: Resting."""
        await self._check()
        return await self._http.post(url, **more)

    async def _check(self) -> None:
        seconds = await self._pace.held_seconds(self._provider)
        if seconds > 0:
            message = f"{title(self._provider)} wants to be left alone"
            raise Resting(message, retry_after_seconds=seconds)


class Sources:
    """Those that can be asked. ``var`` gives a variable, or what stands behind it where there is
    none.
    """

    def __init__(
        self, var: Callable[[str, str], str], secrets: Secrets, user_agent: str, pace: Pace | None
    ) -> None:
        self._http = FetchHttp(user_agent)
        self._pace = pace
        self._google = (
            var("GOOGLE_BOOKS_URL", GOOGLE_BOOKS_URL), secrets.google,
            var("GOOGLE_BOOKS_COUNTRY", "US"),
        )  # fmt: skip
        self._open_library = (
            var("OPENLIBRARY_URL", OPENLIBRARY_URL),
            var("OPENLIBRARY_COVERS_URL", OPENLIBRARY_COVERS_URL),
        )  # fmt: skip
        self._isbndb = (var("ISBNDB_URL", ISBNDB_URL), secrets.isbndb)
        self.usable = usable_sources(
            google_books_key=secrets.google, google_books_url=self._google[0],
            isbndb_key=secrets.isbndb, isbndb_url=self._isbndb[0],
        )  # fmt: skip

    @property
    def providers(self) -> Sequence[MetadataProvider]:
        """In the order in which ``auto`` asks them."""
        every: dict[str, MetadataProvider] = {
            "google_books": GoogleBooks(self._of("google_books"), *self._google),
            "openlibrary": OpenLibrary(self._of("openlibrary"), *self._open_library),
            "isbndb": IsbnDb(self._of("isbndb"), *self._isbndb),
        }
        return [every[name] for name in self.usable]

    @property
    def searches(self) -> Sequence[BookSearch]:
        """In the order in which they are asked by title and author."""
        every: dict[str, BookSearch] = {
            "openlibrary": OpenLibrarySearch(self._by_turns("openlibrary"), *self._open_library),
            "google_books": GoogleBooksSearch(self._by_turns("google_books"), *self._google),
            "isbndb": IsbnDbSearch(self._by_turns("isbndb"), *self._isbndb),
        }
        return [search for name, search in every.items() if name in self.usable]

    def _of(self, provider: str) -> Http:
        return self._http if self._pace is None else Paced(self._http, self._pace, provider)

    def _by_turns(self, provider: str) -> Http:
        http = self._of(provider)
        return http if self._pace is None else NeverWaiting(http, self._pace, provider)
