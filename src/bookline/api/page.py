"""The page's files and the API's reference, from the package and nothing from another host.

Rule 1:  a strict Content-Security-Policy: no inline script or style, no other origin.
"""

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
    "svg": "image/svg+xml",
    "ico": "image/x-icon",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    return _file("index.html")


@router.get("/page/{name}")
async def page_file(name: str) -> Response:
    return _file(name)


@router.get("/docs")
async def docs(request: Request) -> Response:
    document: dict[str, Any] = request.app.openapi()
    return Response(render_reference(document), media_type="text/html", headers=HEADERS)


def _file(name: str) -> Response:
    kind = TYPES.get(name.rpartition(".")[2])
    path = files("bookline.page") / name
    if kind is None or "/" in name or "\\" in name or not path.is_file():
        raise Refused("NOT_FOUND", "the page has no such file")
    return Response(path.read_bytes(), media_type=kind, headers=HEADERS)
