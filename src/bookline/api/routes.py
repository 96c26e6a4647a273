"""The contract's routes: each reads its request, asks one thing, answers with the envelope.

Way:      gate.py → here → imports.py, the hub
Not here: books and covers: book_routes.py; keys, limits and CORS: gate.py; the statuses of errors:
          envelope.py.
"""

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

import bookline
from bookline.api import bodies, schemas
from bookline.api.answers import readiness_json, started_json
from bookline.api.envelope import success
from bookline.api.keys import Tokens
from bookline.api.openapi import event_stream, failures, json_body
from bookline.app import App
from bookline.clocks import now_ms
from bookline.errors import Refused, StoreDown
from bookline.job import Job
from bookline.live import session, sse
from bookline.measures import CONTENT_TYPE


async def current(request: Request) -> App:  # a plain function would go to a thread each time
    """The running Bookline, put there by the server's start."""
    app: App = request.app.state.bookline
    return app


Here = Annotated[App, Depends(current)]
JobId = Annotated[str, Path(alias="jobId", description="as the start answered", max_length=100)]
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
    openapi_extra=json_body(schemas.ImportRequest),
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
    openapi_extra=json_body(schemas.RolloutImportRequest, takes_method=True),
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
    tokens: Tokens = request.app.state.tokens
    data = started_json(job, base, tokens.issue(job.job_id, now_ms()))
    return success(request, data, status=202, headers={"Location": data["statusUrl"]})


@router.get(
    "/v2/import/status/{jobId}",
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
    "/v2/import/events/{jobId}",
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
    "/v2/import/cancel/{jobId}",
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
    "/v2/import/retry/{jobId}",
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
    return success(request, readiness_json(await here.check()))


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
        here.measures.webhooks_waiting.set(await here.webhooks_waiting())
    return Response(here.measures.exposition(), media_type=CONTENT_TYPE)
