"""Whole libraries on the page: a file or a list, its preview, one bar, reviews and failures."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe import NoAxe, faults_in_all_forms, read_axe
from page_browser import PHONE, Open, Page
from page_stack import Stack

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect

KNOWN = (
    *("9780142437247", "9780743273565", "9780679783268", "9780618260300", "9780439023481"),
    *("9780316769174", "9780345391803", "9780812550702", "9780140283334", "9780385333849"),
)
UNKNOWN = "9780306406157"
TWINS = "A Book With a Twin"
WATCH_ROWS = """
    globalThis.portions = [];
    globalThis.changes = 0;
    new MutationObserver((records) => {
        const rows = records.flatMap((record) => [...record.addedNodes])
            .filter((node) => node.matches?.(".items > li"));
        if (rows.length) portions.push(rows.length);
        const isWithin = ({target}) => target.parentElement?.closest(".items > li");
        changes += records.filter(isWithin).length;
    }).observe(document, {childList: true, subtree: true, characterData: true, attributes: true});
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One whose providers know two books of one title: nobody can say which is meant."""
    with Stack(tmp_path_factory.mktemp("batches")) as stack:
        for isbn, author in (("9780000000019", "Ann Author"), ("9780000000026", "Ann Other")):
            stack.add_book({"isbn13": isbn, "title": TWINS, "authors": [author]})
        yield stack


def table(*rows: tuple[str, str, str], reviews: int = 0) -> bytes:
    """A CSV file of (ISBN, title, author)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("ISBN", "Title", "Author"))
    writer.writerows(rows)
    writer.writerows([("", TWINS, "Ann")] * reviews)
    return out.getvalue().encode()


def drop(page: Page, data: bytes, name: str = "my books.csv") -> None:
    """A file that falls from the desktop onto the window."""
    transfer = page.evaluate_handle(
        """([text, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: "text/csv"}));
            return transfer;
        }""",
        [data.decode(), name],
    )
    page.dispatch_event("#start", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#start", "drop", {"dataTransfer": transfer})


def import_file(page: Page, data: bytes) -> None:
    drop(page, data)
    page.get_by_role("button", name=re.compile(r"Import \d+ row")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("my books.csv")


# ------------------------------------------------------------------ before it starts
def test_a_dropped_file_is_told_of_before_anything_starts(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    rows = [(isbn, f"Title {isbn}", "Somebody") for isbn in KNOWN[:3]]

    drop(page, table(*rows, rows[0], ("", "Dracula", "Bram Stoker")))

    panel = page.get_by_role("region", name="my books.csv")
    expect(panel).to_contain_text(re.compile("Rows.*5.*With ISBN.*4.*Without ISBN.*1.*Duplicates"))
    expect(panel.locator(".sample li")).to_have_count(5)
    expect(page.get_by_role("button", name="Import 5 rows")).to_be_enabled()
    expect(page.get_by_role("button", name="Import 5 rows")).to_be_in_viewport(ratio=0.9)
    assert stack.ask("GET", "/v2/import/batches")["total"] == 0
    page.get_by_role("button", name="Discard").click()
    expect(panel).to_be_hidden()
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_enabled()


def test_a_file_that_cannot_be_read_says_why(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)

    file = {"name": "a.zip", "mimeType": "application/zip", "buffer": b"PK\x03\x04" + bytes(100)}
    page.set_input_files("#file", file)

    expect(page.locator(".preview [role=alert]")).not_to_be_empty()
    expect(page.locator("#start-button")).to_be_disabled()
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#start-button")).to_be_enabled()


def test_a_pasted_export_stays_out_of_the_field_and_is_previewed(
    stack: Stack, open_page: Open
) -> None:
    page = open_page(stack.url)
    rows = [(isbn, "A title that is long, and then longer", "Somebody") for isbn in KNOWN] * 8

    page.focus("#isbns")
    page.evaluate(
        """text => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            const options = {clipboardData, bubbles: true, cancelable: true};
            document.activeElement.dispatchEvent(new ClipboardEvent("paste", options));
        }""",
        table(*rows).decode(),
    )

    expect(page.get_by_role("button", name="Import 80 rows")).to_be_visible()
    expect(page.locator("#isbns")).to_have_value("")


# ------------------------------------------------------------------ while it runs
def test_a_list_becomes_a_batch_that_the_tab_may_leave(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    page.fill("#isbns", "\n".join(KNOWN))
    page.get_by_role("button", name="Import 10 rows").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pasted list")
    page.close()

    again = open_page(stack.url)

    line = again.locator("#batches-list li").first
    expect(line).to_contain_text("10 of 10 in the library")
    expect(line.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(again.locator(".card")).to_have_count(0)
    line.get_by_role("link").click()
    expect(again.locator(".items li")).to_have_count(10)
    again.locator(".items li a", has_text="Moby-Dick").click()
    expect(again.get_by_role("heading", level=1)).to_have_text("Moby-Dick")


def test_failures_come_first_and_are_retried_and_downloaded(stack: Stack, open_page: Open) -> None:
    stack.fault(isbn=UNKNOWN, kind="not_found", times=None)
    page = open_page(stack.url)

    import_file(page, table((KNOWN[0], "Moby-Dick", "Melville"), (UNKNOWN, "Nowhere", "Nobody")))

    expect(page.locator(".batch-text")).to_contain_text("1 of 2 in the library · 1 failed")
    failed = page.get_by_role("region", name="Failed")
    expect(failed.locator("li")).to_have_count(1)
    expect(failed).to_contain_text("Nowhere")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download rows not imported").click()
    kept = list(csv.reader(Path(download.value.path()).read_text("utf-8-sig").splitlines()))
    assert kept[1][:3] == [UNKNOWN, "Nowhere", "Nobody"]
    with page.expect_response("**/retry") as answer:
        page.get_by_role("button", name="Retry 1 failed import").click()
    assert answer.value.status == 202
    expect(page.locator(".batch-text")).to_contain_text("1 of 2 in the library · 1 failed")


def test_a_batch_is_cancelled_by_a_second_press(tmp_path: Path, open_page: Open) -> None:
    with Stack(tmp_path, latency_ms=1_500) as stack:
        page = open_page(stack.url)
        import_file(page, table(*[(isbn, "", "") for isbn in KNOWN]))
        other = open_page(stack.url)
        expect(other.locator("#cards-none")).to_have_text("No other imports in progress.")

        page.get_by_role("button", name="Cancel batch").click()
        page.get_by_role("button", name=re.compile(r"Cancel \d+ imports\?")).click()

        expect(page.locator(".batch-text")).to_contain_text("Cancelled: ")
        expect(page.get_by_role("button", name=re.compile("Cancel"))).to_be_hidden()
        expect(other.locator("#cards-none")).to_have_text("No imports in progress.")


def test_rows_are_drawn_in_portions_and_left_alone_while_nothing_changes(
    stack: Stack, open_page: Open
) -> None:
    """Each portion is a task of its own, so that a long list does not hold up the window."""
    rows = [(isbn, "", "") for isbn in KNOWN] * 8
    begun = stack.ask("POST", "/v2/import/batch", {"items": [isbn for isbn, *_ in rows]})
    address = f"{stack.url}/#/batch/{begun['batchId']}"
    page = open_page(address, script=WATCH_ROWS)
    expect(page.locator(".batch-text")).to_contain_text("80 of 80 in the library")
    page.reload()
    expect(page.locator(".items li")).to_have_count(50)
    portions = page.evaluate("portions")
    page.evaluate("portions.length = 0; changes = 0")

    with page.expect_response("**/items?*") as answer:
        page.get_by_role("button", name="More items").click()
    expect(page.locator(".items li")).to_have_count(80)

    assert sum(portions) == 50
    assert max(portions) <= 25
    assert len(answer.value.json()["data"]["items"]) == 30
    numbers = page.locator(".item-number").all_text_contents()
    assert numbers == [str(number) for number in range(1, 81)]
    page.evaluate("changes = 0")
    with page.expect_response(f"**/batch/{begun['batchId']}"):
        pass
    assert page.evaluate("changes") == 0


def test_a_batch_or_job_that_is_not_there_is_told_in_a_sentence(
    stack: Stack, open_page: Open
) -> None:
    page = open_page(f"{stack.url}/#/batch/batch-1-none")
    expect(page.locator("#view .note").first).to_have_text("There is no batch batch-1-none.")

    page.goto(f"{stack.url}/#/job/none")

    expect(page.locator("#view .note").first).to_have_text(re.compile("There is no job none"))


# ------------------------------------------------------------------ reviews
def test_reviews_are_answered_by_one_key_each(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    import_file(page, table(reviews=3))
    expect(page.locator(".review")).to_have_count(3)
    second = page.locator(".review").first.locator('[data-key="2"] .number').text_content()

    page.keyboard.press("2")

    expect(page.locator(".review")).to_have_count(2)
    page.keyboard.press("s")
    expect(page.locator(".review")).to_have_count(1)
    expect(page.locator(".review button").first).to_be_focused()
    page.get_by_label("Another ISBN").fill(KNOWN[0])
    page.keyboard.press("1")
    page.get_by_label("Another ISBN").fill(KNOWN[0])
    page.keyboard.press("Enter")
    expect(page.locator(".review")).to_have_count(0)
    expect(page.locator(".batch-text")).to_contain_text("2 of 3 in the library")
    batch = page.evaluate("location.hash").removeprefix("#/batch/")
    items = stack.ask("GET", f"/v2/import/batch/{batch}/items")["items"]
    assert [item["isbn"] for item in items] == [second.split(" ")[0], None, KNOWN[0]]
    assert items[1]["state"] == "skipped"


def test_a_review_is_answered_by_one_click(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url, viewport=PHONE, is_mobile=True, has_touch=True)
    import_file(page, table(reviews=1))

    page.locator(".candidate").first.tap()

    expect(page.locator(".batch-text")).to_contain_text("1 of 1 in the library")
    expect(page.get_by_role("region", name="To review")).to_be_hidden()


def test_reviews_show_their_candidates_covers_and_ask_no_provider(
    stack: Stack, open_page: Open
) -> None:
    page = open_page(stack.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    import_file(page, table(reviews=1))

    pictures = page.locator(".candidate .has-picture img")

    expect(pictures).to_have_count(2)
    expect(page.locator(".review")).to_contain_text(f"{TWINS}by Ann")
    assert all(pictures.evaluate_all("all => all.map(one => one.naturalWidth > 1)"))
    assert all(url.startswith((stack.url, "data:", "blob:", "ws:")) for url in asked), asked


# ------------------------------------------------------------------ the camera
SCANNER = f"""
    globalThis.BarcodeDetector = class {{
        static async getSupportedFormats() {{ return ["ean_13"]; }}
        async detect() {{ return [{{rawValue: "{KNOWN[3]}"}}, {{rawValue: "4006381333931"}}]; }}
    }};
    const screen = document.createElement("canvas");
    navigator.mediaDevices.getUserMedia = async () => screen.captureStream();
"""


def test_a_barcode_is_scanned_once_and_imported(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url, script=SCANNER)

    page.get_by_role("button", name="Scan a barcode").click()

    expect(page.locator(".scanned li")).to_have_text([KNOWN[3]])
    page.get_by_role("button", name="Done").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_have_attribute("data-status", "completed")
    expect(page.get_by_role("button", name="Scan a barcode")).to_be_focused()


def test_where_barcodes_cannot_be_read_nothing_is_offered(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url, script="delete globalThis.BarcodeDetector")

    expect(page.locator("#link")).to_contain_text("connected")
    expect(page.get_by_role("button", name="Scan a barcode")).to_be_hidden()


# ------------------------------------------------------------------ for everybody
def test_what_a_file_says_is_never_html(stack: Stack, open_page: Open) -> None:
    page = open_page(stack.url)
    title = '<img src="x" onerror="document.title=1"> <b>Bold</b>'

    drop(page, table((UNKNOWN, title, "<i>Me</i>")), "<b>file</b>.csv")

    expect(page.locator(".preview")).to_contain_text("<b>Bold</b>")
    page.get_by_role("button", name="Import 1 row").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>file</b>.csv")
    expect(page.locator(".items").last).to_contain_text("<b>Bold</b>")
    assert page.locator("main b, main i, main img[src=x]").count() == 0


def test_axe_finds_nothing_serious(
    stack: Stack, open_page: Open, request: pytest.FixtureRequest
) -> None:
    try:
        axe = read_axe(Path(request.config.cache.mkdir("axe")))
    except NoAxe as error:
        pytest.skip(str(error))
    page = open_page(stack.url, script=SCANNER)
    faults: dict[str, list[str]] = {}

    def look(name: str) -> None:
        faults[name] = faults_in_all_forms(page, axe)

    page.get_by_role("button", name="Scan a barcode").click()
    expect(page.locator(".scanned li")).to_have_count(1)
    look("scan")
    page.get_by_role("button", name="Done").click()
    rows = [(KNOWN[0], "A", "B"), (UNKNOWN, "W" * 300, "Nobody " * 60), ("123", "No ISBN", "")]
    drop(page, table(*rows, reviews=2))
    expect(page.locator(".sample li").first).to_be_visible()
    look("preview")
    page.get_by_role("button", name=re.compile("Import")).click()
    expect(page.locator(".review")).to_have_count(2)
    expect(page.locator(".batch-text")).to_contain_text("Finished")
    look("batch")

    assert faults == {"scan": [], "preview": [], "batch": []}


def test_the_start_page_and_its_files_are_small(stack: Stack, open_page: Open) -> None:
    page = open_page("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[int] = []
    session.on("Network.loadingFinished", lambda done: sizes.append(done["encodedDataLength"]))

    page.goto(stack.url)
    expect(page.locator("#link")).to_contain_text("connected")

    assert len(sizes) > 10
    assert sum(sizes) < 300_000, json.dumps(sizes)
