"""Takes the pictures of the page that stand beside this file.

Run:     python docs/screenshots/make.py [rollout]   (needs Playwright, Chromium and Pillow; no
         network; with ``rollout`` those of the rollout alone)
Way:     a sandbox and a server of their own → the page in Chromium → *.png, each below 300 KB
"""

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "journeys"))

from page_stack import Stack  # noqa: E402

SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
IMPORTS_OF_EACH, AT_ONCE = 94, 12  # method, for the curves
MOST_BYTES = 300_000
BOOKS = [
    "9780142437247", "9780743273565", "9780679783268", "9780618260300", "9780618346257",
    "9780439023481", "9780316769174", "9780345391803", "9780812550702", "9780140283334",
    "9780385333849", "9780804139021", "9780060929879", "9780307347978", "9780375831003",
    "9780141439471", "9780393970128",
]  # fmt: skip
WITHOUT_COVER = "9780345476876"
TWINS = "Letters to a Reader"
SLOW, PLAIN, UNKNOWN, WARNED = "9780451524935", "9780061120084", "9780306406157", "9780307887436"


def main() -> None:
    expect.set_options(timeout=30_000)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), latency_ms=120) as stack,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if sys.argv[1:] != ["rollout"]:
            fill(stack, browser)
            for size in SIZES:
                for theme in THEMES:
                    take(stack, browser, size, theme)
        move(stack)
        for size in SIZES:
            for theme in THEMES:
                take_rollout(stack, browser, size, theme)
        browser.close()


def fill(stack: Stack, browser: Browser) -> None:
    """A library worth a look, with one book that has no cover."""
    stack.fault(isbn=WITHOUT_COVER, route="covers", kind="not_found", times=None)
    for isbn, author in (("9780000000019", "Ann Reader"), ("9780000000026", "Bob Reader")):
        stack.add_book({"isbn13": isbn, "title": TWINS, "authors": [author]})
    with page_of(browser, "desktop", "light") as page:
        page.goto(stack.url)
        page.fill("#isbns", "\n".join([*BOOKS[:9], WITHOUT_COVER, *BOOKS[9:]]))
        page.get_by_role("button", name=f"Import {len(BOOKS) + 1} rows").click()
        expect(page.locator(".batch-text")).to_contain_text("Finished", timeout=60_000)


def take(stack: Stack, browser: Browser, size: str, theme: str) -> None:
    """All pictures of one size and theme."""
    stack.fault(isbn=SLOW, kind="429", retry_after=20, times=3)
    stack.fault(isbn=WARNED, route="covers", kind="not_image", times=9)
    with page_of(browser, size, theme) as page:
        page.goto(stack.url)
        for isbns in (UNKNOWN, WARNED, PLAIN):
            page.fill("#isbns", isbns)
            page.press("#isbns", "Enter")
        expect(page.locator(".card[data-status=completed]")).to_have_count(2)
        expect(page.locator(".card[data-status=failed]")).to_have_count(1)
        page.fill("#isbns", f"{SLOW} 9780451524936")
        page.press("#isbns", "Enter")
        expect(page.locator(".say", has_text="retry 1 of 3")).to_be_visible()
        page.wait_for_timeout(800)
        if size == "phone":
            page.locator("#refused").scroll_into_view_if_needed()
            page.locator(".card").first.scroll_into_view_if_needed()
        keep(page, f"import-{size}-{theme}")
        story = page.locator(".card", has=page.locator(".say", has_text="retry 1 of 3"))
        story.get_by_role("link", name="Details").click()
        expect(page.locator(".timeline li")).to_have_count(2)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".timeline li")).to_have_count(3)
        page.goto(f"{stack.url}/#/library")
        expect(page.locator(".tile .has-picture").first).to_be_visible()
        page.wait_for_timeout(900)
        keep(page, f"library-{size}-{theme}")
        page.fill("#question", "a girl who must fight to survive")
        expect(page.locator(".alike .near").first).to_be_visible()
        page.wait_for_timeout(700)
        keep(page, f"search-{size}-{theme}")
        page.goto(f"{stack.url}/#/book/9780142437247")
        expect(page.locator(".book .has-picture")).to_be_visible()
        page.wait_for_timeout(700)
        keep(page, f"book-{size}-{theme}")
        page.goto(f"{stack.url}/#/jobs")
        expect(page.locator(".jobs tbody tr").first).to_be_visible()
        keep(page, f"jobs-{size}-{theme}")
        page.locator(".jobs tbody tr", has_text="warning").get_by_role("link").first.click()
        expect(page.locator(".timeline li")).to_have_count(5)
        keep(page, f"job-{size}-{theme}")
        page.goto(f"{stack.url}/#/")
        file = {"name": "goodreads_library_export.csv", "mimeType": "text/csv", "buffer": export()}
        page.set_input_files("#file", file)
        expect(page.locator(".sample li")).to_have_count(5)
        page.locator(".preview").scroll_into_view_if_needed()
        keep(page, f"preview-{size}-{theme}")
        page.locator("#start-button").click()
        expect(page.locator(".review")).to_have_count(2)
        expect(page.locator(".batch-text")).to_contain_text("Finished")
        page.wait_for_timeout(700)
        keep(page, f"batch-{size}-{theme}")


def export() -> bytes:
    """A made-up export: known books, one that nobody knows, two that may be one of several."""
    rows = [(isbn, f"Book {isbn}", "Its author") for isbn in [*BOOKS, UNKNOWN]]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("Title", "Author", "ISBN", "ISBN13", "My Rating", "Exclusive Shelf"))
    writer.writerows((title, author, "", f'="{isbn}"', 4, "read") for isbn, title, author in rows)
    writer.writerows([(TWINS, "Reader", "", "", 5, "read")] * 2)
    return out.getvalue().encode()


def move(stack: Stack) -> None:
    """A rollout on its way: readers import by both methods, one gate is still closed."""
    begin = {"percent": 0, "reason": "before the first stage", "actor": "ada"}
    stack.ask("PUT", "/v2/rollout", begin)
    stack.ask("POST", "/v2/rollout/advance", {"reason": "the testers are happy", "actor": "ada"})
    change = {"percent": 50, "reason": "a quiet week at 10 %", "actor": "ada"}
    stack.ask("PUT", "/v2/rollout", {**change, "users": {"ada": "workflow", "bob": "workflow"}})
    stack.fault(isbn=BOOKS[3], route="openlibrary", kind="503", times=6)
    stack.fault(isbn=BOOKS[5], route="covers", kind="not_image", times=None)
    isbns = islice(cycle([*BOOKS, UNKNOWN]), IMPORTS_OF_EACH)
    orders = [(isbn, method) for isbn in isbns for method in ("workflow", "legacy")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda order: stack.finish_import(*order, source="openlibrary"), orders))


def take_rollout(stack: Stack, browser: Browser, size: str, theme: str) -> None:
    with page_of(browser, size, theme) as page:
        page.goto(f"{stack.url}/#/rollout?window=15m")
        expect(page.locator(".curves")).to_be_visible()
        page.wait_for_timeout(300)
        keep(page, f"rollout-{size}-{theme}", full=True)


@contextmanager
def page_of(browser: Browser, size: str, theme: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport=SIZES[size],  # type: ignore[arg-type]
        color_scheme=theme,  # type: ignore[arg-type]
        device_scale_factor=1 if size == "desktop" else 1.5,
        is_mobile=size == "phone",
        reduced_motion="reduce",
    )
    yield context.new_page()
    context.close()


def keep(page: Page, name: str, *, full: bool = False) -> None:
    """The picture with few colours, which is enough for paper and ink."""
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full)))
    for colours in (256, 128, 64):
        buffer = io.BytesIO()
        picture.convert("RGB").quantize(colours).save(buffer, "PNG", optimize=True)
        if buffer.tell() < MOST_BYTES:
            break
    (HERE / f"{name}.png").write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
