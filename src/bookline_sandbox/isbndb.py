"""ISBNdb v2: one book, a batch of books, the key's plan; with the types seen in its answers.

Way:      app.py → here → catalogue.py
Source:   ISBNdb OpenAPI 2.7.0 and recorded books
Not here: the pictures: covers.py
"""

from typing import Any
from urllib.parse import parse_qs

from bookline_sandbox.catalogue import Book, Catalogue
from bookline_sandbox.wire import (
    Answer,
    Call,
    Encoded,
    Endpoint,
    Shelf,
    canonical,
    encode,
    json_answer,
)

ROUTE = "isbndb"
MOST_ISBNS = 1000  # OpenAPI 2.7.0: Pro and Premium
LANGUAGE_NAMES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian"}
_BODIES: dict[int, dict[str, str]] = {
    403: {"message": "Forbidden"},
    404: {"errorMessage": "Not Found"},
    429: {"message": "Limit Exceeded"},
    500: {"message": "Internal server error"},
    503: {"message": "Service Unavailable"},
}


def failure(status: int) -> Answer:
    """ISBNdb's own body for a status."""
    return json_answer(_BODIES.get(status, {"message": f"Error {status}"}), status)


class IsbnDb:
    """The four endpoints."""

    def __init__(self, catalogue: Catalogue, *, require_keys: bool = False) -> None:
        self._catalogue = catalogue
        self._require_keys = require_keys
        self._encoded = Encoded()
        self._spent = 0

    def endpoints(self) -> list[Endpoint]:
        """What app.py serves."""
        return [
            Endpoint(
                path="/isbndb/book/{isbn}",
                route=ROUTE,
                asked=lambda call: (canonical(call.params["isbn"]),),
                answer=self.one,
                failure=failure,
            ),
            Endpoint(
                path="/isbndb/books",
                route=ROUTE,
                asked=lambda call: tuple(canonical(isbn) for isbn in _isbns(call)),
                answer=self.batch,
                failure=failure,
                method="POST",
            ),
            Endpoint(
                path="/isbndb/books/{query}",
                route=ROUTE,
                asked=lambda call: tuple(book.isbn13 for book in self._by_words(call)),
                answer=self.search,
                failure=failure,
            ),
            Endpoint(
                path="/isbndb/key",
                route=ROUTE,
                asked=lambda call: (),
                answer=self.key,
                failure=failure,
            ),
        ]

    async def one(self, call: Call, shelf: Shelf) -> Answer:
        """The book of one ISBN, or ISBNdb's 404."""
        if self._refuses(call):
            return failure(403)
        self._spent += 1
        book = shelf.find(call.params["isbn"], ROUTE)
        if book is None:
            return failure(404)
        return Answer(body=b'{"book":' + self._body(book, call.host, shelf) + b"}")

    async def batch(self, call: Call, shelf: Shelf) -> Answer:
        """The books of up to 1000 ISBNs; unknown ones are silently absent."""
        if self._refuses(call):
            return failure(403)
        isbns = _isbns(call)
        if not isbns or len(isbns) > MOST_ISBNS:
            return json_answer({"message": "Bad Request"}, 400)
        self._spent += len(isbns)
        books = [book for isbn in isbns if (book := shelf.find(isbn, ROUTE))]
        data = b",".join(self._body(book, call.host, shelf) for book in books)
        head = f'{{"total":{len(books)},"requested":{len(isbns)},"data":['.encode()
        return Answer(body=head + data + b"]}")

    def _by_words(self, call: Call) -> list[Book]:
        return self._catalogue.search(ROUTE, call.params["query"])

    async def search(self, call: Call, shelf: Shelf) -> Answer:
        """The books whose title holds each of these words, or ISBNdb's 404."""
        if self._refuses(call):
            return failure(403)
        self._spent += 1
        found = [book for one in self._by_words(call) if (book := shelf.seen(one, ROUTE))]
        if not found:
            return failure(404)
        page = found[: int(call.query.get("pageSize", "20"))]
        data = b",".join(self._body(book, call.host, shelf) for book in page)
        return Answer(body=f'{{"total":{len(found)},"books":['.encode() + data + b"]}")

    async def key(self, call: Call, shelf: Shelf) -> Answer:
        """The plan's limit; each ISBN of a batch has counted as one call."""
        if self._refuses(call):
            return failure(403)
        left = max(0, 15_000 - self._spent)
        limit = {"total": 15_000, "spent": self._spent, "left": left}
        return json_answer({"plan_limit": limit})

    def _refuses(self, call: Call) -> bool:
        return self._require_keys and not call.headers.get("authorization")

    def _body(self, book: Book, host: str, shelf: Shelf) -> bytes:
        if shelf.twists:
            return encode(record(book, host))
        return self._encoded.get((host, book), lambda: record(book, host))


def _isbns(call: Call) -> list[str]:
    value = call.json
    listed = value.get("isbns") if isinstance(value, dict) else None
    if listed is None:
        form = parse_qs(call.body.decode("latin-1"))
        listed = [part for text in form.get("isbns", []) for part in text.split(",")]
    if isinstance(listed, dict):
        listed = list(listed.values())
    return [str(isbn).strip() for isbn in listed] if isinstance(listed, list) else []


def record(book: Book, host: str) -> dict[str, Any]:
    """One book as ISBNdb has it. Empty values are absent."""
    values: dict[str, Any] = {
        "publisher": book.publisher,
        "synopsis": book.description,
        "language": _language(book),
        **_images(book, host),
        "title_long": _title_long(book),
        "edition": "1",
        **_dimensions(book),
        "pages": book.pages,
        "date_published": _date(book),
        "subjects": _subjects(book),
        "authors": [_author(name, book) for name in book.authors],
        "title": book.title,
        "isbn13": book.isbn13,
        "msrp": "0.00" if book.number % 2 else "14.99",
        "binding": "Paperback" if book.number % 3 else "Hardcover",
        "isbn": book.isbn10 or book.isbn13,
        "isbn10": book.isbn10,
    }
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _title_long(book: Book) -> str:
    whole = f"{book.title}: {book.subtitle}" if book.subtitle else book.title
    return f"{whole} (Book 1)" if "isbndb_series_in_title_long" in book.quirks else whole


def _language(book: Book) -> str | None:
    if book.language and "isbndb_language_name" in book.quirks:
        return LANGUAGE_NAMES.get(book.language, book.language)
    if "isbndb_language_wrong" in book.quirks:
        return "en"
    return book.language


def _date(book: Book) -> str | int | None:
    if book.published and "isbndb_date_is_number" in book.quirks:
        return int(book.published[:4])
    return book.published


def _author(name: str, book: Book) -> str:
    if "isbndb_autofilled" in book.quirks:
        return f"{name} ~autofilled~"
    first, _, last = name.rpartition(" ")
    return f"{last}, {first}" if first and "isbndb_last_first" in book.quirks else name


def _subjects(book: Book) -> list[str]:
    parts = (part for category in book.categories for part in category.split(" / "))
    return list(dict.fromkeys(parts))


def _images(book: Book, host: str) -> dict[str, str]:
    if not book.cover:
        return {}
    scheme = "Http" if "isbndb_capital_scheme" in book.quirks else "http"
    start = f"{scheme}://{host}/isbndb/images"
    name = f"{book.isbn13[9:11]}/{book.isbn13[11:13]}/{book.isbn13}.jpg"
    return {"image": f"{start}/covers/{name}", "image_original": f"{start}/originals/{name}"}


def _dimensions(book: Book) -> dict[str, Any]:
    if "isbndb_dimensions_text" in book.quirks:
        return {"dimensions": f"{book.pages or 200} p. : ill. ; 22 cm."}
    sizes = {"height": 8.0, "length": 5.2, "width": 0.9}
    text = ", ".join(f"{name.title()}: {value} Inches" for name, value in sizes.items())
    structured = {name: {"unit": "inches", "value": value} for name, value in sizes.items()}
    return {"dimensions": text, "dimensions_structured": structured}
