"""Google Books: search and volume, in the shape of recorded answers.

Way:      app.py → here → catalogue.py
Source:   googleapis.com/books/v1, recordings of 2012 to 2026
Not here: the pictures: covers.py
"""

import html
import re
from http import HTTPStatus
from typing import Any

from bookline_sandbox.catalogue import Book, Catalogue, isbn13_of
from bookline_sandbox.wire import (
    Answer,
    Call,
    Encoded,
    Endpoint,
    Shelf,
    canonical,
    json_answer,
)

ROUTE = "google_books"
JSON_UTF8 = "application/json; charset=UTF-8"
ZOOMS = {"small": 2, "medium": 3, "large": 4, "extraLarge": 6}
QUOTA = (
    "Quota exceeded for quota metric 'Queries' and limit 'Queries per day' of service "
    "'books.googleapis.com' for consumer 'project_number:624717413613'."
)


def failure(status: int) -> Answer:
    """Google's own body for a status."""
    match status:
        case 429:
            return _quota_exceeded()
        case 400:
            return _error(400, "Bad Request", "keyInvalid", domain="usageLimits")
        case 403:
            words = "Cannot determine user location for geographically restricted operation."
            return _error(403, words, "unknownLocation")
        case 503:
            where = {"locationType": "other", "location": "backend_flow"}
            return _error(503, "Service temporarily unavailable.", "backendFailed", **where)
        case _:
            known = {item.value: item.phrase for item in HTTPStatus}
            return _error(status, known.get(status, "Backend Error"), "backendError")


def _error(status: int, message: str, reason: str, domain: str = "global", **where: str) -> Answer:
    one = {"domain": domain, "reason": reason, "message": message, **where}
    body = {"error": {"errors": [one], "code": status, "message": message}}
    return json_answer(body, status, JSON_UTF8)


def _quota_exceeded() -> Answer:
    one = {"message": QUOTA, "domain": "global", "reason": "rateLimitExceeded"}
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": {
            "quota_unit": "1/d/{project}",
            "quota_metric": "books.googleapis.com/default",
            "quota_location": "global",
            "service": "books.googleapis.com",
            "quota_limit_value": "0",
            "consumer": "projects/624717413613",
            "quota_limit": "defaultPerDayPerProject",
        },
    }
    error = {
        "code": 429,
        "message": QUOTA,
        "errors": [one],
        "status": "RESOURCE_EXHAUSTED",
        "details": [info],
    }
    return json_answer({"error": error}, 429, JSON_UTF8)


class GoogleBooks:
    """The two endpoints."""

    def __init__(self, catalogue: Catalogue, *, require_keys: bool = False) -> None:
        self._catalogue = catalogue
        self._require_keys = require_keys
        self._encoded = Encoded()

    def endpoints(self) -> list[Endpoint]:
        """What app.py serves."""
        one = Endpoint(
            path="/books/v1/volumes/{volume_id}",
            route=ROUTE,
            asked=self._asked_by_id,
            answer=self.volume,
            failure=failure,
        )
        search = Endpoint(
            path="/books/v1/volumes",
            route=ROUTE,
            asked=self._asked_by_query,
            answer=self.search,
            failure=failure,
        )
        return [search, one]

    def _asked_by_id(self, call: Call) -> tuple[str, ...]:
        book = self._catalogue.find_google(call.params["volume_id"])
        return (book.isbn13,) if book else ()

    async def search(self, call: Call, shelf: Shelf) -> Answer:
        """The list for a query; without a match no `items` at all."""
        query = call.query
        if self._require_keys and not (query.get("key") or call.headers.get("x-goog-api-key")):
            return failure(429)
        if not query.get("q"):
            where = {"locationType": "parameter", "location": "q"}
            return _error(400, "Missing query.", "queryRequired", **where)
        if by_title := self._by_words(query["q"]):
            return self._listed(call, shelf, by_title)
        book = _match(query["q"], shelf)
        if book is None:
            return json_answer({"kind": "books#volumes", "totalItems": 0}, 200, JSON_UTF8)
        key = (call.host, "list", book)
        if shelf.twists:
            return json_answer(_volumes(book, call.host), 200, JSON_UTF8)
        body = self._encoded.get(key, lambda: _volumes(book, call.host))
        return Answer(body=body, content_type=JSON_UTF8)

    def _asked_by_query(self, call: Call) -> tuple[str, ...]:
        query = call.query.get("q", "")
        if found := self._by_words(query):
            return tuple(book.isbn13 for book in found)
        wanted = _wanted(query)
        return (canonical(wanted),) if wanted else ()

    def _by_words(self, query: str) -> list[Book]:
        """The books of a query by `intitle:` and `inauthor:`."""
        title, author = (
            re.search(rf'{name}:(?:"([^"]*)"|(\S+))', query) for name in ("intitle", "inauthor")
        )
        if title is None:
            return []
        by = (author[1] or author[2] or "") if author else ""
        return self._catalogue.search(ROUTE, title[1] or title[2] or "", by)

    def _listed(self, call: Call, shelf: Shelf, books: list[Book]) -> Answer:
        most = int(call.query.get("maxResults", "10"))
        found = [book for one in books if (book := shelf.seen(one, ROUTE))]
        items = [item for book in found for item in _volumes(book, call.host)["items"]]
        if not items:
            return json_answer({"kind": "books#volumes", "totalItems": 0}, 200, JSON_UTF8)
        head = {"kind": "books#volumes", "totalItems": len(items), "items": items[:most]}
        return json_answer(head, 200, JSON_UTF8)

    async def volume(self, call: Call, shelf: Shelf) -> Answer:
        """One volume with its larger pictures; an unknown id is a 503, as recorded in 2015."""
        book = shelf.seen(self._catalogue.find_google(call.params["volume_id"]), ROUTE)
        if book is None:
            return failure(503)
        if shelf.twists:
            return json_answer(volume(book, call.host, detail=True), 200, JSON_UTF8)
        key = (call.host, "volume", book)
        body = self._encoded.get(key, lambda: volume(book, call.host, detail=True))
        return Answer(body=body, content_type=JSON_UTF8)


def _wanted(query: str) -> str:
    return re.sub(r"^isbn:|[\s\"-]", "", query.strip(), flags=re.IGNORECASE)


def _match(query: str, shelf: Shelf) -> Book | None:
    wanted = _wanted(query)
    book = shelf.find(wanted, ROUTE) if isbn13_of(wanted) else None
    if book is None:
        return None
    with_field = query.strip().lower().startswith("isbn:")
    if "google_needs_plain" in book.quirks and with_field:
        return None
    if "google_needs_isbn10" in book.quirks and len(wanted) != 10:
        return None
    return book


def _volumes(book: Book, host: str) -> dict[str, Any]:
    items = [volume(book, host, detail=False)]
    if "google_e_book_twin" in book.quirks:
        twin = volume(book, host, detail=False)
        twin["id"] = twin["id"][::-1]
        twin["volumeInfo"].pop("pageCount", None)
        twin["saleInfo"]["isEbook"] = True
        items.append(twin)
    return {"kind": "books#volumes", "totalItems": len(items), "items": items}


def volume(book: Book, host: str, *, detail: bool) -> dict[str, Any]:
    """One volume; with detail the categories are whole and larger pictures are named."""
    about = f"id={book.google_id}&hl=&source=gbs_api"
    answer: dict[str, Any] = {
        "kind": "books#volume",
        "id": book.google_id,
        "etag": book.google_id[:11],
        "selfLink": f"http://{host}/books/v1/volumes/{book.google_id}",
        "volumeInfo": {
            **_facts(book, detail=detail),
            **_images(book, host, detail=detail),
            "language": book.language or "un",
            "previewLink": f"http://books.google.com/books?{about}&printsec=frontcover",
            "infoLink": f"http://books.google.com/books?{about}",
            "canonicalVolumeLink": f"https://books.google.com/books?{about}",
        },
        "saleInfo": {"country": "US", "saleability": "NOT_FOR_SALE", "isEbook": False},
        "accessInfo": {
            "country": "US",
            "viewability": "PARTIAL",
            "embeddable": True,
            "publicDomain": False,
            "textToSpeechPermission": "ALLOWED",
            "epub": {"isAvailable": False},
            "pdf": {"isAvailable": False},
            "webReaderLink": f"http://play.google.com/books/reader?{about}",
            "accessViewStatus": "SAMPLE",
            "quoteSharingAllowed": False,
        },
    }
    if book.description:
        plain = re.sub(r"<[^>]+>", "", book.description)[:200]
        answer["searchInfo"] = {"textSnippet": html.escape(html.unescape(plain))}
    return answer


def _facts(book: Book, *, detail: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "title": book.title,
        "subtitle": book.subtitle,
        "authors": list(book.authors),
        "publisher": book.publisher,
        "publishedDate": _date(book),
        "description": book.description,
        "industryIdentifiers": _identifiers(book),
        "readingModes": {"text": False, "image": True},
        "pageCount": book.pages,
        "printType": "BOOK",
        "categories": _categories(book, detail=detail),
        "maturityRating": "NOT_MATURE",
        "allowAnonLogging": False,
        "contentVersion": "0.3.0.0.preview.0",
        "panelizationSummary": {"containsEpubBubbles": False, "containsImageBubbles": False},
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def _date(book: Book) -> str | None:
    if "google_timestamp" in book.quirks:
        return f"{book.published}T00:00:00+02:00"
    return book.published


def _categories(book: Book, *, detail: bool) -> list[str]:
    if detail:
        return list(book.categories)
    return list(dict.fromkeys(one.split(" / ")[0] for one in book.categories))


def _identifiers(book: Book) -> list[dict[str, str]]:
    if "google_ids_are_other" in book.quirks:
        return [{"type": "OTHER", "identifier": f"PRNC:3210106{book.number:08d}"}]
    both = [{"type": "ISBN_13", "identifier": book.isbn13}]
    if book.isbn10:
        both.append({"type": "ISBN_10", "identifier": book.isbn10})
    return both if book.number % 2 else both[::-1]


def _images(book: Book, host: str, *, detail: bool) -> dict[str, dict[str, str]]:
    if not book.cover:
        return {}
    tail = "&edge=curl&source=gbs_api"
    if "google_signed_images" in book.quirks:
        tail = f"&imgtk=AFLRE7{book.google_id * 4}&source=gbs_api"
    start = f"http://{host}/books/content?id={book.google_id}&printsec=frontcover&img=1"
    sizes = {"smallThumbnail": 5, "thumbnail": 1}
    if detail and "google_zoom_ends_at_1" not in book.quirks:
        sizes |= ZOOMS
    return {"imageLinks": {name: f"{start}&zoom={zoom}{tail}" for name, zoom in sizes.items()}}
