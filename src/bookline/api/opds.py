"""The library as an OPDS catalogue, which reading apps can browse and search.

Way:      gate.py → here → shelf.py
Source:   https://specs.opds.io/opds-1.2; RFC 4287 (Atom); OpenSearch 1.1
Rule 1:   it lists: Bookline keeps no book's file, so no entry has one to download.
"""

import re
from typing import Annotated
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bookline.api import bodies
from bookline.api.envelope import packed
from bookline.api.openapi import failures
from bookline.api.routes import Cursor, Here, Limit
from bookline.book import Book
from bookline.catalogue import BookQuery

ATOM, DC = "http://www.w3.org/2005/Atom", "http://purl.org/dc/terms/"
OPEN_SEARCH = "http://a9.com/-/spec/opensearch/1.1/"
IMAGE = "http://opds-spec.org/image"
FEED = "application/atom+xml;profile=opds-catalog;kind=acquisition"
SEARCH = "application/opensearchdescription+xml"
NEVER = "1970-01-01T00:00:00Z"  # of a feed without entries
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2

router = APIRouter(tags=["library"])
register_namespace("", ATOM)
register_namespace("dc", DC)


@router.get(
    "/opds",
    response_class=Response,
    responses={
        200: {
            "description": "An OPDS 1.2 feed: a page of books, with `next` and `search` links.",
            "content": {"application/atom+xml": {"schema": {"type": "string"}}},
        },
        **failures("list"),
    },
    summary="The library for reading apps",
)
async def feed(
    request: Request,
    here: Here,
    q: Annotated[str, Query(description="each word in ISBN, title or author")] = "",
    sort: Annotated[str, Query(description="recent, title, author or year")] = "recent",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Titles, authors, descriptions and covers. There is nothing to download in it."""
    page = await here.shelf.list(
        BookQuery(q=q, sort=sort), limit=bodies.read_limit(request, 50), cursor=cursor
    )
    root = Element(f"{{{ATOM}}}feed")
    _add(root, "id", "urn:bookline:library")
    _add(root, "title", f"Bookline: {q}" if q else "Bookline")
    _add(root, "updated", max((_updated(book) for book in page.items), default=NEVER))
    asked = {"q": q, "sort": sort, **request.query_params}
    _link(root, "self", _path(asked), FEED)
    _link(root, "start", "/opds", FEED)
    _link(root, "search", "/opds/search.xml", SEARCH)
    if page.next_cursor is not None:
        _link(root, "next", _path({**asked, "cursor": page.next_cursor}), FEED)
    total = SubElement(root, f"{{{OPEN_SEARCH}}}totalResults")
    total.text = str(page.total)
    for book in page.items:
        _add_entry(root, book)
    body = tostring(root, "utf-8", xml_declaration=True)
    return packed(request, Response(body, media_type=FEED))


@router.get(
    "/opds/search.xml",
    response_class=Response,
    responses={
        200: {
            "description": "An OpenSearch description: how to ask `/opds` for words.",
            "content": {SEARCH: {"schema": {"type": "string"}}},
        },
        **failures("list"),
    },
    summary="How reading apps search the library",
)
async def search_description() -> Response:
    """Points to `/opds?q=`."""
    root = Element(f"{{{OPEN_SEARCH}}}OpenSearchDescription")
    for name, text in (("ShortName", "Bookline"), ("Description", "Books of the library")):
        SubElement(root, f"{{{OPEN_SEARCH}}}{name}").text = text
    SubElement(root, f"{{{OPEN_SEARCH}}}Url", {"type": FEED, "template": "/opds?q={searchTerms}"})
    return Response(tostring(root, "utf-8", xml_declaration=True), media_type=SEARCH)


def _add_entry(root: Element, book: Book) -> None:
    facts = book.metadata
    entry = SubElement(root, f"{{{ATOM}}}entry")
    _add(entry, "id", f"urn:isbn:{book.isbn}")
    _add(entry, "title", facts.title)
    _add(entry, "updated", _updated(book))
    for name in facts.authors:
        _add(SubElement(entry, f"{{{ATOM}}}author"), "name", name)
    dublin_core = {
        "identifier": f"urn:isbn:{book.isbn}", "publisher": facts.publisher,
        "language": facts.language, "issued": facts.publication_date,
    }  # fmt: skip
    for name, value in dublin_core.items():
        if value:
            SubElement(entry, f"{{{DC}}}{name}").text = _clean(value)
    for category in facts.categories:
        named = {"term": _clean(category), "label": _clean(category)}
        SubElement(entry, f"{{{ATOM}}}category", named)
    if facts.description:
        _add(entry, "summary", facts.description)
    _link(entry, "alternate", f"/v2/books/{book.isbn}", "application/json")
    if book.cover is not None:
        _link(entry, IMAGE, book.cover.url, book.cover.content_type)
        _link(entry, f"{IMAGE}/thumbnail", book.cover.url, book.cover.content_type)


def _updated(book: Book) -> str:
    return str(book.to_json()["provenance"]["updatedAt"])


def _add(parent: Element, name: str, text: str) -> None:
    SubElement(parent, f"{{{ATOM}}}{name}").text = _clean(text)


def _link(parent: Element, relation: str, href: str, kind: str) -> None:
    SubElement(parent, f"{{{ATOM}}}link", {"rel": relation, "href": href, "type": kind})


def _path(asked: dict[str, str]) -> str:
    given = {name: value for name, value in asked.items() if value}
    return f"/opds?{urlencode(given)}"


def _clean(text: str) -> str:
    """Without the control characters that no XML can hold."""
    return _NO_XML.sub("", text)
