"""The cover hosts: Google's content server, ISBNdb's images, Open Library's covers.

Way:      app.py → here → drawing.py
Rule 1:   each picture's address tells the book, so that faults and the journal know its ISBN.
Units:    pixels.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from bookline_sandbox import drawing, google_books, isbndb, open_library
from bookline_sandbox.catalogue import Book, Catalogue
from bookline_sandbox.wire import Answer, Call, Endpoint, Shelf, html_failure, json_answer

ROUTE = "covers"
GOOGLE_WIDTHS = {0: 1280, 1: 128, 2: 300, 3: 575, 4: 800, 5: 80, 6: 1280}
OPEN_LIBRARY_BOXES = {"S": (116, 58), "M": (180, 360), "L": (500, 500)}
DRAWN_COVERS = 2048  # our choice: about 60 MB
_LARGER = (2, 3, 4, 6, 0)

# The 807 bytes of one transparent pixel that Open Library sends where it has no cover.
PIXEL = (
    b"GIF89a\x01\x00\x01\x00\xf7\x00\x00" + b"\xff" * 768
    + b"\x21\xf9\x04\x01\x00\x00\x00\x00" + b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00"
    + b"\x08\x04\x00\x01\x04\x04\x00\x3b"
)  # fmt: skip


def failure(status: int) -> Answer:
    """An error page of a picture server."""
    return html_failure(status, "Error")


def _open_library_failure(status: int) -> Answer:
    if status == 429:
        message = "Too Many Requests. Please email us at info@archive.org"
        return json_answer({"status": 429, "message": message}, 429)
    return open_library.failure(status)


class Covers:
    """The picture endpoints of the three providers."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._drawn: dict[tuple[object, ...], bytes] = {}

    def endpoints(self) -> list[Endpoint]:
        """What app.py serves."""
        archive = "/archive.org/download/olcovers/{value}-{size}.jpg"
        return [
            self._endpoint("/books/content", self._google_book, self.google, failure),
            self._endpoint("/isbndb/images/{path:path}", self._isbndb_book, self.isbndb, failure),
            self._endpoint(
                "/covers/b/{key}/{value}-{size}.jpg",
                self._open_library_book,
                self.open_library,
                _open_library_failure,
            ),
            self._endpoint(archive, self._open_library_book, self.archive, failure),
        ]

    def _endpoint(
        self,
        path: str,
        find: Callable[[Call], Book | None],
        answer: Callable[[Call, Shelf], Awaitable[Answer]],
        fails: Callable[[int], Answer],
    ) -> Endpoint:
        def asked(call: Call) -> Sequence[str]:
            book = find(call)
            return (book.isbn13,) if book else ()

        return Endpoint(path=path, route=ROUTE, asked=asked, answer=answer, failure=fails)

    def _google_book(self, call: Call) -> Book | None:
        return self._catalogue.find_google(call.query.get("id", ""))

    def _isbndb_book(self, call: Call) -> Book | None:
        name = re.search(r"(\d{13})\.jpg$", call.params["path"])
        return self._catalogue.find(name[1]) if name else None

    def _open_library_book(self, call: Call) -> Book | None:
        key, value = call.params.get("key", "id"), call.params["value"]
        if key == "isbn":
            return self._catalogue.find(value)
        number = re.fullmatch(r"OL(\d+)M" if key == "olid" else r"(\d+)", value)
        return self._catalogue.find_number(int(number[1])) if number else None

    async def google(self, call: Call, shelf: Shelf) -> Answer:
        """The cover at a zoom; the grey placeholder, with status 200, where Google has none."""
        book = shelf.seen(self._google_book(call), google_books.ROUTE)
        zoom, size = _google_size(call)
        if book is None or not book.cover or _too_large(book, zoom):
            if book and "google_zoom_ends_at_3" in book.quirks:
                return failure(404)
            return _image(drawing.placeholder(size), "PNG")
        kind = "PNG" if "google_png" in book.quirks else "JPEG"
        return await self._cover(book, size, kind, curl=call.query.get("edge") == "curl")

    async def isbndb(self, call: Call, shelf: Shelf) -> Answer:
        """The cover of at most 500 pixels, or the original."""
        book = shelf.seen(self._isbndb_book(call), isbndb.ROUTE)
        if book is None or not book.cover:
            return failure(404)
        original = call.params["path"].startswith("originals/")
        return await self._cover(book, _fit((800, 1300) if original else (500, 500)), "JPEG")

    async def open_library(self, call: Call, shelf: Shelf) -> Answer:
        """The cover in size S, M or L; L may stand at the archive, by redirect."""
        book = shelf.seen(self._open_library_book(call), open_library.ROUTE)
        size = call.params["size"]
        if book is None or not book.cover or size not in OPEN_LIBRARY_BOXES:
            if call.query.get("default") == "false":
                return html_failure(404, "Not Found")
            return _image(PIXEL, "GIF")
        if size == "L" and book.number % 3 == 0:
            where = f"http://{call.host}/archive.org/download/olcovers/{book.number}-L.jpg"
            return Answer(status=302, headers=(("location", where),))
        return await self._open_library_cover(book, size)

    async def archive(self, call: Call, shelf: Shelf) -> Answer:
        """The cover where Open Library's redirect leads."""
        book = shelf.seen(self._open_library_book(call), open_library.ROUTE)
        if book is None or call.params["size"] not in OPEN_LIBRARY_BOXES:
            return failure(404)
        return await self._open_library_cover(book, call.params["size"])

    async def _open_library_cover(self, book: Book, size: str) -> Answer:
        kind = "WEBP" if "openlibrary_webp" in book.quirks else "JPEG"
        return await self._cover(book, _fit(OPEN_LIBRARY_BOXES[size]), kind)

    async def _cover(
        self, book: Book, size: tuple[int, int], kind: str, *, curl: bool = False
    ) -> Answer:
        title = book.cover_title or book.title
        author = "" if book.made_up else _author_line(book)
        seed = sum(map(ord, title)) if book.made_up else book.number * 2_654_435_761 >> 7
        key = (title, author, seed, size, kind, curl)
        body = self._drawn.get(key)
        if body is None:
            if len(self._drawn) >= DRAWN_COVERS:
                self._drawn.clear()
            body = await asyncio.to_thread(
                drawing.picture, title, author, seed, size, kind, curl=curl
            )
            self._drawn[key] = body
        if book.made_up and kind == "JPEG":
            body = _named(body, book.isbn13)
        return _image(body, kind)


def _author_line(book: Book) -> str:
    return ", ".join(book.authors) if len(book.authors) < 3 else f"{book.authors[0]} et al."


def _google_size(call: Call) -> tuple[int, tuple[int, int]]:
    query = call.query
    zoom = int(query["zoom"]) if query.get("zoom", "").isdecimal() else 1
    box = re.fullmatch(r"w(\d{1,4})(?:-h(\d{1,4}))?", query.get("fife", ""))
    if box:
        wide = max(1, int(box[1]))
        return zoom, _fit((wide, max(1, int(box[2])) if box[2] else wide * 2))
    wide = GOOGLE_WIDTHS.get(zoom, 128)
    return zoom, (wide, wide * 3 // 2)


def _fit(box: tuple[int, int]) -> tuple[int, int]:
    """The largest two-by-three picture within the box."""
    wide = min(box[0], box[1] * 2 // 3)
    return max(1, wide), max(1, wide * 3 // 2)


def _too_large(book: Book, zoom: int) -> bool:
    for last in (1, 2, 3):
        if f"google_zoom_ends_at_{last}" in book.quirks:
            return zoom in _LARGER[last - 1 :]
    return False


def _named(jpeg: bytes, isbn: str) -> bytes:
    """The picture with the ISBN in a comment: made-up books share drawings, not bytes."""
    words = isbn.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(words) + 2).to_bytes(2) + words + jpeg[2:]


def _image(body: bytes, kind: str) -> Answer:
    return Answer(body=body, content_type=f"image/{kind.lower()}")
