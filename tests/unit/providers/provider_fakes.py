"""An ``Http`` with answers laid out beforehand, and the small books that the tests ask for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bookline.errors import ProviderDown
from bookline.isbn import Isbn
from bookline.ports import Answer, MetadataProvider
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.values import Json

MOBY_DICK = Isbn("9780142437247")
NO_ISBN10 = Isbn("9791032305690")
SURROGATE_HALF = "\ud83d"


def answered(value: object, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; ``retry_after="3"`` becomes the header of that name."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status=status, headers=named, body=json.dumps(value).encode())


def page(status: int) -> Answer:
    """A web server's own error page."""
    return Answer(status=status, body=f"<html><h1>{status}</h1></html>".encode())


class FakeHttp:
    """Answers by path, or by path and query; several under one name are given in turn."""

    def __init__(self, answers: Mapping[str, Answer | Exception | Sequence[Answer | Exception]]):
        self._answers = {
            name: list(one) if isinstance(one, Sequence) else [one] for name, one in answers.items()
        }
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        path = url.removeprefix("https://provider.example")
        query = (params or {}).get("q")
        name = path if query is None else f"{path} {query}"
        self.asked.append(name)
        self.headers.append(headers or {})
        left = self._answers.get(name) or self._answers.get(path)
        if not left:
            raise ProviderDown(f"nothing is laid out for {name}")
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        raise ProviderDown("no provider is asked by POST")


def google(http: FakeHttp, api_key: str = "key-1") -> GoogleBooks:
    return GoogleBooks(http, "https://provider.example/books/v1/", api_key, "US")


def open_library(http: FakeHttp) -> OpenLibrary:
    return OpenLibrary(http, "https://provider.example/", "https://covers.example/")


def isbndb(http: FakeHttp, api_key: str = "key-2") -> IsbnDb:
    return IsbnDb(http, "https://provider.example", api_key)


def provider_with(name: str, answer: Answer | Exception) -> MetadataProvider:
    """The provider of a name whose first question is answered so."""
    match name:
        case "google_books":
            return google(FakeHttp({"/books/v1/volumes": answer}))
        case "openlibrary":
            is_outage = not isinstance(answer, Answer) or answer.status >= 500
            record = answer if is_outage else answered({"error": "notfound"}, 404)
            path = f"/isbn/{MOBY_DICK}.json"
            return open_library(FakeHttp({"/api/books": answer, path: record}))
        case _:
            return isbndb(FakeHttp({f"/book/{MOBY_DICK}": answer}))


def volume(isbn: Isbn = MOBY_DICK, **info: Any) -> Json:
    """A volume of Google's; ``info`` changes its facts."""
    facts: Json = {
        "title": "Moby-Dick",
        "authors": ["Herman Melville"],
        "industryIdentifiers": [{"type": "ISBN_13", "identifier": isbn.isbn13}],
        "printType": "BOOK",
        "language": "en",
    }
    return {"kind": "books#volume", "id": "mobyVolume01", "volumeInfo": facts | info}


def volumes(*items: object) -> Json:
    return {"kind": "books#volumes", "totalItems": len(items), "items": list(items)}


NO_VOLUMES: Json = {"kind": "books#volumes", "totalItems": 0}


def data(**facts: Any) -> Json:
    """Open Library's answer of the Books API."""
    one: Json = {
        "key": "/books/OL101M",
        "title": "Moby-Dick",
        "authors": [{"url": "https://openlibrary.org/authors/OL7A", "name": "Herman Melville"}],
        "identifiers": {"isbn_13": [MOBY_DICK.isbn13], "isbn_10": [MOBY_DICK.isbn10]},
        "publish_date": "December 31, 2002",
    }
    return {f"ISBN:{MOBY_DICK}": one | facts}


def edition(**facts: Any) -> Json:
    """Open Library's record of the edition."""
    one: Json = {
        "key": "/books/OL101M",
        "type": {"key": "/type/edition"},
        "title": "Moby-Dick",
        "isbn_13": [MOBY_DICK.isbn13],
        "languages": [{"key": "/languages/eng"}],
        "description": "A captain and a whale.",
    }
    return one | facts


def record(**facts: Any) -> Json:
    """ISBNdb's answer."""
    one: Json = {
        "title": "Moby-Dick",
        "isbn13": MOBY_DICK.isbn13,
        "isbn": MOBY_DICK.isbn10,
        "authors": ["Melville, Herman"],
    }
    return {"book": one | facts}


def one_book(name: str, **facts: Any) -> Answer:
    """The first answer of a provider that knows the book, in its own words."""
    match name:
        case "google_books":
            return answered(volumes(volume(**facts)))
        case "openlibrary":
            return answered(data(**facts))
        case _:
            return answered(record(**facts))
