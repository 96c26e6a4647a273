"""For all tests: what a machine's load must not decide, and a browser for those of the page."""

import asyncio
import gc
from collections.abc import Iterator
from selectors import SelectorKey
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time: what fails now and then, by chance or by load, teaches nothing.
settings.register_profile(
    "bookline",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bookline")


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What nobody refers to goes at once, or not at all: cycles stay."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def quick_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop's clock stands still while anything can be done, and jumps to what comes next
    when nothing can: no wait takes time, and no stall of the machine counts as one. Only for what
    stays in the loop, without threads and processes.
    """
    loop: Any = asyncio.get_running_loop()
    select, now = loop._selector.select, loop.time()

    def jump(timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        nonlocal now
        ready = select(timeout if timeout is None else 0)
        if not ready and timeout is not None:
            now += timeout
        return cast("list[tuple[SelectorKey, int]]", ready)

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(loop._selector, "select", jump)


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
