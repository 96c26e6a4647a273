"""How title and author are compared: what is taken without asking, and what never is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.batches.matching import NEXT_MOST, SURE, ranked, score, sure_one
from bookline.progress.batches import Candidate

ISBN = "9780451524935"


def one(title: str, *authors: str, isbn: str | None = ISBN, **more: Any) -> Candidate:
    return Candidate(isbn=isbn, title=title, authors=authors, **more)


@pytest.mark.parametrize(
    ("title", "author", "found"),
    [
        ("The Hobbit", "J.R.R. Tolkien", one("The Hobbit", "J. R. R. Tolkien")),
        ("Hobbit", "Tolkien, J. R. R.", one("The hobbit", "J.R.R. Tolkien")),
        ("The Hobbit", "John Ronald Reuel Tolkien", one("The Hobbit", "J.R.R. Tolkien")),
        ("Café & Bar", "Zoë Ångström", one("Cafe and Bar", "Zoe Angstrom")),
        (
            "Guards! Guards! (Discworld, #8)",
            "Terry Pratchett",
            one("Guards! Guards!", "Terry Pratchett"),
        ),
        (
            "Sapiens: A Brief History of Humankind",
            "Yuval Noah Harari",
            one("Sapiens", "Yuval Noah Harari"),
        ),
        (
            "Sapiens",
            "Yuval Noah Harari",
            one("Sapiens", "Yuval Harari", subtitle="A Brief History"),
        ),
        ("Ender's Game", "Orson Scott Card", one("Ender’s Game", "Orson Scott Card")),
    ],
)
def test_the_same_book_in_another_way_of_writing_is_sure(
    title: str, author: str, found: Candidate
) -> None:
    assert score(title, [author], found) >= SURE


@pytest.mark.parametrize(
    ("title", "author", "found"),
    [
        ("The Hobbit", "J.R.R. Tolkien", one("The Hobbit: A Study Guide", "Mary Smith")),
        ("The Hobbit", "J.R.R. Tolkien", one("The Hobbit", "Christopher Tolkien")),
        ("Dune", "Frank Herbert", one("Dune Messiah", "Frank Herbert")),
        ("Foundation", "Isaac Asimov", one("Foundation and Empire", "Isaac Asimov")),
        ("Poems", "Emily Dickinson", one("Poems", "Emily Brontë")),
        ("It", "Stephen King", one("If", "Stephen King")),
        ("The Hobbit", "", one("The Hobbit", "J.R.R. Tolkien")),
        (
            "Sapiens: A Graphic History",
            "Yuval Noah Harari",
            one("Sapiens", "Yuval Noah Harari", subtitle="A Brief History"),
        ),
    ],
)
def test_another_book_or_author_or_none_is_never_sure(
    title: str, author: str, found: Candidate
) -> None:
    assert score(title, [author] if author else [], found) < SURE


def test_the_only_work_that_fits_is_taken() -> None:
    best = ranked(
        "Dune",
        ["Frank Herbert"],
        [one("Dune Messiah", "Frank Herbert"), one("Dune", "Frank Herbert")],
    )

    sure = sure_one(best)

    assert sure is not None
    assert sure.title == "Dune"
    assert best[1].score <= NEXT_MOST


def test_two_works_that_fit_are_a_question() -> None:
    found = [
        one("Dune", "Frank Herbert", work="/works/OL1W"),
        one("Dune", "Frank Herbert", work="/works/OL2W"),
    ]

    assert sure_one(ranked("Dune", ["Frank Herbert"], found)) is None


def test_editions_of_one_work_are_one_candidate_with_the_isbn_that_is_known() -> None:
    found = [
        one("Dune", "Frank Herbert", isbn=None),
        one("Dune", "F. Herbert"),
        one("Dune", "Frank Herbert"),
    ]

    [best] = ranked("Dune", ["Frank Herbert"], found)

    assert best.isbn == ISBN


def test_what_two_sources_know_is_one_candidate() -> None:
    found = [
        one("Dune", "Frank Herbert", work="/works/OL1W"),
        one("Dune", "Herbert, Frank", isbn="9780441013593"),
        one("Dune: the novel", "Bill Herbert"),
    ]

    assert len(ranked("Dune", ["Frank Herbert"], found)) == 1


def test_a_work_without_an_isbn_is_not_taken() -> None:
    assert (
        sure_one(ranked("Dune", ["Frank Herbert"], [one("Dune", "Frank Herbert", isbn=None)]))
        is None
    )


@given(st.text(), st.text(), st.text(), st.text())
def test_any_texts_have_a_score_from_0_to_1(title: str, author: str, other: str, by: str) -> None:
    assert 0 <= score(title, [author], one(other, by)) <= 1


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_order_of_what_is_found_does_not_matter(title: str, author: str) -> None:
    found = [one("Dune", "Frank Herbert"), one(title, author), one("Emma", "Jane Austen")]

    forth = ranked(title, [author], found)
    back = ranked(title, [author], found[::-1])

    assert [best.score for best in forth] == [best.score for best in back]
