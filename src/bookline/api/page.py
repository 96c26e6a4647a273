"""The page's files and the API's reference, from the package and nothing from another host.

Rule 1:  a strict Content-Security-Policy: no inline script or style, no other origin.
Rule 2:  each file is packed once, for all who take gzip.
"""

import gzip
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from bookline.api.reference import render_reference
from bookline.errors import Refused

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
    document: dict[str, Any] = request.app.openapi()
    return Response(render_reference(document), media_type="text/html", headers=HEADERS)


def _file(request: Request, name: str) -> Response:
    kind = TYPES.get(name.rpartition(".")[2])
    body = _read(name) if kind is not None else None
    if body is None:
        raise Refused("NOT_FOUND", "the page has no such file")
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    tag = hashlib.sha256(body).hexdigest()[:32] + ("-gzip" if is_packed else "")
    headers = {**HEADERS, "ETag": f'"{tag}"', "Vary": "Accept-Encoding"}
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
