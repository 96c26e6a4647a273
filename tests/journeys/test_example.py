"""The sample reading app, served from an address of its own, with a real server behind it."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from page_browser import Open
from page_stack import Stack

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

EXAMPLES = Path(__file__).parents[2] / "examples"
MOBY_DICK = "9780142437247"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Says nothing."""


def test_the_reading_app_imports_finds_and_rates_a_book(tmp_path: Path, open_page: Open) -> None:
    handler = partial(Quiet, directory=str(EXAMPLES))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        with Stack(tmp_path, CORS_ORIGINS=origin) as stack:
            page = open_page(f"{origin}/reading-app.html?server={stack.url}")
            page.get_by_label("Add a book").fill(MOBY_DICK)
            page.get_by_role("button", name="Add").click()

            expect(page.locator("#says")).to_have_text("Moby-Dick is in your library.")
            page.get_by_label("Find in my library").fill("melville")
            expect(page.locator("#books li")).to_have_count(1)
            cover = page.locator("#books img")
            page.wait_for_function("document.querySelector('#books img').naturalWidth > 0")
            expect(cover).to_be_visible()
            page.get_by_label("Rating of Moby-Dick").select_option("5")
            expect(page.locator("#says")).to_have_text("Your rating of Moby-Dick is saved.")
            assert stack.ask("GET", f"/v2/books/{MOBY_DICK}")["reading"]["rating"] == 5
        server.shutdown()
