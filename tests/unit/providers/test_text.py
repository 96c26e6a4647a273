"""HTML becomes plain text, and plain text stays what it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.providers.markdown import without_marks
from bookline.providers.reading import read_description, read_title


@pytest.mark.parametrize(
    "text",
    ["C++ <algorithm>", "The <canvas> element", "R&D", "Q&A; a guide", "AT&T",
     "I <3 books, 1 < 2 > 0",
     "Black&White", "Science &notes", "a *star* is born", "**** (four stars)", "snake_case_name",
     "[sic] and [s.n.]", "vector<int> v;", "List<String>", "x < y and y > z", "<3", "A & B & C",
     "100% <pure>", "if (a<b) return", "Tom & Jerry", "f**k and s**t",
     "Use <div> and <span> well."],
)  # fmt: skip
def test_plain_text_stays_what_it_is(text: str) -> None:
    assert read_title(text) == text
    assert read_description(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The <i>Great</i> Gatsby", "The Great Gatsby"),
        ("H<sub>2</sub>O", "H2O"),
        ("&lt;b&gt;Loud&lt;/b&gt;", "Loud"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("Caf&eacute; &#8211; &#x201C;nights&#x201D;", "Café – “nights”"),
        ("The &lt;canvas&gt; element", "The <canvas> element"),
        ("One<br/>Two", "One Two"),
        ("<<Der>> Prozess", "Der Prozess"),
        ("<<L'>>étranger", "L'étranger"),
        ("Moby Dick /", "Moby Dick"),
        ("Moby Dick :", "Moby Dick"),
        ("¬Der¬ Prozess", "Der Prozess"),
        ("\u0098Der\u009c Prozess", "Der Prozess"),
        ("Don\u0092t Panic \u0096 a guide", "Don’t Panic – a guide"),
        ("\u0093Quoted\u0094 \u0085 and \u0080 5", "“Quoted” … and € 5"),
        ("undefined \u0081\u008d ones", "undefined ones"),
    ],
)
def test_a_title_in_markup_is_one_plain_line(text: str, plain: str) -> None:
    assert read_title(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Uses &lt;vector&gt; and <b>more</b>.</p>", "Uses <vector> and more."),
        ("<p>Use &lt;div&gt; well.</p>", "Use <div> well."),
        ("<ul><li>One</li><li>Two</li></ul>", "One\nTwo"),
        ("<table><tr><td>one</td><td>two</td></tr></table>", "one two"),
        ("<![CDATA[One & two]]>", "One & two"),
        ("<div>One, cut here", "One, cut here"),
        ("One.<p>Two.<p>Three.", "One.\n\nTwo.\n\nThree."),
        ('See <a href="https://x.example">here</a>.', "See here."),
        ("<img src=x onerror=alert(1)>Told.", "Told."),
        ("<script>alert(1)</script>Told.<style>p{}</style><!-- no -->", "Told."),
        ("Don\u0092t\r\n\r\nstop", "Don’t\n\nstop"),
    ],
)
def test_a_description_in_markup_is_plain_paragraphs(text: str, plain: str) -> None:
    assert read_description(text) == plain


PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "</b>", "<b>", "<p>", "</p>", "<br/>", "<!--", "-->", "<script>", "</script>",
         "&lt;", "&amp;lt;", "&gt;", "&#60;", "&#0;", "\x00", "\ud800", "\u202e", "\x92", "\n", " ",
         "onerror=1", "a", "é", "😀", "&#" + "9" * 5_000 + ";"]
    )
).map("".join)  # fmt: skip


@given(PIECES)
def test_whatever_is_mixed_into_a_text_it_can_be_shown(text: str) -> None:
    for kept in (read_title(text) or "", read_description(text) or ""):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e]", kept)
        assert "</script>" not in kept


# ------------------------------------------------------------------ Markdown
@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("A **bold** tale.\r\n\r\n> Best ever\r\n\r\nMore ([source][1]).\r\n\r\n  [1]: https://x.example/a",
         "A bold tale.\n\nBest ever\n\nMore."),
        ("Best ever … ([source][1]).\n\n[1]: https://x.example/a", "Best ever …"),
        ("A ***very bold*** tale.", "A very bold tale."),
        ("An *unusual* and _quiet_ book, __really__.", "An unusual and quiet book, really."),
        ("# Heading\nText", "Heading\nText"),
        ("A [link](https://x.example/a_b) inside.", "A link inside."),
        ("By [her][2], 1999.\n\n[2]: http://x.example \"Title\"", "By her, 1999."),
        ("Told ([source](https://x.example/y)).", "Told."),
        ("One\n----------\nTwo", "One\n\nTwo"),
        ("Five \\* six", "Five * six"),
        ("![cover](https://x.example/c.jpg) Told.", "cover Told."),
        ("See <https://x.example/a>.", "See https://x.example/a."),
        ("a `code` word", "a code word"),
        ("Soft  \nbreak", "Soft\nbreak"),
        ("A [link](https://x.example/a_(b)) inside.", "A link inside."),
        ("Told. [(Source)][1]\n\n[1]: https://x.example", "Told."),
        ("Told [1].\n\n[1]: https://x.example", "Told."),
        ("By [her][], [him].\n\n[her]: https://x.example\n[him]: https://y.example",
        "By her, him."),
        ("_Over\ntwo_ lines, **as\nthis**.", "Over\ntwo lines, as\nthis."),
        ("**A *very* bold** tale.", "A very bold tale."),
        ("```\ncode\n```\nTold.", "code\nTold."),
    ],
)  # fmt: skip
def test_markdown_becomes_plain_text(text: str, plain: str) -> None:
    assert read_description(without_marks(text)) == plain


@pytest.mark.parametrize(
    "text",
    ["2 * 3 * 4", "snake_case_name and more_of_it", "[sic]", "[1] is a footnote", "5 > 3",
     "f**k, s**t",
     "*starred", "**", "A (bracket) here", "Winner of the * award", "#1 bestseller", "C# in depth",
     "Mr_X and Mrs_Y", "http://x.example/a_b_c", "x[0][1]", "* one\n* two", "1. one\n2. two",
     "~ 5 ~", "The __init__ method", "don`t and can`t", "# 1 bestseller",
     "a ** b ** c", "\\o/"],
)  # fmt: skip
def test_what_is_no_markdown_stays(text: str) -> None:
    assert without_marks(text) == text


@given(st.text(alphabet="*_[]()>#`\\ ab\n1:/<htps.", max_size=400))
def test_markdown_never_fails_and_never_grows(text: str) -> None:
    assert len(without_marks(text)) <= len(text)


@pytest.mark.parametrize(
    "text", ["*", "**a", "__a\n", "_", "[", "[a](", "> ", "`", "\\", "([", "![a](", " ", "  \t"]
)
def test_hostile_markdown_takes_no_long_time(text: str) -> None:
    without_marks(text * (80_000 // len(text)))
