"""What every library promises: one book per ISBN that only grows, lists, and search by meaning."""

import asyncio
import contextlib
import itertools
import logging
import math
import random
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bookline.book import Book, Cover, Embedding, Metadata, Provenance
from bookline.catalogue import BookQuery
from bookline.errors import EmbeddingRefused, Refused, Removed
from bookline.merging import combined, laid_over
from bookline.reading import Reading, ReadingOf
from bookline.stores import library_lists, vector_index
from bookline.stores.catalogue import conditions, trigrams
from bookline.stores.database import Session
from bookline.stores.library import SqlLibrary
from bookline.stores.opening import (
    library_in,
    library_in_memory,
    open_library,
    open_storage,
)
from bookline.stores.postgres_session import PostgresSession
from bookline.stores.vector_index import VectorIndex
from bookline.stores.vectors import by_index
from bookline.values import iso
from store_fixtures import PRODUCTS, OpenLibrary

MOBY_DICK, EMMA, DUNE = "9780142437247", "9780141439587", "9780441172719"
AnyLibrary = SqlLibrary


@pytest.fixture(params=["memory", *PRODUCTS])
async def library(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyLibrary]:
    if request.param == "postgres":
        storage = open_storage(request.getfixturevalue("migrated_url"), tmp_path)
        yield library_in(storage)
        storage.close()
        return
    made: AnyLibrary = (
        open_library(tmp_path / "library.db") if request.param == "sqlite" else library_in_memory()
    )
    yield made
    await made.close()


def a_book(isbn: str = MOBY_DICK, *, at: int = 1_000, job: str = "job-1", **changes: Any) -> Book:
    parts = {
        name: changes.pop(name, None) for name in ("cover", "embedding")
    }  # the rest is metadata
    facts = {"title": "Moby Dick", "source": "openlibrary", "source_id": "OL1M"} | changes
    return Book(
        metadata=Metadata(isbn=isbn, **facts),
        **parts,
        provenance=Provenance(
            source=facts["source"],
            source_id=facts["source_id"],
            job_id=job,
            imported_at=iso(at),
            updated_at=iso(at),
        ),
    )


def a_rich_book(at: int = 1_000) -> Book:
    return a_book(
        at=at,
        isbn10="0142437247",
        subtitle="or, The Whale",
        authors=("Herman Melville", "Andrew Delbanco"),
        description="A captain hunts a whale.\nIt ends badly.",
        publisher="Penguin",
        publication_date="2002-12-31",
        page_count=720,
        language="en",
        categories=("Whaling", "Ships — 鯨"),
        cover_url="https://covers.openlibrary.org/b/id/1-L.jpg",
        cover=a_cover(),
        embedding=Embedding.of("model-a", [0.5, 0.25, -1.0]),
    )


def a_cover(extension: str = "jpg") -> Cover:
    return Cover(
        key=f"covers/{MOBY_DICK}.{extension}",
        content_type=f"image/{extension}",
        width=300,
        height=450,
        sha256="ab" * 32,
        source_url="https://covers.openlibrary.org/b/id/1-L.jpg",
        fetched_at=iso(900),
    )


# ------------------------------------------------------------------ keep and find
async def test_an_unknown_book_is_none(library: AnyLibrary) -> None:
    assert await library.find(MOBY_DICK) is None


async def test_what_is_kept_is_found_with_every_field(library: AnyLibrary) -> None:
    book = a_rich_book()

    kept = await library.keep(book)

    assert kept == book
    assert await library.find(MOBY_DICK) == book


async def test_keeping_twice_is_keeping_once(library: AnyLibrary) -> None:
    book = a_rich_book()

    await library.keep(book)
    await library.keep(book)

    [listed] = (await library.list(BookQuery(), limit=10, cursor=None)).items
    assert listed.to_json() == book.to_json()


async def test_a_poorer_import_erases_nothing(library: AnyLibrary) -> None:
    rich, poor = a_rich_book(at=1_000), a_book(at=2_000, job="job-2", title="Moby-Dick")
    await library.keep(rich)

    kept = await library.keep(poor)

    assert kept.metadata == replace(rich.metadata, title="Moby-Dick")
    assert (kept.cover, kept.embedding) == (rich.cover, rich.embedding)
    assert (kept.provenance.job_id, kept.provenance.imported_at) == ("job-2", iso(1_000))
    assert await library.find(MOBY_DICK) == kept


async def test_an_entry_drained_late_turns_nothing_back(library: AnyLibrary) -> None:
    """The fallback store may give a book that an import has brought anew since."""
    await library.keep(a_book(at=5_000, title="New title"))

    kept = await library.keep(a_book(at=1_000, title="Old title", publisher="Penguin"))

    assert (kept.metadata.title, kept.metadata.publisher) == ("New title", "Penguin")
    assert (kept.provenance.imported_at, kept.provenance.updated_at) == (iso(1_000), iso(5_000))


async def test_two_keeps_at_once_leave_one_correct_book(library: AnyLibrary) -> None:
    left = a_book(at=1_000, publisher="Penguin", embedding=Embedding.of("m", [1.0, 0.0]))
    right = a_book(at=2_000, authors=("Herman Melville",), cover=a_cover())

    await asyncio.gather(*(library.keep(book) for book in [left, right] * 5))

    book = await library.find(MOBY_DICK)
    assert book == laid_over(right, left)
    assert len((await library.list(BookQuery(), limit=10, cursor=None)).items) == 1


fresh_numbers = itertools.count()
texts = st.none() | st.text(max_size=20)
some_books = st.builds(
    a_book,
    at=st.integers(0, 5_000),
    title=st.text(min_size=1, max_size=20),
    subtitle=texts,
    description=texts,
    publisher=texts,
    authors=st.lists(st.text(min_size=1, max_size=10), max_size=3).map(tuple),
    page_count=st.none() | st.integers(1, 9_000),
    cover=st.none() | st.builds(a_cover, st.sampled_from(["jpg", "png"])),
    embedding=st.none()
    | st.builds(
        Embedding.of,
        st.sampled_from(["a", "b"]),
        st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2),
    ),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(first=some_books, second=some_books)
async def test_nothing_that_was_known_is_unknown_later(
    library: AnyLibrary, first: Book, second: Book
) -> None:
    isbn = f"978{next(fresh_numbers):010}"
    first, second = (
        replace(book, metadata=replace(book.metadata, isbn=isbn)) for book in (first, second)
    )
    await library.keep(first)

    kept = await library.keep(second)

    assert await library.find(isbn) == kept == await library.keep(second)
    for book in (first, second):
        known = {name for name, value in book.to_stored()["metadata"].items() if value}
        assert known <= {name for name, value in kept.to_stored()["metadata"].items() if value}
        assert book.cover is None or kept.cover is not None
        assert book.embedding is None or kept.embedding is not None


# ------------------------------------------------------------------ text of every kind
@pytest.mark.parametrize("text", ["a\x00b", "\U0001f40b", "'; DROP TABLE books; --", "{}", "\r\n"])
async def test_any_text_is_kept_as_it_is(library: AnyLibrary, text: str) -> None:
    book = a_book(title=text, description=text, authors=(text,), source_id=text)

    await library.keep(book)

    assert await library.find(MOBY_DICK) == book


@pytest.mark.parametrize("kind", [range(0x12000, 0x12399), range(0x3300, 0x3358)])
async def test_a_book_of_the_longest_texts_is_kept_and_found(
    library: AnyLibrary, kind: range
) -> None:
    """Cuneiform takes four bytes a character; a square of katakana stands for up to six. An index
    of PostgreSQL takes 2,704 bytes.
    """
    dice = random.Random(1)
    title, author = ("".join(chr(dice.choice(kind)) for _ in range(n)) for n in (500, 200))
    book = a_book(title=title, authors=(author,))

    await library.keep(book)

    assert await library.find(MOBY_DICK) == book
    for sort in ("title", "author", "year", "match"):
        query = BookQuery(sort=sort, q=title if sort == "match" else "")
        page = await library.list(query, limit=1, cursor=None)
        assert [one.isbn for one in page.items] == [MOBY_DICK]


async def test_half_a_character_is_replaced(library: AnyLibrary) -> None:
    kept = await library.keep(a_book(title="Whale \ud83d", authors=("\udc00",)))

    assert (kept.metadata.title, kept.metadata.authors) == ("Whale \ufffd", ("\ufffd",))
    assert await library.find(MOBY_DICK) == kept


# ------------------------------------------------------------------ vectors
BROKEN = [
    Embedding(model="m", dimensions=3, vector=Embedding.of("m", [1.0, 2.0]).vector),
    Embedding(model="m", dimensions=2, vector="not base64!"),
    Embedding.of("m", [1.0, math.nan]),
    Embedding.of("m", [1.0, math.inf]),
    Embedding(model="m", dimensions=0, vector=""),
]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_vector_is_left_out_and_the_book_kept(
    library: AnyLibrary, broken: Embedding, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        kept = await library.keep(a_book(embedding=broken))

    assert kept == a_book()
    assert await library.find(MOBY_DICK) == kept
    assert "vector" in caplog.text


async def test_a_model_has_one_number_of_dimensions(library: AnyLibrary) -> None:
    await library.keep(a_book(EMMA, embedding=Embedding.of("m", [1.0, 2.0])))

    kept = await library.keep(a_book(embedding=Embedding.of("m", [1.0, 2.0, 3.0])))

    assert kept.embedding is None
    other = await library.keep(a_book(embedding=Embedding.of("n", [1.0, 2.0, 3.0])))
    assert other.embedding is not None


async def test_an_older_vector_stays_when_the_new_one_does_not_fit(library: AnyLibrary) -> None:
    older = Embedding.of("m", [1.0, 2.0])
    await library.keep(a_book(embedding=older))

    kept = await library.keep(a_book(embedding=Embedding.of("m", [1.0, 2.0, 3.0])))

    assert kept.embedding == older


async def test_search_gives_the_nearest_first_with_the_cosine(library: AnyLibrary) -> None:
    for isbn, numbers in ((MOBY_DICK, [1.0, 0.0]), (EMMA, [3.0, 4.0]), (DUNE, [-2.0, 0.0])):
        await library.keep(a_book(isbn, embedding=Embedding.of("m", numbers)))

    found = await library.search(Embedding.of("m", [2.0, 0.0]), limit=10)

    assert [one.book.isbn for one in found] == [MOBY_DICK, EMMA, DUNE]
    assert [one.score for one in found] == pytest.approx([1.0, 0.6, -1.0])
    assert all(-1.0 <= one.score <= 1.0 for one in found)
    assert found[0].book.isbn == MOBY_DICK


async def test_search_gives_no_more_than_was_asked_for(library: AnyLibrary) -> None:
    for isbn in (MOBY_DICK, EMMA, DUNE):
        await library.keep(a_book(isbn, embedding=Embedding.of("m", [1.0, 0.0])))

    found = await library.search(Embedding.of("m", [1.0, 0.0]), limit=2)

    assert [one.book.isbn for one in found] == sorted([MOBY_DICK, EMMA, DUNE])[:2]


async def test_search_never_mixes_models_or_dimensions(library: AnyLibrary) -> None:
    await library.keep(a_book(MOBY_DICK, embedding=Embedding.of("m", [1.0, 0.0])))
    await library.keep(a_book(EMMA, embedding=Embedding.of("n", [1.0, 0.0])))
    await library.keep(a_book(DUNE))

    assert [one.book.isbn for one in await library.search(Embedding.of("m", [1, 0]), limit=9)] == [
        MOBY_DICK
    ]
    assert await library.search(Embedding.of("m", [1.0, 0.0, 0.0]), limit=9) == []
    assert await library.search(Embedding.of("o", [1.0, 0.0]), limit=9) == []


async def test_a_vector_without_a_direction_is_never_found(library: AnyLibrary) -> None:
    await library.keep(a_book(embedding=Embedding.of("m", [0.0, 0.0])))
    await library.keep(a_book(EMMA, embedding=Embedding.of("m", [0.0, 1.0])))

    found = await library.search(Embedding.of("m", [0.0, 1.0]), limit=9)

    assert [one.book.isbn for one in found] == [EMMA]
    assert await library.search(Embedding.of("m", [0.0, 0.0]), limit=9) == []


@pytest.fixture
async def large(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SqlLibrary]:
    """On PostgreSQL, with so many vectors as count for many here."""
    monkeypatch.setattr(vector_index, "LARGE", 50)
    storage = open_storage(postgres_url, tmp_path)
    library = library_in(storage)
    for number, vector in enumerate(VECTORS[:50]):
        await library.keep(a_book(f"978{number:010}", embedding=Embedding.of("m", vector)))
    yield library
    storage.close()


_CHANCE = random.Random(7)
VECTORS = [[_CHANCE.gauss(0, 1) for _ in range(8)] for _ in range(60)]
IS_MADE = (
    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('bookline.vectors_near_8')"
)


async def test_the_index_of_a_large_library_answers_as_looking_at_all_does(
    large: SqlLibrary, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers() -> list[list[tuple[str, float]]]:
        found = [await large.search(Embedding.of("m", one), limit=9) for one in VECTORS[50:]]
        return [[(one.book.isbn, round(one.score, 5)) for one in some] for some in found]

    asked: list[int] = []

    def noted(dimensions: int) -> str:
        asked.append(dimensions)
        return by_index(dimensions)

    monkeypatch.setattr("bookline.stores.vectors.by_index", noted)
    before = await answers()
    assert asked == []
    await VectorIndex(large.database, postgres_url, "bookline").make_index()

    assert await answers() == before
    assert asked == [8] * len(before)
    assert "vectors_near_8" in await large.database.write(plan_by_index)
    await large.keep(a_book(MOBY_DICK, embedding=Embedding.of("m", VECTORS[50])))
    [[(isbn, score), *_], *_] = await answers()
    assert (isbn, score) == (MOBY_DICK, 1.0)


async def test_nodes_that_make_the_index_at_once_make_one(
    large: SqlLibrary, postgres_url: str
) -> None:
    nodes = [VectorIndex(large.database, postgres_url, "bookline") for _ in range(3)]

    await asyncio.gather(*(node.make_index() for node in nodes))

    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(IS_MADE).fetchall() == [(True,)]


async def test_a_smaller_library_has_no_index(
    large: SqlLibrary, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "LARGE", 51)

    await VectorIndex(large.database, postgres_url, "bookline").make_index()

    with psycopg.connect(postgres_url) as connection:
        assert connection.execute(IS_MADE).fetchall() == []


async def test_an_index_that_was_left_half_made_is_made_anew(
    large: SqlLibrary, postgres_url: str
) -> None:
    """It waits for a transaction when its node ends; then another node finds it."""
    node = VectorIndex(large.database, postgres_url, "bookline")
    with (
        psycopg.connect(postgres_url, autocommit=True) as watcher,
        psycopg.connect(postgres_url) as other,
    ):
        other.execute("UPDATE bookline.vectors SET model = model")
        making = asyncio.create_task(node.make_index())
        async with asyncio.timeout(60):
            while not watcher.execute(IS_MADE).fetchall():
                await asyncio.sleep(0.01)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        left = watcher.execute(IS_MADE).fetchall()
        other.rollback()

        await node.make_index()

        assert (left, watcher.execute(IS_MADE).fetchall()) == ([(False,)], [(True,)])


async def test_an_index_that_somebody_makes_by_hand_is_left_to_them(
    large: SqlLibrary, postgres_url: str
) -> None:
    node = VectorIndex(large.database, postgres_url, "bookline")
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE bookline.vectors IN SHARE UPDATE EXCLUSIVE MODE")
        await asyncio.wait_for(node.make_index(), 60)
        there = other.execute(IS_MADE).fetchall()
        other.rollback()

        await node.make_index()

        assert (there, other.execute(IS_MADE).fetchall()) == ([], [(True,)])


def plan_by_index(session: Session) -> str:
    session.execute("SET LOCAL enable_seqscan = off")  # quicker for so few
    session.execute("SET LOCAL enable_sort = off")
    values = {"model": "m", "vector": Embedding.of("m", [1.0] * 8).to_bytes(), "limit": 9}
    rows = session.execute(f"EXPLAIN {by_index(8)}", values)
    return "\n".join(str(row["QUERY PLAN"]) for row in rows)


async def test_a_question_that_is_no_vector_is_refused(library: AnyLibrary) -> None:
    with pytest.raises(EmbeddingRefused):
        await library.search(BROKEN[0], limit=9)


# ------------------------------------------------------------------ lists
async def test_the_list_has_the_last_import_first_in_pages_without_gaps(
    library: AnyLibrary,
) -> None:
    isbns = [f"97800000{number:05}" for number in range(7)]
    for number, isbn in enumerate(isbns):
        await library.keep(a_book(isbn, at=1_000 + number // 2))  # pairs have the same time

    walked: list[str] = []
    cursor = None
    while True:
        page = await library.list(BookQuery(), limit=3, cursor=cursor)
        walked += [book.isbn for book in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert walked == isbns[::-1]


async def test_a_full_last_page_has_no_cursor(library: AnyLibrary) -> None:
    await library.keep(a_book())

    page = await library.list(BookQuery(), limit=1, cursor=None)

    assert page.next_cursor is None


async def _walk(library: AnyLibrary, query: BookQuery, limit: int = 2) -> list[str]:
    """All pages of a list; each says the same total."""
    walked: list[str] = []
    cursor = None
    while True:
        page = await library.list(query, limit=limit, cursor=cursor)
        walked += [book.isbn for book in page.items]
        cursor = page.next_cursor
        if cursor is None:
            assert page.total == len(walked)
            return walked


SHELF = {
    "9780451524935": ("Nineteen Eighty-Four", ("George Orwell",), "1949-06-08", "en"),
    "9780452284234": ("Animal Farm", ("George Orwell", "C. M. Woodhouse"), "1945", "en-GB"),
    "9782070368228": ("1984", ("Georges Perec", "Amélie Audiberti"), "1950", "fr"),
    "9780306406157": ("Über 50 % wahr", (), None, None),
    "9780141439587": ("emma_2", ("Jane Austen",), "2003", "en"),
}


@pytest.fixture
async def shelf(library: AnyLibrary) -> AnyLibrary:
    for number, (isbn, (title, authors, date, language)) in enumerate(SHELF.items()):
        await library.keep(
            a_book(
                isbn, at=1_000 + number, title=title, authors=authors, publication_date=date,
                language=language,
            )
        )  # fmt: skip
    return library


ORWELL, FARM, PEREC, TRUE, EMMA_2 = SHELF


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("recent", [EMMA_2, TRUE, PEREC, FARM, ORWELL]),
        ("title", [PEREC, FARM, EMMA_2, ORWELL, TRUE]),
        ("author", [FARM, ORWELL, PEREC, EMMA_2, TRUE]),
        ("year", [EMMA_2, PEREC, ORWELL, FARM, TRUE]),
    ],
)
async def test_each_sort_walks_the_whole_library_in_pages_without_gaps(
    shelf: AnyLibrary, sort: str, expected: list[str]
) -> None:
    """Case does not matter; who has no author, and what has no year, comes last."""
    assert await _walk(shelf, BookQuery(sort=sort)) == expected


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("orwell", [FARM, ORWELL]),
        ("ORWELL george", [FARM, ORWELL]),
        ("eighty four", [ORWELL]),
        ("Eighty\u2013Four", [ORWELL]),
        ("ber 50", [TRUE]),
        ("uber", [TRUE]),
        ("amelie", [PEREC]),
        ("%", [TRUE]),
        ("_", [EMMA_2]),
        ("' OR 1=1 --", []),
        ("978-0-451-52493-5", [ORWELL]),
        ("0451524934", [ORWELL]),
        ("97804", [FARM, ORWELL]),
        ("1984", [PEREC]),
        ("orwell austen", []),
        ("", [EMMA_2, TRUE, PEREC, FARM, ORWELL]),
    ],
)
async def test_each_word_of_q_is_in_isbn_title_or_author(
    shelf: AnyLibrary, q: str, expected: list[str]
) -> None:
    assert await _walk(shelf, BookQuery(q=q)) == expected


async def test_author_and_language_narrow_the_list(shelf: AnyLibrary) -> None:
    assert await _walk(shelf, BookQuery(author="orwell")) == [FARM, ORWELL]
    assert await _walk(shelf, BookQuery(author="woodhouse")) == [FARM]
    assert await _walk(shelf, BookQuery(author="farm")) == []
    assert await _walk(shelf, BookQuery(language="EN")) == [EMMA_2, FARM, ORWELL]
    assert await _walk(shelf, BookQuery(language="en-gb")) == [FARM]
    assert await _walk(shelf, BookQuery(q="george", language="fr", sort="year")) == [PEREC]


@pytest.mark.parametrize(("few", "at_hand"), [(0, 0), (0, 2), (0, 2_000), (1_000, 2)])
async def test_few_matches_and_many_are_paged_alike(
    shelf: AnyLibrary, monkeypatch: pytest.MonkeyPatch, few: int, at_hand: int
) -> None:
    """Whichever way they are found: all at once, among the next books, on a walk."""
    for sort in ("recent", "title", "author", "year"):
        for asked in ({"q": "e"}, {"q": "orwell"}, {"language": "en"}):
            query = BookQuery(**asked, sort=sort)
            with monkeypatch.context() as ways:
                ways.setattr(library_lists, "AT_HAND", 0)
                expected = await _walk(shelf, query)
                ways.setattr(library_lists, "FEW", few)
                ways.setattr(library_lists, "AT_HAND", at_hand)
                assert await _walk(shelf, query) == expected


async def test_a_word_that_many_books_have_is_not_looked_up_in_the_index(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL would not use it, and call the index's function for each book instead."""
    asked: list[str] = []
    execute = PostgresSession.execute

    def noted(self: PostgresSession, sql: str, *values: Any) -> Any:
        asked.append(sql)
        return execute(self, sql, *values)

    storage = open_storage(postgres_url, tmp_path)
    library = library_in(storage)
    for isbn in (EMMA, MOBY_DICK, DUNE):
        await library.keep(a_book(isbn, title="The book"))
    monkeypatch.setattr(PostgresSession, "execute", noted)

    page = await library.list(BookQuery(q="the"), limit=2, cursor=None)
    common, rest = asked.copy(), await library.list(BookQuery(q="the"), limit=3, cursor=None)

    assert (page.total, len(page.items), rest.total) == (3, 2, 3)
    assert not [sql for sql in common if "trigrams" in sql]
    assert [sql for sql in asked if "trigrams" in sql]  # as a rare one is
    storage.close()


async def test_the_total_of_many_matches_is_that_of_this_moment(
    open_library: OpenLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever process changed a book since it was counted."""
    monkeypatch.setattr(library_lists, "FEW", 0)
    one, other = open_library(), open_library()

    def renamed(book: Book) -> Book:
        return replace(book, metadata=replace(book.metadata, title="Persuasion"))

    async def total() -> int | None:
        return (await one.list(BookQuery(q="emma"), limit=1, cursor=None)).total

    await one.keep(a_book(EMMA, title="Emma"))
    await one.keep(a_book(FARM, title="Emma 2"))
    totals = [await total(), await total()]
    await other.keep(a_book(MOBY_DICK, title="Emma and the whale"))
    totals.append(await total())
    await other.change(FARM, renamed)
    totals.append(await total())
    await other.remove(EMMA, [])
    totals.append(await total())

    assert totals == [2, 2, 3, 2, 1]


async def test_a_book_that_is_committed_late_counts(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written before another one, which was counted before it was there."""
    monkeypatch.setattr(library_lists, "FEW", 0)
    storage = open_storage(postgres_url, tmp_path)
    library = library_in(storage)

    async def total() -> int | None:
        return (await library.list(BookQuery(q="emma"), limit=1, cursor=None)).total

    await library.keep(a_book(EMMA, title="Emma"))
    with psycopg.connect(postgres_url) as late:
        late.execute(
            """INSERT INTO bookline.catalogue SELECT '9780000000000', searched, authors, title_key,
                   author_key, year_key, language, updated_at FROM bookline.catalogue"""
        )
        await library.keep(a_book(FARM, title="Emma 2"))
        before = await total()
        late.commit()

    assert (before, await total()) == (2, 3)
    storage.close()


async def test_the_best_match_is_the_title_itself_then_its_beginning(library: AnyLibrary) -> None:
    for isbn, title in ((EMMA, "Children of Dune"), (MOBY_DICK, "Dune Messiah"), (DUNE, "DUNE")):
        await library.keep(a_book(isbn, title=title))

    page = await library.list(BookQuery(q="dune", sort="match"), limit=3, cursor=None)

    assert [book.isbn for book in page.items] == [DUNE, MOBY_DICK, EMMA]


async def test_the_best_of_few_and_of_many_matches_are_the_same(
    shelf: AnyLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shelf.keep(a_book(MOBY_DICK, title="Emma 2 and Emma"))
    await shelf.keep(a_book(DUNE, title="The other Emma"))

    async def best(q: str, limit: int) -> list[str]:
        query = BookQuery(q=q, sort="match")
        return [book.isbn for book in (await shelf.list(query, limit=limit, cursor=None)).items]

    questions = [(q, limit) for q in ("emma", "emma 2", "e", "a", "") for limit in (1, 3, 9)]
    few = [await best(*question) for question in questions]
    monkeypatch.setattr(library_lists, "FEW", 0)

    assert [await best(*question) for question in questions] == few
    assert few[2] == [MOBY_DICK, EMMA_2, DUNE]


async def test_the_total_is_exact_however_many_write_at_once(open_library: OpenLibrary) -> None:
    """Two processes keep, keep again and remove the same books; then all is counted."""
    both = open_library(), open_library()
    isbns = [f"978{number:010}" for number in range(300)]

    async def one(library: SqlLibrary, isbn: str) -> None:
        await library.keep(a_book(isbn))
        await library.keep(a_book(isbn, job="job-2"))
        if int(isbn) % 3 == 0:
            await library.remove(isbn, [])
            await library.remove(isbn, [])

    await asyncio.gather(*(one(library, isbn) for library in both for isbn in isbns))

    page = await both[0].list(BookQuery(), limit=1, cursor=None)
    listed = [book.isbn async for book in _all_of(both[1])]
    assert page.total == len(listed)
    assert {isbn for isbn in isbns if int(isbn) % 3} <= set(listed)


async def _all_of(library: SqlLibrary) -> AsyncIterator[Book]:
    after = ""
    while books := await library.walk(after, 200, None):
        for book in books:
            yield book
        after = books[-1].isbn


async def test_the_total_on_postgresql_is_the_sum_of_few_rows(
    migrated_url: str, tmp_path: Path
) -> None:
    """It does not grow with the library, and a write that is taken back does not count."""
    storage = open_storage(migrated_url, tmp_path)
    library = library_in(storage)
    for number in range(250):
        await library.keep(a_book(f"978{number:010}"))
    with psycopg.connect(migrated_url) as connection:
        connection.execute("DELETE FROM bookline.catalogue")
        connection.rollback()

    def rows(session: Session) -> int:
        return len(session.execute("SELECT id FROM catalogue_changes"))

    assert await library.database.write(rows) < 100
    assert (await library.list(BookQuery(), limit=1, cursor=None)).total == 250
    storage.close()


async def test_a_word_is_found_by_its_trigrams_on_postgresql(
    migrated_url: str, tmp_path: Path
) -> None:
    storage = open_storage(migrated_url, tmp_path)
    library = library_in(storage)
    await library.keep(a_book(title="Das Füßchen — 鯨の歌を聴け", authors=("Łukasz Orbitowski",)))

    async def plan(query: BookQuery) -> str:
        def work(session: Session) -> str:
            session.execute("SET LOCAL enable_seqscan = off")
            terms, values = conditions(query)
            where = " AND ".join([*trigrams(values), *terms])
            rows = session.execute(f"EXPLAIN SELECT isbn FROM catalogue WHERE {where}", values)
            return "\n".join(str(row["QUERY PLAN"]) for row in rows)

        return await library.database.write(work)

    for query in (BookQuery(q="sschen"), BookQuery(q="の歌を 鯨"), BookQuery(author="orbit lu")):
        assert "catalogue_trigrams" in await plan(query), query
        assert await _walk(library, query) == [MOBY_DICK], query
    assert "catalogue_trigrams" not in await plan(BookQuery(q="鯨"))
    assert await _walk(library, BookQuery(q="鯨")) == [MOBY_DICK]
    storage.close()


async def test_a_cursor_of_another_sort_is_refused(shelf: AnyLibrary) -> None:
    page = await shelf.list(BookQuery(sort="title"), limit=1, cursor=None)

    with pytest.raises(Refused):
        await shelf.list(BookQuery(sort="recent"), limit=1, cursor=page.next_cursor)


async def test_the_export_walks_the_books_by_isbn(shelf: AnyLibrary) -> None:
    first = await shelf.walk("", 3, None)
    rest = await shelf.walk(first[-1].isbn, 3, None)

    assert [book.isbn for book in (*first, *rest)] == sorted(SHELF)


# ------------------------------------------------------------------ changes and removal
async def test_a_change_is_found_by_what_it_is_now(library: AnyLibrary) -> None:
    await library.keep(a_book())

    changed = await library.change(
        MOBY_DICK, lambda book: replace(book, metadata=replace(book.metadata, title="The Whale"))
    )

    assert changed is not None
    assert await library.find(MOBY_DICK) == changed
    assert await _walk(library, BookQuery(q="moby")) == []
    assert await _walk(library, BookQuery(q="whale")) == [MOBY_DICK]


async def test_nothing_changes_where_there_is_no_book(library: AnyLibrary) -> None:
    assert await library.change(MOBY_DICK, lambda book: book) is None
    assert await _walk(library, BookQuery()) == []


async def test_changes_at_once_all_count(library: AnyLibrary) -> None:
    await library.keep(a_book(page_count=0))

    def one_more(book: Book) -> Book:
        pages = (book.metadata.page_count or 0) + 1
        return replace(book, metadata=replace(book.metadata, page_count=pages))

    await asyncio.gather(*(library.change(MOBY_DICK, one_more) for _ in range(20)))

    book = await library.find(MOBY_DICK)
    assert book is not None
    assert book.metadata.page_count == 20


async def test_what_another_node_keeps_meanwhile_is_not_lost(
    open_library: OpenLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes between the reading of the book and its writing, as close as it can."""
    here, there = open_library(), open_library()
    await here.keep(a_book(at=1_000))
    between: list[Future[Book]] = []

    def slowly(book: Book, older: Book) -> Book:
        if not between:
            theirs = there.keep(a_book(at=2_000, publisher="Penguin"))
            between.append(elsewhere.submit(asyncio.run, theirs))
            with contextlib.suppress(TimeoutError):
                between[0].result(0.3)  # right is that it waits for us
        return combined(book, older)

    monkeypatch.setattr("bookline.stores.library.combined", slowly)
    with ThreadPoolExecutor(1) as elsewhere:
        await here.keep(a_book(at=3_000, page_count=7))

    book = await here.find(MOBY_DICK)
    assert book is not None
    assert (book.metadata.page_count, book.metadata.publisher) == (7, "Penguin")


async def test_a_removed_book_leaves_nothing(library: AnyLibrary) -> None:
    book = await library.keep(a_rich_book())
    await library.keep_readings([said(MOBY_DICK, rating=4)])

    removed = await library.remove(MOBY_DICK, [])

    assert removed == replace(book, reading=Reading(rating=4))
    assert await library.remove(MOBY_DICK, []) is None
    assert await library.find(MOBY_DICK) is None
    assert await _walk(library, BookQuery(q="moby")) == []
    assert await library.search(Embedding.of("model-a", [0.5, 0.25, -1.0]), limit=1) == []
    await library.keep(a_book())
    found = await library.find(MOBY_DICK)
    assert found is not None
    assert (found.reading, found.embedding, found.cover) == (None, None, None)


async def test_a_job_whose_book_was_removed_brings_it_not_back(library: AnyLibrary) -> None:
    await library.remove(MOBY_DICK, ["job-1"])

    with pytest.raises(Removed):
        await library.keep(a_book(job="job-1"))

    assert await library.find(MOBY_DICK) is None
    assert (await library.keep(a_book(job="job-2"))).isbn == MOBY_DICK


async def test_a_search_follows_every_change_of_the_vectors(library: AnyLibrary) -> None:
    """What was read for an earlier search is never an answer any more."""
    east, north = Embedding.of("m", [1.0, 0.0]), Embedding.of("m", [0.0, 1.0])
    for isbn in (MOBY_DICK, EMMA):
        await library.keep(a_book(isbn, embedding=east))
    assert len(await library.search(east, limit=5)) == 2

    await library.keep(a_book(MOBY_DICK, at=2_000, embedding=north))
    await library.keep(a_book(DUNE, embedding=north))
    await library.remove(EMMA, [])

    found = await library.search(north, limit=5)
    assert [(one.book.isbn, round(one.score, 5)) for one in found] == [
        (MOBY_DICK, 1.0), (DUNE, 1.0),
    ]  # fmt: skip
    assert len(await library.search(east, limit=1)) == 1


# ------------------------------------------------------------------ readers' own data
def said(isbn: str, user_id: str | None = None, at: int = 1_000, **values: Any) -> ReadingOf:
    return ReadingOf(isbn=isbn, user_id=user_id, reading=Reading(**values), at=iso(at))


async def _reading(library: AnyLibrary, user_id: str | None = None) -> Reading | None:
    book = await library.find(MOBY_DICK, user_id)
    assert book is not None
    return book.reading


async def test_what_readers_say_is_kept_for_each(library: AnyLibrary) -> None:
    """It may come before the book, and no import touches it."""
    await library.keep_readings([said(MOBY_DICK, rating=4), said(MOBY_DICK, "ada", rating=2)])

    await library.keep(a_book())
    await library.keep(a_book(at=2_000))

    assert await _reading(library) == Reading(rating=4)
    assert await _reading(library, "ada") == Reading(rating=2)
    assert await _reading(library, "bob") is None
    [listed] = (await library.list(BookQuery(), limit=1, cursor=None)).items
    assert listed.reading == Reading(rating=4)
    [walked] = await library.walk("", 9, "ada")
    assert walked.reading == Reading(rating=2)


async def test_newer_values_win_and_older_ones_fill_gaps_only(library: AnyLibrary) -> None:
    await library.keep(a_book())
    late = said(MOBY_DICK, at=5_000, rating=4, review="Good")
    early = said(MOBY_DICK, at=1_000, rating=2, notes="Lent to Bob")

    for readings in ([late], [early], [early, late], [late]):
        await library.keep_readings(readings)

    assert await _reading(library) == Reading(rating=4, review="Good", notes="Lent to Bob")


async def test_a_reading_that_says_nothing_is_none(library: AnyLibrary) -> None:
    await library.keep(a_book())

    await library.keep_readings([said(MOBY_DICK)])

    assert await _reading(library) is None


async def test_a_change_of_a_reading_may_empty_it(library: AnyLibrary) -> None:
    await library.keep(a_book())
    await library.keep_readings([said(MOBY_DICK, rating=4)])

    await library.change_reading(MOBY_DICK, None, iso(2_000), lambda _: Reading(status="read"))
    assert await _reading(library) == Reading(status="read")
    await library.change_reading(MOBY_DICK, None, iso(3_000), lambda _: Reading())

    assert await _reading(library) is None


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "W10", "WzEsIDJd", "WyJcdWQ4MDAiLCAiYSJd", "ä"])
async def test_a_cursor_that_is_not_ours_is_refused(library: AnyLibrary, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        await library.list(BookQuery(), limit=3, cursor=cursor)

    assert refused.value.code == "INVALID_REQUEST"
