"""The one shape of every answer, and the table from error code to status."""

import gzip
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from bookline import errors
from bookline.api.envelope import STATUS, JsonResponse, broken, failure, failure_of, success

SCOPE: dict[str, Any] = {"method": "GET", "path": "/x", "state": {"request_id": "the-id"}}
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(("code", "status"), STATUS.items())
def test_every_code_has_the_shape_and_its_status(code: str, status: int) -> None:
    answer = failure(SCOPE, code, "why")
    body = json.loads(bytes(answer.body))

    assert answer.status_code == status
    assert set(body) == {"success", "data", "error", "metadata"}
    assert (body["success"], body["data"]) == (False, None)
    assert body["error"]["code"] == code
    assert body["metadata"]["requestId"] == "the-id"


def test_the_statuses_are_those_of_the_contract() -> None:
    by_status: dict[int, set[str]] = {}
    for code, status in STATUS.items():
        by_status.setdefault(status, set()).add(code)

    assert by_status == {
        400: {
            "INVALID_REQUEST", "INVALID_ISBN", "INVALID_SOURCE", "SOURCE_NOT_CONFIGURED",
            "MISSING_JOB_ID", "UNREADABLE_FILE",
        },
        401: {"UNAUTHORIZED"},
        403: {"FORBIDDEN"},
        404: {"NOT_FOUND", "JOB_NOT_FOUND", "BATCH_NOT_FOUND", "BOOK_NOT_FOUND"},
        405: {"METHOD_NOT_ALLOWED"},
        409: {"INVALID_STATE"},
        413: {"PAYLOAD_TOO_LARGE"},
        415: {"UNSUPPORTED_MEDIA_TYPE", "UNSUPPORTED_FORMAT"},
        429: {"RATE_LIMIT_EXCEEDED"},
        500: {"WORKFLOW_FAILED", "STATUS_FAILED", "INTERNAL_ERROR"},
        503: {"UNAVAILABLE"},
    }  # fmt: skip


@given(ANY_TEXT)
def test_any_text_can_be_answered_and_what_utf_8_holds_comes_back(text: str) -> None:
    body = json.loads(bytes(JsonResponse({"text": text}).body))

    assert body["text"] == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    "error",
    [errors.StoreDown("x"), errors.ProviderDown("x"), errors.SlowDown("x", None, 30)],
    ids=lambda error: type(error).__name__,
)
def test_what_may_work_later_is_503_and_says_when(error: errors.TryLater) -> None:
    answer = failure_of(SCOPE, error)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert json.loads(bytes(answer.body))["error"]["retryable"] is True


def test_a_fault_of_ours_tells_the_caller_nothing_and_the_log_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for error in (errors.WrongKey("the key K is wrong"), ZeroDivisionError("by K")):
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            is_ours = isinstance(error, errors.BooklineError)
            answer = failure_of(SCOPE, error) if is_ours else broken(SCOPE, error)  # type: ignore[arg-type]

        assert answer.status_code == (503 if is_ours else 500)
        assert b"K" not in bytes(answer.body)
        assert "the-id" in caplog.text
        assert type(error).__name__ in caplog.text


# ------------------------------------------------------------------ packed or not
LIST = [{"isbn": f"97800000{number:05}"} for number in range(200)]


def asked(accepts: str | None, data: object = LIST, method: str = "GET") -> Response:
    headers = [] if accepts is None else [(b"accept-encoding", accepts.encode())]
    return success(Request({"type": "http", "method": method, "headers": headers}), data)


@pytest.mark.parametrize("accepts", ["gzip", "br, GZIP;q=0.5", "gzip, deflate, br, zstd"])
def test_a_long_answer_is_packed_for_who_takes_gzip(accepts: str) -> None:
    answer = asked(accepts)

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert len(answer.body) < len(bytes(asked(None).body)) / 5
    assert json.loads(gzip.decompress(answer.body))["data"] == LIST


@pytest.mark.parametrize("accepts", [None, "", "br", "gzip;q=0", "gzip; q=0.00, br", "x-gzipped"])
def test_who_takes_no_gzip_gets_none(accepts: str | None) -> None:
    answer = asked(accepts)

    assert "content-encoding" not in answer.headers
    assert json.loads(bytes(answer.body))["data"] == LIST


def test_caches_are_told_what_an_answer_depends_on_whoever_asks() -> None:
    assert asked("gzip").headers["vary"] == asked(None).headers["vary"] == "Accept-Encoding"


def test_short_answers_and_those_with_tokens_are_never_packed() -> None:
    """What a caller sends must not tell, by an answer's length, the secret beside it."""
    for answer in (asked("gzip", {"status": "ok"}), asked("gzip", method="POST")):
        assert "content-encoding" not in answer.headers
