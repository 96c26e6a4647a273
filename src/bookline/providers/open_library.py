"""Open Library: the Books API first, then the edition's record (and the work's) for what it lacks.

Way:      steps/metadata.py → here → ports.Http
Source:   openlibrary.org/dev/docs/api/books; openlibrary/plugins/books/dynlinks.py; recorded
          editions and works.
Rule 1:   a hit counts only if its identifiers hold the ISBN.
Rule 2:   the first answer has the facts that matter. Whatever goes wrong after it, be it an
          outage, costs a description at most and never the book.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from bookline.book import Metadata
from bookline.errors import BooklineError, BookNotFound, ProviderDown
from bookline.isbn import Isbn
from bookline.ports import Http
from bookline.providers.answers import read_json
from bookline.providers.open_library_answers import (
    AUTHOR,
    EDITION,
    NAME,
    RECORD,
    TITLE,
    WORK,
    check_answer,
    details_of,
    holds,
    is_edition,
    keys_of,
    only_of,
    read,
    read_edition,
    read_found,
    read_text,
    request,
    with_edition,
)
from bookline.providers.reading import read_authors, read_categories
from bookline.time_limit import time_limit
from bookline.together import Together, outcome_of
from bookline.values import Json

MOST_AT_ONCE: Final = 50  # our choice: an address of 2 KB
MANY_SECONDS: Final = 6.0  # our choice
MORE_SECONDS: Final = 3.0  # our choice, for all further questions together
_MOST_AUTHORS_ASKED: Final = 5  # our choice: each is a question of its own
_MOST_REDIRECTS: Final = 2  # from one record to another, after a merge

_log = logging.getLogger(__name__)


class OpenLibrary:
    """Open Library, which needs no key but wants to know whom to write to."""

    name = NAME

    def __init__(
        self,
        http: Http,
        base_url: str,
        covers_url: str,
        *,
        more_seconds: float = MORE_SECONDS,
        together: bool = False,
    ) -> None:
        """``together``: those who ask at the same time are asked for in one question."""
        self._http = http
        self._more_seconds = more_seconds
        self._url = base_url.rstrip("/")
        self._covers_url = covers_url.rstrip("/")
        books = Together(self._books, self._book, most=MOST_AT_ONCE, limit_seconds=MANY_SECONDS)
        editions = Together(
            self._editions, self._record, most=MOST_AT_ONCE, limit_seconds=more_seconds
        )
        self._ask_book = books.ask if together else self._book
        self._ask_edition = editions.ask if together else self._record

    async def find(self, isbn: Isbn) -> Metadata:
        """The edition of this ISBN, as full as the further questions could make it.

        Raises: as ``MetadataProvider.find``.
        """
        try:
            book, key = await self._ask_book(isbn)
        except BookNotFound:
            return await self._find_record(isbn)
        return await self._completed(isbn, book, key)

    async def _book(self, isbn: Isbn) -> tuple[Metadata, str]:
        """The book of the first question, and the key of its record.

        Raises: BookNotFound where that says nothing: ``{}`` when the Books API knows nothing, and
        when it has stumbled over a record or lost its database (``bare except`` in dynlinks.py).
        """
        answer = await self._http.get(f"{self._url}/api/books", params=request(isbn))
        try:
            return read(isbn, answer, self._covers_url)
        except ProviderDown as failure:
            if answer.status < 500:
                raise
            raise BookNotFound(f"{TITLE} has no answer for {isbn}") from failure

    async def _books(
        self, isbns: Sequence[Isbn]
    ) -> Mapping[Isbn, tuple[Metadata, str] | BooklineError]:
        answer = await self._http.get(f"{self._url}/api/books", params=request(*isbns))
        check_answer(answer)
        found = read_json(TITLE, answer)
        return {
            isbn: outcome_of(partial(read_found, isbn, only_of(isbn, found), self._covers_url))
            for isbn in isbns
        }

    async def _editions(self, keys: Sequence[str]) -> Mapping[str, Json | BooklineError]:
        """The editions' records by their keys, those that the Books API gives in full."""
        names = {key: f"OLID:{key.removeprefix('/books/')}" for key in keys if is_edition(key)}
        asked = {"bibkeys": ",".join(names.values()), "format": "json", "jscmd": "details"}
        answer = await self._http.get(f"{self._url}/api/books", params=asked)
        check_answer(answer)
        found = read_json(TITLE, answer)
        return {
            key: record
            for key, name in names.items()
            if (record := details_of(found.get(name))) is not None and record.get("key") == key
        }

    async def _find_record(self, isbn: Isbn) -> Metadata:
        """The edition by its own address: what counts where the Books API knows nothing.

        Raises: BookNotFound for a 404 alone, and as ``answers.check``.
        """
        edition = await self._record(f"/isbn/{isbn.isbn13}")
        if not holds(isbn, edition):
            raise BookNotFound(f"{TITLE} does not know {isbn}")
        book = read_edition(isbn, edition, self._covers_url)
        keys = keys_of([edition], EDITION)
        key = keys[0] if keys else f"/isbn/{isbn.isbn13}"
        return await self._completed(isbn, book, key, edition)

    async def _completed(
        self, isbn: Isbn, book: Metadata, key: str, edition: Json | None = None
    ) -> Metadata:
        """The book with what the records tell; whatever fails there costs no more than that."""
        try:
            async with (
                time_limit(self._more_seconds),
                aclosing(self._fuller(isbn, book, key, edition)) as fuller,
            ):
                async for better in fuller:
                    book = better
        except (BooklineError, TimeoutError) as error:
            _log.info("%s: no further facts: %s", TITLE, type(error).__name__)
        return book

    async def _fuller(
        self, isbn: Isbn, book: Metadata, key: str, edition: Json | None
    ) -> AsyncGenerator[Metadata, None]:
        """The book after each further answer."""
        edition = edition if edition is not None else await self._ask_edition(key)
        if not holds(isbn, edition):
            return
        book = with_edition(book, edition, self._covers_url)
        yield book
        if book.authors and book.description:
            return
        author_keys = keys_of(edition.get("authors"), AUTHOR)
        if work_keys := keys_of(edition.get("works"), WORK):
            work = await self._record(work_keys[0])
            author_keys = author_keys or keys_of(work.get("authors"), AUTHOR)
            book = replace(
                book,
                description=book.description or read_text(work.get("description")),
                categories=book.categories or read_categories(work.get("subjects")),
            )
            yield book
        if book.authors:
            return
        for author_key in author_keys[:_MOST_AUTHORS_ASKED]:
            name = (await self._record(author_key)).get("name")
            book = replace(book, authors=read_authors([*book.authors, name]))
            yield book

    async def _record(self, key: str) -> Json:
        """A record by its key, followed when it was merged into another.

        Raises: BookNotFound (deleted too), and as ``answers.check``.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._http.get(f"{self._url}{key}.json")
            check_answer(answer)
            record = read_json(TITLE, answer)
            kind = record.get("type")
            kind = kind.get("key") if isinstance(kind, dict) else kind
            if kind == "/type/delete":
                break
            if kind != "/type/redirect":
                return record
            location = record.get("location")
            if not isinstance(location, str) or not RECORD.fullmatch(location):
                break
            key = location
        raise BookNotFound(f"{TITLE} has deleted a record")
