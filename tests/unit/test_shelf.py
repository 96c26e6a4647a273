"""The service of the library: what is deleted stays away, and what is one's own stays."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bookline.aside import PREFIX, Aside
from bookline.book import Book, Embedding, Metadata
from bookline.catalogue import BookQuery
from bookline.edits import read_edit
from bookline.errors import EmbeddingRefused, Refused, Removed, StoreDown
from bookline.job import ImportInput
from bookline.merging import laid_over
from bookline.net.pictures import read_picture
from bookline.reading import Reading, ReadingOf
from bookline.shelf import Shelf
from bookline.steps.save import SaveBook
from bookline.stores.drain import drain
from bookline.stores.memory_key_value import MemoryKeyValue
from bookline.stores.memory_objects import MemoryObjects
from bookline.stores.opening import library_in_memory
from bookline.stores.sqlite_key_value import SqliteKeyValue
from bookline.values import iso
from bookline_sandbox.drawing import picture

ISBN = "9780142437247"
METADATA = Metadata(isbn=ISBN, title="Moby Dick", source="openlibrary")
PICTURE = picture("mine", "me", 1, (300, 400), "PNG")


class OpenImports:
    """The imports that run; those that were cancelled."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.cancelled: list[str] = []

    async def open_of(self, isbn: str) -> Sequence[str]:
        return list(self.open)

    async def cancel_all(self, job_ids: Sequence[str]) -> None:
        self.cancelled += job_ids


class OneWord:
    """An embedder whose vectors say whether a text speaks of whales."""

    model = "m"
    is_broken = False

    async def embed(self, text: str) -> Embedding:
        if self.is_broken:
            raise EmbeddingRefused("broken")
        return Embedding.of("m", [1.0, 0.0] if "hale" in text else [0.0, 1.0])


class World:
    def __init__(self, *, off: bool = False) -> None:
        self.now_ms = 10_000
        self.books = library_in_memory()
        self.fallback = MemoryKeyValue(clock=lambda: self.now_ms)
        self.objects = MemoryObjects()
        self.imports = OpenImports()
        self.embedder = OneWord()
        self.steps = SaveBook(
            None if off else self.books, self.fallback, self.objects, lambda: self.now_ms
        )
        self.shelf = Shelf(
            None if off else self.books,
            Aside(self.fallback),
            self.objects,
            self.imports,
            embedder=self.embedder,
            read_picture=read_picture,
            clock=lambda: self.now_ms,
        )

    async def save(self, job: str = "job-1", **facts: Any) -> None:
        """What an import saves."""
        self.now_ms += 1_000
        metadata = replace(METADATA, **facts)
        vector = await self.embedder.embed(metadata.embedding_text)
        await self.steps.save(an_order(job), metadata, None, vector.to_json())

    async def save_aside(self, job: str = "job-1", **facts: Any) -> None:
        """What an import saves while the library is down."""
        self.now_ms += 1_000
        await self.steps.save_aside(an_order(job), replace(METADATA, **facts), None, None)


def an_order(job: str) -> ImportInput:
    return ImportInput(job_id=job, isbn=ISBN, input_isbn=ISBN)


async def is_there(world: World) -> bool:
    try:
        await world.shelf.find(ISBN)
    except Refused:
        return False
    return True


# ------------------------------------------------------------------ delete
async def test_an_import_that_saves_behind_a_delete_brings_nothing_back() -> None:
    """Its save had begun when the delete came: its cancel is heard one step too late."""
    world = World()
    await world.save("job-1")
    world.imports.open = ["job-2"]

    await world.shelf.delete(ISBN)

    assert world.imports.cancelled == ["job-2"]
    with pytest.raises(Removed):
        await world.save("job-2")
    with pytest.raises(Removed):
        await world.save_aside("job-2")
    await drain(world.fallback, world.books)
    assert not await is_there(world)


async def test_a_copy_in_the_fallback_store_goes_and_its_drain_brings_nothing_back() -> None:
    """The drain may have read the copy before the delete, and keep it behind it."""
    world = World()
    await world.save_aside("job-1")
    entry = await world.fallback.find(PREFIX + ISBN)
    assert entry is not None

    await world.shelf.delete(ISBN)

    with pytest.raises(Removed):
        await world.books.keep(Book.from_stored(entry))
    assert await drain(world.fallback, world.books) == 0
    assert not await is_there(world)


@pytest.mark.parametrize("off", [False, True])
async def test_a_new_import_brings_a_deleted_book_back(off: bool) -> None:
    world = World(off=off)
    await world.save("job-1")
    await world.shelf.delete(ISBN)
    assert not await is_there(world)

    await world.save("job-2")

    assert await is_there(world)


async def test_what_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(Refused) as refused:
        await World().shelf.delete(ISBN)

    assert refused.value.code == "BOOK_NOT_FOUND"


async def test_a_delete_takes_the_pictures_along() -> None:
    world = World()
    await world.save()
    book = await world.shelf.keep_cover(ISBN, PICTURE)
    assert book.cover is not None
    world.imports.open = ["job-2"]
    await world.objects.keep(f"covers/{ISBN}.jpg", PICTURE, "image/jpeg", {})  # the import's

    await world.shelf.delete(ISBN)

    assert await world.objects.find(book.cover.key) is None
    assert await world.objects.find(f"covers/{ISBN}.jpg") is None


# ------------------------------------------------------------------ edits
async def test_a_book_that_waits_aside_is_edited_and_moves_in_edited() -> None:
    world = World()
    await world.save_aside(title="Whale", publisher="Penguin")

    await world.shelf.edit(ISBN, read_edit({"title": "Mine"}))
    await drain(world.fallback, world.books)

    book = await world.books.find(ISBN)
    assert book is not None
    assert (book.metadata.title, book.locked) == ("Mine", ("title",))
    assert book.metadata.publisher == "Penguin"
    assert await world.fallback.keys(PREFIX) == []


async def test_without_a_library_a_book_is_edited_where_it_is() -> None:
    world = World(off=True)
    await world.save()

    book = await world.shelf.edit(ISBN, read_edit({"title": "Mine"}))
    await world.save("job-2", publisher="Penguin")

    assert book.metadata.title == "Mine"
    after = await world.shelf.find(ISBN)
    assert (after.metadata.title, after.metadata.publisher) == ("Mine", "Penguin")
    with pytest.raises(Refused):
        await world.shelf.edit(ISBN, read_edit({"reading": {"rating": 4}}))


async def test_the_vector_follows_an_edited_text() -> None:
    world = World()
    await world.save(title="Emma")

    await world.shelf.edit(ISBN, read_edit({"title": "The Whale"}))

    [found] = await world.books.search(await world.embedder.embed("Whale"), limit=1)
    assert found.score == pytest.approx(1.0)


async def test_an_embedder_that_fails_fails_no_edit(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.save()
    world.embedder.is_broken = True

    book = await world.shelf.edit(ISBN, read_edit({"title": "The Whale"}))

    assert book.metadata.title == "The Whale"
    assert "vector" in caplog.text


async def test_an_import_stores_its_picture_beside_ones_own() -> None:
    world = World()
    await world.save()
    own = (await world.shelf.keep_cover(ISBN, PICTURE)).cover
    theirs = {
        "key": f"covers/{ISBN}.png", "contentType": "image/png", "width": 60, "height": 90,
        "sha256": "00", "sourceUrl": "https://covers.openlibrary.org/1.png", "fetchedAt": iso(1),
    }  # fmt: skip
    await world.objects.keep(theirs["key"], b"theirs", "image/png", {})  # type: ignore[arg-type]

    await world.steps.save(an_order("job-2"), METADATA, theirs, None)

    assert own is not None
    assert (await world.shelf.find(ISBN)).cover == own
    assert (await world.shelf.find_cover(ISBN)).body == PICTURE
    assert await world.objects.find(f"covers/{ISBN}.png") is None


# ------------------------------------------------------------------ search and readings
async def test_a_search_gives_words_then_meaning_above_the_floor() -> None:
    world = World()
    await world.save(title="Whale hunting")
    other = Metadata(isbn="9780141439587", title="Emma", source="openlibrary")
    vector = await world.embedder.embed(other.title)
    await world.steps.save(
        ImportInput(job_id="job-2", isbn=other.isbn, input_isbn=other.isbn), other, None,
        vector.to_json(),
    )  # fmt: skip

    hits = await world.shelf.search("emma whale", 10)
    emma = await world.shelf.search("emma", 10)

    assert [(hit.book.isbn, hit.match) for hit in hits.items] == [(ISBN, "meaning")]
    assert [(hit.book.isbn, hit.match, hit.score) for hit in emma.items] == [
        (other.isbn, "literal", 1.0)
    ]


@pytest.mark.parametrize("sort", ["match", "isbn", ""])
async def test_a_sort_that_is_none_is_refused(sort: str) -> None:
    with pytest.raises(Refused):
        await World().shelf.list(BookQuery(sort=sort), limit=1, cursor=None)


async def test_what_a_reader_says_is_kept_before_the_book_is_there() -> None:
    world = World()

    kept = await world.shelf.keep_readings(
        [ReadingOf(isbn=ISBN, user_id=None, reading=Reading(rating=4), at=iso(1))]
    )
    await world.save()

    assert kept == 1
    assert await world.shelf.find_reading(ISBN) == Reading(rating=4)
    [exported] = [book async for book in world.shelf.export()]
    assert exported.reading == Reading(rating=4)


async def test_without_a_library_nothing_is_kept_of_readers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = World(off=True).shelf
    said = ReadingOf(isbn=ISBN, user_id=None, reading=Reading(rating=4), at=iso(1))

    assert await shelf.keep_readings([said]) == 0
    assert "LIBRARY=off" in caplog.text


# ------------------------------------------------------------------ the fallback store
async def test_two_processes_lay_books_over_each_other_without_a_loss(tmp_path: Path) -> None:
    """Two connections to one file, as two processes have them."""
    stores = [SqliteKeyValue(tmp_path / "kv.db", clock=lambda: 0) for _ in range(2)]
    asides = [Aside(store) for store in stores]

    async def lay(aside: Aside, number: int) -> None:
        facts = {"categories": (f"c{number}",)}

        def both(new: Book, old: Book) -> Book:
            every = (*old.metadata.categories, *new.metadata.categories)
            return replace(laid_over(new, old), metadata=replace(new.metadata, categories=every))

        await aside.keep(a_book(f"job-{number}", **facts), both)

    await asyncio.gather(*(lay(asides[number % 2], number) for number in range(20)))

    book = await asides[0].find(ISBN)
    assert book is not None
    assert sorted(book.metadata.categories) == sorted(f"c{number}" for number in range(20))
    for store in stores:
        await store.close()


def a_book(job: str, **facts: Any) -> Book:
    from bookline.book import Provenance

    return Book(
        metadata=replace(METADATA, **facts),
        provenance=Provenance(
            source="openlibrary", source_id=None, job_id=job, imported_at=iso(1), updated_at=iso(1)
        ),
    )


async def test_an_entry_that_others_change_all_the_time_is_an_outage_not_a_loop() -> None:
    class Busy(MemoryKeyValue):
        async def keep(self, *arguments: Any, **more: Any) -> bool:
            return False

    with pytest.raises(StoreDown):
        await Aside(Busy(clock=lambda: 0)).keep(a_book("job-1"), laid_over)
