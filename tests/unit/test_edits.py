"""What may be edited, how it is locked, and what is refused by name."""

import json
from typing import Any

import pytest

from bookline.book import DESCRIPTION_CHARS, Book, Cover, Metadata, Provenance
from bookline.edits import edited, read_edit, said_now, with_own_cover
from bookline.errors import Refused
from bookline.merging import laid_over
from bookline.reading import Reading

AT = "2026-03-01T00:00:00.000Z"
BOOK = Book(
    metadata=Metadata(
        isbn="9780142437247",
        title="Moby Dick",
        subtitle="or, The Whale",
        authors=("Herman Melville",),
        page_count=720,
        source="openlibrary",
    ),
    provenance=Provenance(
        source="openlibrary",
        source_id="OL1M",
        job_id="job-1",
        imported_at="2026-01-01T00:00:00.000Z",
        updated_at="2026-01-01T00:00:00.000Z",
        fields={"subtitle": "google_books"},
    ),
)
COVER = Cover(
    key="covers/9780142437247.own.png",
    content_type="image/png",
    width=60,
    height=90,
    sha256="ab",
    source_url="",
    fetched_at=AT,
)


def after(book: Book = BOOK, **body: Any) -> dict[str, Any]:
    return edited(read_edit(body), AT)(book).to_json()


def test_an_edited_field_is_locked_and_its_source_is_the_user() -> None:
    book = after(title="  The   Whale ", authors=["H. Melville", "A. Delbanco"])

    assert (book["title"], book["author"]) == ("The Whale", "H. Melville")
    assert book["authors"] == ["H. Melville", "A. Delbanco"]
    assert book["locked"] == ["title", "authors"]
    assert book["provenance"]["fields"] == {
        "title": "user", "authors": "user", "subtitle": "google_books",
        "pageCount": "openlibrary",
    }  # fmt: skip
    assert book["provenance"]["updatedAt"] == AT
    assert book["provenance"]["importedAt"] == BOOK.provenance.imported_at


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_null_empties_and_locks(nothing: str | None) -> None:
    book = after(subtitle=nothing)

    assert (book["subtitle"], book["locked"]) == (None, ["subtitle"])
    assert "subtitle" not in book["provenance"]["fields"]


@pytest.mark.parametrize(
    ("field", "empty"),
    [("authors", []), ("categories", []), ("description", None), ("publisher", None),
     ("publicationDate", None), ("pageCount", None), ("language", None)],
)  # fmt: skip
def test_all_but_the_title_can_be_emptied(field: str, empty: object) -> None:
    book = edited(read_edit({field: None}), AT)(BOOK).to_json()

    assert (book[field], book["locked"]) == (empty, [field])


def test_unlock_frees_a_field_and_leaves_its_value() -> None:
    once = edited(read_edit({"title": "The Whale", "pageCount": 1}), AT)(BOOK)

    book = after(once, unlock=["title", "cover"])

    assert (book["title"], book["locked"]) == ("The Whale", ["pageCount"])


def test_an_import_leaves_what_is_locked_and_brings_the_rest() -> None:
    ours = edited(read_edit({"title": "The Whale", "subtitle": None}), AT)(BOOK)
    new = Book(
        metadata=Metadata(
            isbn=BOOK.isbn, title="Moby-Dick", subtitle="Or", publisher="P", source="isbndb"
        ),
        provenance=Provenance(
            source="isbndb", source_id=None, job_id="job-2", imported_at=AT, updated_at=AT
        ),
    )

    book = laid_over(new, ours).to_json()

    assert (book["title"], book["subtitle"], book["publisher"]) == ("The Whale", None, "P")
    assert book["locked"] == ["title", "subtitle"]
    assert book["provenance"]["fields"]["title"] == "user"


def test_a_cover_of_ones_own_is_locked() -> None:
    book = with_own_cover(COVER, AT)(BOOK)

    assert (book.cover, book.locked) == (COVER, ("cover",))
    assert book.to_json()["provenance"]["fields"]["cover"] == "user"
    assert COVER.url == "/v2/covers/9780142437247?v=ab"


@pytest.mark.parametrize("date", ["1851", "1851-10", "1851-10-18", "2024-02-29"])
def test_a_true_date_is_taken_as_it_is(date: str) -> None:
    assert after(publicationDate=date)["publicationDate"] == date


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "nothing to change"),
        ({"isbn": "1"}, "isbn"),
        ({"author": "X"}, "author"),
        ({"cover": None}, "cover"),
        ({"title": None}, "title"),
        ({"title": " "}, "title"),
        ({"title": 1}, "title"),
        ({"title": "\ud83d"}, "title"),
        ({"title": "x" * 1_001}, "title"),
        ({"description": "x" * (DESCRIPTION_CHARS + 1)}, "description"),
        ({"authors": "Melville"}, "authors"),
        ({"authors": ["a", ""]}, "authors[1]"),
        ({"authors": ["a", 7]}, "authors[1]"),
        ({"authors": ["a"] * 101}, "authors"),
        ({"pageCount": 0}, "pageCount"),
        ({"pageCount": True}, "pageCount"),
        ({"pageCount": "7"}, "pageCount"),
        ({"publicationDate": "2023-02-29"}, "publicationDate"),
        ({"publicationDate": "0000"}, "publicationDate"),
        ({"publicationDate": "18 Oct 1851"}, "publicationDate"),
        ({"publicationDate": "1851-1-1"}, "publicationDate"),
        ({"language": "english dialects"}, "language"),
        ({"language": "klingonese"}, "language"),
        ({"language": "unknown"}, "language"),
        ({"unlock": "title"}, "unlock"),
        ({"unlock": ["isbn"]}, "unlock"),
        ({"unlock": ["reading"]}, "unlock"),
        ({"title": "x", "unlock": ["title"]}, "title"),
        ({"reading": []}, "reading"),
        ({"reading": {"rating": 6}}, "reading.rating"),
        ({"reading": {"mood": "good"}}, "reading.mood"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(body: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        read_edit(body)

    assert refused.value.code == "INVALID_REQUEST"
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("written", "kept"),
    [("de", "de"), ("German", "de"), ("ger", "de"), ("pt-br", "pt-BR"), ("pt_BR", "pt-BR")],
)
def test_a_language_is_kept_as_the_imports_keep_it(written: str, kept: str) -> None:
    assert after(language=written)["language"] == kept


def test_control_characters_are_left_out() -> None:
    book = after(title="a\x00b\x1b[31m", description="one\ntwo\x07")

    assert (book["title"], book["description"]) == ("ab[31m", "one\ntwo")


# ------------------------------------------------------------------ reading
OLDER = Reading(status="reading", rating=3, shelves=("sea",))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "read"}, Reading(status="read", rating=3, shelves=("sea",))),
        ({"rating": None}, Reading(status="reading", shelves=("sea",))),
        ({"rating": None, "shelves": ["x"]}, Reading(status="reading", shelves=("x",))),
        (None, Reading()),
    ],
)
def test_a_reading_is_changed_field_by_field_and_never_locked(
    body: object, expected: Reading
) -> None:
    edit = read_edit({"reading": body})

    assert said_now(edit)(OLDER) == expected
    assert not edit.changes_book


def test_the_stored_form_of_an_edited_book_reads_back() -> None:
    book = with_own_cover(COVER, AT)(edited(read_edit({"title": "W"}), AT)(BOOK))

    assert Book.from_stored(json.loads(json.dumps(book.to_stored()))) == book
