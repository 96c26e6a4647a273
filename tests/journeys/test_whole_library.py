"""A whole library in each format, by command and on the page: nothing is lost, whatever is killed.

Way:      made_up_library.py → an import, two kills of the server, reviews by the keyboard, exports
Rule 1:   what the library must hold is what the rows were made of, not what Bookline read.
"""

import csv
import io
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_browser import Open
from page_stack import Stack
from test_cli import Done, Run, process, run_in

from made_up_library import (
    EXPORTS,
    ROWS,
    TWICE,
    UNKNOWN,
    UNSURE,
    Export,
    Row,
    books_of,
    rows_for,
)

DONE_SECONDS = 120.0
KILLED_AT = (60, 180)
"""How many rows have ended when the server is killed."""
SAID = ("My Rating", "Date Read", "Date Started", "Date Added", "My Review", "Private Notes")


FORMATS = [
    pytest.param(name, marks=() if name == "goodreads" else pytest.mark.slow) for name in EXPORTS
]
"""Each as a test of its own; only one of them is for every day."""


@pytest.mark.parametrize("name", FORMATS)
def test_a_library_arrives_by_command_with_all_that_its_reader_said(
    name: str, tmp_path: Path
) -> None:
    export, rows = EXPORTS[name], rows_for(EXPORTS[name])
    file = tmp_path / "library"
    file.write_text(export.write(rows), "utf-8", newline="")
    reviews = UNSURE if export.asks else 0
    with library_stack(tmp_path, rows) as stack:
        cli = run_in(environment(stack), tmp_path)
        preview = json.loads(cli("import", "--file", str(file), "--preview", "--json").stdout)

        done = import_through_kills(stack, file)
        batch = only_batch(stack)
        reviewed = cli("review", batch["batchId"], given="1\n" * reviews)
        watched = cli("batch", batch["batchId"], "watch")

        check_preview(export, preview)
        check_counts(batch, reviews)
        check_library(stack, export, rows)
        exported = cli("export", "--format", "goodreads").stdout
        check_own_exports(cli, export, rows)
    assert (done.returncode, done.stdout.count("BOOK_NOT_FOUND")) == (1, UNKNOWN), done.stderr
    assert len(re.findall(r"\bREVIEW\b", done.stdout)) == reviews
    assert reviewed.returncode == 0, reviewed.stderr
    assert f"{UNKNOWN} failed" in watched.stderr
    if export.name == "goodreads":
        check_goes_round(file.read_text("utf-8"), exported, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["goodreads", "storygraph", "librarything-json"])
def test_a_library_arrives_on_the_page_with_all_that_its_reader_said(
    name: str, tmp_path: Path, open_page: Open
) -> None:
    export, rows = EXPORTS[name], rows_for(EXPORTS[name])
    given = export.write(rows)
    with library_stack(tmp_path, rows) as stack:
        page = open_page(stack.url)
        expect = pytest.importorskip("playwright.sync_api").expect
        file = {"name": "my library", "mimeType": "text/plain", "buffer": given.encode()}

        page.set_input_files("#file", file)
        page.get_by_role("button", name=f"Import {ROWS} rows").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("my library")
        kill_twice(stack)
        wait_for(stack, ROWS)
        expect(page.locator(".batch-text")).to_contain_text("Finished")
        check_counts(only_batch(stack), UNSURE)
        for left in range(UNSURE, 0, -1):
            expect(page.get_by_role("region", name=f"To review: {left}")).to_be_visible()
            expect(page.locator(".review").first).to_be_visible()
            page.keyboard.press("1")
        expect(page.locator(".batch-text")).to_contain_text(f"{ROWS - UNKNOWN} of {ROWS} in the")
        page.get_by_role("link", name="Library").click()
        expect(page.locator("#shelf-note")).to_contain_text(f"{ROWS - TWICE - UNKNOWN} books")
        page.get_by_text("Export", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Goodreads CSV").click()
        exported = Path(download.value.path()).read_text("utf-8")

        check_library(stack, export, rows)
    if export.name == "goodreads":
        check_goes_round(given, exported, rows)


# ------------------------------------------------------------------ what is done
@contextmanager
def library_stack(folder: Path, rows: list[Row]) -> Iterator[Stack]:
    """A server whose providers know the books of these rows."""
    with Stack(folder) as stack:
        for book in books_of(rows):
            stack.add_book(book)
        yield stack


def environment(stack: Stack) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    port = stack.url.rpartition(":")[2]
    return {**clean, "BOOKLINE_DATA_DIR": str(stack.folder / "mine"), "BOOKLINE_PORT": port}


def import_through_kills(stack: Stack, file: Path) -> Done:
    """The command from its start to its end, while the server dies twice."""
    with process(["import", "--file", str(file)], environment(stack), stack.folder) as importing:
        kill_twice(stack)
        return Done([], *importing.rest())


def kill_twice(stack: Stack) -> None:
    for least in KILLED_AT:
        wait_for(stack, least)
        stack.kill_server()
        stack.start_server()


def wait_for(stack: Stack, least: int) -> None:
    """Until so many rows have ended. Raises: TimeoutError."""
    end = time.monotonic() + DONE_SECONDS
    while time.monotonic() < end:
        for batch in stack.ask("GET", "/v2/import/batches")["items"]:
            counts = batch["counts"]
            if counts["total"] - counts["queued"] - counts["running"] >= least:
                return
        time.sleep(0.02)
    raise TimeoutError(least)


def only_batch(stack: Stack) -> dict[str, Any]:
    [batch] = stack.ask("GET", "/v2/import/batches")["items"]
    found: dict[str, Any] = batch
    return found


# ------------------------------------------------------------------ what must hold
def check_preview(export: Export, preview: dict[str, Any]) -> None:
    assert (preview["format"], preview["rows"]) == (export.name, ROWS)
    assert preview["refusedCount"] == 0


def check_counts(batch: dict[str, Any], reviews: int) -> None:
    """Each row is one item, in the state that it must be in."""
    counts = batch["counts"]
    arrived = counts["completed"] + counts["completedWithWarnings"] + counts["alreadyThere"]
    assert (counts["total"], counts["review"], counts["failed"]) == (ROWS, reviews, UNKNOWN)
    assert arrived == ROWS - reviews - UNKNOWN


def check_library(stack: Stack, export: Export, rows: list[Row]) -> None:
    """Row by row the book that is meant and what its reader says of it; each book once."""
    items = all_of(stack, f"/v2/import/batch/{only_batch(stack)['batchId']}/items")
    assert [item["index"] for item in items] == list(range(ROWS))
    for row, item in zip(rows, items, strict=True):
        assert (item["reading"] or dict.fromkeys(row.reading)) == export.expected(row), row
        if not row.is_known:
            assert item["error"]["code"] == "BOOK_NOT_FOUND"
        elif row.is_sure:
            assert item["isbn"] == row.isbn, (row, item)
        else:
            assert item["isbn"] in {one["isbn"] for one in item["candidates"]}, (row, item)
    check_readings(export, rows, all_of(stack, "/v2/books"))


def check_readings(export: Export, rows: list[Row], books: list[dict[str, Any]]) -> None:
    by_title = {book["title"]: book for book in books}
    known = {row.title: row for row in rows if row.is_known}
    assert len(books) == len(by_title)
    assert by_title.keys() == known.keys()
    for title, row in known.items():
        said = by_title[title]["reading"] or dict.fromkeys(row.reading)
        assert said == export.expected(row), row


def check_own_exports(cli: Run, export: Export, rows: list[Row]) -> None:
    """The library as JSON, and as a table whose guarded cells are read as what they were."""
    check_readings(export, rows, json.loads(cli("export", "--format", "json").stdout))
    table = csv.DictReader(io.StringIO(cli("export", "--format", "csv").stdout))
    reviews = {row["title"]: unguarded(row["review"]) for row in table}
    for row in rows:
        if row.is_known:
            assert reviews[row.title] == (export.expected(row)["review"] or ""), row


def all_of(stack: Stack, path: str) -> list[dict[str, Any]]:
    """Every page of a list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = stack.ask("GET", f"{path}?limit=200{'&cursor=' * bool(cursor)}{cursor}")
        found += page["items"]
        cursor = page["nextCursor"]
    return found


def check_goes_round(given: str, written: str, rows: list[Row]) -> None:
    """What Goodreads gave comes back equal, as parsed by a reader that is none of ours."""
    known = {row.title for row in rows if row.is_known}
    before = {row["Title"]: said_in(row) for row in csv.DictReader(io.StringIO(given))}
    after = {row["Title"]: said_in(row) for row in csv.DictReader(io.StringIO(written))}
    assert after == {title: row for title, row in before.items() if title in known}


def said_in(row: dict[str, str]) -> dict[str, Any]:
    shelves = {unguarded(one.strip()) for one in unguarded(row["Bookshelves"]).split(",")}
    return {
        **{name: unguarded(row[name]) for name in SAID},
        "shelves": shelves - {row["Exclusive Shelf"], ""},
        "exclusive": row["Exclusive Shelf"],
        "count": int(row["Read Count"] or 0),
        "owned": int(row["Owned Copies"]),
    }


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith(("'=", "'-", "'@", "'+")) else cell
