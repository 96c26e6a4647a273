"""An uploaded file: a form's field ``file``, or the body itself.

Way:      batch_routes.py → here
Source:   RFC 7578.
"""

from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from bookline.api.bodies import read_bytes
from bookline.api.openapi import IDEMPOTENCY_KEY
from bookline.errors import Refused
from bookline.shelves.file import MOST_BYTES

FIELD = "file"

_ANY = {"schema": {"type": "string", "format": "binary", "examples": ["isbn\n9780451524935\n"]}}
FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                    "required": [FIELD],
                    "additionalProperties": False,
                    "examples": [{FIELD: "isbn\n9780451524935\n"}],
                }
            },
            "text/csv": _ANY,
            "application/octet-stream": _ANY,
        },
    },
    "parameters": [IDEMPOTENCY_KEY],
}


async def read_file(request: Request) -> bytes:
    """The file's bytes. Raises: Refused (PAYLOAD_TOO_LARGE, INVALID_REQUEST)."""
    body = await read_bytes(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return body
    return await _read_form(request, body)


async def _read_form(request: Request, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=2, max_fields=10, max_part_size=MOST_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise Refused("INVALID_REQUEST", f"The form cannot be read: {error}") from error
    try:
        unknown = [name for name in form if name != FIELD]
        found = form.getlist(FIELD)
        if unknown or len(found) != 1:
            which = f"; it has {ascii(unknown[0])[:50]}" if unknown else ""
            raise Refused("INVALID_REQUEST", f"Send one form field named {FIELD}{which}.")
        [one] = found
        return await one.read() if isinstance(one, UploadFile) else one.encode()
    finally:
        await form.close()
