"""The library's routes: books, covers, searches, exports.

Way:      gate.py → here → shelf.py
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from bookline.api import bodies, schemas
from bookline.api.envelope import packed, success
from bookline.api.etags import cover_headers, has_tag, tag_of
from bookline.api.openapi import PICTURES, binary, failures, json_body
from bookline.api.routes import Cursor, Here, Limit
from bookline.catalogue import BookQuery
from bookline.edits import read_edit
from bookline.errors import Refused
from bookline.shelf import QUERY_CHARS
from bookline.shelves.writing import FORMS, ExportForm, export_lines, read_form

BOOK = {"$ref": "#/components/schemas/Book"}

AnyIsbn = Annotated[str, Path(description="ISBN-10 or ISBN-13")]
UserId = Annotated[
    str | None, Query(alias="userId", max_length=200, description="whose `reading`; else the one's")
]

router = APIRouter(tags=["library"])


@router.get(
    "/v2/books",
    response_model=schemas.Success[schemas.CountedPage[schemas.Book]],
    responses=failures("list"),
    summary="Books, with literal search and filters",
)
async def books(
    request: Request,
    here: Here,
    q: Annotated[str, Query(description="each word in ISBN, title or author")] = "",
    author: Annotated[str, Query(description="each word in the authors' names")] = "",
    language: Annotated[str, Query(description="BCP 47; `pt` finds `pt-BR` too")] = "",
    sort: Annotated[str, Query(description="recent, title, author or year")] = "recent",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """A page of books. Case, accents and hyphens do not matter in `q`; `%` and `_` mean themselves.

    Books that wait in the fallback store are listed once they are drained.
    """
    page = await here.shelf.list(
        BookQuery(q=q, author=author, language=language, sort=sort),
        limit=bodies.read_limit(request, 50),
        cursor=cursor,
    )
    items = [book.to_json() for book in page.items]
    return success(request, {"items": items, "nextCursor": page.next_cursor, "total": page.total})


@router.get(
    "/v2/books/search",
    response_model=schemas.Success[schemas.SearchResult],
    responses=failures("search"),
    summary="Books by words, then by meaning",
)
async def search(
    request: Request,
    here: Here,
    q: Annotated[str, Query(max_length=QUERY_CHARS, description="what the book is about")] = "",
    limit: Limit = None,
) -> Response:
    """Literal matches first, with score 1; then by meaning: `score` is the cosine."""
    hits = await here.shelf.search(q, bodies.read_limit(request, 10))
    items = [
        {"book": hit.book.to_json(), "score": round(hit.score, 6), "match": hit.match}
        for hit in hits.items
    ]
    return success(request, {"items": items, "model": hits.model})


@router.get(
    "/v2/books/export",
    response_class=Response,
    responses={
        200: {
            "description": "Every book, streamed: `json` is a plain array, the others attachments.",
            "content": {
                "application/json": {"schema": {"type": "array", "items": BOOK}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        **failures("list"),
    },
    summary="The whole library as a file",
)
async def export(
    here: Here,
    format: Annotated[str, Query(description=f"{', '.join(FORMS)}")] = "csv",
    user_id: UserId = None,
) -> Response:
    """Cells that a spreadsheet would take for a formula get a leading `'`."""
    form = read_form(format)
    lines = export_lines(form, here.shelf.export(user_id))
    first = await anext(lines)  # what cannot be read at all is an error, not half a file
    return StreamingResponse(
        _behind(first, lines), media_type=form.media_type, headers=_attachment(form)
    )


async def _behind(first: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for line in lines:
        yield line


def _attachment(form: ExportForm) -> dict[str, str]:
    if form.file_name is None:
        return {}
    return {"Content-Disposition": f'attachment; filename="{form.file_name}"'}


# ------------------------------------------------------------------ one book
@router.get(
    "/v2/books/{isbn}",
    response_model=schemas.Success[schemas.Book],
    responses={304: {"description": "The book is as the caller has it."}, **failures("book")},
    summary="One book",
)
async def book(request: Request, here: Here, isbn: AnyIsbn, user_id: UserId = None) -> Response:
    """By any form of its ISBN; with an ETag."""
    data = (await here.shelf.find(isbn, user_id)).to_json()
    headers = {"ETag": tag_of(data), "Cache-Control": "no-cache"}
    if has_tag(request.headers.get("if-none-match"), headers["ETag"]):
        return packed(request, Response(status_code=304, headers=headers))
    return success(request, data, headers=headers)


@router.patch(
    "/v2/books/{isbn}",
    response_model=schemas.Success[schemas.Book],
    responses=failures("edit"),
    openapi_extra=json_body(schemas.BookEdit, is_start=False),
    summary="Edit a book",
)
async def edit(request: Request, here: Here, isbn: AnyIsbn, user_id: UserId = None) -> Response:
    """Edited fields are locked: no import changes them. `unlock` frees fields; null empties one.
    `reading` is never locked."""
    wanted = read_edit(await bodies.read_body(request))
    changed = (await here.shelf.edit(isbn, wanted, user_id)).to_json()
    return success(request, changed, headers={"ETag": tag_of(changed)})


@router.delete(
    "/v2/books/{isbn}",
    status_code=204,
    response_class=Response,
    responses=failures("book"),
    summary="Delete a book",
)
async def delete(here: Here, isbn: AnyIsbn) -> Response:
    """With its vector, its cover, its readers' data and its copy in the fallback store. Its
    running imports are cancelled."""
    await here.shelf.delete(isbn)
    return Response(status_code=204)


# ------------------------------------------------------------------ covers
@router.get(
    "/v2/covers/{isbn}",
    response_class=Response,
    responses={
        200: {
            "description": "The picture, with an ETag; immutable under `?v=` with its hash.",
            "content": binary(PICTURES),
        },
        304: {"description": "The picture that the caller has is the right one."},
        **failures("cover"),
    },
    summary="A book's cover",
)
async def cover(
    request: Request,
    here: Here,
    isbn: AnyIsbn,
    v: Annotated[str | None, Query(description="the cover's hash, as in `cover.url`")] = None,
) -> Response:
    """The stored bytes with their true type."""
    stored = await here.shelf.find_cover(isbn)
    headers = cover_headers(stored.body, v)
    if has_tag(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(stored.body, media_type=stored.content_type, headers=headers)


@router.put(
    "/v2/covers/{isbn}",
    response_model=schemas.Success[schemas.Book],
    responses=failures("edit"),
    openapi_extra={"requestBody": {"required": True, "content": binary(PICTURES)}},
    summary="A cover of one's own",
)
async def keep_cover(request: Request, here: Here, isbn: AnyIsbn) -> Response:
    """The picture as the body, checked as a fetched one is; `cover` is locked from then on."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise Refused(
            "UNSUPPORTED_MEDIA_TYPE", f"send the picture with Content-Type: {', '.join(PICTURES)}"
        )
    body = await bodies.read_bytes(request)
    changed = (await here.shelf.keep_cover(isbn, body)).to_json()
    return success(request, changed, headers={"ETag": tag_of(changed)})
