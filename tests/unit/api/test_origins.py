"""Which requests come from somebody else's web page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from bookline.api.origins import is_foreign, is_host

ALLOWED = frozenset({"https://reader.example"})
VISIT = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def foreign(method: str = "GET", path: str = "/v2/books", **headers: str) -> bool:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return is_foreign(Headers(named), method, path, ALLOWED)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8787", "localhost:8787"),
        ("http://127.0.0.1:8787", "127.0.0.1:8787"),
        ("http://[::1]:8787", "[::1]:8787"),
        ("https://books.example", "books.example"),
        ("https://books.example", "books.example:443"),
        ("http://books.example", "Books.Example:80"),
        ("https://reader.example", "books.example"),
    ],
)
def test_our_own_page_and_allowed_ones_may(origin: str, host: str) -> None:
    assert not foreign(origin=origin, host=host)
    assert not foreign("POST", origin=origin, host=host, sec_fetch_site="cross-site")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "localhost:8787"),
        ("http://localhost:3000", "localhost:8787"),
        ("http://localhost", "localhost:8787"),
        ("http://evil.example", "localhost:8787"),
        ("http://localhost:8787.evil.example", "localhost:8787"),
        ("http://evil@localhost:8787", "localhost:8787"),
        ("file://", "localhost:8787"),
        ("", "localhost:8787"),
        ("https://reader.example:444", "books.example"),
        ("http://reader.example", "books.example"),
        ("chrome-extension://books.example", "books.example"),
    ],
)
def test_every_other_origin_is_foreign(origin: str, host: str) -> None:
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        assert foreign(method, origin=origin, host=host)


def test_who_is_no_browser_is_not_foreign() -> None:
    assert not foreign(host="localhost:8787")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_picture_on_another_page_is_foreign_though_it_names_no_origin(site: str) -> None:
    picture = {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}

    assert foreign(path="/v2/covers/9780451524935", sec_fetch_site=site, **picture)


def test_a_link_to_the_page_may_be_followed_and_no_other() -> None:
    for path in ("/", "/docs"):
        assert not foreign(path=path, sec_fetch_site="cross-site", **VISIT)
        assert foreign("POST", path, sec_fetch_site="cross-site", **VISIT)
        frame = {**VISIT, "sec-fetch-dest": "iframe"}
        assert foreign(path=path, sec_fetch_site="cross-site", **frame)
    assert foreign(path="/v2/books/export", sec_fetch_site="cross-site", **VISIT)


def test_what_the_user_types_and_what_our_page_asks_is_not_foreign() -> None:
    for site in ("none", "same-origin"):
        assert not foreign(path="/v2/books", sec_fetch_site=site, **VISIT)


@pytest.mark.parametrize(
    "host", ["localhost", "a_b.example:80", "[::1]:8787", "127.0.0.1:1", "x" * 255]
)
def test_a_host_can_stand_in_a_url(host: str) -> None:
    assert is_host(host)


@given(st.text(max_size=40))
def test_nothing_else_can(text: str) -> None:
    if is_host(text):
        assert not set(text) & set("/\\?#@ \r\n\t<>\"'%,;")
