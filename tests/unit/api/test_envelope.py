"""The one shape of every answer, and the table from error code to status."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline import errors
from bookline.api.envelope import STATUS, JsonResponse, broken, failure, failure_of

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
