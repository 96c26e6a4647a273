"""What a watcher may ask for, and what it is told besides the events."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import Refused
from bookline.live.session import find_token, ping, read_after, read_last_event_id


@given(st.integers(0, 10**15 - 1))
def test_a_seq_is_read_as_it_was_sent(seq: int) -> None:
    assert read_after(str(seq)) == seq
    assert read_last_event_id(str(seq)) == seq


@pytest.mark.parametrize("text", [None, ""])
def test_none_means_from_the_beginning(text: str | None) -> None:
    assert read_after(text) == 0
    assert read_last_event_id(text) is None


@pytest.mark.parametrize("text", ["-1", "1.5", "x", " 1", "1 ", "٣", "²", "1" * 16, "0x1", "1\n"])
def test_what_is_no_seq_is_refused_where_we_ask_and_ignored_where_browsers_send(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_after(text)

    assert refused.value.code == "INVALID_REQUEST"
    assert read_last_event_id(text) is None


@pytest.mark.parametrize(
    ("protocols", "found"),
    [
        ([], (None, None)),
        (["chat", "v1"], (None, None)),
        (["bookline.token.abc"], ("abc", "bookline.token.abc")),
        (["chat", "bookline.token.a.b", "v1"], ("a.b", "bookline.token.a.b")),
        (["bookline.token."], ("", "bookline.token.")),
    ],
)
def test_a_token_is_found_among_the_protocols(
    protocols: list[str], found: tuple[str | None, str | None]
) -> None:
    assert find_token(protocols) == found


def test_a_ping_is_no_event() -> None:
    message = json.loads(ping("job"))

    assert set(message) == {"type", "jobId", "timestamp"}
    assert (message["type"], message["jobId"]) == ("ping", "job")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", message["timestamp"])
