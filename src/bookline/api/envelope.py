"""The one shape of every answer, and the one table from error code to HTTP status.

Source:  docs/contract.md
"""

import json
import logging
import secrets
import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from bookline.errors import BooklineError, GiveUp, Refused, TryLater
from bookline.values import Json, iso

log = logging.getLogger(__name__)

STATUS: Mapping[str, int] = {
    "INVALID_REQUEST": 400,
    "INVALID_ISBN": 400,
    "INVALID_SOURCE": 400,
    "SOURCE_NOT_CONFIGURED": 400,
    "MISSING_JOB_ID": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "JOB_NOT_FOUND": 404,
    "BOOK_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "INVALID_STATE": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "RATE_LIMIT_EXCEEDED": 429,
    "WORKFLOW_FAILED": 500,
    "STATUS_FAILED": 500,
    "INTERNAL_ERROR": 500,
    "UNAVAILABLE": 503,
}
"""Every code that an answer may carry."""

RETRYABLE = frozenset({"RATE_LIMIT_EXCEEDED", "UNAVAILABLE", "INTERNAL_ERROR", "WORKFLOW_FAILED"})


class JsonResponse(Response):
    """JSON in UTF-8, as it is: no escapes for other scripts. Half a character pair becomes "?"."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


def success(
    request: Request,
    data: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """``{"success": true, "data", "metadata"}``."""
    body = {"success": True, "data": data, "metadata": _metadata(request.scope)}
    return JsonResponse(body, status, headers=dict(headers or {}))


def failure(
    scope: Mapping[str, object],
    code: str,
    message: str,
    *,
    details: Json | None = None,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """``{"success": false, "data": null, "error", "metadata"}`` with the code's status."""
    error: Json = {"code": code, "message": message, "retryable": code in RETRYABLE}
    if details:
        error["details"] = details
    body = {"success": False, "data": None, "error": error, "metadata": _metadata(scope)}
    return JsonResponse(body, STATUS[code], headers=dict(headers or {}))


def failure_of(scope: Mapping[str, object], error: BooklineError) -> JsonResponse:
    """The answer to one of our errors."""
    if isinstance(error, Refused):
        return failure(scope, error.code, error.message, details=error.details)
    if isinstance(error, TryLater):
        code = error.code if error.code in STATUS else "UNAVAILABLE"
        return failure(scope, code, str(error), headers={"Retry-After": "5"})
    if isinstance(error, GiveUp):  # an embedder's wrong key, say: not the caller's to mend
        log.error("request %s was refused behind us", _request_id(scope), exc_info=error)
        return failure(scope, "UNAVAILABLE", "what this stands on refuses us; the log has it")
    return broken(scope, error)


def broken(scope: Mapping[str, object], error: BaseException) -> JsonResponse:
    """The answer to what nobody foresaw; the log gets the rest, under the request's id."""
    where = f"{scope['method']} {scope['path']}"
    log.error("request %s, %s, broke", _request_id(scope), where, exc_info=error)
    return failure(scope, "INTERNAL_ERROR", "something broke here; the log has it")


def new_request_id() -> str:
    """Unique enough to find a request in the log."""
    return secrets.token_hex(8)


def _metadata(scope: Mapping[str, object]) -> Json:
    return {"timestamp": iso(time.time_ns() // 1_000_000), "requestId": _request_id(scope)}


def _request_id(scope: Mapping[str, object]) -> str | None:
    state = scope.get("state")
    return state.get("request_id") if isinstance(state, dict) else None
