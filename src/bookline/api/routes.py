"""The contract's routes: each reads its request, asks one thing, answers with the envelope.

Way:      gate.py → here → imports.py, the library, the hub
Not here: keys, limits and CORS are gate.py's, the statuses of errors envelope.py's.
"""

import contextlib
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, WebSocket
from starlette.responses import Response

import bookline
from bookline.api import bodies, schemas
from bookline.api.envelope import success
from bookline.api.keys import Keys, Tokens
from bookline.api.openapi import event_stream, failures, json_body
from bookline.api.peers import know_peer
from bookline.app import App, now_ms
from bookline.book import Book
from bookline.errors import Refused, StoreDown
from bookline.isbn import read_isbn
from bookline.job import Job
from bookline.live import session, sse, websocket
from bookline.measures import CONTENT_TYPE
from bookline.progress.batches import Batch

NEEDED = frozenset({"journal", "engine", "fallback"})
QUERY_CHARS = 500  # our choice: a question, not a book


def current(request: Request) -> App:
    """The running Bookline, put there by the server's start."""
    app: App = request.app.state.bookline
    return app


Here = Annotated[App, Depends(current)]
JobId = Annotated[str, Path(description="as the start answered", max_length=100)]
AnyIsbn = Annotated[str, Path(description="ISBN-10 or ISBN-13")]
Limit = Annotated[int | None, Query(ge=1, le=bodies.LIMIT_MOST, description="items of a page")]
Cursor = Annotated[str | None, Query(description="`nextCursor` of the page before")]
Token = Annotated[str | None, Query(description="the job's token, instead of an API key")]

router = APIRouter()


# ------------------------------------------------------------------ imports
@router.post(
    "/v2/import/workflow",
    status_code=202,
    response_model=schemas.Success[schemas.Started],
    responses=failures("start"),
    openapi_extra=json_body(schemas.StartRequest),
    tags=["imports"],
    summary="Start a durable import",
)
async def start_workflow(request: Request, here: Here) -> Response:
    """Answers as soon as the job is kept; the import continues whatever happens then."""
    body = await bodies.read_body(request)
    return await _start(request, here, body, "workflow")


@router.post(
    "/v2/import",
    status_code=202,
    response_model=schemas.Success[schemas.Started],
    responses=failures("start"),
    openapi_extra=json_body(schemas.ImportRequest, takes_method=True),
    tags=["imports"],
    summary="Start an import by whichever method is right",
)
async def start_import(request: Request, here: Here) -> Response:
    """The same; `data.method` tells which method was chosen."""
    body = await bodies.read_body(request)
    return await _start(request, here, body, bodies.read_method(body, request.headers))


async def _start(request: Request, here: App, body: dict[str, Any], method: str | None) -> Response:
    order = bodies.read_order(body, request.headers, request.scope["state"]["caller"])
    job, _is_new = await here.imports.start(order, method)
    base = str(request.base_url).rstrip("/")
    status_url = f"{base}/v2/import/status/{job.job_id}"
    tokens: Tokens = request.app.state.tokens
    data = {
        "jobId": job.job_id,
        "workflowId": job.job_id,
        "isbn": job.order.isbn,
        "inputIsbn": job.order.input_isbn,
        "method": job.method,
        "status": "started",
        "statusUrl": status_url,
        "eventsUrl": f"{base}/v2/import/events/{job.job_id}",
        "wsUrl": f"ws{base.removeprefix('http')}/ws/progress?jobId={job.job_id}",
        "token": tokens.issue(job.job_id, now_ms()),
    }
    return success(request, data, status=202, headers={"Location": status_url})


@router.get(
    "/v2/import/status/{job_id}",
    response_model=schemas.Success[schemas.Job],
    responses=failures("job"),
    tags=["imports"],
    summary="One import as it stands",
)
async def status(request: Request, here: Here, job_id: JobId, token: Token = None) -> Response:
    """Known from the moment of the 202."""
    return success(request, (await here.imports.find(job_id)).to_json())


@router.get("/v2/import/status/", include_in_schema=False)
@router.get("/v2/import/status", include_in_schema=False)
@router.get("/v2/import/events/", include_in_schema=False)
@router.get("/v2/import/events", include_in_schema=False)
@router.post("/v2/import/cancel/", include_in_schema=False)
@router.post("/v2/import/cancel", include_in_schema=False)
@router.post("/v2/import/retry/", include_in_schema=False)
@router.post("/v2/import/retry", include_in_schema=False)
async def no_job_id() -> Response:
    raise Refused("MISSING_JOB_ID", "the job id is missing: /v2/import/status/{jobId}")


@router.get(
    "/v2/import/events/{job_id}",
    response_class=Response,
    responses={
        200: {
            "description": "Server-Sent Events: `id:` is the event's seq, `data:` its message. "
            "Every event after `after`, then live ones, closed after the last event.",
            "content": event_stream(schemas.EventMessage),
        },
        204: {"description": "The job is over and all of it is known: come back no more."},
        **failures("job"),
    },
    tags=["imports"],
    summary="Watch one import (SSE)",
)
async def events(
    request: Request,
    here: Here,
    job_id: JobId,
    after: Annotated[int | None, Query(ge=0, le=10**15 - 1, description="seq seen last")] = None,
    token: Token = None,
) -> Response:
    """Full replay, then live. `Last-Event-ID` counts before `after`."""
    job = await here.imports.find(job_id)
    seen = session.read_last_event_id(request.headers.get("last-event-id"))
    seen = after or 0 if seen is None else seen
    return sse.stream(here.hub, job_id, seen, is_over=_knows_all(job, seen))


def _knows_all(job: Job, seen: int) -> bool:
    return job.is_over and job.last_event is not None and job.last_event["seq"] <= seen


@router.post(
    "/v2/import/cancel/{job_id}",
    status_code=202,
    response_model=schemas.Success[schemas.Job],
    responses=failures("control"),
    tags=["imports"],
    summary="Cancel an import",
)
async def cancel(request: Request, here: Here, job_id: JobId) -> Response:
    """Takes effect at the next step's edge, at once in a retry wait; told as `cancelled`."""
    return success(request, (await here.imports.cancel(job_id)).to_json(), status=202)


@router.post(
    "/v2/import/retry/{job_id}",
    status_code=202,
    response_model=schemas.Success[schemas.Job],
    responses=failures("control"),
    tags=["imports"],
    summary="Retry a failed import",
)
async def retry(request: Request, here: Here, job_id: JobId) -> Response:
    """Continues at the step that failed, under the same job id."""
    return success(request, (await here.imports.retry(job_id)).to_json(), status=202)


@router.get(
    "/v2/import/jobs",
    response_model=schemas.Success[schemas.Page[schemas.Job]],
    responses=failures("list"),
    tags=["imports"],
    summary="Imports, newest first",
)
async def jobs(
    request: Request,
    here: Here,
    status: Annotated[str | None, Query(description="only these")] = None,
    method: Annotated[str | None, Query(description="workflow or legacy")] = None,
    isbn: Annotated[str | None, Query(description="of this book, in any form")] = None,
    user_id: Annotated[
        str | None, Query(alias="userId", max_length=200, description="started for this user")
    ] = None,
    batch_id: Annotated[
        str | None, Query(alias="batchId", max_length=100, description="of this batch")
    ] = None,
    since: Annotated[
        str | None,
        Query(
            description="started then or later: ISO 8601 with a zone",
            examples=["2026-11-22T21:19:19Z"],
            json_schema_extra={"format": "date-time"},
        ),
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """A page of jobs that fit all that is given."""
    page = await here.imports.list(
        status=status,
        method=method,
        isbn=isbn,
        user_id=None if user_id is None else bodies.plain("userId", user_id),
        batch_id=None if batch_id is None else bodies.plain("batchId", batch_id),
        since_ms=None if since is None else bodies.read_since_ms(since),
        limit=bodies.read_limit(request, 50),
        cursor=cursor,
    )
    items = [job.to_json() for job in page.items]
    return success(request, {"items": items, "nextCursor": page.next_cursor})


@router.websocket("/ws/progress")
async def progress(socket: WebSocket) -> None:
    """Watch one import or batch: `?jobId=…[&after=seq]`, `?batchId=…`."""
    here: App = socket.app.state.bookline
    await websocket.serve(socket, here.hub, _may_watch)


def _may_watch(
    socket: WebSocket, story: Job | Batch | None, stream_id: str, token: str | None
) -> bool:
    """A given token must be right; without one, a key is needed where keys are set."""
    keys: Keys = socket.app.state.keys
    tokens: Tokens = socket.app.state.tokens
    if token is not None:
        ids = (stream_id, story.batch_id if isinstance(story, Job) else None)
        may = any(one and tokens.opens(token, one, now_ms()) for one in ids)
    else:
        may = not keys or keys.match(socket.headers.get("authorization")) is not None
    if may and keys:
        know_peer(socket.scope)
    return may


# ------------------------------------------------------------------ the library
@router.get(
    "/v2/books",
    response_model=schemas.Success[schemas.Page[schemas.Book]],
    responses=failures("list"),
    tags=["library"],
    summary="Books, last imported first",
)
async def books(
    request: Request, here: Here, limit: Limit = None, cursor: Cursor = None
) -> Response:
    """A page of books. Books that wait in the fallback store are listed once they are drained."""
    if here.library is None:
        return success(request, {"items": [], "nextCursor": None})
    page = await here.library.list(limit=bodies.read_limit(request, 50), cursor=cursor)
    items = [book.to_json() for book in page.items]
    return success(request, {"items": items, "nextCursor": page.next_cursor})


@router.get(
    "/v2/books/search",
    response_model=schemas.Success[schemas.SearchResult],
    responses=failures("search"),
    tags=["library"],
    summary="Books by meaning",
)
async def search(
    request: Request,
    here: Here,
    q: Annotated[str, Query(max_length=QUERY_CHARS, description="what the book is about")] = "",
    limit: Limit = None,
) -> Response:
    """Nearest first; `score` is the cosine, 1 for the same direction."""
    text = q.strip()
    if not text or len(text) > QUERY_CHARS:
        raise Refused("INVALID_REQUEST", f"q must have 1 to {QUERY_CHARS} characters")
    if here.embedder is None or here.library is None:
        raise Refused("UNAVAILABLE", "search needs an embedder and the library; one is off")
    vector = await here.embedder.embed(text)
    found = await here.library.search(vector, limit=bodies.read_limit(request, 10))
    items = [{"book": one.book.to_json(), "score": round(one.score, 6)} for one in found]
    return success(request, {"items": items, "model": vector.model})


@router.get(
    "/v2/books/{isbn}",
    response_model=schemas.Success[schemas.Book],
    responses=failures("book"),
    tags=["library"],
    summary="One book",
)
async def book(request: Request, here: Here, isbn: AnyIsbn) -> Response:
    """By any form of its ISBN."""
    return success(request, (await _get_book(here, isbn)).to_json())


@router.get(
    "/v2/covers/{isbn}",
    response_class=Response,
    responses={
        200: {
            "description": "The picture, with an ETag; immutable under `?v=` with its hash.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png", "image/webp", "image/gif")
            },
        },
        304: {"description": "The picture that the caller has is the right one."},
        **failures("book"),
    },
    tags=["library"],
    summary="A book's cover",
)
async def cover(
    request: Request,
    here: Here,
    isbn: AnyIsbn,
    v: Annotated[str | None, Query(description="the cover's hash, as in `cover.url`")] = None,
) -> Response:
    """The stored bytes with their true type."""
    stored = await here.find_cover(read_isbn(isbn).isbn13)
    if stored is None:
        raise Refused("NOT_FOUND", f"there is no cover of {isbn}")
    # Of the bytes, not of the row: another import may just be laying a new picture there.
    sha256 = hashlib.sha256(stored.body).hexdigest()
    is_pinned = v is not None and len(v) >= 16 and sha256.startswith(v)
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": "public, max-age=31536000, immutable" if is_pinned else "no-cache",
    }
    if _has_tag(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(stored.body, media_type=stored.content_type, headers=headers)


def _has_tag(header: str | None, tag: str) -> bool:
    tags = [one.strip().removeprefix("W/") for one in (header or "").split(",")]
    return tag in tags or "*" in tags


async def _get_book(here: App, text: str) -> Book:
    isbn = read_isbn(text).isbn13
    found = await here.find_book(isbn)
    if found is None:
        raise Refused("BOOK_NOT_FOUND", f"{isbn} is not in the library")
    return found


# ------------------------------------------------------------------ the service
@router.get(
    "/healthz",
    response_model=schemas.Success[schemas.Health],
    responses=failures("open"),
    tags=["service"],
    summary="Whether the process lives",
)
async def healthz(request: Request) -> Response:
    """Asks nothing else."""
    return success(request, {"status": "ok", "version": bookline.__version__})


@router.get(
    "/readyz",
    response_model=schemas.Success[schemas.Readiness],
    responses=failures("ready"),
    tags=["service"],
    summary="Whether imports can be taken",
)
async def readyz(request: Request, here: Here) -> Response:
    """With the state of each dependency: 503 when imports cannot be taken, `degraded` when they
    can but will do without something (the library: books then wait in the fallback store)."""
    states = await here.check()
    down = [name for name, state in states.items() if not state["ok"]]
    if NEEDED.intersection(down):
        message = f"not ready: {', '.join(down)}"
        raise Refused("UNAVAILABLE", message, {"dependencies": states})
    status = "degraded" if down else "ready"
    return success(request, {"status": status, "dependencies": states})


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text form: imports by outcome, tries, watchers, event lag.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **failures("list"),
    },
    tags=["service"],
    summary="Metrics of this process",
)
async def metrics(here: Here) -> Response:
    """Each process has its own; no ISBN, job or user is in them."""
    with contextlib.suppress(StoreDown):  # then it stays what it was
        here.measures.queued.set(await here.journal.queued())
    return Response(here.measures.exposition(), media_type=CONTENT_TYPE)
