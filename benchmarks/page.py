"""What the page costs a browser with 5,000 books in the library and a batch of 5,000 under way.

Run:     python benchmarks/page.py [books]   (needs Playwright and Chromium)
Units:   a long task is the browser's own word: the main thread was held up for more than 50 ms.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError

from common import made_up_books, percentile, show, show_machine
from playwright.sync_api import Browser, Page, sync_playwright

from bookline.book import Book, Metadata, Provenance
from bookline.stores.opening import open_library
from bookline.values import iso
from bookline_sandbox.catalogue import check_digit_13

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "journeys"))

from page_stack import Stack

T = TypeVar("T")
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
GOAL_TASK_MS = 100
GOAL_BYTES = 300_000
BATCH_SECONDS = 30  # how long the running batch is looked at
WATCH = """
    globalThis.longTasks = [];
    const note = (list) => list.getEntries().forEach((one) => longTasks.push(one.duration));
    new PerformanceObserver(note).observe({type: "longtask", buffered: true});
"""


def main() -> None:
    show_machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder)) as stack,
        sync_playwright() as playwright,
    ):
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        stack.kill_server()
        run(fill(Path(folder) / "data" / "library.db"))
        stack.start_server()
        print(f"\n{COUNT:,} books in the library")
        look_at_library(stack, browser)
        print(f"\na batch of {COUNT:,} books under way on the same two cores")
        look_at_batch(stack, browser)
        browser.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: Playwright has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def fill(path: Path) -> None:
    """The library of that many made-up books, without covers and vectors."""
    library = open_library(path)
    for start in range(0, COUNT, 500):
        numbers = range(start, min(start + 500, COUNT))
        await asyncio.gather(*(library.keep(made_up(number)) for number in numbers))
    await library.close()


def made_up(number: int) -> Book:
    twelve = f"97888{number:07}"
    at = iso(1_700_000_000_000 + number)
    return Book(
        metadata=Metadata(
            isbn=twelve + check_digit_13(twelve),
            title=f"A Book of Some Length, Number {number * 7919 % COUNT}",
            authors=(f"Writer {number % 977}",),
            description="What it is about, in some three hundred characters. " * 6,
            publisher="A Press",
            publication_date=str(1900 + number % 120),
            language="en",
            page_count=300,
            source="openlibrary",
        ),
        provenance=Provenance(
            source="openlibrary", source_id=None, job_id="none", imported_at=at, updated_at=at
        ),
    )


def look_at_library(stack: Stack, browser: Browser) -> None:
    with watched(browser) as (page, sizes):
        page.goto(stack.url)
        page.wait_for_selector("#link[data-state=connected]")
        page.wait_for_timeout(1_000)
        show("first view: transferred", f"{sum(sizes) / 1000:.0f} KB", f"< {GOAL_BYTES // 1000} KB")
        tell(page, "first view")
        page.goto(f"{stack.url}/#/library")
        page.wait_for_selector(".tile")
        page.wait_for_timeout(1_000)
        show("and the library: transferred", f"{sum(sizes) / 1000:.0f} KB", "")
        tell(page, "library opened")
        while page.locator(".tile").count() < COUNT:
            page.mouse.wheel(0, 4_000)
            page.wait_for_timeout(30)
        tell(page, f"library scrolled to its end, {COUNT:,} tiles")
        page.locator(".tile a").last.click()
        page.wait_for_selector(".facts")
        page.go_back()
        page.wait_for_selector(".tile")
        page.wait_for_timeout(500)
        tell(page, "a book opened at the end, and back")
        page.keyboard.press("Home")
        page.fill("#question", "number 77")
        page.wait_for_timeout(2_000)
        tell(page, "searched")


def look_at_batch(stack: Stack, browser: Browser) -> None:
    isbns = run(made_up_books(stack.sandbox_url, COUNT))
    batch = stack.ask("POST", "/v2/import/batch", {"items": isbns, "name": "All of them"})
    for name, view in (("batch", f"#/batch/{batch['batchId']}"), ("first view", "#/")):
        with watched(browser) as (page, sizes):
            page.goto(f"{stack.url}/{view}")
            page.wait_for_timeout(BATCH_SECONDS * 1_000)
            show(f"{name}: transferred in {BATCH_SECONDS} s", f"{sum(sizes) / 1000:.0f} KB")
            tell(page, f"{name}, {BATCH_SECONDS} s long")
    with suppress(HTTPError):  # it may have ended meanwhile
        stack.ask("POST", f"/v2/import/batch/{batch['batchId']}/cancel", {})


@contextmanager
def watched(browser: Browser) -> Iterator[tuple[Page, list[int]]]:
    """A window, and the bytes of each answer as they came over the line."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.add_init_script(WATCH)
    session: Any = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[int] = []
    session.on("Network.loadingFinished", lambda done: sizes.append(done["encodedDataLength"]))
    yield page, sizes
    context.close()


def tell(page: Page, name: str) -> None:
    """The long tasks since the last time."""
    tasks: list[float] = page.evaluate("longTasks.splice(0)")
    longest = f"{max(tasks):.0f} ms" if tasks else "none"
    show(f"{name}: longest task", longest, f"< {GOAL_TASK_MS} ms")
    if len(tasks) > 1:
        show(f"{name}: long tasks, P50", f"{len(tasks)} × {percentile(tasks, 0.5):.0f} ms")


if __name__ == "__main__":
    main()
