"""The control calls under /_sandbox: faults, the journal, and more books.

Way: tests and the demo, over HTTP → here
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from bookline_sandbox.catalogue import PROVIDERS, BadBook, Catalogue, read_book
from bookline_sandbox.faults import BadRule, Faults
from bookline_sandbox.journal import Journal

MOST_MADE = 200_000  # our choice


def routes(catalogue: Catalogue, faults: Faults, journal: Journal) -> list[BaseRoute]:
    """What app.py serves beside the providers."""
    control = _Control(catalogue, faults, journal)
    return [
        Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/requests", control.requests, methods=["GET", "DELETE"]),
        Route("/_sandbox/counts", control.counts, methods=["GET"]),
        Route("/_sandbox/books", control.books, methods=["GET", "POST"]),
        Route("/_sandbox/make", control.make, methods=["POST"]),
    ]


class _Control:
    def __init__(self, catalogue: Catalogue, faults: Faults, journal: Journal) -> None:
        self._catalogue = catalogue
        self._faults = faults
        self._journal = journal

    async def faults(self, request: Request) -> JSONResponse:
        """GET the rules, POST one or a list of them, DELETE all; the rules as they are then."""
        if request.method == "DELETE":
            self._faults.clear()
        if request.method == "POST":
            value = await _json(request)
            try:
                self._faults.add(*(value if isinstance(value, list) else [value]))
            except BadRule as error:
                return _refused(str(error))
        status = 201 if request.method == "POST" else 200
        return JSONResponse(self._faults.as_list(), status)

    async def requests(self, request: Request) -> JSONResponse:
        """GET the journal, DELETE it."""
        if request.method == "DELETE":
            self._journal.clear()
        return JSONResponse(self._journal.entries(request.query_params.get("isbn")))

    async def counts(self, request: Request) -> JSONResponse:
        """How often each ISBN was asked, by route."""
        return JSONResponse(self._journal.counts())

    async def books(self, request: Request) -> JSONResponse:
        """GET the books, POST one more."""
        if request.method == "POST":
            try:
                book = read_book(await _json(request))
            except BadBook as error:
                return _refused(str(error))
            self._catalogue.add(book)
            return JSONResponse({"isbn13": book.isbn13}, 201)
        return JSONResponse([
            {"isbn13": book.isbn13, "title": book.title, "known_by": list(book.known_by)}
            for book in self._catalogue.by_isbn.values()
        ])  # fmt: skip

    async def make(self, request: Request) -> JSONResponse:
        """POST a count; the ISBNs of that many new made-up books."""
        value = await _json(request)
        if not isinstance(value, dict):
            return _refused("the body is a JSON object")
        number, known_by = value.get("count"), value.get("known_by", PROVIDERS)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= MOST_MADE:
            return _refused(f"count is a whole number from 1 to {MOST_MADE}")
        if not isinstance(known_by, list | tuple) or not set(known_by) <= set(PROVIDERS):
            return _refused(f"known_by is a list of {', '.join(PROVIDERS)}")
        try:
            prefix = str(value.get("prefix", "978999"))
            isbns = self._catalogue.make(number, prefix, tuple(known_by))
        except BadBook as error:
            return _refused(str(error))
        return JSONResponse({"isbns": isbns}, 201)


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        return None


def _refused(message: str) -> JSONResponse:
    return JSONResponse({"error": message}, 400)
