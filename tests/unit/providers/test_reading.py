"""The readers of single values, one by one and with whatever a provider may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.book import DESCRIPTION_CHARS
from bookline.isbn import Isbn
from bookline.languages import bcp47
from bookline.providers import reading
from bookline.providers.dates import read_date
from bookline.providers.pages import read_pages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


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
        ("About the <script> element, and more.", "About the <script> element, and more."),
        ("A tag that never ends <a href=", "A tag that never ends <a href="),
        ("No description available.", None),
        ({"type": "/type/text", "value": "An object."}, "An object."),
        ({"type": "/type/text"}, None),
        (None, None),
    ],
)
def test_a_description_keeps_its_paragraphs_and_no_markup(
    given_text: object, kept: str | None
) -> None:
    assert reading.read_description(given_text) == kept


@pytest.mark.parametrize(
    "text", ["<", "<a", "<!--", "<![CDATA[", "<script>", "&", "&lt;", "<a<b>", "\x00", " "]
)
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    """4 MB of each; a search that goes to the end for each opening would take minutes."""
    reading.read_description("]]>" + text * (4_000_000 // len(text)) + ">-->")


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
    ("given_name", "tag"),
    [("en", "en"), ("eng", "en"), ("English", "en"), ("ger", "de"), ("deu", "de"), ("chi", "zh"),
     ("pt-BR", "pt-BR"), ("PT_br", "pt-BR"), ("zh-hant-tw", "zh-Hant-TW"), ("sco", "sco"),
     ("wel", "cy"), ("Farsi", "fa"), ("und", None), ("un", None), ("Unknown", None), ("", None),
     ("Elvish of the West", None), ("xx", None), (7, None),
     ("British English", "en-GB"), ("English language", "en"), ("Language: English", "en"),
     ("Mandarin Chinese", "zh"), ("Multiple languages", "mul"), ("sh", "sh"),
     # a code with its name, lists, retired codes, own names, regions
     ("Eng English", "en"), ("eng - English", "en"), ("ger German", "de"), ("eng; spa", "en"),
     ("English, French", "en"), (["spa", "eng"], "es"), ([None, "", "fre"], "fr"),
     ("English (US)", "en-US"), ("Português (Brasil)", "pt-BR"), ("Chinese, Simplified", "zh-Hans"),
     ("Norwegian (Bokmål)", "nb"), ("In English", "en"), ("Text in English", "en"), ("English.",
     "en"),
     ("Tedesco", "de"), ("Allemand", "de"), ("русский язык", "ru"), ("简体中文", "zh-Hans"),
     ("qaa", None),
     ("fri", "fy"), ("Mul Multiple Languages", "mul"), ("Portuguese (Brazil)", "pt-BR"), ("iw",
     "he"), ("ji", "yi"),
     ("in", "id"), ("jw", "jv"), ("mo", "ro"), ("Deutsch", "de"), ("Español", "es"), ("日本語",
     "ja"),
     ("English, Middle (1100-1500)", "enm"), ("Greek, Modern (1453- )", "el"), ("mul", "mul"),
     ("????", None), ("Undetermined", None), ("/languages/eng", "en"), ("EN", "en")],
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
        reading.read_publisher, read_date, read_pages, reading.read_language,
        reading.read_source_id, reading.read_url,
    ):  # fmt: skip
        repr(read(value)).encode()


WORDS = st.text("abcdefghijklmnopqrstuvwxyzäöüßéçñžšřłøåабвгд日本語", min_size=4, max_size=12)
PHRASES = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


@given(PHRASES)
def test_plain_words_come_back_as_they_were(phrase: str) -> None:
    """A reader that gives up on everything would pass each test with hostile values."""
    said = f"{phrase} zzzz"  # no list of placeholders holds it

    assert reading.read_title(said) == said
    assert reading.read_subtitle(said) == said
    assert reading.read_description(said) == said
    assert reading.read_publisher([said]) == said


@given(st.lists(WORDS.map(lambda word: f"Ada Zz{word}"), min_size=1, max_size=6, unique=True))
def test_names_and_subjects_come_back_in_their_order(names: list[str]) -> None:
    assert reading.read_authors([{"name": name} for name in names]) == tuple(names)
    assert reading.read_categories(names) == tuple(names)


@given(st.sampled_from(["en", "de", "fr", "pt-BR", "zh-Hant", "sco"]), st.sampled_from(["", " "]))
def test_a_language_tag_comes_back(tag: str, space: str) -> None:
    assert reading.read_language(space + tag + space) == tag


@given(st.text("abcdefghij0123456789/_-.", min_size=1, max_size=60))
def test_an_address_comes_back(path: str) -> None:
    url = f"https://images.example/{path}"

    assert reading.read_url(url) == url
