"""Open Library: the Books API, edition, work and author records, and search.

Way:      app.py → here → catalogue.py
Source:   openlibrary.org/dev/docs/api/books, recorded editions and works
Rule 1:   the base is /openlibrary, so every Location and link begins with it.
Not here: the pictures: covers.py
"""

import re
from datetime import date
from typing import Any

from bookline_sandbox.catalogue import Book, Catalogue, author_number
from bookline_sandbox.wire import (
    HTML,
    Answer,
    Call,
    Encoded,
    Endpoint,
    Shelf,
    canonical,
    encode,
    html_failure,
    json_answer,
)

ROUTE = "openlibrary"
MARC = {
    "de": "ger", "en": "eng", "es": "spa", "fr": "fre", "he": "heb", "it": "ita", "ja": "jpn",
    "ko": "kor", "pl": "pol", "pt": "por", "ru": "rus", "sv": "swe", "zh": "chi", "ar": "ara",
}  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_NO_SERVER = (
    b"<html><body><h1>503 Service Unavailable</h1>\n"
    b"No server is available to handle this request.\n</body></html>\n"
)


def failure(status: int) -> Answer:
    """Open Library's own body for a status: JSON from the site, HTML from what stands before it."""
    match status:
        case 429:
            more = "Consider using https://openlibrary.org/developers/dumps."
            return json_answer({"status": 429, "message": f"Too Many Requests. {more}"}, 429)
        case 500:
            message = "get_site(openlibrary.org) failed"
            return json_answer({"error": "internal_error", "message": message}, 500)
        case 503:
            return Answer(status=503, body=_NO_SERVER, content_type=HTML)
        case 403:
            return html_failure(403, "Forbidden")
        case _:
            return html_failure(status, "Error")


class OpenLibrary:
    """The endpoints of the site."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._encoded = Encoded()

    def endpoints(self) -> list[Endpoint]:
        """What app.py serves."""
        paths = {
            "/openlibrary/api/books": (self._asked_by_bibkeys, self.api_books),
            "/openlibrary/isbn/{isbn}.json": (_asked_by_isbn, self.isbn),
            "/openlibrary/books/OL{number:int}M.json": (self._asked_by_number, self.edition),
            "/openlibrary/works/OL{number:int}W.json": (self._asked_by_number, self.work),
            "/openlibrary/authors/OL{number:int}A.json": (_asked_nothing, self.author),
            "/openlibrary/search.json": (self._asked_by_search, self.search),
        }
        return [
            Endpoint(path=path, route=ROUTE, asked=asked, answer=answer, failure=failure)
            for path, (asked, answer) in paths.items()
        ]

    def _asked_by_bibkeys(self, call: Call) -> tuple[str, ...]:
        return tuple(self._isbn_of(key) for key in _bibkeys(call))

    def _isbn_of(self, bibkey: str) -> str:
        book = self._by_olid(bibkey)
        return book.isbn13 if book else canonical(bibkey.rpartition(":")[2])

    def _by_olid(self, bibkey: str) -> Book | None:
        number = re.fullmatch(r"OLID:OL(\d+)M", bibkey, re.IGNORECASE)
        return self._catalogue.find_number(int(number[1])) if number else None

    def _asked_by_number(self, call: Call) -> tuple[str, ...]:
        book = self._catalogue.find_number(int(call.params["number"]))
        return (book.isbn13,) if book else ()

    def _asked_by_search(self, call: Call) -> tuple[str, ...]:
        isbns = tuple(canonical(isbn) for isbn in _searched(call))
        return isbns or tuple(book.isbn13 for book in self._by_words(call))

    def _by_words(self, call: Call) -> list[Book]:
        work = re.fullmatch(r"key:\"?/works/OL(\d+)W\"?", call.query.get("q", ""))
        if work:
            book = self._catalogue.find_number(int(work[1]))
            return [book] if book else []
        title, author = call.query.get("title", ""), call.query.get("author", "")
        return self._catalogue.search(ROUTE, title, author)

    def _by_number(self, call: Call, shelf: Shelf) -> Book | None:
        return shelf.seen(self._catalogue.find_number(int(call.params["number"])), ROUTE)

    async def api_books(self, call: Call, shelf: Shelf) -> Answer:
        """The object keyed by the bibkeys as sent; unknown ones are absent."""
        query = call.query
        make = {"data": data_value, "details": details_value}.get(
            query.get("jscmd", ""), view_value
        )
        parts = []
        for key in _bibkeys(call):
            book = self._by_bibkey(key, shelf)
            if book is not None:
                value = self._value(make, key, book, call.host, cached=not shelf.twists)
                parts.append(encode(key) + b":" + value)
        body = b"{" + b",".join(parts) + b"}"
        if query.get("format") != "json":
            script = b"var _OLBookInfo = " + body + b";"
            return Answer(body=script, content_type="text/javascript")
        return Answer(body=body)

    def _by_bibkey(self, key: str, shelf: Shelf) -> Book | None:
        kind, _, value = key.rpartition(":")
        if kind.upper() == "OLID":
            return shelf.seen(self._by_olid(key), ROUTE)
        return shelf.find(value, ROUTE)

    def _value(self, make: Any, key: str, book: Book, host: str, *, cached: bool) -> bytes:
        if not cached or make is not data_value:
            return encode(make(key, book, host))
        return self._encoded.get((host, book), lambda: data_value(key, book, host))

    async def isbn(self, call: Call, shelf: Shelf) -> Answer:
        """A redirect to the edition, or the site's 404."""
        asked = call.params["isbn"]
        book = shelf.find(asked, ROUTE)
        if book is None:
            return _not_found(f"/isbn/{asked}")
        where = f"/openlibrary/books/OL{book.number}M.json"
        return Answer(status=302, headers=(("location", where),))

    async def edition(self, call: Call, shelf: Shelf) -> Answer:
        """The edition's record."""
        book = self._by_number(call, shelf)
        if book is None:
            return _not_found(f"/books/OL{call.params['number']}M")
        return json_answer(edition(book))

    async def work(self, call: Call, shelf: Shelf) -> Answer:
        """The work's record, which always names the authors."""
        book = self._by_number(call, shelf)
        if book is None:
            return _not_found(f"/works/OL{call.params['number']}W")
        return json_answer(work(book))

    async def author(self, call: Call, shelf: Shelf) -> Answer:
        """The author's record."""
        number = int(call.params["number"])
        name = shelf.catalogue.find_author(number)
        if name is None:
            return _not_found(f"/authors/OL{number}A")
        head = {"key": f"/authors/OL{number}A", "name": name, "personal_name": name}
        return json_answer(head | _revision("author"))

    async def search(self, call: Call, shelf: Shelf) -> Answer:
        """The documents of the ISBNs or the work in `q`, or of `title` and `author`."""
        found = [book for isbn in _searched(call) if (book := shelf.find(isbn, ROUTE))]
        found += [book for one in self._by_words(call) if (book := shelf.seen(one, ROUTE))]
        books = list({book.isbn13: book for book in found}.values())
        works = list(_works(books, together="title" in call.query).values())
        works = works[: int(call.query.get("limit", "100"))]
        fields = call.query.get("fields", "").split(",")
        docs = [document(editions, fields) for editions in works]
        head = {"numFound": len(docs), "start": 0, "numFoundExact": True}
        return json_answer(head | {"docs": docs, "q": call.query.get("q", ""), "offset": None})


def _works(books: list[Book], *, together: bool) -> dict[object, list[Book]]:
    """The editions of each work: those of one title and author, where a title is asked for."""
    works: dict[object, list[Book]] = {}
    for book in books:
        work = (book.title, book.authors) if together else book.isbn13
        works.setdefault(work, []).append(book)
    return works


def _not_found(key: str) -> Answer:
    return json_answer({"error": "notfound", "key": key}, 404)


def _asked_nothing(call: Call) -> tuple[str, ...]:
    return ()


def _asked_by_isbn(call: Call) -> tuple[str, ...]:
    return (canonical(call.params["isbn"]),)


def _bibkeys(call: Call) -> list[str]:
    return [key for key in call.query.get("bibkeys", "").split(",") if key]


def _searched(call: Call) -> list[str]:
    whole = re.search(r"isbn:\s*\(?([^)]*)\)?", call.query.get("q", ""))
    return re.findall(r"\b(?:\d{13}|\d{9}[\dXx])\b", whole[1].replace("-", "")) if whole else []


def _date(book: Book) -> str | None:
    """'June 8, 1949' for 1949-06-08, 'June 1949' for 1949-06; anything else as it is."""
    parts = re.fullmatch(r"(\d{4})-(\d{2})(?:-(\d{2}))?", book.published or "")
    if parts is None:
        return book.published
    month = MONTHS[date(int(parts[1]), int(parts[2]), 1).month - 1]
    return f"{month} {int(parts[3])}, {parts[1]}" if parts[3] else f"{month} {parts[1]}"


def _subjects(book: Book) -> list[str]:
    parts = (part for category in book.categories for part in category.split(" / "))
    return list(dict.fromkeys(parts))


def _isbn_lists(book: Book) -> dict[str, list[str]]:
    isbn10 = {"isbn_10": [book.isbn10]} if book.isbn10 else {}
    if isbn10 and "openlibrary_isbn10_only" in book.quirks:
        return isbn10
    return isbn10 | {"isbn_13": [book.isbn13]}


def _covers(book: Book) -> list[int | None]:
    if not book.cover:
        return []
    if "openlibrary_cover_minus_one" in book.quirks:
        return [-1, book.number]
    if "openlibrary_cover_null" in book.quirks:
        return [None, book.number]
    return [book.number]


def _full(value: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if one not in (None, "", [], {})}


def _slug(text: str) -> str:
    return re.sub(r"[\s/?#%\"]+", "_", text)


def _revision(kind: str) -> dict[str, Any]:
    return {
        "type": {"key": f"/type/{kind}"},
        "latest_revision": 4,
        "revision": 4,
        "created": {"type": "/type/datetime", "value": "2008-04-30T09:38:13.731961"},
        "last_modified": {"type": "/type/datetime", "value": "2019-11-11T06:03:04.907856"},
    }


def data_value(key: str, book: Book, host: str) -> dict[str, Any]:
    """The value of jscmd=data: authors from the work, no description, empty values trimmed."""
    site = f"http://{host}/openlibrary"
    ids = {**_isbn_lists(book), "openlibrary": [f"OL{book.number}M"]}
    authors = [
        {"url": f"{site}/authors/OL{author_number(name)}A/{_slug(name)}", "name": name}
        for name in book.authors
    ]
    subjects = [
        {"name": name, "url": f"{site}/subjects/{_slug(name.lower())}"} for name in _subjects(book)
    ]
    return _full({
        "url": f"{site}/books/OL{book.number}M/{_slug(book.title)}",
        "key": f"/books/OL{book.number}M",
        "title": book.title,
        "subtitle": book.subtitle,
        "authors": authors,
        "number_of_pages": book.pages,
        "identifiers": ids,
        "publishers": [{"name": book.publisher}] if book.publisher else [],
        "publish_date": _date(book),
        "subjects": subjects,
        "cover": _cover_links(book, host),
    })  # fmt: skip


def _cover_links(book: Book, host: str) -> dict[str, str]:
    first = _covers(book)[:1]
    if not first or first[0] is None:
        return {}
    sizes = {"small": "S", "medium": "M", "large": "L"}
    start = f"http://{host}/covers/b/id/{first[0]}"
    return {name: f"{start}-{letter}.jpg" for name, letter in sizes.items()}


def view_value(key: str, book: Book, host: str) -> dict[str, Any]:
    """The value of jscmd=viewapi, the default."""
    info = f"http://{host}/openlibrary/books/OL{book.number}M/{_slug(book.title)}"
    small = _cover_links(book, host).get("small")
    return _full({
        "bib_key": key,
        "info_url": info,
        "preview": "noview",
        "preview_url": info,
        "thumbnail_url": small,
    })  # fmt: skip


def details_value(key: str, book: Book, host: str) -> dict[str, Any]:
    """The value of jscmd=details: the edition, with the authors' names."""
    authors = [{"key": f"/authors/OL{author_number(name)}A", "name": name} for name in book.authors]
    details = _full(edition(book) | {"authors": authors})
    return view_value(key, book, host) | {"details": details}


def edition(book: Book) -> dict[str, Any]:
    """The edition's record: authors by key only, or none at all (then the work has them)."""
    authors = [{"key": f"/authors/OL{author_number(name)}A"} for name in book.authors]
    on_work = "openlibrary_authors_on_work" in book.quirks
    marc = MARC.get((book.language or "").split("-")[0])
    return _full({
        "key": f"/books/OL{book.number}M",
        "title": book.title,
        "subtitle": book.subtitle,
        "authors": [] if on_work else authors,
        "works": [{"key": f"/works/OL{book.number}W"}],
        "publishers": [book.publisher] if book.publisher else [],
        "publish_date": _date(book),
        **_isbn_lists(book),
        "number_of_pages": book.pages,
        "physical_format": "Paperback",
        "languages": [{"key": f"/languages/{marc}"}] if marc else [],
        "subjects": _subjects(book),
        "covers": _covers(book),
        "description": _description(book),
        "source_records": [f"bwb:{book.isbn13}"],
    }) | _revision("edition")  # fmt: skip


def _description(book: Book) -> str | dict[str, str] | None:
    if book.description and "openlibrary_text_object" in book.quirks:
        return {"type": "/type/text", "value": book.description}
    return book.description


def work(book: Book) -> dict[str, Any]:
    """The work's record."""
    authors = [
        {
            "type": {"key": "/type/author_role"},
            "author": {"key": f"/authors/OL{author_number(name)}A"},
        }
        for name in book.authors
    ]
    head = {
        "key": f"/works/OL{book.number}W",
        "title": book.title,
        "authors": authors,
        "covers": _covers(book),
        "description": _description(book),
        "subjects": _subjects(book),
    }
    return _full(head) | _revision("work")


def document(books: list[Book], fields: list[str]) -> dict[str, Any]:
    """A work of search.json; ISBNs and its best edition only where the fields name them."""
    book = books[0]
    marc = MARC.get((book.language or "").split("-")[0])
    year = re.search(r"\d{4}", book.published or "")
    whole = _full({
        "key": f"/works/OL{book.number}W",
        "title": book.title,
        "author_name": list(book.authors),
        "author_key": [f"OL{author_number(name)}A" for name in book.authors],
        "cover_i": book.number if book.cover else None,
        "first_publish_year": int(year[0]) if year else None,
        "edition_count": len(books),
        "language": [marc] if marc else [],
        "publisher": [book.publisher] if book.publisher else [],
    })  # fmt: skip
    if "isbn" in fields:
        whole["isbn"] = [isbn for one in books for isbn in (one.isbn13, one.isbn10) if isbn]
    if any(name.startswith("editions") for name in fields):
        one = {"key": f"/books/OL{book.number}M", "title": book.title}
        isbns = [isbn for isbn in (book.isbn13, book.isbn10) if isbn]
        docs = [one | {"isbn": isbns}]
        whole["editions"] = {
            "numFound": len(books),
            "start": 0,
            "numFoundExact": True,
            "docs": docs,
        }
    return whole
