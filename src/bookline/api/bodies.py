"""Request bodies and query parameters, read with a cap and plain errors.

Rule 1:  what cannot be read is a 400 that says what to send; nothing has happened by then.
"""

import json
from collections.abc import Mapping

from starlette.requests import Request

from bookline.errors import InvalidIsbn, Refused
from bookline.imports import Order
from bookline.model import Json

BODY_BYTES = 16 * 1024  # SPEC §3
LIMIT_MOST = 200  # our choice: items of one page


async def read_body(request: Request) -> Json:
    """The JSON object of a request.

    Raises: Refused (PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused("UNSUPPORTED_MEDIA_TYPE", "send Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise Refused("PAYLOAD_TOO_LARGE", f"a body may have {BODY_BYTES} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("INVALID_REQUEST", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise Refused(
            "INVALID_REQUEST", 'the body must be an object like {"isbn": "9780451524935"}'
        )
    return value


def read_order(body: Json, headers: Mapping[str, str], caller: str) -> Order:
    """What the body asks for.

    Raises: Refused (INVALID_ISBN, INVALID_SOURCE, INVALID_REQUEST) for wrong types.
    """
    isbn = body.get("isbn")
    if isbn is None:
        raise InvalidIsbn("", "isbn is missing")
    if not isinstance(isbn, str):
        raise InvalidIsbn(str(isbn)[:64], "isbn must be a string")
    source = body.get("source")
    if source is not None and not isinstance(source, str):
        raise Refused("INVALID_SOURCE", "source must be a string")
    return Order(
        isbn=_utf8("isbn", isbn),
        source="auto" if source is None else source,
        user_id=_optional_text(body, "userId"),
        idempotency_key=headers.get("idempotency-key"),
        caller=caller,
    )


def read_method(body: Json, headers: Mapping[str, str]) -> str | None:
    """The method that a caller forces, by the body or as a tester by the header; None for none.

    Raises: Refused (INVALID_REQUEST) when both are given and differ.
    """
    method = _optional_text(body, "method")
    cohort = headers.get("bookline-method")
    if None not in {method, cohort} and method != cohort:
        raise Refused("INVALID_REQUEST", "method and Bookline-Method name different methods")
    return method or cohort


def read_limit(request: Request, default: int) -> int:
    """``?limit=``. Raises: Refused (INVALID_REQUEST)."""
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LIMIT_MOST):
        raise Refused("INVALID_REQUEST", f"limit must be a whole number from 1 to {LIMIT_MOST}")
    return int(text)


def _optional_text(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused("INVALID_REQUEST", f"{name} must be a string")
    return None if value is None else _utf8(name, value)


def _utf8(name: str, text: str) -> str:
    """The text, if it can be written down: JSON can hold half of a character pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused("INVALID_REQUEST", f"{name} is not valid Unicode") from error
    if "\0" in text:
        raise Refused("INVALID_REQUEST", f"{name} must not hold a NUL character")
    return text
