"""For all tests: what a machine's load must not decide, and a browser for those of the page."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("bookline", deadline=None)
settings.load_profile("bookline")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; skips the test where there is none."""
    from page_browser import chromium  # beside the tests that ask for it

    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens an address in a window of its own."""
    from page_browser import windows

    with windows(browser) as open_it:
        yield open_it
