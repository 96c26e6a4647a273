"""The way back from the fallback store."""

from typing import Any

import pytest

from bookline.book import Book, Cover, Metadata, Provenance
from bookline.errors import StoreDown
from bookline.stores.drain import drain
from bookline.stores.library import SqlLibrary
from bookline.stores.memory_key_value import MemoryKeyValue
from bookline.stores.opening import library_in_memory, library_tables_in_memory
from bookline.stores.vectors import Nearest

ISBNS = ["9780142437247", "9780141439587", "9780441172719"]
EARLY, LATE = "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"


def a_book(isbn: str, *, at: str = EARLY, extension: str = "", **facts: Any) -> Book:
    cover = Cover(
        key=f"covers/{isbn}.{extension}",
        content_type="image/png",
        width=60,
        height=90,
        sha256="00",
        source_url="https://covers.openlibrary.org/b/id/1-L.jpg",
        fetched_at=at,
    )
    return Book(
        metadata=Metadata(isbn=isbn, source="openlibrary", **({"title": "A title"} | facts)),
        cover=cover if extension else None,
        provenance=Provenance(
            source="openlibrary", source_id=None, job_id="job", imported_at=at, updated_at=at
        ),
    )


async def a_store(*books: Book) -> MemoryKeyValue:
    store = MemoryKeyValue(clock=lambda: 0)
    for book in books:
        await store.keep(f"book:isbn:{book.isbn}", book.to_stored(), ttl_seconds=60, if_value=None)
    return store


class Objects:
    """As much of an object store as draining needs."""

    def __init__(self, *, down: bool = False) -> None:
        self.removed: list[str] = []
        self.down = down

    async def remove(self, key: str) -> None:
        if self.down:
            raise StoreDown("down")
        self.removed.append(key)

    keep = find = check = None


async def test_every_book_goes_into_the_library_and_out_of_the_fallback() -> None:
    books = [a_book(isbn) for isbn in ISBNS]
    fallback, library = await a_store(*books), library_in_memory()

    assert await drain(fallback, library) == 3
    assert [await library.find(isbn) for isbn in ISBNS] == books
    assert await fallback.keys("") == []
    assert await drain(fallback, library) == 0


async def test_other_keys_are_left_alone() -> None:
    fallback = await a_store()
    await fallback.keep("other:1", {}, ttl_seconds=60, if_value=None)

    assert await drain(fallback, library_in_memory()) == 0
    assert await fallback.keys("") == ["other:1"]


GOOD = a_book(ISBNS[0]).to_stored()
BAD: list[Any] = [
    {},
    {"metadata": None, "cover": None, "embedding": None, "provenance": None},
    {"metadata": [], "cover": None, "embedding": None, "provenance": []},
    GOOD | {"cover": "covers/1.jpg"},
    GOOD | {"more": 1},
    GOOD | {"metadata": GOOD["metadata"] | {"isbn": ISBNS[2]}},
    GOOD | {"metadata": GOOD["metadata"] | {"title": {"a": 1}}},
    GOOD | {"metadata": GOOD["metadata"] | {"pageCount": 10**30}},
    GOOD | {"metadata": GOOD["metadata"] | {"authors": [1]}},
]


@pytest.mark.parametrize("bad", BAD)
async def test_an_entry_that_is_no_book_stops_no_other_and_stays(
    bad: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    fallback = await a_store(a_book(ISBNS[1]))
    await fallback.keep(f"book:isbn:{ISBNS[0]}", bad, ttl_seconds=60, if_value=None)
    library = library_in_memory()

    assert await drain(fallback, library) == 1
    assert await fallback.keys("") == [f"book:isbn:{ISBNS[0]}"]
    assert ISBNS[0] in caplog.text


async def test_an_entry_that_changed_meanwhile_stays_for_the_next_time() -> None:
    fallback = await a_store(a_book(ISBNS[0]))

    class Library(SqlLibrary):
        async def keep(self, book: Book) -> Book:
            later = a_book(ISBNS[0], at=LATE, publisher="Penguin")
            seen = await fallback.find(f"book:isbn:{ISBNS[0]}")
            await fallback.keep(
                f"book:isbn:{ISBNS[0]}", later.to_stored(), ttl_seconds=60, if_value=seen
            )
            return await super().keep(book)

    assert await drain(fallback, Library(library_tables_in_memory(), Nearest())) == 0
    library = library_in_memory()
    assert await drain(fallback, library) == 1
    book = await library.find(ISBNS[0])
    assert book is not None
    assert book.metadata.publisher == "Penguin"


class Refusing(SqlLibrary):
    """A library that does not take these books."""

    def __init__(self, *isbns: str) -> None:
        super().__init__(library_tables_in_memory(), Nearest())
        self.refused = isbns
        self.asked: list[str] = []

    async def keep(self, book: Book) -> Book:
        self.asked.append(book.isbn)
        if book.isbn in self.refused:
            raise StoreDown("down")
        return await super().keep(book)


async def test_a_book_that_the_library_does_not_take_stops_no_other_and_stays() -> None:
    fallback = await a_store(*(a_book(isbn) for isbn in ISBNS))
    first = min(ISBNS)

    assert await drain(fallback, Refusing(first)) == 2
    assert await fallback.keys("") == [f"book:isbn:{first}"]


async def test_a_library_that_is_down_ends_it_quietly_and_loses_nothing() -> None:
    isbns = [f"978000000{number:04}" for number in range(20)]
    fallback = await a_store(*(a_book(isbn) for isbn in isbns))
    library = Refusing(*isbns)

    assert await drain(fallback, library) == 0
    assert len(await fallback.keys("")) == 20
    assert len(library.asked) == 3


async def test_a_late_entry_turns_nothing_back() -> None:
    fallback, library = (
        await a_store(a_book(ISBNS[0], title="Old", publisher="P")),
        library_in_memory(),
    )
    await library.keep(a_book(ISBNS[0], at=LATE, title="New"))

    await drain(fallback, library)

    book = await library.find(ISBNS[0])
    assert book is not None
    assert (book.metadata.title, book.metadata.publisher) == ("New", "P")


@pytest.mark.parametrize(
    ("entry_at", "removed"), [(LATE, f"covers/{ISBNS[0]}.png"), (EARLY, f"covers/{ISBNS[0]}.jpg")]
)
async def test_the_picture_that_no_book_has_any_more_goes(entry_at: str, removed: str) -> None:
    fallback = await a_store(a_book(ISBNS[0], at=entry_at, extension="jpg"))
    library, objects = library_in_memory(), Objects()
    between = "2026-01-01T12:00:00.000Z"
    await library.keep(a_book(ISBNS[0], at=between, extension="png"))

    assert await drain(fallback, library, objects) == 1  # type: ignore[arg-type]
    assert objects.removed == [removed]


async def test_a_picture_that_cannot_be_removed_stops_nothing() -> None:
    fallback = await a_store(a_book(ISBNS[0], at=LATE, extension="jpg"))
    library, objects = library_in_memory(), Objects(down=True)
    await library.keep(a_book(ISBNS[0], extension="png"))

    assert await drain(fallback, library, objects) == 1  # type: ignore[arg-type]
