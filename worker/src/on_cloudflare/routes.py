"""The contract's routes on Cloudflare: each asks one service and sends what it says.

Way:      http.py → here → imports.py, the library, the rollout
"""

from collections.abc import Awaitable
from typing import Any

from workers import Response

import bookline
from bookline.api import answers, bodies
from bookline.api.etags import cover_headers, has_tag, tag_of
from bookline.catalogue import BookQuery
from bookline.edits import read_edit
from bookline.errors import Refused, StoreDown
from bookline.live.session import read_after, read_last_event_id
from bookline.shelves.writing import export_lines, read_form
from bookline.values import Json
from on_cloudflare.batch_routes import BATCH_ROUTES
from on_cloudflare.http import Asked, Route, Sent
from on_cloudflare.plain import now_ms
from on_cloudflare.watching import watch

ORDER = ("isbn", "source", "userId")
REASON = ("reason", "actor")


# ------------------------------------------------------------------ imports
async def start_workflow(asked: Asked) -> Sent:
    return await _start(asked, await asked.json(ORDER), "workflow")


async def start_import(asked: Asked) -> Sent:
    body = await asked.json((*ORDER, "method"))
    return await _start(asked, body, bodies.read_method(body, asked.headers))


async def _start(asked: Asked, body: dict[str, Any], method: str | None) -> Sent:
    order = bodies.read_order(body, asked.headers, asked.caller)
    job, _is_new = await asked.cloud.imports.start(order, method)
    data = answers.started_json(job, asked.base, asked.cloud.tokens.issue(job.job_id, now_ms()))
    return Sent(data=data, status=202, headers={"location": data["statusUrl"]})


async def status(asked: Asked, job_id: str) -> Sent:
    return Sent(data=(await asked.cloud.imports.find(job_id)).to_json())


async def no_job_id(asked: Asked) -> Sent:
    raise Refused("MISSING_JOB_ID", "the job id is missing: /v2/import/status/{jobId}")


async def events(asked: Asked, job_id: str) -> Sent | Response:
    job = await asked.cloud.imports.find(job_id)
    seen = read_last_event_id(asked.headers.get("last-event-id"))
    after = read_after(asked.get("after")) if seen is None else seen
    if asked.method == "HEAD":
        return Sent(body=b"", headers={"content-type": "text/event-stream"})
    return await watch(asked, asked.cloud.rooms, job.job_id, after)


async def progress(asked: Asked) -> Response:
    """A job or batch that nobody knows is told by the socket's closing code."""
    if (asked.headers.get("upgrade") or "").lower() != "websocket":
        raise Refused("INVALID_REQUEST", "this is for WebSockets: wss://…/ws/progress?jobId=…")
    after, batch_id = read_after(asked.get("after")), asked.get("batchId")
    if batch_id is not None:
        return await watch(asked, asked.cloud.batch_rooms, batch_id, after)
    return await watch(asked, asked.cloud.rooms, asked.get("jobId") or "", after)


async def cancel(asked: Asked, job_id: str) -> Sent:
    return Sent(data=(await asked.cloud.imports.cancel(job_id)).to_json(), status=202)


async def retry(asked: Asked, job_id: str) -> Sent:
    return Sent(data=(await asked.cloud.imports.retry(job_id)).to_json(), status=202)


async def jobs(asked: Asked) -> Sent:
    since = asked.get("since")
    page = await asked.cloud.imports.list(
        status=asked.get("status"), method=asked.get("method"), isbn=asked.get("isbn"),
        user_id=asked.text("userId"), batch_id=asked.text("batchId"),
        since_ms=None if since is None else bodies.read_since_ms(since),
        limit=asked.limit(50), cursor=asked.get("cursor"),
    )  # fmt: skip
    items = [job.to_json() for job in page.items]
    return Sent(data={"items": items, "nextCursor": page.next_cursor})


async def legacy_call(asked: Asked) -> Sent:
    """The plan's phase 3.3: the object of the old importer passes messages on."""
    call = await asked.json(("action", "isbn", "source", "jobId"))
    manager = asked.cloud.binding("JOB_STATE_MANAGER")
    if manager is None:
        raise Refused("NOT_FOUND", "the legacy call is not bound here: POST /v2/import")
    answer = await manager.getByName("legacy").call({**call, "caller": asked.caller})
    if "refused" in answer:
        raise Refused(*answer["refused"])
    return Sent(data=dict(answer["value"]))


# ------------------------------------------------------------------ the library
async def books(asked: Asked) -> Sent:
    query = BookQuery(
        q=asked.get("q") or "", author=asked.get("author") or "",
        language=asked.get("language") or "", sort=asked.get("sort") or "recent",
    )  # fmt: skip
    page = await asked.cloud.shelf.list(query, limit=asked.limit(50), cursor=asked.get("cursor"))
    items = [book.to_json() for book in page.items]
    return Sent(data={"items": items, "nextCursor": page.next_cursor, "total": page.total})


async def search(asked: Asked) -> Sent:
    limit = asked.limit(10)
    hits = await asked.cloud.shelf.search(asked.get("q") or "", limit)
    items = [
        {"book": hit.book.to_json(), "score": round(hit.score, 6), "match": hit.match}
        for hit in hits.items
    ]
    return Sent(data={"items": items, "model": hits.model})


async def export(asked: Asked) -> Sent:
    form = read_form(asked.get("format") or "csv")
    lines = export_lines(form, asked.cloud.shelf.export(asked.text("userId")))
    body = "".join([line async for line in lines]).encode()
    headers = {"content-type": form.media_type}
    if form.file_name is not None:
        headers["content-disposition"] = f'attachment; filename="{form.file_name}"'
    return Sent(body=body, headers=headers)


async def book(asked: Asked, isbn: str) -> Sent:
    data = (await asked.cloud.shelf.find(isbn, asked.text("userId"))).to_json()
    headers = {"etag": tag_of(data), "cache-control": "no-cache"}
    if has_tag(asked.headers.get("if-none-match"), headers["etag"]):
        return Sent(status=304, headers=headers)
    return Sent(data=data, headers=headers)


async def edit_book(asked: Asked, isbn: str) -> Sent:
    wanted = read_edit(await asked.json(None, bodies.BODY_BYTES["PATCH /v2/books/{}"]))
    changed = (await asked.cloud.shelf.edit(isbn, wanted, asked.text("userId"))).to_json()
    return Sent(data=changed, headers={"etag": tag_of(changed)})


async def delete_book(asked: Asked, isbn: str) -> Sent:
    await asked.cloud.shelf.delete(isbn)
    return Sent(status=204)


async def cover(asked: Asked, isbn: str) -> Sent:
    stored = await asked.cloud.shelf.find_cover(isbn)
    headers = {**cover_headers(stored.body, asked.get("v")), "Content-Type": stored.content_type}
    if has_tag(asked.headers.get("if-none-match"), headers["ETag"]):
        return Sent(status=304, headers=headers)
    return Sent(body=stored.body, headers=headers)


async def keep_cover(asked: Asked, isbn: str) -> Sent:
    if not (asked.headers.get("content-type") or "").lower().startswith("image/"):
        raise Refused("UNSUPPORTED_MEDIA_TYPE", "send the picture with Content-Type: image/jpeg")
    body = await asked.body(bodies.BODY_BYTES["PUT /v2/covers/{}"])
    changed = (await asked.cloud.shelf.keep_cover(isbn, body)).to_json()
    return Sent(data=changed, headers={"etag": tag_of(changed)})


# ------------------------------------------------------------------ the rollout and the service
async def rollout(asked: Asked) -> Sent:
    return Sent(data=await asked.cloud.rollouts.describe())


async def change_rollout(asked: Asked) -> Sent:
    body = await asked.json((*bodies.CHANGES, *REASON))
    wanted = bodies.read_change(body, asked.caller)
    await asked.cloud.rollouts.change(wanted.change, wanted.actor, wanted.reason)
    return Sent(data=await asked.cloud.rollouts.describe())


async def advance_rollout(asked: Asked) -> Sent:
    wanted = bodies.read_reason(await asked.json(REASON), asked.caller)
    await asked.cloud.rollouts.advance(wanted.actor, wanted.reason)
    return Sent(data=await asked.cloud.rollouts.describe())


async def roll_back(asked: Asked) -> Sent:
    wanted = bodies.read_reason(await asked.json(REASON), asked.caller)
    await asked.cloud.rollouts.rollback(wanted.actor, wanted.reason)
    return Sent(data=await asked.cloud.rollouts.describe())


async def metrics(asked: Asked) -> Sent:
    window = asked.get("window") or "24h"
    return Sent(data=await asked.cloud.rollouts.metrics(window, bodies.read_window_ms(window)))


async def healthz(asked: Asked) -> Sent:
    return Sent(data={"status": "ok", "version": bookline.__version__})


async def readyz(asked: Asked) -> Sent:
    """503 when imports cannot be taken; ``degraded`` when they do without something."""
    cloud = asked.cloud
    states: dict[str, Json] = {}
    checks: dict[str, Awaitable[object]] = {
        "fallback": cloud.fallback.find("none"), "objects": cloud.objects.check(),
    }  # fmt: skip
    if cloud.library is not None:
        checks["library"] = cloud.library.find("none")
    for name, check in checks.items():
        try:
            await check
            states[name] = {"ok": True, "detail": None}
        except StoreDown as error:
            states[name] = {"ok": False, "detail": str(error)}
    for name, binding in (("library", "DB"), ("embedder", "AI"), ("vectors", "BOOK_VECTORS")):
        if cloud.binding(binding) is None:
            states[name] = {"ok": False, "detail": f"the binding {binding} is missing"}
    return Sent(data=answers.readiness_json(states))


PAGE = ("limit", "cursor")
WANTED = ("status", "method", "isbn", "userId", "batchId", "since")
ROUTES = (
    *BATCH_ROUTES,
    Route(method="POST", path="/v2/import/workflow", handler=start_workflow),
    Route(method="POST", path="/v2/import", handler=start_import),
    Route(method="GET", path="/v2/import/jobs", handler=jobs, query=(*WANTED, *PAGE)),
    Route(method="GET", path="/v2/import/status/{job_id}", handler=status, takes_token=True),
    Route(method="GET", path="/v2/import/events/{job_id}", handler=events, query=("after",),
          takes_token=True, takes_batch_token=True),
    Route(method="POST", path="/v2/import/cancel/{job_id}", handler=cancel),
    Route(method="POST", path="/v2/import/retry/{job_id}", handler=retry),
    *(
        Route(method=method, path=f"/v2/import/{act}{end}", handler=no_job_id)
        for act, method in
        (("status", "GET"), ("events", "GET"), ("cancel", "POST"), ("retry", "POST"))
        for end in ("", "/")
    ),
    Route(method="GET", path="/ws/progress", handler=progress, query=("jobId", "batchId", "after"),
          takes_token=True, is_socket=True),
    Route(method="POST", path="/v1/jobs", handler=legacy_call),
    Route(method="GET", path="/v2/books", handler=books,
          query=("q", "author", "language", "sort", *PAGE)),
    Route(method="GET", path="/v2/books/search", handler=search, query=("q", "limit")),
    Route(method="GET", path="/v2/books/export", handler=export, query=("format", "userId")),
    Route(method="GET", path="/v2/books/{isbn}", handler=book, query=("userId",)),
    Route(method="PATCH", path="/v2/books/{isbn}", handler=edit_book, query=("userId",)),
    Route(method="DELETE", path="/v2/books/{isbn}", handler=delete_book),
    Route(method="PUT", path="/v2/covers/{isbn}", handler=keep_cover),
    Route(method="GET", path="/v2/covers/{isbn}", handler=cover, query=("v",)),
    Route(method="GET", path="/v2/rollout", handler=rollout),
    Route(method="PUT", path="/v2/rollout", handler=change_rollout),
    Route(method="POST", path="/v2/rollout/advance", handler=advance_rollout),
    Route(method="POST", path="/v2/rollout/rollback", handler=roll_back),
    Route(method="GET", path="/v2/metrics/imports", handler=metrics, query=("window",)),
    Route(method="GET", path="/healthz", handler=healthz, is_open=True),
    Route(method="GET", path="/readyz", handler=readyz, is_open=True),
)  # fmt: skip
"""The first that fits is taken."""
