"""The one shape of every answer, and the one table from error code to HTTP status.

Way:     envelope.py (Starlette) and the Cloudflare Worker send what is made here
Source:  docs/contract.md
Rule 1:  standard library only: the Cloudflare Worker runs this file as it is.
"""

import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from bookline.errors import GiveUp, Refused, TryLater
from bookline.job import Job
from bookline.values import Json, iso

log = logging.getLogger(__name__)

STATUS: Mapping[str, int] = {
    "INVALID_REQUEST": 400,
    "INVALID_ISBN": 400,
    "INVALID_SOURCE": 400,
    "SOURCE_NOT_CONFIGURED": 400,
    "MISSING_JOB_ID": 400,
    "UNREADABLE_FILE": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "JOB_NOT_FOUND": 404,
    "BOOK_NOT_FOUND": 404,
    "BATCH_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "INVALID_STATE": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNSUPPORTED_FORMAT": 415,
    "RATE_LIMIT_EXCEEDED": 429,
    "WORKFLOW_FAILED": 500,
    "STATUS_FAILED": 500,
    "INTERNAL_ERROR": 500,
    "UNAVAILABLE": 503,
}
"""Every code that an answer may carry."""

NEEDED = frozenset({"journal", "engine", "fallback"})
"""What no import can do without."""
RETRYABLE = frozenset({"RATE_LIMIT_EXCEEDED", "UNAVAILABLE", "INTERNAL_ERROR", "WORKFLOW_FAILED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A bad answer: what went wrong, as its caller is told."""

    code: str
    message: str
    details: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def to_json(self, request_id: str | None) -> Json:
        """``{"success": false, "data": null, "error", "metadata"}``."""
        retryable = self.code in RETRYABLE
        error: Json = {"code": self.code, "message": self.message, "retryable": retryable}
        if self.details:
            error["details"] = self.details
        body = {"success": False, "data": None, "error": error}
        return {**body, "metadata": _metadata(request_id)}


def success_json(data: object, request_id: str | None) -> Json:
    """``{"success": true, "data", "metadata"}``."""
    return {"success": True, "data": data, "metadata": _metadata(request_id)}


def failure_of(error: BaseException, where: str, request_id: str | None) -> Failure:
    """The answer to an error of ours, and to what nobody foresaw; the log gets the rest of that
    under the request's id. ``where`` is the request's method and path.
    """
    if isinstance(error, Refused):
        return Failure(code=error.code, message=error.message, details=error.details)
    if isinstance(error, TryLater):
        code = error.code if error.code in STATUS else "UNAVAILABLE"
        return Failure(code=code, message=str(error), headers={"Retry-After": "5"})
    if isinstance(error, GiveUp):  # an embedder's wrong key, say: not the caller's to mend
        log.error("request %s was refused behind us", request_id, exc_info=error)
        return Failure(code="UNAVAILABLE", message="what this stands on refuses us; the log has it")
    log.error("request %s, %s, broke", request_id, where, exc_info=error)
    return Failure(code="INTERNAL_ERROR", message="something broke here; the log has it")


def started_json(job: Job, base: str, token: str) -> Json:
    """A new job with its addresses below ``base``, ours; ``statusUrl`` is its Location, too."""
    return {
        "jobId": job.job_id,
        "workflowId": job.job_id,
        "isbn": job.order.isbn,
        "inputIsbn": job.order.input_isbn,
        "method": job.method,
        "status": "started",
        "statusUrl": f"{base}/v2/import/status/{job.job_id}",
        "eventsUrl": f"{base}/v2/import/events/{job.job_id}",
        "wsUrl": f"ws{base.removeprefix('http')}/ws/progress?jobId={job.job_id}",
        "token": token,
    }


def readiness_json(states: Mapping[str, Json]) -> Json:
    """``{"status", "dependencies"}``: ready, or degraded where imports do without something.

    Raises: Refused (UNAVAILABLE) when imports cannot be taken.
    """
    down = [name for name, state in states.items() if not state["ok"]]
    if NEEDED.intersection(down):
        details: Json = {"dependencies": dict(states)}
        raise Refused("UNAVAILABLE", f"not ready: {', '.join(down)}", details)
    return {"status": "degraded" if down else "ready", "dependencies": dict(states)}


def encode(content: object) -> bytes:
    """JSON in UTF-8, as it is: no escapes for other scripts. Half a character pair becomes "?"."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def new_request_id() -> str:
    """Unique enough to find a request in the log."""
    return secrets.token_hex(8)


def _metadata(request_id: str | None) -> Json:
    return {"timestamp": iso(time.time_ns() // 1_000_000), "requestId": request_id}
