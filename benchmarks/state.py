"""Bytes that one import leaves in the engine and in the journal; the book itself is not counted."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

import aiohttp
import uvloop
from common import sandbox_process, show

from bookline.app import running
from bookline.imports import Order
from bookline.settings import read_settings

USUAL, LONG = "9780451524935", "9780061120084"


def persisted(folder: Path, job_id: str) -> int:
    """All columns of all rows of a job, as text or bytes."""
    found = 0
    for name in ("engine.db", "journal.db"):
        db = sqlite3.connect(folder / name)
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            key = next((one for one in columns if one in {"workflow_uuid", "job_id"}), None)
            if key is not None:
                for row in db.execute(f"SELECT * FROM {table} WHERE {key} = ?", (job_id,)):
                    found += sum(len(str(value).encode()) for value in row if value is not None)
        db.close()
    return found


async def main() -> None:
    async with sandbox_process() as (url, environment):
        async with aiohttp.ClientSession() as client:
            fault = {"isbn": LONG, "route": "google_books", "kind": "big_description"}
            await client.post(f"{url}/_sandbox/faults", json=fault)
        with tempfile.TemporaryDirectory() as name:
            settings = read_settings({**environment, "BOOKLINE_DATA_DIR": name}, None)
            sizes = {}
            async with running(settings) as app:
                for isbn in (USUAL, LONG):
                    job, _ = await app.imports.start(Order(isbn=isbn, source="google_books"))
                    async for _events in app.hub.follow(job.job_id, 0):
                        pass
                    assert (await app.imports.find(job.job_id)).status == "completed"
                    await asyncio.sleep(0.2)
                    sizes[isbn] = persisted(Path(name), job.job_id)
    show("persisted state of a usual import", f"{sizes[USUAL] / 1024:.1f} KB", "goal ≤ 16 KB")
    show("with a description of 500 KB", f"{sizes[LONG] / 1024:.1f} KB", "goal < 128 KB")


if __name__ == "__main__":
    uvloop.run(main())
