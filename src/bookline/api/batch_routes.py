"""The routes of batches: each reads its request, asks one thing, answers with the envelope.

Way:      gate.py → here → batches/service.py, the hub
Not here: what makes a list wrong: batches/items.py.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from bookline.api import batch_schemas, bodies, schemas
from bookline.api.envelope import success
from bookline.api.files import FILE_BODY, read_file
from bookline.api.keys import Tokens
from bookline.api.openapi import PICTURES, binary, event_stream, failures, json_body
from bookline.api.routes import Cursor, Here, Limit, Token
from bookline.batches.failed import failed_headers, failed_pieces
from bookline.batches.files import order_of_file, preview_of
from bookline.batches.items import items_of_json
from bookline.batches.service import BatchOrder, Opened, opened_json
from bookline.clocks import now_ms
from bookline.live import session, sse
from bookline.shelves.file import open_library_file
from bookline.threads import in_thread

CANDIDATE_COVER_CACHE = "private, max-age=86400"  # our choice: one look at a review, not more
BatchId = Annotated[str, Path(alias="batchId", description="as the start answered", max_length=100)]
Index = Annotated[int, Path(description="the item's place in the list, from 0")]
Refresh = Annotated[
    bool, Query(description="fetch books that are in the library with all their data, too")
]

router = APIRouter(tags=["batches"])


@router.post(
    "/v2/import/batch",
    status_code=202,
    response_model=schemas.Success[batch_schemas.OpenedBatch],
    responses=failures("batches"),
    openapi_extra=json_body(batch_schemas.BatchRequest),
    summary="Start many imports",
)
async def start_batch(request: Request, here: Here, refresh: Refresh = False) -> Response:
    """The whole list is kept before the answer. Items whose ISBN or source is wrong are refused
    one by one; a list of the wrong shape is refused as a whole."""
    raw = await bodies.read_json_bytes(request)
    body = await bodies.read_object(request, raw)
    source = bodies.read_source(body)
    here.imports.check_source(source)
    items = await in_thread(items_of_json, body.get("items"), source, here.imports.check_source)
    order = BatchOrder(
        items=items,
        name=bodies.optional_text(body, "name"),
        source=source,
        refresh=refresh,
        idempotency_key=request.headers.get("idempotency-key"),
        caller=request.scope["state"]["caller"],
        body=raw + bytes([refresh]),
    )
    return _opened(request, await here.batches.start(order))


@router.post(
    "/v2/import/file",
    status_code=202,
    response_model=schemas.Success[batch_schemas.OpenedBatch],
    responses={
        200: {
            "model": schemas.Success[batch_schemas.Preview],
            "description": "With `preview=true`: what is in the file. Nothing is started.",
        },
        **failures("file"),
    },
    openapi_extra=FILE_BODY,
    summary="Import a library export or a list",
)
async def start_file(
    request: Request,
    here: Here,
    source: Annotated[str, Query(description="whom to ask for its books")] = "auto",
    name: Annotated[str | None, Query(max_length=200, description="for people")] = None,
    preview: Annotated[bool, Query(description="say what is in it, and start nothing")] = False,
    refresh: Refresh = False,
) -> Response:
    """The format is known by the header, never by the file's name. Each row becomes an item; one
    without an ISBN is looked up by title and author. At most 20 MB and 50,000 rows."""
    here.imports.check_source(source)
    data = await read_file(request)
    file = await in_thread(open_library_file, data)
    if preview:
        return success(request, await preview_of(file, here.there))
    order = order_of_file(
        file, data, source=source, name=name, refresh=refresh,
        idempotency_key=request.headers.get("idempotency-key"),
        caller=request.scope["state"]["caller"],
    )  # fmt: skip
    return _opened(request, await here.batches.start(order))


def _opened(request: Request, opened: Opened) -> Response:
    base = str(request.base_url).rstrip("/")
    tokens: Tokens = request.app.state.tokens
    data = opened_json(opened, base, tokens.issue(opened.batch.batch_id, now_ms()))
    return success(request, data, status=202, headers={"Location": data["statusUrl"]})


@router.get(
    "/v2/import/batches",
    response_model=schemas.Success[batch_schemas.Counted[batch_schemas.Batch]],
    responses=failures("list"),
    summary="Batches, newest first",
)
async def batches(
    request: Request, here: Here, limit: Limit = None, cursor: Cursor = None
) -> Response:
    """A page of batches with their counts."""
    page, total = await here.batches.list(limit=bodies.read_limit(request, 50), cursor=cursor)
    items = [batch.to_json() for batch in page.items]
    return success(request, {"items": items, "nextCursor": page.next_cursor, "total": total})


@router.get(
    "/v2/import/batch/{batchId}",
    response_model=schemas.Success[batch_schemas.Batch],
    responses=failures("batch"),
    summary="One batch as it stands",
)
async def batch(request: Request, here: Here, batch_id: BatchId) -> Response:
    """Every item is counted in exactly one state: `total` is the sum of the others."""
    return success(request, (await here.batches.find(batch_id)).to_json())


@router.get(
    "/v2/import/batch/{batchId}/items",
    response_model=schemas.Success[batch_schemas.Counted[batch_schemas.Item]],
    responses=failures("batch"),
    summary="A batch's items, in their order",
)
async def items(
    request: Request,
    here: Here,
    batch_id: BatchId,
    state: Annotated[str | None, Query(description="only these, as named in `counts`")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """A page of items."""
    page, total = await here.batches.items(
        batch_id, state=state, limit=bodies.read_limit(request, 50), cursor=cursor
    )
    found = [item.to_json() for item in page.items]
    return success(request, {"items": found, "nextCursor": page.next_cursor, "total": total})


@router.get(
    "/v2/import/batch/{batchId}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Server-Sent Events: `id:` is the event's seq, `data:` its message. "
            "Every event after `after`, then live ones, closed after the last event.",
            "content": event_stream(batch_schemas.BatchMessage),
        },
        204: {"description": "The batch is over and all of it is known: come back no more."},
        **failures("batch"),
    },
    summary="Watch one batch (SSE)",
)
async def events(
    request: Request,
    here: Here,
    batch_id: BatchId,
    after: Annotated[int | None, Query(ge=0, le=10**15 - 1, description="seq seen last")] = None,
    token: Token = None,
) -> Response:
    """Counts and ends: full replay, then live. `Last-Event-ID` counts before `after`."""
    found = await here.batches.find(batch_id)
    seen = session.read_last_event_id(request.headers.get("last-event-id"))
    seen = after or 0 if seen is None else seen
    return sse.stream(here.hub, batch_id, seen, is_over=found.is_over and found.last_seq <= seen)


@router.post(
    "/v2/import/batch/{batchId}/cancel",
    status_code=202,
    response_model=schemas.Success[batch_schemas.Batch],
    responses=failures("batch control"),
    summary="Cancel all that is open",
)
async def cancel(request: Request, here: Here, batch_id: BatchId) -> Response:
    """What waits is cancelled at once, what runs at its next step's edge."""
    return success(request, (await here.batches.cancel(batch_id)).to_json(), status=202)


@router.post(
    "/v2/import/batch/{batchId}/retry",
    status_code=202,
    response_model=schemas.Success[batch_schemas.Batch],
    responses=failures("batch control"),
    summary="Retry all that failed",
)
async def retry(request: Request, here: Here, batch_id: BatchId) -> Response:
    """Each failed item continues where it failed, under the same job id."""
    return success(request, (await here.batches.retry(batch_id)).to_json(), status=202)


@router.post(
    "/v2/import/batch/{batchId}/items/{index}/choose",
    response_model=schemas.Success[batch_schemas.Item],
    responses=failures("choice"),
    openapi_extra=json_body(batch_schemas.ReviewChoice, is_start=False),
    summary="Answer a review",
)
async def choose(request: Request, here: Here, batch_id: BatchId, index: Index) -> Response:
    """Which book a row without an ISBN means, or that it is to be skipped."""
    body = await bodies.read_body(request)
    isbn = bodies.read_choice(body)
    return success(request, (await here.batches.choose(batch_id, index, isbn)).to_json())


@router.get(
    "/v2/import/batch/{batchId}/items/{index}/candidates/{isbn}/cover",
    response_class=Response,
    responses={
        200: {"description": "The picture, small.", "content": binary(PICTURES)},
        **failures("batch"),
    },
    summary="A candidate's cover",
)
async def candidate_cover(
    here: Here,
    batch_id: BatchId,
    index: Index,
    isbn: Annotated[str, Path(description="the candidate's", max_length=13)],
) -> Response:
    """Where a candidate's `coverUrl` leads: fetched from its provider while you wait."""
    item = await here.batches.item(batch_id, index)
    picture = await here.candidate_covers.get(item, isbn)
    headers = {"Cache-Control": CANDIDATE_COVER_CACHE}
    return Response(picture.body, media_type=picture.content_type, headers=headers)


@router.get(
    "/v2/import/batch/{batchId}/failed",
    response_class=Response,
    responses={
        200: {
            "description": "What did not arrive, in the form in which it came, with two columns or "
            "fields more: `code` and `reason`. Fix it and send it again.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
            },
        },
        **failures("batch"),
    },
    summary="What did not arrive",
)
async def failed(here: Here, batch_id: BatchId) -> Response:
    """Failed, refused, cancelled and open reviews; not what was skipped."""
    found = await here.batches.find(batch_id)
    return StreamingResponse(failed_pieces(here.batches, found), headers=failed_headers(found))
