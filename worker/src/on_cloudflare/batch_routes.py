"""The contract's routes of batches: each asks one service and sends what it says.

Way:      routes.py → here → batches/service.py
Not here: what makes a list wrong: batches/items.py.
"""

from typing import Any

from workers import Response

from bookline.api import bodies
from bookline.batches.failed import failed_headers, failed_pieces
from bookline.batches.files import order_of_file, preview_of
from bookline.batches.items import items_of_json
from bookline.batches.service import BatchOrder, Opened, opened_json
from bookline.errors import Refused
from bookline.live.session import read_after, read_last_event_id
from bookline.shelves.file import open_library_file
from on_cloudflare.http import Asked, Route, Sent
from on_cloudflare.plain import now_ms
from on_cloudflare.story import NOTHING_LEFT
from on_cloudflare.watching import watch

LIST_BYTES = 5_000_000
"""Most of a list or a file: with what is made of it, 128 MB of memory must hold it."""
FIELD = "file"
COVER_CACHE = "private, max-age=86400"  # as on a server


async def start_batch(asked: Asked) -> Sent:
    refresh = asked.switch("refresh")
    raw = await asked.json_bytes(LIST_BYTES)
    body = asked.object_of(raw, ("items", "source", "name"))
    imports, source = asked.cloud.imports, bodies.read_source(body)
    imports.check_source(source)
    order = BatchOrder(
        items=items_of_json(body.get("items"), source, imports.check_source),
        name=bodies.optional_text(body, "name"),
        source=source,
        refresh=refresh,
        idempotency_key=asked.headers.get("idempotency-key"),
        caller=asked.caller,
        body=raw + bytes([refresh]),
    )
    return _opened(asked, await asked.cloud.batches.start(order))


async def start_file(asked: Asked) -> Sent:
    source = asked.get("source") or "auto"
    refresh, is_preview = asked.switch("refresh"), asked.switch("preview")
    asked.cloud.imports.check_source(source)
    data = await _file(asked)
    file = open_library_file(data)
    if is_preview:
        return Sent(data=await preview_of(file, asked.cloud.there))
    order = order_of_file(
        file, data, source=source, name=asked.text("name"), refresh=refresh,
        idempotency_key=asked.headers.get("idempotency-key"), caller=asked.caller,
    )  # fmt: skip
    return _opened(asked, await asked.cloud.batches.start(order))


async def _file(asked: Asked) -> bytes:
    """A form's field ``file``, or the body itself. Raises: Refused."""
    if asked.kind != "multipart/form-data":
        return await asked.body(LIST_BYTES)
    asked.check_length(LIST_BYTES)
    try:
        entries = list((await asked.request.js_object.formData()).entries())
    except Exception as error:
        raise Refused("INVALID_REQUEST", "The form cannot be read.") from error
    if [name for name, _ in entries] != [FIELD]:
        raise Refused("INVALID_REQUEST", f"Send one form field named {FIELD}.")
    [(_, value)] = entries
    if isinstance(value, str):
        return value.encode()
    data: bytes = (await value.arrayBuffer()).to_bytes()
    return data


def _opened(asked: Asked, opened: Opened) -> Sent:
    token = asked.cloud.tokens.issue(opened.batch.batch_id, now_ms())
    data = opened_json(opened, asked.base, token)
    return Sent(data=data, status=202, headers={"location": data["statusUrl"]})


async def batches(asked: Asked) -> Sent:
    page, total = await asked.cloud.batches.list(limit=asked.limit(50), cursor=asked.get("cursor"))
    items = [batch.to_json() for batch in page.items]
    return Sent(data={"items": items, "nextCursor": page.next_cursor, "total": total})


async def batch(asked: Asked, batch_id: str) -> Sent:
    return Sent(data=(await asked.cloud.batches.find(batch_id)).to_json())


async def items(asked: Asked, batch_id: str) -> Sent:
    page, total = await asked.cloud.batches.items(
        batch_id, state=asked.get("state"), limit=asked.limit(50), cursor=asked.get("cursor")
    )
    found = [item.to_json() for item in page.items]
    return Sent(data={"items": found, "nextCursor": page.next_cursor, "total": total})


async def events(asked: Asked, batch_id: str) -> Sent | Response:
    found = await asked.cloud.batches.find(batch_id)
    seen = read_last_event_id(asked.headers.get("last-event-id"))
    after = read_after(asked.get("after")) if seen is None else seen
    if found.is_over and found.last_seq <= after:
        return Sent(status=NOTHING_LEFT)
    return await watch(asked, asked.cloud.batch_rooms, batch_id, after)


async def cancel(asked: Asked, batch_id: str) -> Sent:
    return Sent(data=(await asked.cloud.batches.cancel(batch_id)).to_json(), status=202)


async def retry(asked: Asked, batch_id: str) -> Sent:
    return Sent(data=(await asked.cloud.batches.retry(batch_id)).to_json(), status=202)


async def choose(asked: Asked, batch_id: str, index: str) -> Sent:
    isbn = bodies.read_choice(await asked.json(("isbn", "skip")))
    place = bodies.read_index(index)
    return Sent(data=(await asked.cloud.batches.choose(batch_id, place, isbn)).to_json())


async def candidate_cover(asked: Asked, batch_id: str, index: str, isbn: str) -> Sent:
    item = await asked.cloud.batches.item(batch_id, bodies.read_index(index))
    picture = await asked.cloud.candidate_covers.get(item, isbn)
    headers = {"content-type": picture.content_type, "cache-control": COVER_CACHE}
    return Sent(body=picture.body, headers=headers)


async def failed(asked: Asked, batch_id: str) -> Sent:
    found = await asked.cloud.batches.find(batch_id)
    text = "".join([piece async for piece in failed_pieces(asked.cloud.batches, found)])
    return Sent(body=text.encode(), headers=failed_headers(found))


def _route(method: str, path: str, handler: Any, **more: Any) -> Route:
    return Route(method=method, path=f"/v2/import/{path}", handler=handler, **more)


PAGE = ("limit", "cursor")
ONE = "batch/{batch_id}"
BATCH_ROUTES = (
    _route("POST", "batch", start_batch, query=("refresh",)),
    _route("POST", "file", start_file, query=("source", "name", "preview", "refresh")),
    _route("GET", "batches", batches, query=PAGE),
    _route("GET", ONE, batch),
    _route("GET", f"{ONE}/items", items, query=("state", *PAGE)),
    _route("GET", f"{ONE}/events", events, query=("after",), takes_token=True),
    _route("GET", f"{ONE}/failed", failed),
    _route("POST", f"{ONE}/cancel", cancel),
    _route("POST", f"{ONE}/retry", retry),
    _route("POST", f"{ONE}/items/{{index}}/choose", choose),
    _route("GET", f"{ONE}/items/{{index}}/candidates/{{isbn}}/cover", candidate_cover),
)
