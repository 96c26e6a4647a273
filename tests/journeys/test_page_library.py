"""The library on the page: found, sorted, edited, deleted, as somebody does it in a browser."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from axe import NoAxe, faults_in_all_forms, read_axe
from page_browser import PATIENCE_MS, Open, Page
from page_stack import Stack
from PIL import Image

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

DRACULA, HUNGER, GATSBY = "9780393970128", "9780439023481", "9780743273565"
MADE_UP = 130  # more than two pages of the library


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A library of three known books and many made-up ones."""
    with Stack(tmp_path_factory.mktemp("library"), EMBEDDER="local") as stack:
        isbns = [made_up(number) for number in range(MADE_UP)]
        for number, isbn in enumerate(isbns):
            facts = {"title": f"Made Up {number:03}", "authors": [f"Writer {number % 7}"]}
            stack.add_book({"isbn13": isbn, **facts})
        stack.finish_batch(isbns)
        for isbn in (DRACULA, HUNGER, GATSBY):
            stack.finish_import(isbn)
        yield stack


def made_up(number: int) -> str:
    digits = f"97899700{number:04}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def titles(page: Page) -> list[str]:
    found: list[str] = page.locator(".shelves .tile-title").all_text_contents()
    return found


def is_there(stack: Stack, isbn: str) -> bool:
    try:
        stack.ask("GET", f"/v2/books/{isbn}")
    except HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


WATCH_WIDTH = """
    globalThis.asked = [];
    const {get} = Object.getOwnPropertyDescriptor(Element.prototype, "clientWidth");
    Object.defineProperty(Element.prototype, "clientWidth", {get() {
        if (this.matches(".shelves")) asked.push(this.getAttribute("aria-busy"));
        return get.call(this);
    }});
"""


# ------------------------------------------------------------------ finding
def test_books_are_counted_and_sorted(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/library")
    expect(page.locator("#shelf-note")).to_have_text(re.compile(r"^\d{3} books\.$"))

    page.get_by_label("Sort by").select_option("title")

    expect(page.locator(".tile-title").first).to_have_text("Dracula")
    assert page.evaluate("location.hash") == "#/library?sort=title"
    first = titles(page)
    assert first == sorted(first, key=lambda title: title.removeprefix("The "))


def test_words_find_books_and_those_alike_stand_below(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/library")

    page.get_by_label("Search").fill("hunger")

    expect(page.locator("#shelf-note")).to_have_text("1 book matches “hunger”.")
    expect(page.locator(".tile").first).to_contain_text("The Hunger Games")
    page.get_by_label("Search").fill("vampire in a castle")
    expect(page.locator("#shelf-note")).to_have_text("No matches for “vampire in a castle”.")
    expect(page.locator(".alike .tile").first).to_contain_text("Dracula")


def test_a_search_asks_for_the_width_before_it_changes_anything(
    stack: Stack, open_page: Open
) -> None:
    """Asked later, thousands of tiles are laid out once more for the answer."""
    page = open_page(f"{stack.url}/#/library", script=WATCH_WIDTH)
    expect(page.locator("#shelf-note")).to_have_text(re.compile(r"^\d{3} books\.$"))
    page.evaluate("asked.length = 0")

    page.get_by_label("Search").fill("hunger")
    expect(page.locator("#shelf-note")).to_have_text("1 book matches “hunger”.")

    assert page.evaluate("asked") == [None]


def test_a_library_is_left_and_found_again_at_the_same_place(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/library")
    tile = page.locator(".tile").nth(100)
    page.wait_for_selector(".tile")
    page.mouse.wheel(0, 4_000)
    expect(tile).to_be_attached()
    tile.scroll_into_view_if_needed()
    name = tile.locator(".tile-title").text_content()
    before = tile.bounding_box()["y"]

    tile.locator("a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.go_back()

    expect(tile).to_be_in_viewport()
    assert abs(tile.bounding_box()["y"] - before) < 5
    expect(tile.locator("a")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "begins"), [("CSV", "isbn"), ("JSON", "["), ("Goodreads CSV", "Book Id")]
)
def test_the_library_is_exported(stack: Stack, open_page: Open, name: str, begins: str) -> None:
    page = open_page(f"{stack.url}/#/library")
    page.get_by_text("Export", exact=True).click()

    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()

    text = Path(download.value.path()).read_text("utf-8-sig")
    assert text.startswith(begins)
    assert DRACULA in text


# ------------------------------------------------------------------ changing
def test_an_edited_field_is_locked_and_can_be_unlocked(stack: Stack, open_page: Open) -> None:
    isbn = made_up(1)
    page = open_page(f"{stack.url}/#/book/{isbn}")
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Title", exact=True)).to_be_focused()

    page.get_by_label("Title", exact=True).fill("A Better <b>Title</b>")
    page.get_by_label("Authors").fill("Ada\nBob")
    page.get_by_label("Rating").fill("4.5")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("A Better <b>Title</b>")
    expect(page.locator(".facts", has_text="Locked")).to_contain_text(re.compile("Title.*Authors"))
    expect(page.locator(".facts").first).to_contain_text("4.5 of 5")
    book = stack.ask("GET", f"/v2/books/{isbn}")
    assert (book["authors"], sorted(book["locked"])) == (["Ada", "Bob"], ["authors", "title"])
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Locked. Unlock it for imports").first.check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".edit")).to_have_count(0)
    assert stack.ask("GET", f"/v2/books/{isbn}")["locked"] == ["authors"]


def test_an_edit_that_is_refused_says_why_and_loses_nothing(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/book/{made_up(2)}")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Published").fill("2024-13")

    page.get_by_role("button", name="Save").click()

    expect(page.locator(".edit .refusal")).to_contain_text("Not saved: ")
    expect(page.get_by_label("Published")).to_have_value("2024-13")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1)).to_have_text("Made Up 002")


TIME = """
    const [set, clear, late] = [setTimeout, clearTimeout, new Map()];
    globalThis.setTimeout = (act, ms, ...rest) => {
        if (ms !== 8000) return set(act, ms, ...rest);
        late.set(late.size + 1e6, act);
        return late.size + 1e6 - 1;
    };
    globalThis.clearTimeout = (id) => late.delete(id) || clear(id);
    globalThis.passEightSeconds = () => late.forEach((act, id) => late.delete(id) && act());
"""


def test_a_deletion_can_be_undone_for_eight_seconds(stack: Stack, open_page: Open) -> None:
    isbn = made_up(MADE_UP - 1)
    page = open_page(f"{stack.url}/#/library", script=TIME)
    page.wait_for_selector(".tile")
    page.goto(f"{stack.url}/#/book/{isbn}")
    page.get_by_role("button", name="Delete").click()
    tile = page.locator(f'[data-isbn="{isbn}"]')
    expect(tile).to_be_hidden()

    page.get_by_role("button", name="Undo").click()
    page.evaluate("passEightSeconds()")

    expect(tile).to_be_visible()
    assert is_there(stack, isbn)


def test_a_deletion_is_sent_after_eight_seconds(stack: Stack, open_page: Open) -> None:
    isbn = made_up(3)
    page = open_page(f"{stack.url}/#/book/{isbn}", script=TIME)
    page.get_by_role("button", name="Delete").click()
    assert is_there(stack, isbn)

    with page.expect_response(lambda answer: answer.request.method == "DELETE") as sent:
        page.evaluate("passEightSeconds()")

    assert sent.value.status == 204
    assert not is_there(stack, isbn)


def test_a_deletion_is_sent_when_the_page_is_left(stack: Stack, open_page: Open) -> None:
    isbn = made_up(4)
    page = open_page(f"{stack.url}/#/book/{isbn}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()

    page.goto("about:blank")

    end = time.monotonic() + PATIENCE_MS / 1000
    while is_there(stack, isbn) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_there(stack, isbn)


def test_a_cover_of_ones_own_is_kept_and_locked(stack: Stack, open_page: Open) -> None:
    isbn = made_up(5)
    picture = io.BytesIO()
    Image.effect_noise((120, 180), 80).convert("RGB").save(picture, "PNG")
    page = open_page(f"{stack.url}/#/book/{isbn}")
    page.wait_for_selector("#cover-file", state="attached")

    file = {"name": "mine.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    page.set_input_files("#cover-file", file)

    expect(page.locator(".facts", has_text="Cover")).to_contain_text("120 × 180 pixels, image/png")
    assert stack.ask("GET", f"/v2/books/{isbn}")["locked"] == ["cover"]


def test_a_file_that_is_no_picture_is_refused_in_words(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/book/{made_up(6)}")
    page.wait_for_selector("#cover-file", state="attached")

    file = {"name": "mine.png", "mimeType": "image/png", "buffer": b"this is no picture at all"}
    page.set_input_files("#cover-file", file)

    expect(page.get_by_role("alert").first).to_contain_text("The cover was not saved: ")


def test_a_book_that_was_never_there_can_be_imported(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/book/9780553213119")

    expect(page.get_by_role("heading", level=1)).to_have_text("Not in the library")
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_visible()


def test_a_book_shows_the_history_of_its_imports(stack: Stack, open_page: Open) -> None:
    isbn = made_up(7)
    stack.finish_import(isbn)
    page = open_page(f"{stack.url}/#/book/{isbn}")

    expect(page.locator(".history li")).to_have_count(2)
    page.locator(".history a").first.click()

    expect(page.locator(".timeline")).to_contain_text("Saved in the library.")


# ------------------------------------------------------------------ for everybody
@pytest.mark.parametrize("view", ["#/library", "#/library?q=hunger", "export", "edit", "deleted"])
def test_axe_finds_nothing_serious(
    stack: Stack, open_page: Open, request: pytest.FixtureRequest, view: str
) -> None:
    try:
        axe = read_axe(Path(request.config.cache.mkdir("axe")))
    except NoAxe as error:
        pytest.skip(str(error))
    page = open_page(stack.url, script=TIME)
    visit(page, stack, view)

    faults = faults_in_all_forms(page, axe)

    if view == "deleted":
        page.get_by_role("button", name="Undo").click()
    assert faults == []


def visit(page: Page, stack: Stack, view: str) -> None:
    where = {"export": "#/library", "edit": f"#/book/{DRACULA}", "deleted": f"#/book/{HUNGER}"}
    page.goto(f"{stack.url}/{where.get(view, view)}")
    if view == "edit":
        page.get_by_role("button", name="Edit").click()
    elif view == "deleted":
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
    elif view == "export":
        page.get_by_text("Export", exact=True).click()
        expect(page.get_by_role("button", name="Goodreads CSV")).to_be_visible()
    expect(page.locator(".tile:visible, .edit").first).to_be_visible()


def test_titles_are_never_html(stack: Stack, open_page: Open) -> None:
    title = '<img src="x" onerror="document.title=1"> & <b>Bold</b>'

    def with_markup(route: Any) -> None:
        answer = route.fetch().text().replace('"Dracula"', json.dumps(title))
        route.fulfill(body=answer, content_type="application/json")

    page = open_page(stack.url)
    page.route("**/v2/books**", with_markup)
    page.route("**/v2/books/**", with_markup)

    page.goto(f"{stack.url}/#/library?q=stoker")
    expect(page.locator(".tile-title", has_text="<b>Bold</b>").first).to_be_visible()
    page.goto(f"{stack.url}/#/book/{DRACULA}")
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(title)

    assert page.locator("main b, main img[src=x]").count() == 0
