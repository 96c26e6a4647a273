"""The page's files and the API's reference, from the package and nothing from another host.

Rule 1:  a strict Content-Security-Policy: no inline script or style, no other origin.
Rule 2:  each file is packed once, for all who take gzip.
Rule 3:  the OpenAPI document is made in a thread: it takes 0.3 s, and imports would wait.
"""

import gzip
import hashlib
import json
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from bookline.api.envelope import VARY, packed, takes_gzip
from bookline.api.reference import render_reference
from bookline.errors import Refused
from bookline.threads import in_thread

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": CSP, "Cache-Control": "no-cache"}
TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "ts": "text/plain",
    "svg": "image/svg+xml",
    "ico": "image/x-icon",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    return _file(request, "index.html")


@router.get("/page/{name}")
async def page_file(request: Request, name: str) -> Response:
    return _file(request, name)


@router.get("/docs")
async def docs(request: Request) -> Response:
    body = await in_thread(_reference, request.app)
    return packed(request, Response(body, media_type="text/html", headers=HEADERS))


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    body = await in_thread(_document, request.app)
    return packed(request, Response(body, media_type="application/json"))


@lru_cache(maxsize=1)
def _reference(app: FastAPI) -> bytes:
    return render_reference(app.openapi()).encode()


@lru_cache(maxsize=1)
def _document(app: FastAPI) -> bytes:
    return json.dumps(app.openapi(), ensure_ascii=False).encode()


def _file(request: Request, name: str) -> Response:
    kind = TYPES.get(name.rpartition(".")[2])
    body = _read(name) if kind is not None else None
    if body is None:
        raise Refused("NOT_FOUND", "the page has no such file")
    is_packed = takes_gzip(request)
    tag = hashlib.sha256(body).hexdigest()[:32] + ("-gzip" if is_packed else "")
    headers = {**HEADERS, "ETag": f'"{tag}"', "Vary": VARY}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
        body = _packed(name)
    return Response(body, media_type=kind, headers=headers)


@lru_cache(maxsize=100)
def _packed(name: str) -> bytes:
    return gzip.compress(_read(name) or b"", mtime=0)


@lru_cache(maxsize=100)
def _read(name: str) -> bytes | None:
    path = files("bookline.page") / name
    safe = "/" not in name and "\\" not in name
    return path.read_bytes() if safe and path.is_file() else None
