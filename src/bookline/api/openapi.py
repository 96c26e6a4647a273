"""What the OpenAPI document says of errors and bodies, so that it is complete.

Rule 1:  a test tours the API by this document: what is not in it must not be answered.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from bookline.api.envelope import STATUS
from bookline.api.schemas import Failure

ALWAYS = (
    "INVALID_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "RATE_LIMIT_EXCEEDED",
    "INTERNAL_ERROR",
    "UNAVAILABLE",
)
MORE: Mapping[str, tuple[str, ...]] = {
    "open": (),
    "ready": (),
    "list": (),
    "search": (),
    "job": ("MISSING_JOB_ID", "JOB_NOT_FOUND", "STATUS_FAILED"),
    "control": ("JOB_NOT_FOUND", "INVALID_STATE", "WORKFLOW_FAILED"),
    "book": ("INVALID_ISBN", "BOOK_NOT_FOUND"),
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
    for code in (*ALWAYS, *MORE[kind]):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: {"model": Failure, "description": ", ".join(codes)}
        for status, codes in sorted(by_status.items())
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A request body that the route reads itself (capped, with our own errors)."""
    schema = model.model_json_schema()
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "the same key and body give the same job for 24 h",
                "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            }
        ],
    }


def without_422(document: dict[str, Any], paths: Iterable[str] | None = None) -> dict[str, Any]:
    """The document without FastAPI's own 422: our bad parameters are 400 with the envelope."""
    for path in paths or document["paths"]:
        for operation in document["paths"][path].values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document
