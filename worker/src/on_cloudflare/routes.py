"""The contract's routes on Cloudflare: each asks one service and sends what it says.

Way:      http.py → here → imports.py, the library, the rollout
"""

import hashlib
from typing import Any

from workers import Response

import bookline
from bookline.api import bodies
from bookline.book import Book
from bookline.errors import Refused, StoreDown
from bookline.isbn import read_isbn
from bookline.live.session import find_token, read_after, read_last_event_id
from on_cloudflare.http import Asked, Route, Sent
from on_cloudflare.plain import now_ms
from on_cloudflare.room import PROTOCOL_HEADER

LIMIT_MOST = bodies.LIMIT_MOST
QUERY_CHARS = 500  # our choice: a question, not a book
ORDER = ("isbn", "source", "userId")


# ------------------------------------------------------------------ imports
async def start_workflow(asked: Asked) -> Sent:
    return await _start(asked, await asked.json(ORDER), "workflow")


async def start_import(asked: Asked) -> Sent:
    body = await asked.json((*ORDER, "method"))
    return await _start(asked, body, bodies.read_method(body, asked.headers))


async def _start(asked: Asked, body: dict[str, Any], method: str | None) -> Sent:
    order = bodies.read_order(body, asked.headers, asked.caller)
    job, _is_new = await asked.cloud.imports.start(order, method)
    status_url = f"{asked.base}/v2/import/status/{job.job_id}"
    data = {
        "jobId": job.job_id,
        "workflowId": job.job_id,
        "isbn": job.order.isbn,
        "inputIsbn": job.order.input_isbn,
        "method": job.method,
        "status": "started",
        "statusUrl": status_url,
        "eventsUrl": f"{asked.base}/v2/import/events/{job.job_id}",
        "wsUrl": f"ws{asked.base.removeprefix('http')}/ws/progress?jobId={job.job_id}",
        "token": asked.cloud.tokens.issue(job.job_id, now_ms()),
    }
    return Sent(data=data, status=202, headers={"location": status_url})


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
    return await _watch(asked, job.job_id, after)


async def progress(asked: Asked) -> Response:
    """A job that nobody knows is told by the socket's closing code."""
    if (asked.headers.get("upgrade") or "").lower() != "websocket":
        raise Refused("INVALID_REQUEST", "this is for WebSockets: wss://…/ws/progress?jobId=…")
    return await _watch(asked, asked.get("jobId") or "", read_after(asked.get("after")))


async def _watch(asked: Asked, job_id: str, after: int) -> Response:
    room = asked.cloud.rooms.stub(job_id or "none")
    offered = [
        one.strip() for one in (asked.headers.get("sec-websocket-protocol") or "").split(",")
    ]
    headers = {"upgrade": asked.headers.get("upgrade"), PROTOCOL_HEADER: find_token(offered)[1]}
    told = {name: value for name, value in headers.items() if value}
    return await room.fetch(f"https://room/?jobId={job_id}&after={after}", headers=told)


async def cancel(asked: Asked, job_id: str) -> Sent:
    return Sent(data=(await asked.cloud.imports.cancel(job_id)).to_json(), status=202)


async def retry(asked: Asked, job_id: str) -> Sent:
    return Sent(data=(await asked.cloud.imports.retry(job_id)).to_json(), status=202)


async def jobs(asked: Asked) -> Sent:
    page = await asked.cloud.imports.list(
        status=asked.get("status"), method=asked.get("method"),
        limit=asked.whole_number("limit", 50, LIMIT_MOST), cursor=asked.get("cursor"),
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
    library = asked.cloud.library
    if library is None:
        return Sent(data={"items": [], "nextCursor": None})
    page = await library.list(
        limit=asked.whole_number("limit", 50, LIMIT_MOST), cursor=asked.get("cursor")
    )
    items = [book.to_json() for book in page.items]
    return Sent(data={"items": items, "nextCursor": page.next_cursor})


async def search(asked: Asked) -> Sent:
    text = (asked.get("q") or "").strip()
    if not text or len(text) > QUERY_CHARS:
        raise Refused("INVALID_REQUEST", f"q must have 1 to {QUERY_CHARS} characters")
    embedder, library = asked.cloud.embedder, asked.cloud.library
    if embedder is None or library is None:
        raise Refused("UNAVAILABLE", "search needs the bindings AI and DB; one is missing")
    vector = await embedder.embed(text)
    found = await library.search(vector, limit=asked.whole_number("limit", 10, LIMIT_MOST))
    items = [{"book": one.book.to_json(), "score": round(one.score, 6)} for one in found]
    return Sent(data={"items": items, "model": vector.model})


async def book(asked: Asked, isbn: str) -> Sent:
    return Sent(data=(await _get_book(asked, isbn)).to_json())


async def cover(asked: Asked, isbn: str) -> Sent:
    stored = await asked.cloud.find_cover(read_isbn(isbn).isbn13)
    if stored is None:
        raise Refused("NOT_FOUND", f"there is no cover of {isbn}")
    sha256, pinned = hashlib.sha256(stored.body).hexdigest(), asked.get("v") or ""
    is_pinned = len(pinned) >= 16 and sha256.startswith(pinned)
    headers = {
        "etag": f'"{sha256}"',
        "cache-control": "public, max-age=31536000, immutable" if is_pinned else "no-cache",
        "content-type": stored.content_type,
    }
    tags = [
        one.strip().removeprefix("W/")
        for one in (asked.headers.get("if-none-match") or "").split(",")
    ]
    if headers["etag"] in tags or "*" in tags:
        return Sent(status=304, headers=headers)
    return Sent(body=stored.body, headers=headers)


async def _get_book(asked: Asked, text: str) -> Book:
    isbn = read_isbn(text).isbn13
    found = await asked.cloud.find_book(isbn)
    if found is None:
        raise Refused("BOOK_NOT_FOUND", f"{isbn} is not in the library")
    return found


# ------------------------------------------------------------------ the rollout and the service
async def rollout(asked: Asked) -> Sent:
    return Sent(data=await asked.cloud.rollouts.describe())


async def change_rollout(asked: Asked) -> Sent:
    body = await asked.json((*bodies.CHANGES, "reason", "actor"))
    wanted = bodies.read_change(body, asked.caller)
    await asked.cloud.rollouts.change(wanted.change, wanted.actor, wanted.reason)
    return Sent(data=await asked.cloud.rollouts.describe())


async def metrics(asked: Asked) -> Sent:
    window = asked.get("window") or "24h"
    return Sent(data=await asked.cloud.rollouts.metrics(window, bodies.read_window_ms(window)))


async def healthz(asked: Asked) -> Sent:
    return Sent(data={"status": "ok", "version": bookline.__version__})


async def readyz(asked: Asked) -> Sent:
    """503 when imports cannot be taken; ``degraded`` when they do without something."""
    cloud, states = asked.cloud, {}
    checks = {"fallback": cloud.fallback.find("none"), "objects": cloud.objects.check()}
    if cloud.library is not None:
        checks["library"] = cloud.library.find("none")
    for name, check in checks.items():
        try:
            await check
            states[name] = {"ok": True}
        except StoreDown as error:
            states[name] = {"ok": False, "detail": str(error)}
    for name, binding in (("library", "DB"), ("embedder", "AI"), ("vectors", "BOOK_VECTORS")):
        if cloud.binding(binding) is None:
            states[name] = {"ok": False, "detail": f"the binding {binding} is missing"}
    down = [name for name, state in states.items() if not state["ok"]]
    if "fallback" in down:
        raise Refused("UNAVAILABLE", f"not ready: {', '.join(down)}", {"dependencies": states})
    return Sent(data={"status": "degraded" if down else "ready", "dependencies": states})


PAGE = ("limit", "cursor")
ROUTES = (
    Route(method="POST", path="/v2/import/workflow", handler=start_workflow),
    Route(method="POST", path="/v2/import", handler=start_import),
    Route(method="GET", path="/v2/import/jobs", handler=jobs, query=("status", "method", *PAGE)),
    Route(method="GET", path="/v2/import/status/{job_id}", handler=status, takes_token=True),
    Route(method="GET", path="/v2/import/events/{job_id}", handler=events, query=("after",),
          takes_token=True),
    Route(method="POST", path="/v2/import/cancel/{job_id}", handler=cancel),
    Route(method="POST", path="/v2/import/retry/{job_id}", handler=retry),
    *(
        Route(method=method, path=f"/v2/import/{act}{end}", handler=no_job_id)
        for act, method in
        (("status", "GET"), ("events", "GET"), ("cancel", "POST"), ("retry", "POST"))
        for end in ("", "/")
    ),
    Route(method="GET", path="/ws/progress", handler=progress, query=("jobId", "after"),
          takes_token=True),
    Route(method="POST", path="/v1/jobs", handler=legacy_call),
    Route(method="GET", path="/v2/books", handler=books, query=PAGE),
    Route(method="GET", path="/v2/books/search", handler=search, query=("q", "limit")),
    Route(method="GET", path="/v2/books/{isbn}", handler=book),
    Route(method="GET", path="/v2/covers/{isbn}", handler=cover, query=("v",)),
    Route(method="GET", path="/v2/rollout", handler=rollout),
    Route(method="PUT", path="/v2/rollout", handler=change_rollout),
    Route(method="GET", path="/v2/metrics/imports", handler=metrics, query=("window",)),
    Route(method="GET", path="/healthz", handler=healthz, is_open=True),
    Route(method="GET", path="/readyz", handler=readyz, is_open=True),
)  # fmt: skip
"""The first that fits is taken."""
