"""What the OpenAPI document says of errors and bodies, so that it is complete.

Rule 1:  a test tours the API by this document: what is not in it must not be answered.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bookline.api.envelope import STATUS
from bookline.api.schemas import Failure

ALWAYS = (
    "INVALID_REQUEST",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "RATE_LIMIT_EXCEEDED",
    "INTERNAL_ERROR",
    "UNAVAILABLE",
)
OPEN = frozenset({"open", "ready"})
"""Kinds of route that need no key."""
MORE: Mapping[str, tuple[str, ...]] = {
    "open": (),
    "ready": (),
    "list": (),
    "search": (),
    "job": ("MISSING_JOB_ID", "JOB_NOT_FOUND", "STATUS_FAILED"),
    "control": ("JOB_NOT_FOUND", "INVALID_STATE", "WORKFLOW_FAILED"),
    "book": ("INVALID_ISBN", "BOOK_NOT_FOUND"),
    "cover": ("INVALID_ISBN",),
    "edit": ("INVALID_ISBN", "BOOK_NOT_FOUND", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"),
    "legacy": (
        "MISSING_JOB_ID",
        "JOB_NOT_FOUND",
        "INVALID_ISBN",
        "INVALID_SOURCE",
        "SOURCE_NOT_CONFIGURED",
        "INVALID_STATE",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
        "WORKFLOW_FAILED",
    ),
    "batch": ("BATCH_NOT_FOUND",),
    "batches": (
        "INVALID_SOURCE",
        "SOURCE_NOT_CONFIGURED",
        "INVALID_STATE",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "file": (
        "INVALID_SOURCE",
        "SOURCE_NOT_CONFIGURED",
        "INVALID_STATE",
        "PAYLOAD_TOO_LARGE",
        "UNREADABLE_FILE",
        "UNSUPPORTED_FORMAT",
    ),
    "batch control": ("BATCH_NOT_FOUND", "INVALID_STATE"),
    "choice": (
        "BATCH_NOT_FOUND",
        "INVALID_ISBN",
        "INVALID_STATE",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "change": ("INVALID_STATE", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"),
    "start": (
        "INVALID_ISBN",
        "INVALID_SOURCE",
        "SOURCE_NOT_CONFIGURED",
        "INVALID_STATE",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
        "WORKFLOW_FAILED",
    ),
}


def failures(kind: str) -> dict[int | str, dict[str, Any]]:
    """The bad answers of a kind of route: for each status the codes it may carry."""
    by_status: dict[int, list[str]] = {}
    with_keys = () if kind in OPEN else ("UNAUTHORIZED",)
    for code in (*ALWAYS, *with_keys, *MORE[kind]):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: {"model": Failure, "description": ", ".join(codes)}
        for status, codes in sorted(by_status.items())
    }


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body give the same job for 24 h",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
METHOD = {
    "name": "Bookline-Method",
    "in": "header",
    "required": False,
    "description": "for testers: the same as `method` in the body",
    "schema": {"type": "string", "enum": ["workflow", "legacy"]},
}


def json_body(
    model: type[BaseModel], *, is_start: bool = True, takes_method: bool = False
) -> dict[str, Any]:
    """A request body that the route reads itself (capped, with our own errors)."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    headers = [IDEMPOTENCY_KEY] * is_start + [METHOD] * takes_method
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": headers,
    }


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    """The schema with its parts where they are meant: the document has no place for them."""
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].removeprefix("#/$defs/")], parts)
    return {name: _inlined(one, parts) for name, one in schema.items()}


def binary(kinds: Sequence[str]) -> dict[str, Any]:
    """Bytes of any of these types."""
    schema = {"type": "string", "format": "binary", "examples": ["(the picture's bytes)"]}
    return {kind: {"schema": schema} for kind in kinds}


def event_stream(message: type[BaseModel]) -> dict[str, Any]:
    """Server-Sent Events, each with such a message as JSON. ``itemSchema`` is OpenAPI 3.2's."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{message.__name__}"},
    }
    seq = {"type": "string", "description": "the event's seq; a ping has none"}
    event = {"type": "object", "required": ["data"], "properties": {"id": seq, "data": data}}
    return {"text/event-stream": {"itemSchema": event}}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document as our API is: bad parameters are 400, and who must show a key."""
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            if "401" not in operation["responses"]:
                operation["security"] = []
    parts = document["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    parts["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "one of BOOKLINE_API_KEYS; without any, this machine needs none",
        }
    }
    document["security"] = [{"key": []}, {}]
    return document
