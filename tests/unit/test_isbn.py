"""Every form of an ISBN that people paste, and everything else refused with a reason."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bookline.errors import InvalidIsbn
from bookline.isbn import LONGEST_INPUT_CHARS, Isbn, find_isbn, read_isbn


def check_10(nine: str) -> str:
    """The check digit by the other form of the rule: weights 1 to 9, modulo 11."""
    rest = sum(weight * int(digit) for weight, digit in enumerate(nine, 1)) % 11
    return "X" if rest == 10 else str(rest)


def check_13(twelve: str) -> str:
    total = sum(map(int, twelve[::2])) + 3 * sum(map(int, twelve[1::2]))
    return str(-total % 10)


digits = st.text("0123456789", min_size=9, max_size=9).filter(lambda nine: len(set(nine)) > 1)
isbn_10s = digits.map(lambda nine: nine + check_10(nine))
isbn_13s = st.builds(
    lambda prefix, nine: prefix + nine + check_13(prefix + nine),
    st.sampled_from(["978", "979"]),
    digits,
).filter(lambda isbn: not isbn.startswith("9790"))
isbns = isbn_10s | isbn_13s
GAPS = ["", "-", " ", "\u00a0", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\u200b",
        "\u200e", "\u00ad", "\ufeff", "\ufe63", "\uff0d", "\u3000", "\t", "\n"]  # fmt: skip
ZEROS = "0\uff10\u0660\u06f0\u0966\U0001d7ce"  # ASCII, full width, Arabic, Persian, Hindi, bold


# ------------------------------------------------------------------ what is read
@pytest.mark.parametrize(
    ("text", "isbn13"),
    [
        ("9780451524935", "9780451524935"),
        ("978-0-451-52493-5", "9780451524935"),
        ("  978 0 451 52493 5\n", "9780451524935"),
        ("0451524934", "9780451524935"),
        ("0-8044-2957-X", "9780804429573"),
        ("080442957x", "9780804429573"),
        ("0-8044-2957-Х", "9780804429573"),  # Cyrillic
        ("080442957х", "9780804429573"),
        ("080442957Χ", "9780804429573"),  # Greek
        ("080442957χ", "9780804429573"),
        ("０８０４４２９５７Ｘ", "9780804429573"),
        ('="0439023483"', "9780439023481"),
        ("[0439023483]", "9780439023481"),
        (" [ 978-0439023481 ] ", "9780439023481"),
        ("９７８０４５１５２４９３５", "9780451524935"),
        ("978\u00a00451524935", "9780451524935"),
        ("\u200e9780451524935\u200e", "9780451524935"),
        ("978‐0‑451‒52493–5", "9780451524935"),
        ("978—0−451⁃52493ー5", "9780451524935"),
        ("\ufeff9780451524935", "9780451524935"),
        ("979-10-347-3142-8", "9791034731428"),
        ("979-403-409-6", "9789794034095"),  # ten digits that begin with 979
        ("9\u00ad780451524935\u202c", "9780451524935"),
    ],
)
def test_every_form_that_people_paste_is_read(text: str, isbn13: str) -> None:
    assert read_isbn(text) == Isbn(isbn13)


@given(data=st.data(), isbn=isbns)
def test_a_right_isbn_is_read_however_it_is_spaced_and_written(
    data: st.DataObject, isbn: str
) -> None:
    zero = ord(data.draw(st.sampled_from(ZEROS)))
    written = [chr(zero + int(char)) if char.isdigit() else char for char in isbn]
    gaps = data.draw(st.lists(st.sampled_from(GAPS), min_size=len(isbn), max_size=len(isbn)))

    read = read_isbn("".join(gap + char for gap, char in zip(gaps, written, strict=True)))

    assert isbn in read.forms


@given(isbn_13s)
def test_what_was_read_reads_to_itself(isbn: str) -> None:
    read = read_isbn(isbn)

    assert str(read) == read.isbn13 == isbn
    for form in read.forms:
        assert read_isbn(form) == read


@given(isbn_10s)
def test_both_forms_of_a_book_are_one_isbn(isbn: str) -> None:
    read = read_isbn(isbn)

    assert read.isbn10 == isbn
    assert read.isbn13[3:12] == isbn[:9]
    assert read.forms == (read.isbn13, isbn)


def test_979_has_no_old_form() -> None:
    read = read_isbn("9791034731428")

    assert read.isbn10 is None
    assert read.forms == ("9791034731428",)


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "this is empty"),
        (" -\u200b- ", "this is empty"),
        ('=""', "this is empty"),
        ("[]", "this is empty"),
        ("978-0-385-54476-6", "the check digit is 6 and should be 4"),
        ("043902348X", "the check digit is X and should be 3"),
        ("97804515249", "this has 11"),
        ("978045152493", "this has 12"),
        ("97804515249355", "this has 14"),
        ("140143505", "this has 9; a spreadsheet may have dropped a leading zero"),
        ("9.78006E+12", "a spreadsheet has damaged it; its last digits are lost"),
        ("9,78006E+12", "a spreadsheet has damaged it; its last digits are lost"),
        ("9.78043902348e+12", "a spreadsheet has damaged it; its last digits are lost"),
        ("9.7804390E+12", "a spreadsheet has damaged it; its last digits are lost"),
        ("9.7804E+12", "a spreadsheet has damaged it; its last digits are lost"),
        ("2940012572707", "13 digits must begin with 978 or 979"),
        ("B07MNWKF2M", "X may stand only in the last place, other letters nowhere"),
        ("08044X957X", "X may stand only in the last place, other letters nowhere"),
        ("978045152493X", "13 characters must all be digits"),
        ("AlexisGlyn", "X may stand only in the last place, other letters nowhere"),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "it may hold only digits, hyphens and spaces"),
        ("ISBN 978-0-451-52493-5", "it may hold only digits, hyphens and spaces"),
        ("0000000000", "all digits are the same"),
        ("1111111111", "all digits are the same"),
        ("0" * 13, "all digits are the same"),
        ("1" * 65, "this has 65 characters"),
    ],
)
def test_what_is_no_isbn_is_refused_with_the_rule_it_breaks(text: str, reason: str) -> None:
    with pytest.raises(InvalidIsbn) as refused:
        read_isbn(text)

    assert refused.value.reason == reason
    assert str(refused.value) == f"ISBN must be 10 or 13 digits: {reason}"
    assert refused.value.code == "INVALID_ISBN"


@given(isbns, st.data())
def test_any_single_wrong_digit_is_refused(isbn: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(isbn) - 1))
    digit = data.draw(st.sampled_from("0123456789"))
    assume(digit != isbn[place])

    assert find_isbn(isbn[:place] + digit + isbn[place + 1 :]) is None


@given(st.text() | st.text(st.sampled_from('0123456789Xx-= []"\u00b2\u2460\ud800E+.'), max_size=20))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    read = find_isbn(text)  # which lets any other exception through

    assert read is None or re.fullmatch("97[89][0-9]{10}", read.isbn13)


@pytest.mark.parametrize("value", [None, 9780451524935, ["9780451524935"], b"9780451524935", {}])
def test_what_is_no_text_holds_no_isbn(value: object) -> None:
    assert find_isbn(value) is None


def test_a_longest_text_is_still_read() -> None:
    assert find_isbn("9780451524935".center(LONGEST_INPUT_CHARS)) == Isbn("9780451524935")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9780000000002", "missing ISBN"),
        ("978-0-00-000000-2", "missing ISBN"),
        ("0000000000", "same"),
        ("9790201809809", "ISMN"),
        ("979-0-2018-0980-9", "ISMN"),
        ("08044Х2957", "last place"),
    ],
)
def test_what_stands_for_none_or_for_music_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidIsbn, match=why):
        read_isbn(text)


@pytest.mark.parametrize(
    "text", ["(Colección)", "2.902.639.57.0", "9780451524935 (pbk.)", "B07MNWKF2M"]
)
def test_what_is_written_around_isbns_is_none(text: str) -> None:
    with pytest.raises(InvalidIsbn):
        read_isbn(text)
