"""Hostile, broken and large files: no row is lost, none is half read, each refusal says why."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_up_exports as exports
from bookline.errors import Refused
from bookline.shelves.file import MOST_BYTES, open_library_file
from bookline.shelves.preview import preview, to_json
from bookline.shelves.row import Row

HEADER = ["Title", "Author", "ISBN", "My Review"]
texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028"),
    max_size=12,
)
CELLS = st.tuples(texts, texts, st.sampled_from(["", "9780451524935", "x"]), texts)


def table(records: list[tuple[str, ...]], line_end: str = "\r\n") -> list[str]:
    lines = []
    for record in [HEADER, *([f"t{at}{cells[0]}", *cells[1:]] for at, cells in enumerate(records))]:
        text = io.StringIO()
        csv.writer(text, lineterminator=line_end).writerow(record)
        lines.append(text.getvalue())
    return lines


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=12), st.data())
def test_a_stray_quote_or_a_cut_line_costs_no_other_row(
    records: list[tuple[str, ...]], data: st.DataObject
) -> None:
    lines = table(records)
    spoiled = data.draw(st.integers(1, len(records)))
    place = data.draw(st.integers(0, len(lines[spoiled]) - 2))
    line = lines[spoiled][:-2]
    mark = data.draw(st.sampled_from(['"', ",", "\t", "'", None]))
    lines[spoiled] = line[: max(place, 2)] if mark is None else line[:place] + mark + line[place:]
    lines[spoiled] += "\r\n"

    rows = list(open_library_file("".join(lines).encode()).rows())

    assert [row.line for row in rows] == list(range(2, len(records) + 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_reviews_over_several_lines_are_one_row_each(
    records: list[tuple[str, ...]], end: str
) -> None:
    longer = [(*cells[:3], f'{cells[3]}\n"two", three\n\nfour') for cells in records]

    rows = list(open_library_file("".join(table(longer, end)).encode()).rows())

    assert [row.line for row in rows] == [2 + 4 * at for at in range(len(records))]
    assert all(row.reading.review and row.reading.review.endswith("four") for row in rows)


def test_a_quote_that_never_closes_swallows_nothing() -> None:
    lines = [f'T{at},A,,"open {at}' if at == 3 else f"T{at},A,,fine" for at in range(2000)]

    rows = list(open_library_file("\n".join([",".join(HEADER), *lines]).encode()).rows())

    assert [row.title for row in rows] == [f"T{at}" for at in range(2000)]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_reason(data: bytes) -> None:
    rows, refused = read_or_refused(data)

    if refused is not None:
        assert refused.code in {"UNREADABLE_FILE", "UNSUPPORTED_FORMAT"}
        assert refused.message.endswith(".")
    assert all(row.isbn or row.title or row.open_library_id or row.refused for row in rows)


def read_or_refused(data: bytes) -> tuple[list[Row], Refused | None]:
    try:
        return list(open_library_file(data).rows()), None
    except Refused as refused:
        return [], refused


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "UNREADABLE_FILE", "empty"),
        (b"PK\x03\x04....", "UNSUPPORTED_FORMAT", "Excel"),
        (b"%PDF-1.7", "UNSUPPORTED_FORMAT", "PDF"),
        (b"PK\x05\x06" + bytes(18), "UNSUPPORTED_FORMAT", "ZIP"),
        (b"BZh91AY&SY", "UNSUPPORTED_FORMAT", "bzip2"),
        (b"\xfd7zXZ\0\0", "UNSUPPORTED_FORMAT", "xz"),
        (b"GIF89a", "UNSUPPORTED_FORMAT", "picture"),
        (b"books.csv".ljust(257, b"\0") + b"ustar\x0000", "UNSUPPORTED_FORMAT", "tar"),
        (b"Moby".ljust(60, b"\0") + b"BOOKMOBI", "UNSUPPORTED_FORMAT", "Kindle"),
        (b"isbn".ljust(60, b"\0"), "UNREADABLE_FILE", "NUL bytes"),
        (b"<!DOCTYPE html><p>", "UNSUPPORTED_FORMAT", "web page"),
        (b"isbn\n\0\1\2", "UNREADABLE_FILE", "NUL bytes"),
        ("title,isbn\nÉté à Zoé,\nNoël ä".encode()[:-1], "UNREADABLE_FILE", "damaged in line 3"),
        (b"isbn\n\x81\x9d\n", "UNREADABLE_FILE", "neither UTF-8"),
        (b"\xef\xbb\xbfisbn\n\xff\n", "UNREADABLE_FILE", "UTF-8"),
        (b"Dear diary,\nnothing here.\n", "UNREADABLE_FILE", "Dear diary"),
        (b'["9780451524935", ', "UNREADABLE_FILE", "line 1"),
        (b'["9780451524935"] and more', "UNREADABLE_FILE", "line 1"),
        ("isbn\n9780451524935\n".encode("utf-32"), "UNREADABLE_FILE", "UTF-32"),
        (b'["a",' + b"[" * 100_000, "UNREADABLE_FILE", "JSON"),
        (b"isbn\n" + b"1\n" * 50_001, "PAYLOAD_TOO_LARGE", "50,000 rows"),
        (b" " * (MOST_BYTES + 1), "PAYLOAD_TOO_LARGE", "20 MB"),
    ],
)
def test_what_is_no_library_is_refused_by_name(data: bytes, code: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        list(open_library_file(data).rows())

    assert refused.value.code == code
    assert words in refused.value.message


def test_a_preview_counts_every_row_once() -> None:
    text = "isbn,title\n9780451524935,A\n451524934,B\n,C\n,\nbad,\n9780306406157,D\n"

    seen = preview(open_library_file(text.encode()), lambda isbns: {"9780306406157"} & set(isbns))

    shown = to_json(seen)
    assert [shown[name] for name in ("rows", "withIsbn", "withoutIsbn")] == [5, 3, 2]
    assert [shown[name] for name in ("repaired", "duplicates", "alreadyThere")] == [1, 1, 1]
    assert [(row.line, row.input) for _, row in seen.refused] == [(6, "bad")]
    assert [row.title for _, row in seen.sample] == ["A", "B", "C", "", "D"]


def test_every_format_has_as_many_rows_as_its_file() -> None:
    found = {
        name: len(list(open_library_file(text.encode()).rows()))
        for name, text in vars(exports).items()
        if name.isupper() and not name.startswith("GOODREADS_")
    }

    assert found == {
        "GOODREADS": 3,
        "STORYGRAPH": 2,
        "LIBRARYTHING": 1,
        "LIBRARYTHING_JSON": 2,
        "LIBIB": 2,
        "CALIBRE": 1,
        "OPENREADS": 1,
        "BOOKWYRM": 1,
        "OPEN_LIBRARY": 2,
    }


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("9780451524935 mine", "mine"),
        ("9780451524935", ""),
        ("Nineteen Eighty-Four, 978-0-451-52493-5", "Nineteen Eighty-Four"),
        ("- 9780451524935 – 1984: a novel", "1984: a novel"),
    ],
)
def test_what_stands_beside_an_isbn_in_a_list_is_its_title(line: str, title: str) -> None:
    [row] = open_library_file(f"{line}\n".encode()).rows()

    assert row.title == title
