"""Books by title and author: for rows of library files that have no ISBN.

Way:      batches/lookup.py → here → ports.Http
Rule 1:   pure readers around one question each; what fits is judged elsewhere.
Rule 2:   a provider that finds nothing answers with an empty list, never with an error.
Source:   openlibrary.org/dev/docs/api/search; developers.google.com/books/docs/v1/using;
          ISBNdb's OpenAPI 2.7.0.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from bookline.errors import BookNotFound, ProviderDown
from bookline.isbn import find_isbn
from bookline.ports import Answer, Http
from bookline.progress.batches import Candidate
from bookline.providers import google_books, isbndb, open_library_answers
from bookline.providers.answers import read_json
from bookline.providers.dates import read_date
from bookline.providers.reading import (
    entries,
    read_authors,
    read_line,
    read_source_id,
    read_subtitle,
    read_title,
)
from bookline.values import Json

MOST_FOUND: Final = 20  # our choice: looked at
ASKED_CHARS: Final = 200  # our choice: of a title or name in a question
_OPEN_LIBRARY_FIELDS: Final = (
    "key,title,subtitle,author_name,first_publish_year,cover_i,isbn,"
    "editions,editions.key,editions.title,editions.isbn,editions.publish_date"
)
_UNASKED: Final = re.compile(r"[\"“”„\\+*?~^{}\[\]()!|&<>=:;/]|\b(?:AND|OR|NOT)\b")
_SERIES: Final = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")
_SUBTITLE: Final = re.compile(r"(?<=\S)\s*(?::|;|\s[-–—]\s).*$", re.DOTALL)


class OpenLibrarySearch:
    """Fills the port BookSearch."""

    name = "openlibrary"

    def __init__(self, http: Http, base_url: str, covers_url: str) -> None:
        self._http = http
        self._url = base_url.rstrip("/")
        self._covers_url = covers_url.rstrip("/")

    async def search(self, title: str, author: str) -> Sequence[Candidate]:
        by = {"author": asked(author)} if author else {}
        return await self._found({"title": asked_title(title), **by})

    async def find_record(self, open_library_id: str) -> Candidate | None:
        """The edition, or the best edition of the work, with this id ("OL7353617M")."""
        if open_library_id.endswith("M"):
            answer = await self._http.get(f"{self._url}/books/{open_library_id}.json")
            return read_open_library_edition(answer)
        found = await self._found({"q": f"key:/works/{open_library_id}"})
        return found[0] if found else None

    async def _found(self, params: Mapping[str, str]) -> Sequence[Candidate]:
        more = {"fields": _OPEN_LIBRARY_FIELDS, "limit": str(MOST_FOUND)}
        answer = await self._http.get(f"{self._url}/search.json", params={**params, **more})
        return read_open_library(answer, self._covers_url)


class GoogleBooksSearch:
    """Fills the port BookSearch."""

    name = "google_books"

    def __init__(self, http: Http, base_url: str, api_key: str, country: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/volumes"
        self._headers = {"X-goog-api-key": api_key} if api_key else None
        self._country = country

    async def search(self, title: str, author: str) -> Sequence[Candidate]:
        by = f' inauthor:"{asked(author)}"' if author else ""
        params = {
            "q": f'intitle:"{asked_title(title)}"{by}',
            "maxResults": str(MOST_FOUND),
            "printType": "books",
            **({"country": self._country} if self._country else {}),
        }
        return read_google(await self._http.get(self._url, params=params, headers=self._headers))


class IsbnDbSearch:
    """Fills the port BookSearch. It has no question for title and author together."""

    name = "isbndb"

    def __init__(self, http: Http, base_url: str, api_key: str) -> None:
        self._http = http
        self._url = base_url.rstrip("/")
        self._headers = {"Authorization": api_key} if api_key else None

    async def search(self, title: str, author: str) -> Sequence[Candidate]:
        path = f"{self._url}/books/{quote(asked_title(title), safe='')}"
        params = {"column": "title", "page": "1", "pageSize": str(MOST_FOUND)}
        return read_isbndb(await self._http.get(path, params=params, headers=self._headers))


def asked_title(title: str) -> str:
    """A title as it is asked for: without series and subtitle, which providers write otherwise."""
    bare = _SERIES.sub("", title)
    return asked(_SUBTITLE.sub("", bare)) or asked(title)


def asked(text: str) -> str:
    """Words without the marks that a search language reads as commands."""
    return " ".join(_UNASKED.sub(" ", text).split())[:ASKED_CHARS]


# ------------------------------------------------------------------ answers
def read_open_library(answer: Answer, covers_url: str) -> list[Candidate]:
    """Works with their best edition. Raises: as ``answers.check``."""
    open_library_answers.check_answer(answer)
    docs = _objects(read_json("Open Library", answer).get("docs"))
    return [one for doc in docs if (one := _read_doc(doc, covers_url)) is not None]


def _read_doc(doc: Json, covers_url: str) -> Candidate | None:
    title = read_title(doc.get("title"))
    if title is None:
        return None
    editions = doc.get("editions")
    inner = _objects(editions.get("docs")) if isinstance(editions, dict) else []
    isbns = [_first_isbn(one.get("isbn")) for one in inner]
    year = doc.get("first_publish_year")
    cover = doc.get("cover_i")
    has_cover = type(cover) is int and 0 < cover < 10**18
    return Candidate(
        isbn=next((isbn for isbn in isbns if isbn), None) or _first_isbn(doc.get("isbn")),
        title=title,
        subtitle=read_subtitle(doc.get("subtitle")),
        authors=read_authors(doc.get("author_name")),
        publication_date=read_date(str(year)) if type(year) is int else None,
        cover_url=f"{covers_url}/b/id/{cover}-M.jpg?default=false" if has_cover else None,
        work=read_source_id(doc.get("key")) or "",
    )


def read_open_library_edition(answer: Answer) -> Candidate | None:
    """The edition of a record; None without an ISBN or title. Raises: as ``answers.check``."""
    try:
        open_library_answers.check_answer(answer)
    except BookNotFound:
        return None
    edition = read_json("Open Library", answer)
    isbn = _first_isbn(edition.get("isbn_13")) or _first_isbn(edition.get("isbn_10"))
    title = read_title(edition.get("title"))
    if isbn is None or title is None:
        return None
    return Candidate(
        isbn=isbn, title=title, publication_date=read_date(edition.get("publish_date"))
    )


def read_google(answer: Answer) -> list[Candidate]:
    """Volumes. Raises: as ``answers.check``."""
    google_books.check_answer(answer)
    found = []
    for item in _objects(read_json("Google Books", answer).get("items")):
        info = item.get("volumeInfo")
        if not isinstance(info, dict) or (title := read_title(info.get("title"))) is None:
            continue
        named = _objects(info.get("industryIdentifiers"))
        found.append(
            Candidate(
                isbn=_first_isbn([one.get("identifier") for one in named]),
                title=title,
                subtitle=read_subtitle(info.get("subtitle")),
                authors=read_authors(info.get("authors")),
                publication_date=read_date(info.get("publishedDate")),
                cover_url=google_books.read_cover(info.get("imageLinks")),
            )
        )
    return found


def read_isbndb(answer: Answer) -> list[Candidate]:
    """Editions. Raises: as ``answers.check``."""
    try:
        isbndb.check_answer(answer)
    except BookNotFound:
        return []
    found = read_json("ISBNdb", answer)
    books = found.get("books", found.get("data"))
    if not isinstance(books, list):
        raise ProviderDown("ISBNdb answered with JSON that is no list of books")
    candidates = []
    for book in _objects(books):
        title = read_title(book.get("title"))
        if title is None:
            continue
        isbn = _first_isbn([book.get("isbn13"), book.get("isbn10"), book.get("isbn")])
        candidates.append(
            Candidate(
                isbn=isbn,
                title=title,
                authors=isbndb.read_names(book.get("authors")),
                publication_date=read_date(book.get("date_published")),
                cover_url=isbndb.read_cover(book),
            )
        )
    return candidates


def _objects(values: object) -> list[Json]:
    return [one for one in entries(values)[:MOST_FOUND] if isinstance(one, dict)]


def _first_isbn(values: object) -> str | None:
    """The first that is one, ISBN-13s before ISBN-10s, as an ISBN-13."""
    texts: Iterable[str] = [line for one in entries(values) if (line := read_line(one, 40))]
    for text in sorted(texts, key=lambda one: len(one) < 13):
        if found := find_isbn(text):
            return found.isbn13
    return None
