"""What somebody sees who opens the page: a browser, a server and a sandbox, all of them real.

Units:    a test's own ISBN each, so that one test's faults never meet another's import.
"""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe import NoAxe, faults_in_all_forms, read_axe
from page_browser import PHONE, Open, Page
from page_stack import Stack

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

KEY = "a-key-for-the-tests"


# ------------------------------------------------------------------ what stands ready
@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that asks for a key and lets five imports begin in a minute."""
    folder = tmp_path_factory.mktemp("guarded")
    with Stack(folder, API_KEYS=KEY, RATE_LIMIT_START="5/minute") as stack:
        yield stack


def begin(page: Page, text: str, source: str = "auto") -> None:
    page.select_option("#source", source)
    page.fill("#isbns", text)
    page.press("#isbns", "Enter")


def card_of(page: Page, isbn: str) -> Any:
    return page.locator(f'.card[data-job^="import-{isbn}-"]')


def seqs(page: Page) -> list[int]:
    found: list[int] = page.eval_on_selector_all(
        ".timeline li", "lines => lines.map(line => Number(line.dataset.seq))"
    )
    return found


# ------------------------------------------------------------------ importing
def test_an_import_is_watched_to_its_end(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)

    begin(page, "978-0-14-243724-7")

    card = card_of(page, "9780142437247")
    expect(card).to_have_attribute("data-status", "completed")
    expect(card.locator(".title")).to_have_text("Moby-Dick")
    expect(card.locator(".by")).to_have_text("Herman Melville")
    expect(card.locator('.step[data-state="done"]')).to_have_count(4)
    expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(card.locator(".cover.has-picture img")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Moby-Dick by Herman Melville: saved.")
    expect(page.locator("#link")).to_have_text(re.compile("connected"))


def test_a_retry_counts_down_in_sight(stack: Stack, open_page: Open) -> None:
    stack.fault(isbn="9780743273565", route="openlibrary", kind="503", times=3)
    page = open_page(stack.url)

    begin(page, "9780743273565", "openlibrary")

    card = card_of(page, "9780743273565")
    expect(card.locator(".say")).to_have_text(
        re.compile(r"Metadata: Open Library answered 503\. Retry \d of 3 in \d s")
    )
    expect(card.locator('.step[title="fetch-metadata"]')).to_have_attribute(
        "data-state", "retrying"
    )
    expect(card).to_have_attribute("data-status", "completed")


def test_of_three_pasted_the_bad_one_is_told_and_the_others_run(
    stack: Stack, open_page: Open
) -> None:
    page = open_page(stack.url)
    page.fill("#isbns", "0679783261, 9780618346258\n978 0 439 02348 1")
    expect(page.locator("#isbns-hint")).to_contain_text("the last one should be 7")

    page.click("#start-button")

    expect(card_of(page, "9780679783268")).to_have_attribute("data-status", "completed")
    expect(card_of(page, "9780439023481")).to_have_attribute("data-status", "completed")
    expect(page.locator("#refused li")).to_have_count(1)
    expect(page.locator("#refused li")).to_contain_text("9780618346258 was not started")
    expect(page.locator(".card")).to_have_count(2)


def test_a_server_that_dies_and_returns_loses_and_doubles_nothing(
    tmp_path: Path, open_page: Open
) -> None:
    isbn = "9780451524935"
    with Stack(tmp_path) as stack:
        stack.fault(isbn=isbn, route="openlibrary", kind="429", retry_after=2, times=1)
        page = open_page(stack.url)
        begin(page, isbn, "openlibrary")
        expect(card_of(page, isbn).locator(".say")).to_contain_text("Retry 1")

        stack.kill_server()
        expect(page.locator("#link")).to_contain_text("reconnecting")
        stack.start_server()

        expect(page.locator("#link")).to_have_text(re.compile("connected"))
        expect(card_of(page, isbn)).to_have_attribute("data-status", "completed")
        card_of(page, isbn).get_by_role("link", name="Details").click()
        expect(page.locator(".timeline")).to_contain_text("Saved in the library.")
        story = seqs(page)
        assert story == list(range(1, len(story) + 1))
        assert len(story) >= 6


def test_where_sockets_do_not_get_through_the_story_still_comes(
    stack: Stack, open_page: Open
) -> None:
    no_socket = """
        window.WebSocket = class extends WebSocket {
            constructor(url, protocols) { super(url.replace("/ws/", "/nowhere/"), protocols); }
        };
    """
    page = open_page(stack.url, script=no_socket)

    begin(page, "9780316769174 9780385333849 9780804139021 9780141439471")

    expect(page.locator('.card[data-status="completed"]')).to_have_count(4)
    expect(page.locator("#link")).to_have_text(re.compile("connected"))


def test_a_page_opened_anew_shows_what_runs_and_can_cancel_it(
    stack: Stack, open_page: Open
) -> None:
    isbn = "9780812550702"
    stack.fault(isbn=isbn, kind="429", retry_after=8, times=3)
    stack.start_import(isbn)
    page = open_page(stack.url)
    card = card_of(page, isbn)
    expect(card.locator(".say")).to_contain_text("the source is rate limiting us. Retry 1")

    card.get_by_role("button", name="Cancel").click()

    expect(card).to_have_attribute("data-status", "cancelled")
    expect(card.locator(".stamp")).to_have_text("Cancelled")
    expect(card.get_by_role("button", name="Cancel")).to_be_hidden()


def test_a_provider_that_does_not_answer_is_told_while_imports_wait(
    tmp_path: Path, open_page: Open
) -> None:
    """At last in a stack of its own: what waits there would wait in the others, too."""
    with Stack(tmp_path) as stack:
        stack.fault(route="openlibrary", kind="503", times=None)
        for isbn in stack.make(60):
            stack.start_import(isbn, source="openlibrary")

        page = open_page(stack.url)

        line = page.locator("#outage")
        expect(line).to_have_text("Open Library is not answering; imports wait.", timeout=40_000)


def test_a_failed_import_says_why_and_can_be_tried_again(stack: Stack, open_page: Open) -> None:
    isbn = "9780140283334"
    stack.fault(isbn=isbn, route="openlibrary", kind="not_found", times=2)
    page = open_page(stack.url)
    begin(page, isbn, "openlibrary")
    card = card_of(page, isbn)
    expect(card.locator(".say")).to_contain_text("no source has this book")

    card.get_by_role("button", name="Retry").click()

    expect(card).to_have_attribute("data-status", "completed")
    card.get_by_role("link", name="Details").click()
    expect(page.locator(".timeline")).to_contain_text("Retried on request.")
    expect(page.locator(".timeline")).to_contain_text("Saved in the library.")
    story = seqs(page)
    assert story == list(range(1, len(story) + 1))


def test_a_limit_is_waited_out_in_sight(guarded: Stack, open_page: Open) -> None:
    page = open_page(guarded.url, script=f'sessionStorage.setItem("bookline.key", "{KEY}")')

    begin(
        page,
        "9780385333849 9780804139021 9780060929879 9780439023481 9780618346257 9780316769174",
    )

    expect(page.locator("#queue")).to_contain_text(
        re.compile(r"waiting: rate limit reached, next in \d")
    )
    expect(page.locator('.card[data-status="completed"]')).to_have_count(6)
    expect(page.locator("#queue")).to_be_hidden()


def test_a_server_that_takes_nothing_for_now_says_why_and_is_asked_again(
    stack: Stack, open_page: Open
) -> None:
    page = open_page(stack.url)
    error = {"code": "UNAVAILABLE", "message": "journal.db: disk is full", "retryable": True}
    full = {"success": False, "data": None, "error": error, "metadata": {}}
    page.route(
        "**/v2/import/workflow",
        lambda route: route.fulfill(status=503, json=full, headers={"Retry-After": "1"}),
        times=1,
    )

    begin(page, "9780141439518")

    expect(page.locator("#queue")).to_contain_text(
        re.compile(r"1 import waiting: journal\.db: disk is full; retrying in \d s")
    )
    expect(card_of(page, "9780141439518")).to_be_visible()
    expect(page.locator("#queue")).to_be_hidden()


# ------------------------------------------------------------------ the key
def test_a_guarded_server_is_opened_with_a_key(guarded: Stack, open_page: Open) -> None:
    isbn = "9780307347978"
    page = open_page(guarded.url)
    dialog = page.get_by_role("dialog", name="API key required")
    expect(dialog).to_be_visible()
    page.fill("#key", "a wrong one")
    page.press("#key", "Enter")
    expect(page.locator("#key-fault")).to_have_text("The server does not accept this key.")

    page.fill("#key", KEY)
    page.press("#key", "Enter")

    expect(dialog).to_be_hidden()
    begin(page, isbn)
    expect(card_of(page, isbn)).to_have_attribute("data-status", "completed")
    expect(card_of(page, isbn).locator(".cover.has-picture img")).to_be_visible()
    card_of(page, isbn).get_by_role("link", name="Details").click()
    page.reload()  # the job's token is gone: now its story is read with the key
    expect(page.locator(".timeline li")).to_have_count(5)
    expect(page.locator("#link")).to_have_text(re.compile("connected"))


# ------------------------------------------------------------------ library and jobs
SHELF = ("9780439023481", "9780393970128", "9780060929879")


@pytest.fixture(scope="module")
def shelf(stack: Stack) -> Stack:
    """A library with a few books, and a job that failed."""
    for isbn in SHELF:
        stack.finish_import(isbn)
    stack.finish_import("9780306406157")
    return stack


def test_jobs_are_listed_filtered_and_tell_their_story(shelf: Stack, open_page: Open) -> None:
    page = open_page(f"{shelf.url}/#/jobs")
    expect(page.locator(".jobs tbody tr", has_text="Dracula").first).to_contain_text("Saved")

    page.get_by_role("link", name="Failed").click()

    expect(page.locator(".jobs tbody tr").first).to_contain_text("9780306406157")
    expect(page.locator('.jobs tbody tr:not([data-status="failed"])')).to_have_count(0)
    page.locator(".jobs tbody tr a").first.click()
    expect(page.locator(".timeline li").last).to_contain_text("no source has this book")
    assert seqs(page) == [1, 2]


def test_imports_of_an_earlier_visit_are_listed(shelf: Stack, open_page: Open) -> None:
    page = open_page(shelf.url)

    line = page.locator("#recent-list li", has_text="Dracula").first
    expect(line).to_contain_text("Saved")
    line.get_by_role("link").click()

    expect(page.locator(".timeline")).to_contain_text("Saved in the library.")


def test_a_job_tells_where_its_time_went_and_gives_its_events(
    stack: Stack, open_page: Open
) -> None:
    isbn = "9780375831003"
    stack.fault(isbn=isbn, route="openlibrary", kind="503", times=2)
    stack.finish_import(isbn, source="openlibrary")
    page = open_page(f"{stack.url}/#/jobs")
    page.locator(".jobs tbody tr", has_text=isbn).first.get_by_role("link").click()
    row = page.locator(".waterfall tbody tr", has_text="Metadata")
    expect(row.locator("[data-kind=ok]")).to_have_count(1)

    assert row.locator("[data-kind=failed]").count() == 1
    assert row.locator("[data-kind=wait]").count() == 1
    expect(row.locator("td[data-label=Tries]")).to_have_text("2")
    expect(row.locator("td[data-label=Waited]")).to_have_text(re.compile(r"^[1-9]\d*(\.\d+)? s$"))
    names = page.locator(".waterfall tbody th").all_text_contents()
    assert names == ["Queue", "Metadata", "Cover", "Embedding", "Save"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Download events").click()
    events = json.loads(Path(download.value.path()).read_text())
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[1]["type"] == "workflow_retry"


def test_more_than_eight_imports_are_one_line_each(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    begin(page, " ".join(NINE[:8]))
    expect(page.locator('.card[data-status="completed"]')).to_have_count(8)
    expect(page.locator("#cards")).not_to_have_class(re.compile("is-compact"))

    begin(page, NINE[8])

    expect(page.locator('.card[data-status="completed"]')).to_have_count(9)
    expect(page.locator("#cards")).to_have_class(re.compile("is-compact"))
    heights = page.eval_on_selector_all(".card", "cards => cards.map(card => card.offsetHeight)")
    assert max(heights) < 70


NINE = (
    *("9780142437247", "9780743273565", "9780679783268", "9780618260300", "9780439023481"),
    *("9780316769174", "9780345391803", "9780812550702", "9780385333849"),
)
PASTED = "\n".join(
    f'{number},"A very long title that nobody ever shortened, volume {number}",Some Body,,'
    f'Another Body,"=""0142437247""","=""9780142437247""",5,4.1,A Publisher of Books,Paperback'
    for number in range(40)
)


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_a_long_pasted_text_stays_in_its_box(stack: Stack, open_page: Open, width: int) -> None:
    page = open_page(stack.url, viewport={"width": width, "height": 740})

    page.fill("#isbns", PASTED)
    expect(page.get_by_role("button", name=re.compile(r"Import \d+ row"))).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#isbns").bounding_box()
    assert box["x"] + box["width"] <= width
    assert box["height"] < 300


def test_a_long_title_stays_in_its_box(stack: Stack, open_page: Open) -> None:
    isbn = "9780441172719"
    title = "An Extraordinarily Long Title " * 12 + "W" * 80
    stack.add_book({"isbn13": isbn, "title": title, "authors": ["An Author of Many Names " * 8]})
    page = open_page(stack.url, viewport={"width": 320, "height": 740})

    begin(page, isbn)

    expect(card_of(page, isbn)).to_have_attribute("data-status", "completed")
    assert card_of(page, isbn).bounding_box()["height"] < 420
    for view in ("#/", "#/library", f"#/book/{isbn}", "#/jobs"):
        page.goto(f"{stack.url}/{view}")
        expect(page.locator("main", has_text="An Extraordinarily")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view


def test_the_reference_opens_with_the_key(guarded: Stack, open_page: Open) -> None:
    page = open_page(guarded.url, script=f'sessionStorage.setItem("bookline.key", "{KEY}")')

    page.get_by_role("link", name="API reference").click()

    expect(page.get_by_text("POST /v2/import/workflow", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="openapi.json").click()
    assert "/v2/import/workflow" in json.loads(Path(download.value.path()).read_text())["paths"]


VIEWS = (
    "#/",
    "#/library",
    "#/book/9780393970128",
    "#/jobs",
    "#/job/",
    "#/api",
)


def visit(page: Page, stack: Stack, view: str) -> None:
    """A view with all that it has on it."""
    if view == "#/job/":
        page.goto(f"{stack.url}/#/jobs")
        page.locator(".jobs tbody tr a").first.click()
        expect(page.locator(".timeline li").first).to_be_visible()
        return
    page.goto(f"{stack.url}/{view}")
    if view == "#/":
        begin(page, "9780393970128 12345")
        expect(page.locator('.card[data-status="completed"]').first).to_be_visible()
        expect(page.locator("#refused li")).to_be_visible()
    elif view == "#/api":
        expect(page.get_by_text("POST /v2/import/workflow", exact=True)).to_be_visible()
    else:
        expect(page.locator("h1:visible")).not_to_have_text("Book")
        expect(page.locator(".tile, .facts, .jobs tbody tr").first).to_be_visible()


def test_a_phone_needs_no_sideways_scroll(shelf: Stack, open_page: Open) -> None:
    page = open_page(shelf.url, viewport=PHONE, is_mobile=True)

    for view in VIEWS:
        visit(page, shelf, view)

        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], view


def test_the_dark_is_dark(stack: Stack, open_page: Open) -> None:
    lights = {}
    for scheme in ("light", "dark"):
        page = open_page(stack.url, color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lights[scheme] = sum(map(int, re.findall(r"\d+", colour)[:3]))

    assert lights["dark"] < 150 < 600 < lights["light"]


def test_the_keyboard_reaches_everything_in_order(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    page.wait_for_selector("#link[data-state=connected]")
    reached = []

    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(({id, textContent}) => id || textContent)(document.activeElement)")
        )

    assert reached[:5] == ["skip", "Bookline", "Import", "Library", "Jobs"]
    assert reached[5:9] == ["isbns", "file", "source", "start-button"]


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(
    shelf: Stack, open_page: Open, request: pytest.FixtureRequest, view: str
) -> None:
    try:
        axe = read_axe(Path(request.config.cache.mkdir("axe")))
    except NoAxe as error:
        pytest.skip(str(error))
    page = open_page(shelf.url)
    visit(page, shelf, view)

    assert faults_in_all_forms(page, axe) == []


def test_axe_finds_nothing_serious_where_a_key_is_asked_for(
    guarded: Stack, open_page: Open, request: pytest.FixtureRequest
) -> None:
    try:
        axe = read_axe(Path(request.config.cache.mkdir("axe")))
    except NoAxe as error:
        pytest.skip(str(error))
    page = open_page(guarded.url)
    expect(page.get_by_role("dialog", name="API key required")).to_be_visible()

    assert faults_in_all_forms(page, axe) == []


def test_nothing_comes_from_another_host(stack: Stack, open_page: Open) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(stack.url)
    page.wait_for_selector("#link[data-state=connected]")

    assert [url for url in asked if not url.startswith(stack.url)] == []
    with urllib.request.urlopen(stack.url) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert json.dumps(asked).count("/page/client.js") == 1
