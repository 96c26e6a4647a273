"""The books the sandbox knows, and the identities the providers give them.

Way:    google_books.py, open_library.py, isbndb.py and covers.py ask here → catalogue.jsonl
Rule 1: a book's ids at all three providers follow from its ISBN alone.
Rule 2: facts are those of real editions, made for tests: no reference work.
"""

import base64
import hashlib
import json
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from itertools import count
from typing import Any

PROVIDERS = ("google_books", "openlibrary", "isbndb")

QUIRKS = {
    "google_ids_are_other": "Google names no ISBN, only an OTHER identifier",
    "google_needs_isbn10": "Google finds it by ISBN-10 only",
    "google_needs_plain": "Google finds it by a plain query only, not by isbn:",
    "google_zoom_ends_at_1": "Google's larger covers are the grey placeholder",
    "google_zoom_ends_at_2": "Google's larger covers are the grey placeholder",
    "google_zoom_ends_at_3": "Google's larger covers answer 404",
    "google_signed_images": "Google's image links carry imgtk= and no edge=curl",
    "google_png": "Google sends the cover as PNG",
    "google_timestamp": "Google's publishedDate is a timestamp",
    "google_e_book_twin": "Google answers a second volume with the same ISBN",
    "openlibrary_cover_minus_one": "Open Library's covers begin with -1",
    "openlibrary_cover_null": "Open Library's covers begin with null",
    "openlibrary_authors_on_work": "Open Library's edition names no author, its work does",
    "openlibrary_text_object": "Open Library's description is a {type, value} object",
    "openlibrary_isbn10_only": "Open Library's record names the ISBN-10 only",
    "openlibrary_webp": "Open Library's cover is a WebP picture",
    "isbndb_date_is_number": "ISBNdb's date_published is a number",
    "isbndb_last_first": "ISBNdb writes authors as 'Last, First'",
    "isbndb_language_name": "ISBNdb writes the language's English name",
    "isbndb_language_wrong": "ISBNdb claims 'en' whatever the language",
    "isbndb_capital_scheme": "ISBNdb's image link begins with 'Http://'",
    "isbndb_autofilled": "ISBNdb marks an author with '~autofilled~'",
    "isbndb_series_in_title_long": "ISBNdb's title_long carries the series",
    "isbndb_dimensions_text": "ISBNdb's dimensions are a library's free text",
}


class BadBook(ValueError):
    """A book of the wrong shape; the message says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """One edition. Compared by identity, so that it can key a cache."""

    isbn13: str
    title: str
    isbn10: str | None = None
    """None for a 979 number."""
    subtitle: str | None = None
    authors: tuple[str, ...] = ()
    publisher: str | None = None
    published: str | None = None
    """As printed: mostly YYYY, YYYY-MM or YYYY-MM-DD, but also '19??', 'c1998', 'June 1983'."""
    pages: int | None = None
    language: str | None = None
    """ISO 639-1, with a region or script where Google gives one ('pt-BR')."""
    categories: tuple[str, ...] = ()
    """In the trade's form: 'Fiction / Dystopian'."""
    description: str | None = None
    """May hold HTML, as Google's does."""
    cover: bool = True
    cover_title: str | None = None
    """Latin letters to draw on the cover where the title has others."""
    known_by: tuple[str, ...] = PROVIDERS
    quirks: frozenset[str] = frozenset()
    """Keys of QUIRKS."""
    made_up: bool = False

    @property
    def number(self) -> int:
        """The number in the ids of Open Library."""
        return int(self.isbn13[3:12]) + (0 if self.isbn13.startswith("978") else 1_000_000_000)

    @property
    def google_id(self) -> str:
        """Twelve characters, like each of Google's volume ids."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.isbn13.encode()).digest()[:9]).decode()


def check_digit_13(twelve: str) -> str:
    """The thirteenth digit of an ISBN-13."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(twelve))
    return str(-total % 10)


def check_digit_10(nine: str) -> str:
    """The tenth character of an ISBN-10."""
    rest = -sum(int(digit) * (10 - place) for place, digit in enumerate(nine)) % 11
    return "X" if rest == 10 else str(rest)


def isbn10_of(isbn13: str) -> str | None:
    """The older form; None outside 978."""
    if not isbn13.startswith("978"):
        return None
    return isbn13[3:12] + check_digit_10(isbn13[3:12])


def isbn13_of(text: str) -> str | None:
    """The ISBN-13 of either form, hyphens or not; None if it is no ISBN."""
    bare = text.replace("-", "").replace(" ", "").upper()
    if not bare.isascii():
        return None
    if len(bare) == 10 and bare[:9].isdigit() and check_digit_10(bare[:9]) == bare[9]:
        return f"978{bare[:9]}" + check_digit_13(f"978{bare[:9]}")
    if len(bare) == 13 and bare.isdigit() and check_digit_13(bare[:12]) == bare[12]:
        return bare if bare[:3] in ("978", "979") else None
    return None


def author_number(name: str) -> int:
    """The number in an author's id at Open Library."""
    return zlib.crc32(name.encode())


def read_book(value: object) -> Book:
    """A book from the catalogue's JSON shape; the ISBN-10 is filled in where it is missing.

    Raises: BadBook, for a wrong check digit, an unknown field, quirk or provider, or a wrong type.
    """
    if not isinstance(value, Mapping):
        raise BadBook("a book is a JSON object")
    unknown = set(value) - {field.name for field in fields(Book)}
    if unknown:
        raise BadBook(f"unknown field {sorted(unknown)[0]!r}")
    given: dict[str, Any] = dict(value)
    if isbn13_of(str(given.get("isbn13"))) != given.get("isbn13"):
        raise BadBook(f"isbn13 {given.get('isbn13')!r} is no ISBN-13 of digits")
    if given.setdefault("isbn10", isbn10_of(given["isbn13"])) != isbn10_of(given["isbn13"]):
        raise BadBook(f"isbn10 {given['isbn10']!r} is not {isbn10_of(given['isbn13'])!r}")
    for name in ("authors", "categories", "known_by", "quirks"):
        given[name] = _texts(name, given.get(name, PROVIDERS if name == "known_by" else ()))
    _refuse_unknown("provider", given["known_by"], PROVIDERS)
    _refuse_unknown("quirk", given["quirks"], QUIRKS)
    for name in ("subtitle", "publisher", "published", "language", "description", "cover_title"):
        if not isinstance(given.get(name), str | None):
            raise BadBook(f"{name} is a text")
    if not isinstance(given.get("title"), str):
        raise BadBook("title is a text")
    if not isinstance(given.get("pages"), int | None):
        raise BadBook("pages is a whole number")
    given["quirks"] = frozenset(given["quirks"])
    return Book(**given)


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise BadBook(f"{name} is a list of texts")
    return tuple(value)


def _refuse_unknown(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise BadBook(f"unknown {what} {name!r}")


def real_books() -> Iterator[Book]:
    """The books of catalogue.jsonl, in its order."""
    text = files(__package__).joinpath("catalogue.jsonl").read_text("utf-8")
    for line in text.splitlines():
        yield read_book(json.loads(line))


@lru_cache(maxsize=100_000)
def _words(text: str) -> frozenset[str]:
    """Small letters without accents, as search engines compare them."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return frozenset("".join(kept).split())


class Catalogue:
    """All books, found by any id a provider gives them. A book added again replaces the old."""

    def __init__(self, books: Iterable[Book] = ()) -> None:
        self.by_isbn: dict[str, Book] = {}
        self._by_google_id: dict[str, Book] = {}
        self._by_number: dict[int, Book] = {}
        self._authors: dict[int, str] = {}
        self._next_serial: dict[str, int] = {}
        for book in books:
            self.add(book)

    def add(self, book: Book) -> None:
        """Keep the book under its ISBN and its ids."""
        self.by_isbn[book.isbn13] = book
        self._by_google_id[book.google_id] = book
        self._by_number[book.number] = book
        for name in book.authors:
            self._authors[author_number(name)] = name

    def find(self, isbn: str) -> Book | None:
        """The book of an ISBN in either form."""
        return self.by_isbn.get(isbn) or self.by_isbn.get(isbn13_of(isbn) or "")

    def find_google(self, volume_id: str) -> Book | None:
        """The book of a Google volume id."""
        return self._by_google_id.get(volume_id)

    def find_number(self, number: int) -> Book | None:
        """The book of an edition, work or cover id at Open Library."""
        return self._by_number.get(number)

    def find_author(self, number: int) -> str | None:
        """The name of an author id at Open Library."""
        return self._authors.get(number)

    def search(self, provider: str, title: str, author: str = "") -> list[Book]:
        """Books of the provider whose title and authors hold each of these words."""
        words, names = _words(title), _words(author)
        if not words:
            return []
        return [
            book
            for book in self.by_isbn.values()
            if provider in book.known_by
            and words <= _words(f"{book.title} {book.subtitle or ''}")
            and names <= _words(" ".join(book.authors))
        ]

    def other_than(self, book: Book, provider: str) -> Book:
        """Another book that the provider knows, always the same one.

        Raises: LookupError if there is no other.
        """
        for other in self.by_isbn.values():
            if other is not book and provider in other.known_by:
                return other
        raise LookupError(provider)

    def make(
        self, number: int, prefix: str = "978999", known_by: tuple[str, ...] = PROVIDERS
    ) -> list[str]:
        """Add made-up books with true check digits; their ISBNs, none of them known before.

        Raises: BadBook if the prefix leaves no room for that many.
        """
        digits = 12 - len(prefix)
        if not (prefix.isdigit() and prefix[:3] in ("978", "979") and 3 <= len(prefix) <= 11):
            raise BadBook("prefix is 3 to 11 digits that begin with 978 or 979")
        made: list[str] = []
        for serial in count(self._next_serial.get(prefix, 0)):
            if len(made) == number:
                self._next_serial[prefix] = serial
                return made
            if serial == 10**digits:
                raise BadBook(f"prefix {prefix} has no room for {number} books")
            twelve = f"{prefix}{serial:0{digits}d}"
            isbn = twelve + check_digit_13(twelve)
            if isbn not in self.by_isbn:
                self.add(_made_up(isbn, serial, known_by))
                made.append(isbn)
        raise AssertionError("unreachable")


_HOW = ("Quiet", "Hidden", "Golden", "Last", "Distant", "Silver", "Restless", "Patient", "Blue")
_WHAT = ("Harbour", "Orchard", "Lantern", "Archive", "River", "Garden", "Compass", "Winter")
_FIRST = ("Ada", "Bela", "Clara", "Dov", "Edda", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja")
_LAST = ("Almeida", "Brandt", "Castell", "Dvorak", "Ekman", "Fontaine", "Galli", "Hansen")
_GENRE = ("Mystery & Detective", "Historical", "Literary", "Science Fiction", "Family Life")


def _made_up(isbn: str, serial: int, known_by: tuple[str, ...]) -> Book:
    how, what = _HOW[serial % len(_HOW)], _WHAT[serial // 9 % len(_WHAT)]
    first, last = _FIRST[serial % len(_FIRST)], _LAST[serial // 11 % len(_LAST)]
    genre = _GENRE[serial % len(_GENRE)]
    return Book(
        isbn13=isbn,
        isbn10=isbn10_of(isbn),
        title=f"The {how} {what}",
        subtitle=f"Made-up book {serial}",
        authors=(f"{first} {last}",),
        publisher="Sandbox Press",
        published=f"{1950 + serial % 70}-{1 + serial % 12:02d}-{1 + serial % 28:02d}",
        pages=90 + serial % 700,
        language="en",
        categories=(f"Fiction / {genre}",),
        description=(
            f"{first} returns to the {what.lower()} that everyone else has given up on. "
            f"A {how.lower()} story of {genre.lower()}, made up for load tests, number {serial}."
        ),
        known_by=known_by,
        made_up=True,
    )
