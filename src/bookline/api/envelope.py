"""The answers of answers.py as Starlette sends them.

Source:  RFC 9110, 12.5.3 and 12.5.5, for what is packed.
"""

import gzip
from collections.abc import Mapping
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from bookline.api import answers
from bookline.api.answers import RETRYABLE, STATUS, Failure, new_request_id
from bookline.errors import BooklineError
from bookline.values import Json

__all__ = [
    "RETRYABLE", "STATUS", "JsonResponse", "broken", "failure", "failure_of", "new_request_id",
    "packed", "success", "takes_gzip",
]  # fmt: skip

PACK_BYTES = 1_400  # our choice: below it is one packet, packed or not
PACK_LEVEL = 3  # measured on lists: a ninth of the size, 8 µs a KB; 6 takes half as long again
VARY = "Accept-Encoding"
A = TypeVar("A", bound=Response)


class JsonResponse(Response):
    """JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return answers.encode(content)


def success(
    request: Request,
    data: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """``{"success": true, "data", "metadata"}``."""
    body = answers.success_json(data, _request_id(request.scope))
    return packed(request, JsonResponse(body, status, headers=dict(headers or {})))


def packed(request: Request, answer: A) -> A:
    """The whole answer to a GET, packed where it is long and the caller takes gzip.

    To nothing else: what a caller sends must not tell, by the length of an answer, the token in it.
    """
    if request.method != "GET":
        return answer
    answer.headers["Vary"] = VARY
    if len(answer.body) >= PACK_BYTES and takes_gzip(request):
        answer.body = gzip.compress(answer.body, PACK_LEVEL, mtime=0)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer


def takes_gzip(request: Request) -> bool:
    """Whether the caller can read what is packed: it names gzip, and not with the weight 0."""
    accepted = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    weights = [one.removeprefix("gzip;q=") for one in accepted if one.startswith("gzip;q=")]
    return "gzip" in accepted or any(weight.strip("0.") for weight in weights)


def failure(
    scope: Mapping[str, object],
    code: str,
    message: str,
    *,
    details: Json | None = None,
    headers: Mapping[str, str] | None = None,
) -> JsonResponse:
    """``{"success": false, "data": null, "error", "metadata"}`` with the code's status."""
    return _send(scope, Failure(code=code, message=message, details=details, headers=headers or {}))


def failure_of(scope: Mapping[str, object], error: BooklineError) -> JsonResponse:
    """The answer to one of our errors."""
    return broken(scope, error)


def broken(scope: Mapping[str, object], error: BaseException) -> JsonResponse:
    """The answer to any error; the log gets what nobody foresaw, under the request's id."""
    where = f"{scope['method']} {scope['path']}"
    return _send(scope, answers.failure_of(error, where, _request_id(scope)))


def _send(scope: Mapping[str, object], failure: Failure) -> JsonResponse:
    state = scope.get("state")
    if isinstance(state, dict):
        state["code"] = failure.code  # for the log
    body = failure.to_json(_request_id(scope))
    return JsonResponse(body, failure.status, headers=dict(failure.headers))


def _request_id(scope: Mapping[str, object]) -> str | None:
    state = scope.get("state")
    return state.get("request_id") if isinstance(state, dict) else None
