"""The readers of single values, one by one and with whatever a provider may send."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.book import DESCRIPTION_CHARS
from bookline.isbn import Isbn
from bookline.providers import reading
from bookline.providers.languages import bcp47

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
PIECES = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "</",
            "<b",
            "<p>",
            "</p>",
            "<br/>",
            "<!--",
            "-->",
            "<script>",
            "</script>",
            "&lt;",
            "&amp;lt;",
            "&gt;",
            "&#60;",
            "&#x3c;",
            "&#0;",
            "\x00",
            "\ud800",
            "\u202e",
            "\n",
            "\r\n",
            " ",
            "onerror=1",
            "a",
            "é",
            "😀",
            "&#" + "9" * 5_000 + ";",
        ]
    )
).map("".join)


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("  Moby\tDick;\n or, The Whale ", "Moby Dick; or, The Whale"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("The <i>Great</i> Gatsby", "The Great Gatsby"),
        ("&lt;b&gt;Loud&lt;/b&gt;", "Loud"),
        ("I <3 books, 1 < 2 > 0", "I <3 books, 1 < 2 > 0"),
        ("Bell\x07 and half \ud83d a smile", "Bell and half a smile"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("", None),
        (" \u00a0\u200b ", None),
        ("<p></p>", None),
        (17, None),
        (["a list"], None),
    ],
)
def test_a_title_is_one_plain_line(given_text: object, kept: str | None) -> None:
    assert reading.read_title(given_text) == kept


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("<p>One.</p><p>Two.</p>", "One.\n\nTwo."),
        ("One.<br>Two.<BR/>Three.", "One.\nTwo.\nThree."),
        ("One.\r\n\r\n\r\n\r\nTwo.", "One.\n\nTwo."),
        ("<ul><li>One<li>Two</ul>", "One\nTwo"),
        ("<script>alert(1)</script>Told.<style>p{}</style><!-- no -->", "Told."),
        ("About the <script> element, and more.", "About the element, and more."),
        ("A tag that never ends <a href=", "A tag that never ends a href="),
        ({"type": "/type/text", "value": "An object."}, "An object."),
        ({"type": "/type/text"}, None),
        (None, None),
    ],
)
def test_a_description_keeps_its_paragraphs_and_no_markup(
    given_text: object, kept: str | None
) -> None:
    assert reading.read_description(given_text) == kept


@given(PIECES)
def test_whatever_is_mixed_into_a_text_none_of_it_is_html(text: str) -> None:
    for read in (reading.read_title(text), reading.read_description(text)):
        kept = read or ""

        assert not re.search(r"<[a-zA-Z/!?]", kept)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", kept)
        kept.encode()


@pytest.mark.parametrize("text", ["<", "<a", "<!--", "<script>", "&", "&lt;", "<a<b>", "\x00", " "])
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    """4 MB of each; a search that goes to the end for each opening would take minutes."""
    reading.read_description(text * (4_000_000 // len(text)) + ">-->")


def test_a_text_is_cut_at_its_cap() -> None:
    assert reading.read_title("é" * 600) == "é" * 500
    assert reading.read_description("😀" * 30_000) == "😀" * DESCRIPTION_CHARS


def test_authors_are_kept_in_order_once_and_without_placeholders() -> None:
    names = ["Ada", {"name": "Berta, Ph.D."}, "Unknown", "N/A", "ada", "", None, 7, "Various"]

    assert reading.read_authors(names) == ("Ada", "Berta, Ph.D.", "Various")
    assert reading.read_authors("Only One") == ("Only One",)
    assert len(reading.read_authors([f"Author {n}" for n in range(200)])) == 50
    assert len(reading.read_authors([f"{n:200}" for n in range(200, 300)])) == 50
    assert len(reading.read_authors([f"{n}{'a' * 197}" for n in range(200, 300)])) == 20


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        ("2002-05-01", "2002-05-01"),
        ("2006", "2006"),
        ("2004-01", "2004-01"),
        ("2019-10-03T00:00:00+02:00", "2019-10-03"),
        ("2014-7-4", "2014-07-04"),
        ("1998/11/30", "1998-11-30"),
        ("June 1983", "1983-06"),
        ("December 31, 1994", "1994-12-31"),
        ("Jul 08, 2018", "2018-07-08"),
        ("Sept. 1, 2001", "2001-09-01"),
        ("1st May 1990", "1990-05-01"),
        ("5 mar 1971", "1971-03-05"),
        ("c1998", "1998"),
        ("[1949]", "1949"),
        ("1998, c1998", "1998"),
        (2015, "2015"),
        ("2019-13-45", "2019"),
        ("2019-02-31", "2019-02"),
        ("February 30, 2001", "2001-02"),
        ("12/31/1994", "1994"),
        ("19??", None),
        ("19--", None),
        ("1990s", None),
        ("1990-1995", None),
        ("0000", None),
        ("9999", None),
        (0, None),
        (True, None),
        (2015.0, None),
        ("soon", None),
        ("", None),
        (None, None),
        ("２０１５", None),
    ],
)
def test_a_date_is_as_exact_as_it_was_written(written: object, exact: str | None) -> None:
    assert reading.read_date(written) == exact


@given(st.dates(min_value=date(1400, 1, 1)))
def test_a_date_written_out_is_the_same_date(day: date) -> None:
    expected = day.isoformat() if day.year <= 2100 else None
    months = "January February March April May June July August September October November December"
    month = months.split()[day.month - 1]

    assert reading.read_date(day.isoformat()) == expected
    assert reading.read_date(f"{month} {day.day}, {day.year}") == expected
    assert reading.read_date(f"{day.day:02} {month[:3]} {day.year}") == expected


@pytest.mark.parametrize(
    ("written", "pages"),
    [(96, 96), ("174", 174), ("97 p.", 97), (" 12 pages", 12), (0, None), (-4, None),
     (100_001, None), (10**400, None), (True, None), (96.0, None), ("xii, 97", None), ([], None)],
)  # fmt: skip
def test_pages_are_a_whole_number_above_none(written: object, pages: int | None) -> None:
    assert reading.read_pages(written) == pages


@pytest.mark.parametrize(
    ("given_name", "tag"),
    [("en", "en"), ("eng", "en"), ("English", "en"), ("ger", "de"), ("deu", "de"), ("chi", "zh"),
     ("pt-BR", "pt-BR"), ("PT_br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("sco", "sco"),
     ("wel", "cy"), ("Farsi", "fa"), ("und", None), ("un", None), ("Unknown", None), ("", None),
     ("Elvish of the West", "Elvish of the West"), (7, None)],
)  # fmt: skip
def test_a_language_is_a_bcp_47_tag_where_it_is_known(given_name: object, tag: str | None) -> None:
    assert reading.read_language(given_name) == tag


@given(st.text(max_size=40))
def test_a_language_read_twice_is_the_same(text: str) -> None:
    once = bcp47(text)

    assert once is None or bcp47(once) == once


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("Https://images.example/a.jpg", "https://images.example/a.jpg"),
        ("//images.example/a.jpg", "https://images.example/a.jpg"),
        (" https://images.example/a\n.jpg ", "https://images.example/a.jpg"),
        ("ftp://images.example/a.jpg", "ftp://images.example/a.jpg"),
        (
            "https://images.example/" + "a" * 5_000,
            ("https://images.example/" + "a" * 5_000)[:2_000],
        ),
        ("", None),
        (None, None),
        ({"url": "x"}, None),
    ],
)
def test_an_address_is_passed_on_for_the_cover_step_to_judge(
    given_url: object, kept: str | None
) -> None:
    assert reading.read_url(given_url) == kept


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("http://books.google.com/x", True),
        ("http://google.com", True),
        ("http://books.google.com.evil.example/x", False),
        ("http://evilgoogle.com/x", False),
        ("http://user@google.com/x", False),
        ("http://google.com:8080/x", False),
        ("http://127.0.0.1:9000/x", False),
        ("http://[::1/x", False),
    ],
)
def test_only_known_hosts_are_asked_over_https_instead(url: str, *, secure: bool) -> None:
    assert reading.with_https(url, "google.com") == (
        url.replace("http:", "https:") if secure else url
    )


def test_an_isbn_is_found_in_either_form_among_anything() -> None:
    isbn = Isbn("9780142437247")

    assert reading.names_isbn(["OCLC:1", None, 7, {}, "0-14-243724-7"], isbn)
    assert reading.names_isbn("978-0142437247", isbn)
    assert not reading.names_isbn(["9780142437240", 9780142437247], isbn)


@given(JSON)
def test_no_value_raises_anything(value: object) -> None:
    for read in (
        reading.read_title, reading.read_description, reading.read_authors, reading.read_categories,
        reading.read_publisher, reading.read_date, reading.read_pages, reading.read_language,
        reading.read_source_id, reading.read_url,
    ):  # fmt: skip
        repr(read(value)).encode()
