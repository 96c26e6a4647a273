"""Which value stands: property by property, and the table's rows one by one."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookline.book import FIELDS, Book, Cover, Metadata, Provenance
from bookline.merging import COMPLETED, combined, completed, laid_over, missing
from bookline.placeholders import is_no_title

ISBN = "9780142437247"
texts = st.none() | st.sampled_from(["a", "b", "Untitled"])
metadata = st.builds(
    Metadata,
    isbn=st.just(ISBN),
    title=st.sampled_from(["Moby-Dick", "Moby-Dick; or, The Whale", "Untitled", "????"]),
    subtitle=texts,
    authors=st.sampled_from([(), ("Ada",), ("Ada", "Berta")]),
    description=texts,
    publisher=texts,
    publication_date=st.sampled_from([None, "2024", "2023", "2024-05", "2024-05-12", "2023-01-02"]),
    page_count=st.sampled_from([None, 96, 97]),
    language=st.sampled_from([None, "pt", "pt-BR", "en"]),
    categories=st.sampled_from([(), ("Whaling",), ("Sea",)]),
    cover_url=texts,
    source=st.sampled_from(["google_books", "openlibrary", "isbndb"]),
)
covers = st.none() | st.builds(
    Cover,
    key=st.sampled_from([f"covers/{ISBN}.jpg", f"covers/{ISBN}.png"]),
    content_type=st.just("image/jpeg"),
    width=st.just(300),
    height=st.just(450),
    sha256=st.sampled_from(["a" * 64, "b" * 64]),
    source_url=st.just(""),
    fetched_at=st.just(""),
)


def make_book(found: Metadata, cover: Cover | None, minute: int, locked: tuple[str, ...]) -> Book:
    at = f"2026-11-25T10:{minute:02}:00.000Z"
    provenance = Provenance(
        source=found.source,
        source_id=None,
        job_id=f"import-{minute}",
        imported_at=at,
        updated_at=at,
    )
    return Book(metadata=found, cover=cover, provenance=provenance, locked=locked)


locks = st.lists(st.sampled_from(list(FIELDS)), max_size=3, unique=True).map(tuple)
books = st.builds(make_book, metadata, covers, st.integers(0, 59), st.just(()))
edited = st.builds(make_book, metadata, covers, st.integers(0, 59), locks)


def facts(book: Book) -> dict[str, Any]:
    known = {name: getattr(book.metadata, attribute) for name, attribute in FIELDS.items()}
    return known | {"cover": book.cover}


# ------------------------------------------------------------------ over the library
@settings(deadline=None)
@given(books, edited)
def test_no_import_erases_anything(new: Book, old: Book) -> None:
    after = facts(laid_over(new, old))

    assert all(after[name] for name, value in facts(old).items() if value)


@settings(deadline=None)
@given(books, edited)
def test_laid_over_twice_is_laid_over_once(new: Book, old: Book) -> None:
    once = laid_over(new, old)

    assert facts(laid_over(new, once)) == facts(once)
    assert facts(laid_over(once, once)) == facts(once)


@settings(deadline=None)
@given(books, edited)
def test_a_locked_field_stays_as_it_is_even_empty(new: Book, old: Book) -> None:
    after = facts(laid_over(new, old))

    assert {name: after[name] for name in old.locked} == {n: facts(old)[n] for n in old.locked}
    assert laid_over(new, old).locked == old.locked


@settings(deadline=None)
@given(edited, edited)
def test_a_lock_holds_against_what_is_older_too(new: Book, old: Book) -> None:
    """An entry of the fallback store is drained after somebody has edited the book."""
    after = facts(laid_over(new, old))

    assert {name: after[name] for name in new.locked} == {n: facts(new)[n] for n in new.locked}


@settings(deadline=None)
@given(books, books)
def test_which_of_two_imports_is_kept_first_does_not_matter(one: Book, other: Book) -> None:
    if one.provenance.updated_at == other.provenance.updated_at:
        return

    assert combined(one, other) == combined(other, one)


@settings(deadline=None)
@given(books, books)
def test_the_order_of_two_imports_matters_to_no_field_of_unequal_exactness(
    one: Book, other: Book
) -> None:
    """2024-05-12 stands whether 2024 came before it or after."""
    dates = [one.metadata.publication_date or "", other.metadata.publication_date or ""]
    if len(dates[0]) == len(dates[1]):
        return

    for late, early in ((one, other), (other, one)):
        assert laid_over(late, early).metadata.publication_date == max(dates, key=len)


@settings(deadline=None)
@given(books, books)
def test_what_is_new_and_as_exact_stands(new: Book, old: Book) -> None:
    after = facts(laid_over(new, old))

    for name in set(FIELDS) - {"title", "publicationDate", "language"}:
        assert after[name] == (facts(new)[name] or facts(old)[name])


@settings(deadline=None)
@given(books, books)
def test_each_known_field_names_the_source_that_gave_it(new: Book, old: Book) -> None:
    after = laid_over(new, old)
    sources = after.sources

    assert set(sources) == {name for name, value in facts(after).items() if value}
    for name, source in sources.items():
        givers = [one for one in (new, old) if facts(one)[name] == facts(after)[name]]
        assert source in {one.provenance.source for one in givers}


@pytest.mark.parametrize(
    ("field", "new", "old", "stands"),
    [
        ("title", "Untitled", "Moby-Dick", "Moby-Dick"),
        ("title", "????", "Moby-Dick", "Moby-Dick"),
        ("title", "Moby-Dick", "Untitled", "Moby-Dick"),
        ("title", "Untitled", "????", "Untitled"),
        ("title", "The Whale", "Moby-Dick", "The Whale"),
        ("publication_date", "2024", "2024-05-12", "2024-05-12"),
        ("publication_date", "2024-05", "2024-05-12", "2024-05-12"),
        ("publication_date", "2024-05-12", "2024", "2024-05-12"),
        ("publication_date", "2019", "2024-05-12", "2024-05-12"),
        ("publication_date", "2019", "2024", "2019"),
        ("publication_date", None, "2024", "2024"),
        ("language", "pt", "pt-BR", "pt-BR"),
        ("language", "pt-BR", "pt", "pt-BR"),
        ("language", "en", "pt-BR", "en"),
        ("page_count", 97, 96, 97),
        ("page_count", None, 96, 96),
        ("categories", (), ("Sea",), ("Sea",)),
        ("subtitle", None, "Or, The Whale", "Or, The Whale"),
    ],
)
def test_the_table_row_by_row(field: str, new: object, old: object, stands: object) -> None:
    plain = Metadata(isbn=ISBN, title="Moby-Dick", source="openlibrary")
    values = [replace(plain, **{field: value}) for value in (new, old)]  # type: ignore[arg-type]
    late, early = (make_book(value, None, 1, ()) for value in values)

    assert getattr(laid_over(late, early).metadata, field) == stands


@pytest.mark.parametrize(("source", "kept"), [("openlibrary", "OL1M"), ("isbndb", None)])
def test_an_older_id_is_kept_only_from_the_same_source(source: str, kept: str | None) -> None:
    known = Metadata(isbn=ISBN, title="t", source="openlibrary", source_id="OL1M")
    new = Metadata(isbn=ISBN, title="t", source=source)

    merged = laid_over(make_book(new, None, 2, ()), make_book(known, None, 1, ()))

    assert merged.metadata.source_id == kept
    assert merged.provenance.imported_at == "2026-11-25T10:01:00.000Z"


# ------------------------------------------------------------------ two sources, one import
@settings(deadline=None)
@given(metadata, metadata)
def test_completing_fills_and_never_changes(found: Metadata, other: Metadata) -> None:
    full = completed(found, other)

    for attribute in set(FIELDS.values()) - {"title"}:
        before = getattr(found, attribute)
        assert before is None or before == () or getattr(full, attribute) == before
    assert full.source == found.source
    if not is_no_title(found.title):
        assert (full.subtitle, full.authors) == (found.subtitle, found.authors)
    assert completed(full, other) == full
    assert completed(full, found) == full


@settings(deadline=None)
@given(metadata, metadata)
def test_what_was_filled_names_its_source(found: Metadata, other: Metadata) -> None:
    full = completed(found, other)
    gained = {
        name
        for name in missing(found)
        if getattr(full, FIELDS[name]) != getattr(found, FIELDS[name])
    }

    assert set(full.fields) == gained
    assert all(source == other.source for source in full.fields.values())


def test_a_placeholder_title_is_asked_for_elsewhere_and_stands_where_nobody_knows() -> None:
    untitled = Metadata(isbn=ISBN, title="Untitled", source="openlibrary")
    titled = Metadata(isbn=ISBN, title="Moby-Dick", source="isbndb")

    assert "title" in missing(untitled)
    assert completed(untitled, titled).title == "Moby-Dick"
    assert completed(untitled, titled).fields == {"title": "isbndb"}
    assert completed(untitled, replace(titled, title="????")).title == "Untitled"
    assert missing(titled) == set(COMPLETED)


def test_a_record_that_nobody_has_filled_in_gets_its_authors_with_its_title() -> None:
    untitled = Metadata(isbn=ISBN, title="Untitled", source="openlibrary")
    written = Metadata(isbn=ISBN, title="Moby-Dick", authors=("Melville",), source="isbndb")

    full = completed(untitled, written)

    assert (full.title, full.authors) == ("Moby-Dick", ("Melville",))
    assert full.fields == {"title": "isbndb", "authors": "isbndb"}
    named = replace(untitled, authors=("Herman Melville",))
    assert completed(named, written).authors == ("Herman Melville",)
