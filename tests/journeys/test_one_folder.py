"""Several servers on one folder, and somebody tidies it up."""

import asyncio
import shutil
from pathlib import Path

from stack import server

from bookline_sandbox import Sandbox

ISBN = "9780451524935"


async def test_a_removed_folder_of_nodes_stops_and_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with Sandbox(port=0) as sandbox:
        settings = sandbox.settings()
        async with server(settings, folder) as one, server(settings, folder) as other:
            sandbox.faults.add(kind="delay", ms=4_000, route="google_books", times=None)
            started = [await each.begin(ISBN, source="google_books") for each in (one, other) * 2]
            await asyncio.sleep(1)  # both look each second who is alive

            shutil.rmtree(folder / "nodes")

            ends = [await one.until(each["jobId"]) for each in started]

    assert [end["status"] for end in ends] == ["completed"] * 4
    assert sandbox.counts[ISBN]["google_books"] == 4
