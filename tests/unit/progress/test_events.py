"""Events as values: their keys, their endings, and messages that are never too long."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.job import CANCELLED, COMPLETED, FAILED, Warned
from bookline.progress.events import (
    MESSAGE_BYTES,
    News,
    completed,
    ending,
    is_terminal,
    message_of,
    milestone,
    resumed,
    retry,
    warning,
)

ERROR = {"code": "X", "message": "x"}
RESULT = {"isbn": "9780142437247", "saved": True, "storedIn": "kv", "title": "Moby Dick"}
EVERY = [
    milestone("started", {}),
    milestone("metadata_fetched", {}),
    retry("fetch-metadata", 1, 1_000, ERROR, 5_000),
    retry("fetch-metadata", 2, 1_000, ERROR, 7_000),
    retry("fetch-metadata", 1, 1_000, ERROR, 9_000),
    warning(Warned(step="upload-cover", code="X", message="x")),
    resumed("restart", 3),
    resumed("restart", 4),
    resumed("retry", 4),
    ending(1, FAILED, {}),
    ending(2, FAILED, {}),
]


def test_what_is_not_the_same_has_another_key() -> None:
    assert len({news.key for news in EVERY}) == len(EVERY)


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
def test_a_run_has_one_end_whichever_it_is(status: str) -> None:
    news = ending(1, status, {})

    assert news.key == "end:1"
    assert is_terminal(news)


def test_only_an_ending_is_terminal() -> None:
    assert [is_terminal(news) for news in EVERY] == [False] * 9 + [True] * 2


def test_the_good_ending_carries_the_result() -> None:
    assert completed(1, RESULT).data == {
        "isbn": "9780142437247",
        "saved": True,
        "storedIn": "kv",
        "result": RESULT,
    }


@pytest.mark.parametrize(
    ("news", "progress"),
    [
        (milestone("started", {}), 0.0),
        (milestone("cover_uploaded", {}), 0.5),
        (ending(1, COMPLETED, {}), 1.0),
        (ending(1, FAILED, {}), None),
        (resumed("retry", 1), None),
    ],
)
def test_progress_is_known_where_something_was_done(news: News, progress: float | None) -> None:
    assert news.progress == progress


def test_a_message_has_one_form() -> None:
    text = message_of("job", 7, milestone("started", {"isbn": "Ж"}), 0.25, 0)

    assert text == (
        '{"type":"workflow_progress","jobId":"job","seq":7,"status":"started","progress":0.25,'
        '"timestamp":"1970-01-01T00:00:00.000Z","data":{"isbn":"Ж"}}'
    )


@pytest.mark.parametrize(
    "data",
    [
        {"a": "x" * 100_000},
        {"a": "\U0001f600" * 100_000},
        {"a": "\x00" * 100_000},
        {str(number): "\x00" * 1_000 for number in range(40)},
        {"k" * 100_000: 1},
        {"a": [["\U0001f600" * 1_000] * 100] * 100},
        {"a": {"b": {"c": ["x" * 999] * 1_000}}},
        {"a": list(range(100_000))},
    ],
)
def test_a_message_is_cut_below_its_cap_and_stays_json(data: dict[str, Any]) -> None:
    text = message_of("j" * 100, 1, milestone("metadata_fetched", data), 0.25, 0)

    assert len(text.encode()) <= MESSAGE_BYTES
    assert isinstance(json.loads(text)["data"], dict)


def test_a_cut_message_keeps_the_names_of_its_fields() -> None:
    data = {"metadata": {"title": "t", "description": "\x01" * 6_000}, "isbn": "9780142437247"}

    message = json.loads(message_of("job", 1, milestone("metadata_fetched", data), 0.25, 0))

    assert message["data"]["isbn"] == "9780142437247"
    assert message["data"]["metadata"] == {"title": "t", "description": "\x01" * 1_000}


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_text_can_be_sent(text: str) -> None:
    message = message_of("job", 1, milestone("started", {"text": text}), 0.0, 0)

    sent = json.loads(message.encode())["data"]["text"]
    assert sent == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
