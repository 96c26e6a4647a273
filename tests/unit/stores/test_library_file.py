"""What only the file promises: books outlive the process and the schema's changes."""

import sqlite3
from pathlib import Path

import pytest

from bookline.book import Book, Embedding, Metadata, Provenance
from bookline.errors import StoreDown
from bookline.stores import library_schema
from bookline.stores.database import BooklineNewer
from bookline.stores.library_schema import MIGRATIONS
from bookline.stores.opening import open_library

ISBN = "9780142437247"
BOOK = Book(
    metadata=Metadata(isbn=ISBN, title="Moby Dick", source="openlibrary"),
    embedding=Embedding.of("m", [0.6, 0.8]),
    provenance=Provenance(
        source="openlibrary",
        source_id=None,
        job_id="job-1",
        imported_at="2026-01-01T00:00:00.000Z",
        updated_at="2026-01-01T00:00:00.000Z",
    ),
)


async def test_books_and_vectors_are_there_after_a_restart(tmp_path: Path) -> None:
    first = open_library(tmp_path / "library.sqlite")
    await first.keep(BOOK)
    await first.close()

    again = open_library(tmp_path / "library.sqlite")

    assert await again.find(ISBN) == BOOK
    [found] = await again.search(Embedding.of("m", [0.6, 0.8]), limit=1)
    assert found.book.to_json() == BOOK.to_json()
    assert found.score == pytest.approx(1.0)
    await again.close()
    await again.close()


async def test_an_empty_file_gets_every_migration(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    sqlite3.connect(path).close()

    await open_library(path).close()

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_file_of_each_older_schema_opens_and_takes_books(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(library_schema, "MIGRATIONS", MIGRATIONS[:version])
        await open_library(tmp_path / "library.sqlite").close()

    library = open_library(tmp_path / "library.sqlite")

    assert await library.keep(BOOK) == BOOK
    await library.close()


def test_the_file_of_a_newer_bookline_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "library.sqlite")
    connection.execute("PRAGMA user_version=999")
    connection.close()

    with pytest.raises(BooklineNewer):
        open_library(tmp_path / "library.sqlite")


async def test_a_closed_library_is_down(tmp_path: Path) -> None:
    library = open_library(tmp_path / "library.sqlite")
    await library.close()

    with pytest.raises(StoreDown):
        await library.keep(BOOK)


def test_a_file_that_is_no_database_is_down(tmp_path: Path) -> None:
    (tmp_path / "library.sqlite").write_text("this is no database, but it is long enough " * 100)

    with pytest.raises(StoreDown):
        open_library(tmp_path / "library.sqlite")
