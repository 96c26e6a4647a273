"""What an answer's status and body mean, and how long to wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_fakes import answered, page

from bookline.errors import (
    BooklineError,
    BookNotFound,
    ProviderDown,
    ProviderRefused,
    SlowDown,
    TryLater,
    WrongKey,
)
from bookline.ports import Answer
from bookline.providers.answers import LONGEST_WAIT_SECONDS, check, read_json, read_retry_after

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(301, ProviderRefused), (304, ProviderRefused), (400, ProviderRefused), (401, WrongKey),
     (403, WrongKey), (404, BookNotFound), (405, ProviderRefused), (408, ProviderDown),
     (410, BookNotFound), (422, ProviderRefused), (425, ProviderDown), (429, SlowDown),
     (500, ProviderDown), (503, ProviderDown), (520, ProviderDown)],
)  # fmt: skip
def test_each_status_has_one_outcome(status: int, outcome: type[BooklineError]) -> None:
    with pytest.raises(outcome) as raised:
        check("A provider", answered({"message": "secret-key"}, status), advice="mend the key")

    assert type(raised.value) is outcome
    assert "A provider" in str(raised.value)
    assert "secret-key" not in str(raised.value)


def test_a_2xx_is_no_failure() -> None:
    check("A provider", answered({}), advice="none")


def test_a_web_page_with_404_is_a_wrong_address_and_not_an_unknown_book() -> None:
    with pytest.raises(ProviderRefused, match="URL"):
        check("A provider", page(404), advice="none")


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_was_asked_for_is_handed_on(status: int) -> None:
    with pytest.raises(TryLater) as raised:
        check("A provider", answered({}, status, retry_after="7"), advice="none")

    assert raised.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), (" 3 ", 3.0), ("0", 0.0), ("-5", 0.0), ("1.5", 1.5), ("9" * 20, 86_400.0),
     ("soon", None), ("", None), ("٣", None), ("1e3", None),
     ("Mon, 32 Foo 2026 99:99:99 GMT", None)],
)  # fmt: skip
def test_seconds_to_wait_are_read_or_left(text: str, seconds: float | None) -> None:
    assert read_retry_after(answered({}, 429, retry_after=text)) == seconds


@given(st.integers(min_value=-100_000, max_value=100_000))
def test_a_date_to_wait_for_is_measured_by_the_answers_own_clock(seconds: int) -> None:
    until = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    now = format_datetime(NOON, usegmt=True)

    wait = read_retry_after(answered({}, 429, retry_after=until, date=now))

    assert wait == min(max(seconds, 0), LONGEST_WAIT_SECONDS)


@given(st.text(), st.text())
def test_no_header_makes_the_reader_fail(retry_after: str, date: str) -> None:
    wait = read_retry_after(answered({}, 429, retry_after=retry_after, date=date))

    assert wait is None or 0 <= wait <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b'{"cut": ', b"[]", b"null", b'"text"', b"17", b"\xff\xfe\x00", b"\x80",
     b"[" * 200_000, b'{"a":' * 200_000],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_an_outage(body: bytes) -> None:
    with pytest.raises(ProviderDown):
        read_json("A provider", Answer(status=200, body=body))


@given(st.binary())
def test_no_body_makes_the_reader_fail_otherwise(body: bytes) -> None:
    try:
        read_json("A provider", Answer(status=200, body=body))
    except ProviderDown:
        pass


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5_000, b"-" + b"9" * 100]
)
def test_what_is_no_number_is_not_known_and_costs_nothing_else(number: bytes) -> None:
    body = b'{"pages": ' + number + b', "title": "A"}'

    assert read_json("A provider", Answer(status=200, body=body)) == {"pages": None, "title": "A"}


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_any_unicode_form_is_read(coding: str) -> None:
    body = '{"title": "Moby-Dick – Č"}'.encode(coding)

    assert read_json("A provider", Answer(status=200, body=body)) == {"title": "Moby-Dick – Č"}


def test_brackets_within_text_are_no_depth() -> None:
    body = b'{"a": "' + b"[" * 500 + b'\\"' + b"{" * 500 + b'", "b": [' + b"[1]," * 200 + b"2]}"

    assert len(read_json("A provider", Answer(status=200, body=body))["b"]) == 201


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"b":'])
def test_depth_is_counted_before_anything_is_parsed(
    opening: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("bookline.providers.answers.json.loads", never)

    with pytest.raises(ProviderDown):
        read_json("A provider", Answer(status=200, body=b'{"x": ' + opening * 10_000))
