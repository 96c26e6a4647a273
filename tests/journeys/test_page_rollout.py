"""The rollout, as somebody sees it who opens the page: browser, server, importers, all real.

Not here: the browser and its windows: page_browser.py; the other views: test_page.py.
"""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import page_stack
import pytest
from axe import NoAxe, faults_in_all_forms, read_axe, serious_faults
from page_browser import PHONE, Open, Page
from page_stack import Stack

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

HAS_LEGACY = importlib.util.find_spec("bookline.migration.legacy") is not None
with_legacy = pytest.mark.skipif(not HAS_LEGACY, reason="the legacy importer is deleted")
# A deployment whose legacy importer has been deleted.
GONE = 'import bookline.methods; bookline.methods.LEGACY_ROOM = "bookline.gone"\n'
BOOKS = ("9780451524935", "9780061120084", "9780142437247")
NOT_A_BOOK = "9780000000019"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One where a few imports of each method have ended."""
    with Stack(tmp_path_factory.mktemp("rollout")) as stack:
        if HAS_LEGACY:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda way: stack.finish_import(*way), WAYS))
        yield stack


WAYS = [(isbn, method) for isbn in (*BOOKS, NOT_A_BOOK) for method in ("workflow", "legacy")]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One without a legacy importer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_stack, "SERVE", GONE + page_stack.SERVE)
        with Stack(tmp_path_factory.mktemp("moved")) as stack:
            stack.finish_import(BOOKS[0])
            yield stack


def at(stack: Stack, **change: Any) -> dict[str, Any]:
    """The rollout as asked for, with nothing left of other tests."""
    for incident in stack.ask("GET", "/v2/rollout")["incidents"]:
        stack.ask("PUT", "/v2/rollout", {"resolve": incident["number"]})
    calm = {"killSwitch": False, "automatic": False, "reason": "a test begins", "actor": "tests"}
    data: dict[str, Any] = stack.ask("PUT", "/v2/rollout", {**calm, **change})
    return data


def rollout(stack: Stack) -> dict[str, Any]:
    data: dict[str, Any] = stack.ask("GET", "/v2/rollout")
    return data


def answer(page: Page, opener: str, button: str, reason: str = "") -> None:
    """Opens a question and says yes to it."""
    page.get_by_role("button", name=opener).click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


# ------------------------------------------------------------------ changing it
@with_legacy
def test_an_advance_is_confirmed_and_keeps_its_reason(stack: Stack, open_page: Open) -> None:
    at(stack, percent=0)
    page = open_page(f"{stack.url}/#/rollout")
    expect(page.locator(".percent")).to_have_text("0 %")

    answer(page, "Advance to 10 %", "Advance", "the testers are happy")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".percent")).to_have_text("10 %")
    expect(page.locator(".changes tbody tr").first).to_contain_text("the testers are happy")
    expect(page.locator("#announcer")).to_contain_text("Advanced to 10 percent.")
    assert rollout(stack)["reason"] == "the testers are happy"
    assert page.evaluate("document.activeElement.textContent") == "Advance to 50 %…"


@with_legacy
def test_a_refused_advance_shows_which_gate_and_by_how_much(stack: Stack, open_page: Open) -> None:
    at(stack, percent=10, incident="grey covers")
    page = open_page(f"{stack.url}/#/rollout")

    answer(page, "Advance to 50 %", "Advance")

    refusal = page.get_by_role("dialog").get_by_role("alert")
    expect(refusal).to_contain_text("Sample size: 100 missing")
    expect(refusal).to_contain_text("No open incident: 1 open")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert rollout(stack)["percent"] == 10


@with_legacy
def test_a_question_may_be_left_and_nothing_happens(stack: Stack, open_page: Open) -> None:
    before = at(stack, percent=50)
    page = open_page(f"{stack.url}/#/rollout")

    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("dialog")).to_be_hidden()
    assert rollout(stack)["history"] == before["history"]


@with_legacy
def test_a_rollback_and_the_kill_switch(stack: Stack, open_page: Open) -> None:
    at(stack, percent=50)
    page = open_page(f"{stack.url}/#/rollout")

    answer(page, "Kill switch on", "Turn on", "phones ring")
    expect(page.locator(".share-says")).to_contain_text(
        "the kill switch is on. When it is off: 50 %"
    )
    expect(page.get_by_role("button", name="Advance to")).to_be_hidden()
    answer(page, "Kill switch off", "Turn off")
    expect(page.locator(".percent")).to_have_text("50 %")
    answer(page, "Roll back", "Roll back", "still ringing")

    expect(page.locator(".share-says")).to_contain_text("all use legacy")
    expect(page.get_by_role("button", name="Roll back")).to_be_hidden()
    assert (rollout(stack)["percent"], rollout(stack)["killSwitch"]) == (0, False)


@with_legacy
def test_incidents_are_opened_and_resolved(stack: Stack, open_page: Open) -> None:
    at(stack, percent=10)
    text = '<b>grey</b> covers & "more"'
    page = open_page(f"{stack.url}/#/rollout")

    page.get_by_label("Describe the incident").fill(text)
    page.keyboard.press("Enter")

    line = page.locator(".incidents li")
    expect(line).to_contain_text(text)
    expect(page.locator('.gate[data-gate="waiting"]', has_text="No open incident")).to_be_visible()
    answer(page, "Resolve incident", "Resolve", "mended")
    expect(line).to_have_count(0)
    expect(page.locator('.gate[data-gate="passed"]', has_text="No open incident")).to_be_visible()
    assert page.locator("main b").count() == 0


@with_legacy
def test_what_others_change_appears_by_itself(stack: Stack, open_page: Open) -> None:
    at(stack, percent=10)
    page = open_page(f"{stack.url}/#/rollout")
    expect(page.locator(".percent")).to_have_text("10 %")
    page.get_by_label("Describe the incident").fill("half a sent")

    at(stack, percent=50, automatic=True)

    expect(page.locator(".percent")).to_have_text("50 %")
    expect(page.locator("#announcer")).to_contain_text(
        "50 percent of imports use the workflow now."
    )
    expect(page.locator(".share-facts")).to_contain_text("on: the gates advance it")
    expect(page.get_by_label("Describe the incident")).to_be_focused()
    expect(page.get_by_label("Describe the incident")).to_have_value("half a sent")


# ------------------------------------------------------------------ numbers
@with_legacy
def test_numbers_stand_side_by_side_with_their_curves(stack: Stack, open_page: Open) -> None:
    page = open_page(f"{stack.url}/#/rollout?window=1h")

    expect(page.locator(".figures thead")).to_contain_text("Difference")
    expect(page.locator(".figures tbody tr", has_text="Success rate")).to_contain_text("100.0 %")
    expect(page.locator(".figures tbody tr", has_text="book not found")).to_be_visible()
    picture = page.get_by_role("img", name="Workflow: half of the imports finish within")
    expect(picture).to_be_visible()
    expect(picture.locator("polyline")).to_have_count(2)
    expect(page.get_by_role("button", name="1 hour")).to_have_attribute("aria-pressed", "true")


def test_the_window_is_chosen_and_kept_in_the_address(moved: Stack, open_page: Open) -> None:
    page = open_page(f"{moved.url}/#/rollout")
    expect(page.get_by_role("button", name="24 hours")).to_have_attribute("aria-pressed", "true")

    page.get_by_role("button", name="7 days").click()

    expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="24 hours")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("location.hash") == "#/rollout?window=7d"


def test_without_legacy_everything_goes_by_the_workflow(moved: Stack, open_page: Open) -> None:
    page = open_page(f"{moved.url}/#/rollout")

    expect(page.get_by_role("heading", name="All imports use the workflow")).to_be_visible()
    expect(page.locator(".moved")).to_contain_text("no legacy importer")
    expect(page.get_by_role("heading", name="Workflow metrics")).to_be_visible()
    expect(page.locator(".curves polyline")).to_have_count(1)
    expect(page.locator(".gates, .stand-of, .incidents").first).to_be_hidden()
    expect(page.locator("main button:visible")).to_have_count(4)  # the windows


# ------------------------------------------------------------------ among the views
@with_legacy
def test_the_rollout_is_a_view_only_where_one_is_in_use(stack: Stack, open_page: Open) -> None:
    for percent, shown in ((50, 1), (100, 0)):
        at(stack, percent=percent)
        page = open_page(stack.url)
        with page.expect_response("**/v2/rollout"):
            page.reload()
        expect(page.locator("#link")).to_contain_text("connected")
        page.wait_for_timeout(100)  # so that a link that must not be there would be
        expect(page.get_by_role("link", name="Rollout")).to_have_count(shown)


# ------------------------------------------------------------------ for everybody
@pytest.fixture(params=[pytest.param("stack", marks=with_legacy), "moved"])
def either(request: pytest.FixtureRequest) -> Stack:
    stack: Stack = request.getfixturevalue(request.param)
    if request.param == "stack":
        at(stack, percent=10, incident="covers of Open Library are grey on phones")
    return stack


def show(page: Page) -> None:
    expect(page.locator(".figures tbody tr").first).to_be_visible()
    expect(page.locator(".curves")).to_be_visible()


def test_a_phone_needs_no_sideways_scroll(either: Stack, open_page: Open) -> None:
    page = open_page(f"{either.url}/#/rollout", viewport=PHONE, is_mobile=True)
    show(page)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@with_legacy
def test_the_keyboard_is_enough(stack: Stack, open_page: Open) -> None:
    at(stack, percent=0)
    page = open_page(f"{stack.url}/#/rollout")
    page.get_by_role("button", name="Advance to 10 %").focus()

    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by keys alone")
    page.keyboard.press("Enter")

    expect(page.locator(".percent")).to_have_text("10 %")
    assert rollout(stack)["reason"] == "by keys alone"


def test_axe_finds_nothing_serious(
    either: Stack, open_page: Open, request: pytest.FixtureRequest
) -> None:
    try:
        axe = read_axe(Path(request.config.cache.mkdir("axe")))
    except NoAxe as error:
        pytest.skip(str(error))
    page = open_page(f"{either.url}/#/rollout")
    show(page)

    faults = faults_in_all_forms(page, axe)
    if page.get_by_role("button", name="Advance to 50 %").is_visible():
        answer(page, "Advance to 50 %", "Advance")
        expect(page.get_by_role("alert").first).to_be_visible()
        faults += [f"dialog {one}" for one in serious_faults(page, axe)]

    assert faults == []
