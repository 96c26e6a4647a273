"""The browser that looks at the page, and windows in it.

Way:      the fixtures of test_page*.py → here → Playwright → Chromium
Rule 1:   what the page's script breaks on fails the test, whatever else it looked at.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 320, "height": 740}
PATIENCE_MS = 60_000  # ends a hang

Page = Any
Open = Callable[..., Page]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("Chromium is not installed")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@contextmanager
def windows(browser: Any) -> Iterator[Open]:
    """What opens an address in a window of its own."""
    from playwright.sync_api import expect

    contexts: list[Any] = []
    faults: list[str] = []

    def open_it(url: str, *, script: str = "", **options: Any) -> Page:
        still = {"viewport": DESKTOP, "reduced_motion": "reduce"}  # else it draws all the time
        context = browser.new_context(**{**still, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.extend(_ours(message)))
        if script:
            page.add_init_script(script)
        page.goto(url)
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield open_it
    for context in contexts:
        context.close()
    assert faults == [], faults


def _ours(message: Any) -> list[str]:
    """The browser itself tells of each answer that was no 200; the rest is our fault."""
    is_network = message.text.startswith(("Failed to load resource", "WebSocket connection to"))
    return [message.text] if message.type == "error" and not is_network else []
