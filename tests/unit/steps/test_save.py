"""The steps that save, and what they say of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bookline.aside import PREFIX
from bookline.book import Book, Cover, Embedding, Metadata
from bookline.catalogue import BookQuery
from bookline.errors import StoreDown
from bookline.job import ImportInput
from bookline.steps.save import SaveBook
from bookline.stores.drain import drain
from bookline.stores.library import SqlLibrary
from bookline.stores.memory_key_value import MemoryKeyValue
from bookline.stores.memory_objects import MemoryObjects
from bookline.stores.opening import library_in_memory, library_tables_in_memory
from bookline.stores.vectors import Nearest
from bookline.values import Json

ISBN = "9780142437247"
ORDER = ImportInput(job_id="job-1", isbn=ISBN, input_isbn="0142437247")
BOOK = Metadata(isbn=ISBN, title="Moby Dick", source="google_books", source_id="g1")
VECTOR = Embedding.of("m", [0.6, 0.8]).to_json()


class World:
    """A SaveBook and what it saves into; the clock stands until it is moved."""

    def __init__(self, library: SqlLibrary | None = None, *, off: bool = False) -> None:
        self.now_ms = 1_000
        self.library = library or library_in_memory()
        self.fallback = MemoryKeyValue(clock=lambda: self.now_ms)
        self.objects = MemoryObjects()
        self.steps = SaveBook(
            None if off else self.library, self.fallback, self.objects, lambda: self.now_ms
        )

    async def upload(self, extension: str) -> Json:
        """A cover's picture in the object store, and what its step gave."""
        key = f"covers/{ISBN}.{extension}"
        await self.objects.keep(key, b"picture", "image/png", {})
        return Cover(
            key=key,
            content_type="image/png",
            width=60,
            height=90,
            sha256="00",
            source_url="https://covers.openlibrary.org/b/id/1-L.jpg",
            fetched_at="2026-01-01T00:00:00.000Z",
        ).to_json()

    async def book(self) -> Book:
        book = await self.library.find(ISBN)
        assert book is not None
        return book

    async def entry(self) -> Book:
        entry = await self.fallback.find(PREFIX + ISBN)
        assert entry is not None
        return Book.from_stored(entry)


# ------------------------------------------------------------------ into the library
async def test_a_saved_book_says_where_it_is_from() -> None:
    world = World()

    saved = await world.steps.save(ORDER, BOOK, await world.upload("jpg"), VECTOR)

    assert saved == {"storedIn": "database", "hasEmbedding": True}
    book = await world.book()
    assert (book.metadata, book.cover and book.cover.key) == (BOOK, f"covers/{ISBN}.jpg")
    assert book.provenance.to_json() == {
        "source": "google_books",
        "sourceId": "g1",
        "jobId": "job-1",
        "importedAt": "1970-01-01T00:00:01.000Z",
        "updatedAt": "1970-01-01T00:00:01.000Z",
        "fields": {},
    }
    assert book.to_json()["provenance"]["fields"] == {
        "title": "google_books", "cover": "google_books",
    }  # fmt: skip


async def test_saving_twice_leaves_one_book() -> None:
    world = World()

    first = await world.steps.save(ORDER, BOOK, None, VECTOR)
    second = await world.steps.save(ORDER, BOOK, None, VECTOR)

    assert first == second
    assert len((await world.library.list(BookQuery(), limit=9, cursor=None)).items) == 1


async def test_a_later_import_keeps_the_time_of_the_first() -> None:
    world = World()
    await world.steps.save(ORDER, BOOK, None, VECTOR)
    world.now_ms = 5_000

    await world.steps.save(replace(ORDER, job_id="job-2"), BOOK, None, None)

    book = await world.book()
    assert book.provenance.job_id == "job-2"
    assert book.provenance.imported_at == "1970-01-01T00:00:01.000Z"
    assert book.provenance.updated_at == "1970-01-01T00:00:05.000Z"


@pytest.mark.parametrize(
    "vector", [None, VECTOR | {"dimensions": 7}, Embedding.of("m", [1.0, 2.0, 3.0]).to_json()]
)
async def test_a_vector_that_was_not_stored_is_not_claimed(vector: Json | None) -> None:
    world = World()
    await world.steps.save(ORDER, BOOK, None, VECTOR)

    saved = await world.steps.save(ORDER, BOOK, None, vector)

    assert saved == {"storedIn": "database", "hasEmbedding": False}
    assert (await world.book()).embedding == Embedding.from_json(VECTOR)


async def test_a_library_that_is_down_is_told_to_the_engine() -> None:
    class Library(SqlLibrary):
        async def keep(self, book: Book) -> Book:
            raise StoreDown("down")

    with pytest.raises(StoreDown):
        await World(Library(library_tables_in_memory(), Nearest())).steps.save(
            ORDER, BOOK, None, VECTOR
        )


# ------------------------------------------------------------------ the cover's file
async def test_a_cover_of_another_type_takes_the_place_of_the_older_file() -> None:
    world = World()
    await world.steps.save(ORDER, BOOK, await world.upload("png"), None)

    await world.steps.save(ORDER, BOOK, await world.upload("jpg"), None)

    assert await world.objects.find(f"covers/{ISBN}.png") is None
    assert await world.objects.find(f"covers/{ISBN}.jpg") is not None


@pytest.mark.parametrize("cover", ["same", "none"])
async def test_the_file_that_the_book_points_to_stays(cover: str) -> None:
    world = World()
    await world.steps.save(ORDER, BOOK, await world.upload("jpg"), None)

    await world.steps.save(
        ORDER, BOOK, await world.upload("jpg") if cover == "same" else None, None
    )

    assert await world.objects.find(f"covers/{ISBN}.jpg") is not None


async def test_a_book_never_points_to_a_picture_that_another_import_removed() -> None:
    """Two imports at once: ours has uploaded .png, the other then saves .jpg over an older .png."""
    world = World()
    await world.steps.save(ORDER, BOOK, await world.upload("png"), None)
    ours = await world.upload("png")
    await world.steps.save(ORDER, BOOK, await world.upload("jpg"), None)

    await world.steps.save(ORDER, BOOK, ours, None)

    cover = (await world.book()).cover
    assert cover is not None
    assert await world.objects.find(cover.key) is not None


async def test_an_older_file_that_cannot_be_removed_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    await world.steps.save(ORDER, BOOK, await world.upload("png"), None)

    async def down(key: str) -> None:
        raise StoreDown("down")

    monkeypatch.setattr(world.objects, "remove", down)

    saved = await world.steps.save(ORDER, BOOK, await world.upload("jpg"), None)

    assert saved["storedIn"] == "database"


# ------------------------------------------------------------------ aside
@pytest.mark.parametrize("off", [True, False])
async def test_a_book_aside_is_whole_and_says_so(off: bool) -> None:
    world = World(off=off)
    save = world.steps.save if off else world.steps.save_aside

    saved = await save(ORDER, BOOK, await world.upload("jpg"), VECTOR)

    assert saved == {"storedIn": "kv", "hasEmbedding": True}
    entry = await world.entry()
    assert entry.embedding == Embedding.from_json(VECTOR)
    assert entry.provenance.job_id == "job-1"
    assert await world.library.find(ISBN) is None


async def test_a_book_aside_lives_for_thirty_days() -> None:
    world = World()
    await world.steps.save_aside(ORDER, BOOK, None, None)

    world.now_ms += 30 * 86_400_000 - 1
    assert await world.fallback.keys(PREFIX) == [f"book:isbn:{ISBN}"]
    world.now_ms += 1
    assert await world.fallback.keys(PREFIX) == []


async def test_a_poorer_book_aside_erases_nothing() -> None:
    world = World()
    await world.steps.save_aside(ORDER, replace(BOOK, publisher="Penguin"), None, VECTOR)
    world.now_ms = 5_000

    saved = await world.steps.save_aside(ORDER, replace(BOOK, page_count=7), None, None)

    assert saved == {"storedIn": "kv", "hasEmbedding": False}
    entry = await world.entry()
    assert (entry.metadata.publisher, entry.metadata.page_count) == ("Penguin", 7)
    assert entry.embedding == Embedding.from_json(VECTOR)
    assert entry.provenance.imported_at == "1970-01-01T00:00:01.000Z"


async def test_two_books_aside_at_once_lose_nothing() -> None:
    class Slow(MemoryKeyValue):
        async def find(self, key: str) -> Json | None:
            found = await super().find(key)
            await asyncio.sleep(0)
            return found

    world = World()
    fallback = Slow(clock=lambda: 1_000)
    steps = SaveBook(None, fallback, world.objects, lambda: 1_000)

    await asyncio.gather(
        steps.save(ORDER, replace(BOOK, publisher="Penguin"), None, None),
        steps.save(ORDER, replace(BOOK, page_count=7), None, VECTOR),
    )

    entry: Any = await fallback.find(PREFIX + ISBN)
    assert (entry["metadata"]["publisher"], entry["metadata"]["pageCount"]) == ("Penguin", 7)
    assert entry["embedding"] == VECTOR


async def test_an_entry_that_is_no_book_gives_way_to_one() -> None:
    world = World()
    await world.fallback.keep(PREFIX + ISBN, {"broken": True}, ttl_seconds=60, if_value=None)

    await world.steps.save_aside(ORDER, BOOK, None, None)

    assert (await world.entry()).metadata == BOOK


async def test_a_book_that_was_saved_aside_is_drained_whole() -> None:
    world = World()
    await world.steps.save_aside(ORDER, BOOK, await world.upload("jpg"), VECTOR)
    entry = await world.entry()

    assert await drain(world.fallback, world.library, world.objects) == 1
    assert await world.book() == entry
