"""The books and their numbers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline_sandbox.catalogue import (
    PROVIDERS,
    QUIRKS,
    BadBook,
    Book,
    Catalogue,
    check_digit_10,
    check_digit_13,
    isbn10_of,
    isbn13_of,
    read_book,
    real_books,
)

BOOKS = list(real_books())
NINETEEN_EIGHTY_FOUR = "9780451524935"


def _weighted_13(isbn: str) -> int:
    return sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(isbn))


def _weighted_10(isbn: str) -> int:
    digits = [10 if digit == "X" else int(digit) for digit in isbn]
    return sum(digit * (10 - place) for place, digit in enumerate(digits))


def test_every_isbn_of_the_catalogue_has_its_check_digit() -> None:
    assert [book.isbn13 for book in BOOKS if _weighted_13(book.isbn13) % 10] == []
    assert [book.isbn10 for book in BOOKS if book.isbn10 and _weighted_10(book.isbn10) % 11] == []


def test_there_are_about_two_hundred_books_and_no_isbn_twice() -> None:
    assert len(BOOKS) >= 200
    assert len({book.isbn13 for book in BOOKS}) == len(BOOKS)


def test_each_odd_form_stands_in_the_catalogue() -> None:
    assert any(book.isbn13.startswith("979") and book.isbn10 is None for book in BOOKS)
    assert any(not book.cover for book in BOOKS)
    assert any(not book.description for book in BOOKS)
    assert any(not book.authors for book in BOOKS)
    assert any(len(book.authors) > 3 for book in BOOKS)
    assert any("&amp;" in (book.description or "") for book in BOOKS)
    assert any(ord(max(book.title)) > 0xFFFF for book in BOOKS)
    assert {"19??", "c2001", "June 1994"} <= {book.published for book in BOOKS}
    assert {"de", "fr", "ja", "ru", "zh-CN", "ar"} <= {book.language for book in BOOKS}


def test_every_quirk_and_every_provider_alone_is_used() -> None:
    assert set(QUIRKS) == {quirk for book in BOOKS for quirk in book.quirks}
    alone = Counter(book.known_by[0] for book in BOOKS if len(book.known_by) == 1)
    assert set(alone) == set(PROVIDERS)


def test_nineteen_eighty_four_has_no_quirk() -> None:
    book = Catalogue(BOOKS).find(NINETEEN_EIGHTY_FOUR)

    assert book is not None
    assert book.title == "1984"
    assert (book.known_by, book.quirks) == (PROVIDERS, frozenset())


@given(st.integers(min_value=0, max_value=999_999_999))
def test_both_forms_of_an_isbn_find_the_same_book(number: int) -> None:
    nine = f"{number:09d}"
    isbn13 = f"978{nine}" + check_digit_13(f"978{nine}")

    assert isbn13_of(nine + check_digit_10(nine)) == isbn13
    assert isbn10_of(isbn13) == nine + check_digit_10(nine)


@pytest.mark.parametrize("text", ["", "9780451524936", "045152493X", "4006381333931", "９" * 13])
def test_what_is_no_isbn_has_none(text: str) -> None:
    assert isbn13_of(text) is None


def test_a_book_is_found_by_each_id_its_providers_give_it() -> None:
    catalogue = Catalogue(BOOKS)

    for book in BOOKS:
        assert catalogue.find_google(book.google_id) is book
        assert catalogue.find_number(book.number) is book


@pytest.mark.parametrize(
    "wrong",
    [
        {"isbn13": "9780451524936"},
        {"isbn10": "0000000000"},
        {"authors": "George Orwell"},
        {"pages": "328"},
        {"known_by": ["amazon"]},
        {"quirks": ["unheard_of"]},
        {"color": "red"},
        {"title": None},
    ],
)
def test_a_book_of_the_wrong_shape_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadBook):
        read_book({"isbn13": NINETEEN_EIGHTY_FOUR, "title": "1984"} | wrong)


def test_made_up_books_have_true_and_new_isbns() -> None:
    catalogue = Catalogue()

    first, second = catalogue.make(50), catalogue.make(50)

    assert len({*first, *second}) == 100
    assert all(isbn13_of(isbn) == isbn for isbn in first + second)


def test_a_prefix_without_room_is_refused() -> None:
    with pytest.raises(BadBook):
        Catalogue().make(11, prefix="97899999999")


def test_another_book_is_never_the_one_asked_for() -> None:
    catalogue = Catalogue(BOOKS)
    first: Book = BOOKS[0]

    assert catalogue.other_than(first, "isbndb") is not first
