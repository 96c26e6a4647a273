"""Imports a set of ISBNs by both methods, side by side in one process, and compares what came out.

Way:      the command ``rollout compare`` → here → app.py → migration/comparison.py
Rule 1:   each method has its own library, so that neither fills what the other left out; all lies
          in a folder that goes at the end. Your own library is not touched.
Rule 2:   the two take turns in going first, and run at the same time: neither has the quieter hour.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from bookline.app import App, running
from bookline.clocks import now_ms
from bookline.imports import Order
from bookline.isbn import read_isbn
from bookline.job import METHODS
from bookline.migration.comparison import Side, book_bytes, differences, story_of
from bookline.migration.rollout import LEGACY, WORKFLOW
from bookline.ports import Library
from bookline.settings import Settings, read_settings
from bookline.steps.joined import AllSteps
from bookline.steps.save import SaveBook
from bookline.stores.key_value import open_key_value
from bookline.stores.obstore_objects import open_objects
from bookline.stores.opening import open_library
from bookline.values import Json
from bookline_sandbox import Sandbox
from bookline_sandbox.catalogue import real_books

AT_ONCE = 4  # pairs
STORY_MOST = 1_000  # events; an import has a dozen
LATENCY_MS = 50


@dataclass(frozen=True, slots=True)
class Pair:
    """One ISBN by both methods."""

    isbn: str
    workflow: Side
    legacy: Side

    @property
    def differences(self) -> list[str]:
        return differences(self.workflow, self.legacy)

    def to_json(self) -> Json:
        return {
            "isbn": self.isbn,
            "equal": not self.differences,
            "differences": self.differences,
            "status": self.workflow.status,
            "workflowMs": self.workflow.duration_ms,
            "legacyMs": self.legacy.duration_ms,
        }


async def compare(settings: Settings, isbns: Sequence[str], source: str) -> list[Pair]:
    """Each ISBN by both methods, from the providers of the settings.

    Raises: Refused for an ISBN or a source that is none, and where there is no legacy importer.
    """
    checked = [read_isbn(isbn).isbn13 for isbn in isbns]  # before any provider is asked
    with tempfile.TemporaryDirectory(prefix="bookline-compare-") as name:
        folder = Path(name)
        own = settings.model_copy(
            update={
                "data_dir": folder, "database_url": "", "kv_url": "", "object_store_url": "",
                "library": True,
            }
        )  # fmt: skip
        async with AsyncExitStack() as stack:
            library = open_library(folder / "workflow.db")
            stack.push_async_callback(library.close)
            fallback = open_key_value("memory://", folder)
            stack.push_async_callback(fallback.close)
            objects = open_objects("", folder)

            def apart(steps: AllSteps) -> AllSteps:
                return replace(steps, book=SaveBook(library, fallback, objects, now_ms))

            app = await stack.enter_async_context(running(own, wrap_steps=apart))
            libraries: dict[str, Library | None] = {WORKFLOW: library, LEGACY: app.library}
            slots = asyncio.Semaphore(AT_ONCE)

            async def pair(place: int, isbn: str) -> Pair:
                methods = METHODS if place % 2 else METHODS[::-1]
                async with slots:
                    jobs = [
                        (await app.imports.start(Order(isbn=isbn, source=source), method))[0]
                        for method in methods
                    ]
                    sides = await asyncio.gather(
                        *(_side(app, libraries[job.method], job.job_id) for job in jobs)
                    )
                by_method = {side.method: side for side in sides}
                return Pair(isbn, by_method[WORKFLOW], by_method[LEGACY])

            return await asyncio.gather(*(pair(place, isbn) for place, isbn in enumerate(checked)))


async def compare_in_sandbox(source: str, count: int) -> list[Pair]:
    """So many of the sandbox's books: no key, no network."""
    async with Sandbox(latency_ms=LATENCY_MS) as sandbox:
        settings = read_settings(
            {
                **sandbox.settings(),
                "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
            },
            env_file=None,
        )
        isbns = [book.isbn13 for book in islice(real_books(), count)]
        return await compare(settings, isbns, source)


async def _side(app: App, library: Library | None, job_id: str) -> Side:
    async for _ in app.hub.follow(job_id, 0):
        pass
    job = await app.imports.find(job_id)
    events = await app.journal.read(job_id, 0, STORY_MOST)
    return Side(
        method=job.method,
        status=job.status,
        error=job.error,
        result=job.result,
        book=book_bytes(await library.find(job.order.isbn) if library is not None else None),
        story=story_of(json.loads(event.message) for event in events),
        duration_ms=job.updated_ms - job.created_ms,
    )
