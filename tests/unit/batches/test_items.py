"""A list as it came, to items: nothing is dropped, wrong values cost their item alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.batches.items import Tally, items_of_json, items_of_rows
from bookline.errors import Refused
from bookline.isbn import Isbn
from bookline.shelves.row import Row

ISBN = "9780451524935"


def any_source(source: str) -> None:
    if source not in {"auto", "isbndb"}:
        raise Refused("INVALID_SOURCE", "no such source")


@given(st.lists(st.text(), min_size=1))
def test_each_text_becomes_one_item(texts: list[str]) -> None:
    items = items_of_json(texts, "auto", any_source)

    assert [item.index for item in items] == list(range(len(texts)))
    assert all((item.state == "refused") == (item.isbn is None) for item in items)
    assert all(item.input.isprintable() or "\0" not in item.input for item in items)


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["isbn", "source", "userId", "reading", "x"]), inner
                )
            ),
        ),
        min_size=1,
    )
)
def test_any_json_is_items_or_refused_with_a_path(values: list[object]) -> None:
    refused = None
    try:
        items = items_of_json(values, "auto", any_source)
    except Refused as error:
        refused = error

    if refused is None:
        assert len(items) == len(values)
    else:
        assert refused.code == "INVALID_REQUEST"
        assert str((refused.details or {})["path"]).startswith("items[")


def test_a_row_without_an_isbn_is_looked_up_and_a_refused_one_is_not() -> None:
    rows = [
        Row(line=2, input=ISBN, isbn=Isbn(ISBN), title="1984"),
        Row(line=3, input="Dune", isbn=None, title="Dune", authors=("Frank Herbert",)),
        Row(line=4, input="", isbn=None, refused="The row has neither an ISBN nor a title."),
    ]

    items = list(items_of_rows(rows, "isbndb"))

    assert [item.todo for item in items] == ["import", "lookup", ""]
    assert [item.state for item in items] == ["queued", "queued", "refused"]
    assert {item.source for item in items} == {"isbndb"}


def test_a_tally_counts_what_passes_by() -> None:
    items = items_of_json([ISBN, "0451524934", "x", *["y"] * 200], "auto", any_source)

    tally = Tally(items)

    assert list(tally) == items
    assert (tally.duplicates, tally.refused_count, len(tally.refused)) == (1, 201, 100)


@pytest.mark.parametrize("isbn", [None, 9780451524935, ["x"], {}])
def test_an_isbn_of_another_type_refuses_its_item(isbn: object) -> None:
    [item] = items_of_json([{"isbn": isbn}], "auto", any_source)

    assert item.state == "refused"
    assert item.error is not None
    assert item.error["code"] == "INVALID_ISBN"
