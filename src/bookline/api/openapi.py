"""What the OpenAPI document says of errors and bodies, so that it is complete.

Rule 1:  a test tours the API by this document: what is not in it must not be answered.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bookline.api.batch_schemas import BatchMessage
from bookline.api.envelope import STATUS
from bookline.api.schemas import EventMessage, Failure

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


FAILURE = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Failure.__name__}"}}}


def failures(kind: str) -> dict[int | str, dict[str, Any]]:
    """The bad answers of a kind of route: for each status the codes it may carry.

    Named by reference: of each ``model`` of each status of each route FastAPI makes a validator.
    """
    by_status: dict[int, list[str]] = {}
    with_keys = () if kind in OPEN else ("UNAUTHORIZED",)
    for code in (*ALWAYS, *with_keys, *MORE[kind]):
        by_status.setdefault(STATUS[code], []).append(code)
    return {
        status: {"description": ", ".join(codes), "content": FAILURE}
        for status, codes in sorted(by_status.items())
    }


JSON = "application/json"
REFERENCE = "#/components/schemas/{model}"
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
    schema = model.model_json_schema(ref_template=REFERENCE)
    for field in schema["properties"].values():
        field.pop(
            "default", None
        )  # generators take a field with one for a field that must be there
    headers = [IDEMPOTENCY_KEY] * is_start + [METHOD] * takes_method
    return {
        "requestBody": {"required": True, "content": {JSON: {"schema": schema}}},
        "parameters": headers,
    }


PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")


def binary(kinds: Sequence[str]) -> dict[str, Any]:
    """Bytes of any of these types."""
    schema = {"type": "string", "format": "binary", "examples": ["(the picture's bytes)"]}
    return {kind: {"schema": schema} for kind in kinds}


def event_stream(message: type[BaseModel]) -> dict[str, Any]:
    """Server-Sent Events, each with such a message as JSON. ``itemSchema`` is OpenAPI 3.2's."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": REFERENCE.format(model=message.__name__)},
    }
    seq = {"type": "string", "description": "the event's seq; a ping has none"}
    event = {"type": "object", "required": ["data"], "properties": {"id": seq, "data": data}}
    return {"text/event-stream": {"itemSchema": event}}


OPERATIONS: Mapping[str, str] = {
    "POST /v2/import/workflow": "startImport",
    "POST /v2/import": "startImportByRollout",
    "GET /v2/import/status/{}": "getImport",
    "GET /v2/import/events/{}": "watchImport",
    "POST /v2/import/cancel/{}": "cancelImport",
    "POST /v2/import/retry/{}": "retryImport",
    "GET /v2/import/jobs": "listImports",
    "POST /v2/import/batch": "startBatch",
    "POST /v2/import/file": "startBatchFromFile",
    "GET /v2/import/batches": "listBatches",
    "GET /v2/import/batch/{}": "getBatch",
    "GET /v2/import/batch/{}/items": "listBatchItems",
    "GET /v2/import/batch/{}/events": "watchBatch",
    "POST /v2/import/batch/{}/cancel": "cancelBatch",
    "POST /v2/import/batch/{}/retry": "retryBatch",
    "POST /v2/import/batch/{}/items/{}/choose": "answerReview",
    "GET /v2/import/batch/{}/items/{}/candidates/{}/cover": "getCandidateCover",
    "GET /v2/import/batch/{}/failed": "getFailedItems",
    "GET /v2/books": "listBooks",
    "GET /v2/books/search": "searchBooks",
    "GET /v2/books/export": "exportBooks",
    "GET /v2/books/{}": "getBook",
    "PATCH /v2/books/{}": "editBook",
    "DELETE /v2/books/{}": "deleteBook",
    "GET /v2/covers/{}": "getCover",
    "PUT /v2/covers/{}": "keepCover",
    "GET /opds": "getCatalogue",
    "GET /opds/search.xml": "describeCatalogueSearch",
    "GET /v2/rollout": "getRollout",
    "PUT /v2/rollout": "changeRollout",
    "POST /v2/rollout/advance": "advanceRollout",
    "POST /v2/rollout/rollback": "rollBackRollout",
    "GET /v2/metrics/imports": "compareMethods",
    "POST /v1/jobs": "callLegacy",
    "GET /healthz": "getHealth",
    "GET /readyz": "getReadiness",
    "GET /metrics": "getMetrics",
}
"""What generated clients call each route. Once released, a name stays."""
_PARAMETER = re.compile(r"\{[^}]*\}")
_REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
_GENERIC = re.compile(r"(Success|Page|CountedPage|Counted)_(.+)_")


def _operation_id(method: str, path: str) -> str:
    known = OPERATIONS.get(f"{method.upper()} {_PARAMETER.sub('{}', path)}")
    words = re.findall(r"[a-z]+", _PARAMETER.sub("", path))
    return known or method + "".join(word.capitalize() for word in words)


def _schema_name(name: str) -> str:
    """``Success[Page[Job]]`` is ``JobPageAnswer``; of two that are named alike, one gets more."""
    if generic := _GENERIC.fullmatch(name):
        ending = "Answer" if generic[1] == "Success" else "Page"
        return _schema_name(generic[2]) + ending
    *parts, last = name.split("__")
    part = parts[-1].removesuffix("schemas").strip("_") if parts else ""
    return part.capitalize() + last


def _named(document: dict[str, Any]) -> dict[str, Any]:
    """With names that people would give."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["operationId"] = _operation_id(method, path)
    names = {name: _schema_name(name) for name in document["components"]["schemas"]}
    text = _REFERENCE.sub(
        lambda found: f'"#/components/schemas/{names.get(found[1], found[1])}"',
        json.dumps(document),
    )
    renamed: dict[str, Any] = json.loads(text)
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {names[name]: schemas[name] for name in sorted(schemas)}
    for name, schema in renamed["components"]["schemas"].items():
        schema["title"] = name
    return renamed


def _name_bodies(paths: Mapping[str, Any], schemas: dict[str, Any]) -> None:
    """Bodies by reference: what generated clients call them comes from the schemas' names."""
    for operations in paths.values():
        for operation in operations.values():
            body = operation.get("requestBody", {})
            if JSON in body.get("content", {}):  # what the route declares stays as it is
                name = _keep_schema(schemas, body["content"][JSON]["schema"])
                content = {JSON: {"schema": {"$ref": REFERENCE.format(model=name)}}}
                operation["requestBody"] = {**body, "content": content}


def _keep_schema(schemas: dict[str, Any], schema: Mapping[str, Any]) -> str:
    """The name by which the schema stands among the others now, with those that it names."""
    inner = schema.get("$defs", {})
    whole = {name: value for name, value in schema.items() if name != "$defs"}
    for name, one in {**inner, whole["title"]: whole}.items():
        schemas.setdefault(name, one)
    return str(whole["title"])


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
    schemas = parts["schemas"]
    for shape in (EventMessage, BatchMessage, Failure):  # named by reference alone
        schema = shape.model_json_schema(ref_template=REFERENCE, mode="serialization")
        _keep_schema(schemas, schema)
    _name_bodies(document["paths"], schemas)
    document["security"] = [{"key": []}, {}]
    return _named(document)
