"""What every endpoint gets and gives: a call, a shelf of books, an answer.

Way: app.py reads the call and hands out the shelf → the providers' modules → Answer
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Send

from bookline_sandbox.catalogue import Book, Catalogue, isbn13_of

JSON = "application/json"
HTML = "text/html; charset=utf-8"

CACHED_ANSWERS = 50_000  # our choice: one load test's worth, about 100 MB at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer, its body ready to send."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    async def send(self, send: Send, *, missing_bytes: int = 0, more: bool = False) -> None:
        """Send it; missing_bytes are promised by Content-Length beyond the body."""
        headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", str(len(self.body) + missing_bytes).encode()),
            *((name.encode(), value.encode()) for name, value in self.headers),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": more})


def encode(value: object) -> bytes:
    """JSON as the providers send it: UTF-8, nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(value: object, status: int = 200, content_type: str = JSON) -> Answer:
    """An answer with a JSON body."""
    return Answer(status=status, body=encode(value), content_type=content_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read."""

    method: str
    path: str
    host: str
    """The request's own Host: links in answers point there."""
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    """The named parts of the path."""
    body: bytes = b""

    @property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in parse_qs(self.raw_query).items()}

    @property
    def json(self) -> Any:
        """The body's JSON; None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Shelf:
    """The catalogue as one call sees it: a fault may have swapped or emptied a book."""

    def __init__(self, catalogue: Catalogue, twists: Mapping[str, str] | None = None) -> None:
        self.catalogue = catalogue
        self.twists = twists or {}
        """Kind of fault by ISBN-13, or by '*' for each."""

    def find(self, isbn: str, provider: str) -> Book | None:
        """What the provider has under this ISBN, in either form."""
        book = self.catalogue.find(isbn)
        kind = self.twists.get(isbn13_of(isbn) or isbn) or self.twists.get("*")
        if kind == "wrong_book":
            return self._wrong(book, isbn, provider)
        return self.seen(book, provider)

    def seen(self, book: Book | None, provider: str) -> Book | None:
        """A book found otherwise than by its ISBN, as the provider has it."""
        if book is None or provider not in book.known_by:
            return None
        match self.twists.get(book.isbn13) or self.twists.get("*"):
            case "not_found":
                return None
            case "no_title":
                return replace(book, title="")
            case "big_description":
                return replace(book, description="A long story. " * (500_000 // 14))
        return book  # by its own number even where another was asked for by ISBN

    def _wrong(self, book: Book | None, isbn: str, provider: str) -> Book | None:
        asked = book or Book(isbn13=isbn13_of(isbn) or isbn, title="")
        return self.catalogue.other_than(asked, provider)


class Encoded:
    """Bodies encoded once per book and host. Bounded: when full, it starts anew."""

    def __init__(self) -> None:
        self._bodies: dict[tuple[object, ...], bytes] = {}

    def get(self, key: tuple[object, ...], make: Callable[[], object]) -> bytes:
        """The body kept under the key, which holds the book itself, or a new one."""
        body = self._bodies.get(key)
        if body is None:
            if len(self._bodies) >= CACHED_ANSWERS:
                self._bodies.clear()
            body = self._bodies[key] = encode(make())
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of one provider."""

    path: str
    """As Starlette writes it."""
    route: str
    """The name a fault rule and the journal know it by."""
    asked: Callable[[Call], Sequence[str]]
    """The ISBNs the call is about: as 13 digits where it is one."""
    answer: Callable[[Call, Shelf], Awaitable[Answer]]
    failure: Callable[[int], Answer]
    """The provider's own body for a status."""
    method: str = "GET"


def canonical(isbn: str) -> str:
    """The ISBN-13 of a text, or the text itself (at most 40 characters) if it is no ISBN."""
    return isbn13_of(isbn) or isbn[:40]


def html_failure(status: int, words: str) -> Answer:
    """A server's plain error page."""
    page = f"<html><head><title>{status} {words}</title></head><body><h1>{status} {words}</h1>"
    return Answer(status=status, body=f"{page}</body></html>\n".encode(), content_type=HTML)
