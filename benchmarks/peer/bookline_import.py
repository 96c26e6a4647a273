"""Bookline as it is by default, without HTTP in front: the same books, as many in flight."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from imports import Ends, import_one

from bookline.app import running
from bookline.settings import read_settings


async def main() -> None:
    flying, warm, *isbns = sys.argv[1:]
    settings = read_settings({**os.environ, "BOOKLINE_DATA_DIR": os.environ["PEER_FOLDER"]}, None)
    async with running(settings) as app:
        if app.embedder is not None:
            await app.embedder.embed("warm")
        ends, gate = Ends(app), asyncio.Semaphore(int(flying))
        await import_one(app, ends, warm)

        async def one(isbn: str) -> None:
            async with gate:
                await import_one(app, ends, isbn)

        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one(isbn) for isbn in isbns))
        found = {
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - used,
            "done": len(isbns),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    uvloop.run(main())
