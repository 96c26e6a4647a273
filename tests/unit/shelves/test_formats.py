"""Each export's rows, ISBNs and reader's data, whatever its encoding, delimiter and name."""

import json

import pytest

import made_up_exports as exports
from bookline.reading import Reading
from bookline.shelves.file import open_library_file
from bookline.shelves.row import Row

ORWELL = "9780451524935"
READ = Reading(status="read", date_added="2019-12-24", dates_read=("2020-01-02/2020-01-09",))


def rows(text: str, encoding: str = "utf-8") -> list[Row]:
    return list(open_library_file(text.encode(encoding)).rows())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (exports.GOODREADS_31 + "\n", "goodreads"),
        (exports.GOODREADS_24 + "\n", "goodreads"),
        (exports.GOODREADS, "goodreads"),
        (exports.STORYGRAPH, "storygraph"),
        (exports.LIBRARYTHING, "librarything"),
        (exports.LIBRARYTHING_JSON, "librarything"),
        (exports.LIBIB, "libib"),
        (exports.CALIBRE, "calibre"),
        (exports.OPENREADS, "openreads"),
        (exports.BOOKWYRM, "bookwyrm"),
        (exports.OPEN_LIBRARY, "openlibrary"),
        ("Titel;Autor;EAN\nA;B;9780451524935\n", "csv"),
        ("9780451524935\n0441172717", "list"),
        ('["9780451524935"]', "json"),
        ('{"items": [{"isbn": "9780451524935"}]}', "json"),
    ],
)
def test_the_format_is_known_by_its_header(text: str, name: str) -> None:
    assert open_library_file(text.encode()).format == name


def test_goodreads_keeps_what_its_reader_said() -> None:
    first, second, third = rows(exports.GOODREADS)

    assert (first.line, second.line, third.line) == (2, 4, 5)
    assert str(first.isbn) == ORWELL
    assert first.authors == ("George Orwell", "Erich Fromm", "Thomas Pynchon")
    assert first.reading == READ.merged(
        Reading(
            rating=5,
            shelves=("classics", "dystopia"),
            read_count=2,
            review='Big.\nBrother\nsaid "hello".',
            notes="lent to Jo",
            owned=True,
        )
    )
    assert (second.isbn, second.refused, second.input) == (None, None, "Kindle Only")
    assert second.reading == Reading(status="to-read", date_added="2021-05-06", read_count=0)
    assert third.reading.shelves == ("gifts", "wishlist")
    assert (third.reading.status, third.reading.rating) == (None, 3)


def test_storygraph_keeps_quarters_and_each_time_of_reading() -> None:
    first, second = rows(exports.STORYGRAPH)

    assert (str(first.isbn), first.repaired) == ("9780441172719", True)
    assert first.reading == Reading(
        status="reading",
        rating=4.25,
        shelves=("sf", "desert"),
        date_added="2022-01-01",
        dates_read=("2022-02-01/2022-02-20", "2023-03-04"),
        read_count=2,
        review="Sand.",
        owned=True,
    )
    assert second.isbn is None
    assert (second.reading.status, second.reading.owned) == ("did-not-finish", False)


def test_librarything_is_read_in_latin_1() -> None:
    file = open_library_file(exports.LIBRARYTHING.encode("latin-1"))
    [row] = file.rows()

    assert file.encoding == "iso-8859-1"
    assert (row.title, str(row.isbn)) == ("Café society", ORWELL)
    assert row.authors == ("George Orwell", "Erich Fromm")
    assert row.reading == READ.merged(
        Reading(
            rating=4.5,
            shelves=("classics", "left", "Favourites"),
            review="Fine",
            notes="A\n\nB",
            owned=True,
        )
    )


def test_librarything_json_has_its_isbns_in_an_object_or_a_list() -> None:
    first, second = rows(exports.LIBRARYTHING_JSON)

    assert (str(first.isbn), first.line, first.authors) == (ORWELL, None, ("George Orwell",))
    assert first.reading == Reading(
        status="to-read", rating=4, shelves=("a", "b"), date_added="2019-12-24"
    )
    assert (second.isbn, second.title, second.refused) == (None, "No number", None)


def test_libib_refuses_a_film_by_name() -> None:
    book, film = rows(exports.LIBIB)

    assert str(book.isbn) == ORWELL
    assert book.reading == READ.merged(
        Reading(rating=4.5, shelves=("classics", "Home"), review="Good", notes="n", owned=True)
    )
    assert film.refused == "The export says that this is not a book but: movie."


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        (
            exports.CALIBRE,
            Reading(rating=4.5, shelves=("classics", "left"), date_added="2019-12-24"),
        ),
        (
            exports.OPENREADS,
            Reading(
                status="read",
                date_added="2019-12-24",
                dates_read=("2020-01-02/2020-01-09", "2021-05-06"),
                rating=4.5,
                shelves=("classics", "left"),
                review="Good",
                notes="n",
            ),
        ),
        (exports.BOOKWYRM, READ.merged(Reading(rating=4.5, review="Head\n\nBody"))),
    ],
)
def test_the_other_exports_keep_what_they_say(text: str, reading: Reading) -> None:
    [row] = rows(text)

    assert (str(row.isbn), row.title, row.authors) == (ORWELL, "1984", ("George Orwell",))
    assert row.reading == reading


def test_open_librarys_log_has_ids_alone_and_refuses_none() -> None:
    first, second = rows(exports.OPEN_LIBRARY)

    assert (first.open_library_id, first.refused) == ("OL1M", None)
    assert (second.open_library_id, second.reading.status) == ("OL2W", "to-read")


@pytest.mark.parametrize(
    "column",
    ["Book ISBN", "ISBN-13/EAN", "ISBN No.", "eISBN", "primary_isbn13", "ISBN13 (Hardcover)"],
)
def test_whatever_is_named_isbn_may_hold_one(column: str) -> None:
    [row] = rows(f'Rating,{column},Review\n5,9780451524935,"over\ntwo lines"\n')

    assert (str(row.isbn), row.reading.rating) == (ORWELL, 5)


@pytest.mark.parametrize(
    "first", ["My ISBNs", "ISBN 978-0-14-243724-7, ISBN 978-0-06-112008-4", "ISBN: 0142437247"]
)
def test_a_line_before_a_list_is_no_header(first: str) -> None:
    file = open_library_file(f"{first}\n9780451524935, 9780743273565\n".encode())

    found = {str(row.isbn) for row in file.rows()}
    assert file.format == "list"
    assert {ORWELL, "9780743273565"} <= found
    assert ("9780142437247" in found) == ("14" in first)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "windows-1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_and_delimiter_are_found(encoding: str, delimiter: str, end: str) -> None:
    lines = ["Title,Author,ISBN", "Café – Œuvre,Zoë,9780451524935"]
    text = end.join(line.replace(",", delimiter) for line in lines)

    file = open_library_file(text.encode(encoding))
    [row] = file.rows()

    assert (row.title, row.authors, str(row.isbn)) == ("Café – Œuvre", ("Zoë",), ORWELL)
    assert file.encoding == {"utf-8-sig": "utf-8", "utf-16-le": "utf-16"}.get(encoding, encoding)


def test_excels_own_first_line_is_no_row() -> None:
    [row] = rows("sep=;\r\nISBN;Title\r\n9780451524935;1984\r\n")

    assert (row.line, row.title) == (3, "1984")


@pytest.mark.parametrize(
    ("cell", "repaired"),
    [
        ("451524934", True),
        ("9780451524935.0", True),
        ("38549081", False),
        ("9780451524935.00", True),
        ("9.780451524935E+12", True),
        ("9.780451524930E+12", False),
        ("9.78045E+12", False),
        ("451524935", False),
    ],
)
def test_only_what_the_check_digit_proves_is_repaired(cell: str, repaired: bool) -> None:
    [row] = rows(f"isbn,title\n{cell},A book\n")

    assert row.repaired is repaired
    assert (row.isbn is not None) is repaired
    assert row.refused is None


def test_a_list_may_have_any_separators_and_names_what_is_wrong() -> None:
    found = rows("9780451524935, 0-441-17271-7;9780306406157\n\nnonsense\n978 0 451 52493 4\n")

    assert [str(row.isbn) for row in found[:3]] == [ORWELL, "9780441172719", "9780306406157"]
    assert [row.line for row in found] == [1, 1, 1, 3, 4]
    assert all(row.refused and "10 or 13 digits" in row.refused for row in found[3:])


def test_bookline_reads_its_own_json() -> None:
    items = [{"isbn": ORWELL, "title": "1984", "reading": {"rating": 4, "status": "no such"}}]

    [row] = rows(json.dumps(items))

    assert (str(row.isbn), row.reading) == (ORWELL, Reading(rating=4))


@pytest.mark.parametrize(
    "cell",
    ["0451524934 9780451524935", "9780451524935 (pbk.)", "ISBN 9780451524935", "9780451524935.",
     "ISBN-13: 978-0-451-52493-5", "ISBN-10: 0-451-52493-4; ISBN-13: 978-0-451-52493-5",
     "urn:isbn:9780451524935", "ISBN9780451524935", "0451524934 and 9780451524935",
     "`9780451524935",
     "9 780451 524935 (2020-01-02)"],
)  # fmt: skip
def test_an_isbn_is_found_among_other_words_of_its_cell(cell: str) -> None:
    [row] = rows(f"isbn,title\n{cell},A book\n")

    assert (str(row.isbn), row.repaired) == (ORWELL, False)


@pytest.mark.parametrize(
    "cell",
    ["2024-01-02 10:20", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "B07MNWKF2M", "+49 30 1234567890"],
)
def test_what_only_looks_like_an_isbn_makes_none(cell: str) -> None:
    [row] = rows(f"isbn,title\n{cell},A book\n")

    assert row.isbn is None


def test_the_time_of_a_scan_is_no_isbn() -> None:
    """2024010210 has a valid check digit."""
    text = "9780451524935\t2024-01-02 10:11:12\n0441172717\t02.01.2024 10:11\n"

    assert [str(row.isbn) for row in rows(text)] == [ORWELL, "9780441172719"]


@pytest.mark.parametrize(
    "header",
    ["Título;Autor(es)", "Tittel;Forfatter", "Tytuł;Autor", "Nimi;Tekijä", "Название;Автор",
     "書名;著者",
     "书名;作者", "제목;저자", "Τίτλος;Συγγραφέας", "Başlık;Yazar", "Kitap Adı;Yazar",
     "Buchtitel;Autor/in", "Titre du livre;Auteur(s)", "Titlu;Autorul", "כותר;מחבר",
     "العنوان;المؤلف",
     "Naam;Schrijver", "Title;Written by"],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [";", "|"])
def test_columns_have_names_in_many_languages(header: str, delimiter: str) -> None:
    text = f"{header}\n1984;George Orwell\n".replace(";", delimiter)

    [row] = rows(text)

    assert (row.title, row.authors) == ("1984", ("George Orwell",))


@pytest.mark.parametrize(
    ("text", "isbns"),
    [
        ('{"isbn": "9780451524935", "title": "1984"}', [ORWELL]),
        ('{"isbn": "9780451524935"}\n{"isbn": "0441172717"}\n', [ORWELL, "9780441172719"]),
        ('{"books": [{"isbn_13": ["9780451524935"]}]}', [ORWELL]),
        ('[{"ISBN": ["x", "0451524934"], "authors": [{"name": "Orwell"}]}]', [ORWELL]),
        ('[null, {"isbn": 9780451524935}]', ["None", ORWELL]),
        (f'[{{"isbn": {"9" * 5_000}}}, "9780451524935"]', ["None", ORWELL]),
    ],
)
def test_json_comes_in_many_shapes(text: str, isbns: list[str]) -> None:
    assert [str(row.isbn) for row in rows(text)] == isbns


@pytest.mark.parametrize(
    ("written", "date"),
    [("2019/12/24", True), ("2019-12-24 10:00:00", True), ("24.12.2019", True),
     ("24/12/2019", True),
     ("12/24/2019", True), ("24 Dec 2019", True), ("December 24, 2019", True),
     ("24-Dec-2019", True),
     ("11/12/2019", False), ("31.02.2019", False), ("24 Foo 2019", False), ("2019", False)],
)  # fmt: skip
def test_a_day_is_read_where_it_has_one_reading(written: str, *, date: bool) -> None:
    [row] = rows(f'isbn;title;date added\n{ORWELL};1984;"{written}"\n')

    assert row.reading.date_added == ("2019-12-24" if date else None)


@pytest.mark.parametrize(
    ("written", "rating"),
    [("4", 4), ("4.5", 4.5), ("4,5", 4.5), ("★★★★", 4), ("★★½", 2.5), ("4/5", 4), ("8/10", 4),
     ("0", None),
     ("3 stars", 3), ("6", None), ("good", None), ("nan", None), ("9/5", None), ("-1", None)],
)  # fmt: skip
def test_a_rating_is_read_in_the_ways_it_is_written(written: str, rating: float | None) -> None:
    [row] = rows(f"isbn;title;rating\n{ORWELL};1984;{written}\n")

    assert row.reading.rating == rating


@pytest.mark.parametrize(
    ("written", "times"),
    [
        ("2024/01/02-2024/01/09", ("2024-01-02/2024-01-09",)),
        ("2024-01-02-2024-01-09", ("2024-01-02/2024-01-09",)),
        ("2024-01-02", ("2024-01-02",)),
        ("2024/01/02-", ("2024-01-02",)),
        ("2024", None),
    ],
)
def test_storygraphs_times_survive_a_spreadsheet(
    written: str, times: tuple[str, ...] | None
) -> None:
    header, first, *_ = exports.STORYGRAPH.split("\r\n")
    line = first.replace("2022/02/01-2022/02/20, 2023/03/04", written).replace(",2023/03/04,", ",,")

    [row] = rows(f"{header}\r\n{line}\r\n")

    assert row.reading.dates_read == times


def test_text_in_an_8_bit_encoding_is_no_damaged_utf_8() -> None:
    """Two of its letters may look like one of UTF-8."""
    [row] = rows("title;isbn\n\u00c3\u00a9t\u00e9 \u00e0 Zo\u00e9;9780451524935\n", "windows-1252")

    assert row.title == "\u00c3\u00a9t\u00e9 \u00e0 Zo\u00e9"


@pytest.mark.parametrize(
    ("written", "authors"),
    [
        ("Orwell, George", ("George Orwell",)),
        ("George Orwell, Erich Fromm", ("George Orwell", "Erich Fromm")),
        ("Orwell, George; Fromm, Erich", ("George Orwell", "Erich Fromm")),
        ("Tolkien, J. R. R.", ("J. R. R. Tolkien",)),
        ("Plato", ("Plato",)),
        ("Various, ", ("Various",)),
        ("Saki, Ann Author, Bo Writer", ("Saki", "Ann Author", "Bo Writer")),
        ("", ()),
    ],
)
def test_a_turned_name_is_one_author(written: str, authors: tuple[str, ...]) -> None:
    [row] = rows(f'title,author\n1984,"{written}"\n')

    assert row.authors == authors


def test_a_second_column_of_the_same_name_may_hold_the_isbn() -> None:
    assert [str(row.isbn) for row in rows("ISBN,ISBN,Title\n,9780451524935,1984\n")] == [ORWELL]


def test_a_first_row_that_begins_as_a_header_might_is_a_row_all_the_same() -> None:
    found = rows("Titan,Autor X,9780451524935\nDune,Frank Herbert,9780441172719\n")

    assert [str(row.isbn) for row in found] == [ORWELL, "9780441172719"]
