"""A data folder that the first version left opens, and all that was open in it goes on.

Source:  ``first_version/``: the databases of a server of version 0.1.0, killed with two imports in
         their second try, one in a wait of a minute, two failed and two done; as SQL text.
"""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from stack import PATIENCE_SECONDS, server

from bookline.methods import legacy_room
from bookline_sandbox import Sandbox

DUMPS = Path(__file__).parent / "first_version"
DONE, DONE_LEGACY = "9780142437247", "9780451524935"
FAILED, FAILED_LEGACY = "9780812550702", "9780553380163"
OPEN, OPEN_LEGACY, WAITING = "9780441013593", "9780316769488", "9780061120084"
LEGACY = {DONE_LEGACY, FAILED_LEGACY, OPEN_LEGACY}

pytestmark = pytest.mark.skipif(legacy_room() is None, reason="there is no legacy importer")


def lay(folder: Path) -> None:
    folder.mkdir(parents=True)
    for dump in DUMPS.glob("*.sql"):
        with sqlite3.connect(folder / f"{dump.stem}.db") as file:
            file.executescript(dump.read_text("utf-8"))
        file.close()


async def jobs_of(api: Any) -> dict[str, dict[str, Any]]:
    """ISBN → its job."""
    status, body, _ = await api.get("/v2/import/jobs?limit=100")
    assert status == 200, body
    return {job["isbn"]: job for job in body["data"]["items"]}


async def test_a_folder_of_the_first_version_opens_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lay(folder)
    async with Sandbox(port=0) as sandbox, server(sandbox.settings(), folder) as api:
        for isbn, title in ((OPEN, "Dune"), (OPEN_LEGACY, "Catcher")):
            sandbox.add_book(isbn13=isbn, title=title, authors=["Somebody"])
        before = await jobs_of(api)
        ends = {isbn: await api.until(job["jobId"]) for isbn, job in before.items()}
        for isbn in (FAILED, FAILED_LEGACY):
            status, body, _ = await api.post(f"/v2/import/retry/{before[isbn]['jobId']}")
            assert status in {200, 202}, body
        async with asyncio.timeout(PATIENCE_SECONDS):
            retried = [
                await api.until(before[one]["jobId"], "completed")
                for one in (FAILED, FAILED_LEGACY)
            ]
        stories = {isbn: await api.story(job["jobId"]) for isbn, job in before.items()}
        books = {isbn: (await api.get(f"/v2/books/{isbn}"))[0] for isbn in before}

    assert {isbn: job["method"] for isbn, job in before.items()} == {
        isbn: "legacy" if isbn in LEGACY else "workflow" for isbn in before
    }
    assert {isbn: end["status"] for isbn, end in ends.items()} == {
        **dict.fromkeys([DONE, DONE_LEGACY, OPEN, OPEN_LEGACY, WAITING], "completed"),
        **dict.fromkeys([FAILED, FAILED_LEGACY], "failed"),
    }
    assert [ends[isbn]["attempt"] for isbn in (FAILED, FAILED_LEGACY)] == [4, 4]
    assert [job["status"] for job in retried] == ["completed"] * 2
    assert books == dict.fromkeys(before, 200)
    for isbn, told in stories.items():
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1)), isbn
    for isbn in (OPEN, OPEN_LEGACY):
        retries = [one["data"] for one in stories[isbn] if one["type"] == "workflow_retry"]
        died = "the process died in this try"
        assert [one["attempt"] for one in retries] == [1, 2]
        assert retries[1]["error"]["message"] == died
