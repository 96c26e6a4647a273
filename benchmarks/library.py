"""Lists, literal questions, searches, edits and the export of a library of 50,000 books.

The books are the sandbox's 250 with their words mixed anew. They are laid into the library
directly; then a server of its own process answers over HTTP, one request at a time.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import uvloop
from common import NO_LIMITS, percentile, show, show_machine

from bookline.book import Book, Metadata, Provenance
from bookline.cli.opening import find_server
from bookline.embedders.local import WordLlama
from bookline.stores.library import SqlLibrary
from bookline.stores.opening import open_library
from bookline.values import iso
from bookline_sandbox.catalogue import Book as CatalogueBook
from bookline_sandbox.catalogue import check_digit_13, isbn10_of, real_books

BOOKS = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
TIMES = 100  # requests for one figure
WORDS = ("orwell", "the", "dune herbert", "zzzz", "e", "of the", "murakami", "potter 7", "1984")
QUESTIONS = (
    "a whale hunted at sea", "colonization of mars", "a boy wizard at a school of magic",
    "dishwasher error code e15", "desert planet and giant worms", "harry potter",
)  # fmt: skip
PORT = 18_787


async def fill(folder: Path) -> None:
    """The library of that many books, with their vectors."""
    chance = random.Random(12)
    known = list(real_books())
    words = [word for book in known for word in book.title.split()]
    embedder = WordLlama()
    await embedder.load()
    library = open_library(folder / "library.db")
    for start in range(0, BOOKS, 500):
        await asyncio.gather(
            *(keep(library, embedder, made_up(number, known, words, chance))
              for number in range(start, min(start + 500, BOOKS)))
        )  # fmt: skip
    await library.close()


async def keep(library: SqlLibrary, embedder: WordLlama, book: Book) -> None:
    vector = await embedder.embed(book.metadata.embedding_text)
    await library.keep(replace(book, embedding=vector))


def made_up(
    number: int, known: Sequence[CatalogueBook], words: Sequence[str], chance: random.Random
) -> Book:
    twelve = f"9781{number:08}"
    isbn = twelve + check_digit_13(twelve)
    like = known[number % len(known)]
    title = " ".join(chance.sample(words, 3)) if number >= len(known) else like.title
    at = iso(1_700_000_000_000 + number)
    return Book(
        metadata=Metadata(
            isbn=isbn, isbn10=isbn10_of(isbn), title=title, authors=like.authors,
            description=(like.description or "")[:2_000], publisher=like.publisher,
            publication_date=str(1900 + number % 120), language=like.language, page_count=300,
            categories=like.categories, source="openlibrary",
        ),
        provenance=Provenance(
            source="openlibrary", source_id=None, job_id=f"job-{number}", imported_at=at,
            updated_at=at,
        ),
    )  # fmt: skip


async def measure(client: aiohttp.ClientSession, name: str, paths: list[str], goal: str) -> None:
    taken = []
    for number in range(TIMES):
        path = paths[number % len(paths)]
        began = time.perf_counter()
        async with client.get(f"http://127.0.0.1:{PORT}{path}") as answer:
            await answer.read()
            assert answer.status == 200, await answer.text()
        taken.append((time.perf_counter() - began) * 1000)
    show(name, f"{percentile(taken, 0.5):.1f} / {percentile(taken, 0.95):.1f} ms", goal)


async def ask(folder: Path) -> None:
    own = {"BOOKLINE_DATA_DIR": str(folder), "BOOKLINE_PORT": str(PORT)}
    settings = {**os.environ, **NO_LIMITS, **own}
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "serve", env=settings, cwd=folder
    )
    try:
        while not await find_server(f"http://127.0.0.1:{PORT}"):
            await asyncio.sleep(0.1)
        async with aiohttp.ClientSession() as client:
            sorts = ("recent", "title", "author", "year")
            await measure(client, "first page of a list, by each sort, P50 / P95",
                          [f"/v2/books?sort={sort}" for sort in sorts], "goal < 50 ms")  # fmt: skip
            await measure(client, "q, by each sort",
                          [f"/v2/books?q={word}&sort={sort}" for word in WORDS for sort in sorts],
                          "goal < 50 ms")  # fmt: skip
            await measure(client, "author and language",
                          ["/v2/books?author=orwell", "/v2/books?language=en&q=love"],
                          "goal < 50 ms")  # fmt: skip
            await measure(client, "one book", [f"/v2/books/{isbn()}"], "")
            began = time.perf_counter()
            async with client.get(f"http://127.0.0.1:{PORT}/v2/books/search?q=whale") as answer:
                await answer.read()
            show(
                "the first search, which reads the vectors", f"{time.perf_counter() - began:.2f} s"
            )
            await measure(client, "search", [f"/v2/books/search?q={text}" for text in QUESTIONS],
                          "goal < 50 ms")  # fmt: skip
            for form in ("csv", "json", "goodreads"):
                began = time.perf_counter()
                path = f"http://127.0.0.1:{PORT}/v2/books/export?format={form}"
                async with client.get(path) as answer:
                    size = len(await answer.read())
                took = time.perf_counter() - began
                show(f"export as {form}", f"{took:.1f} s", f"{size / 2**20:.0f} MB")
        status = Path(f"/proc/{server.pid}/status")
        if status.exists():
            peak = next(line for line in status.read_text().splitlines() if "VmRSS" in line)
            show("memory of the server after it", f"{int(peak.split()[1]) / 1024:.0f} MB")
    finally:
        server.terminate()
        await server.wait()


def isbn() -> str:
    twelve = f"9781{BOOKS // 2:08}"
    return twelve + check_digit_13(twelve)


async def main() -> None:
    show_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        await fill(folder)
        show(f"{BOOKS:,} books with vectors laid in", f"{time.perf_counter() - began:.1f} s")
        await ask(folder)


if __name__ == "__main__":
    uvloop.run(main())
