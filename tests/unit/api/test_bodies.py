"""Whatever is sent, it is read or refused, and never breaks anything."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from bookline.api.bodies import LIMIT_MOST, USUAL_BODY_BYTES, read_body, read_limit, read_order
from bookline.api.route_table import RouteRule
from bookline.errors import InvalidIsbn, Refused

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@contextmanager
def only_refused(*codes: str) -> Iterator[None]:
    """Nothing goes wrong in the block but a refusal with one of these codes."""
    code = codes[0]
    try:
        yield
    except Refused as refused:
        code = refused.code
    assert code in codes


class Sent:
    """A request as far as ``read_body`` looks at it."""

    def __init__(
        self, *pieces: bytes, kind: str = "application/json", rule: RouteRule | None = None
    ) -> None:
        self.headers = {"content-type": kind}
        self.scope = {"state": {"rule": rule}}
        self.pieces = list(pieces)

    async def stream(self) -> AsyncIterator[bytes]:
        while self.pieces:
            yield self.pieces.pop(0)


async def read(*pieces: bytes, kind: str = "application/json") -> dict[str, Any]:
    return await read_body(cast(Request, Sent(*pieces, kind=kind)))


@given(st.binary(max_size=300))
async def test_any_bytes_are_an_object_or_are_refused(body: bytes) -> None:
    with only_refused("INVALID_REQUEST"):
        assert isinstance(await read(body), dict)


@given(st.text(max_size=60))
async def test_any_content_type_is_json_or_is_refused(kind: str) -> None:
    with only_refused("UNSUPPORTED_MEDIA_TYPE"):
        await read(b"{}", kind=kind)


async def test_no_more_is_read_than_a_body_may_have() -> None:
    sent = Sent(b"x" * USUAL_BODY_BYTES, b"x", b"never asked for")

    with pytest.raises(Refused) as refused:
        await read_body(cast(Request, sent))

    assert refused.value.code == "PAYLOAD_TOO_LARGE"
    assert sent.pieces == [b"never asked for"]


async def test_a_body_may_come_in_pieces() -> None:
    assert await read(b'{"is', b'bn": "045', b'1524934"}') == {"isbn": "0451524934"}


@given(
    st.fixed_dictionaries(
        {}, optional={"isbn": VALUES, "source": VALUES, "userId": VALUES, "more": VALUES}
    )
)
def test_any_object_is_an_order_or_is_refused(body: dict[str, Any]) -> None:
    with only_refused("INVALID_ISBN", "INVALID_SOURCE", "INVALID_REQUEST"):
        order = read_order(body, {}, "caller")
        order.isbn.encode()
        assert order.user_id is None or "\0" not in order.user_id


@pytest.mark.parametrize("isbn", ["9780451524935\0", "978045152493\ud800"])
def test_an_isbn_that_cannot_be_written_down_is_no_isbn(isbn: str) -> None:
    with pytest.raises(InvalidIsbn) as refused:
        read_order({"isbn": isbn}, {}, "caller")

    refused.value.message.encode()
    str(refused.value.details).encode()


@given(st.text(max_size=30))
def test_any_limit_is_a_number_of_a_page_or_is_refused(text: str) -> None:
    asked = cast(Request, SimpleNamespace(query_params={"limit": text}))

    with only_refused("INVALID_REQUEST"):
        assert 1 <= read_limit(asked, 50) <= LIMIT_MOST
