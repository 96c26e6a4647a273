"""Plain text out of what providers call text: HTML or not, escaped once or twice, or damaged.

Way:      reading.py → here
Rule 1:   no control character and no half of a surrogate pair comes out.
Rule 2:   markup goes only where the text is markup: ``C++ <algorithm>``, ``The <canvas> element``
          and ``R&D`` are plain text and stay as they are.
Rule 3:   the work is bounded by the length of the text, whatever is in it.
Source:   WHATWG HTML (elements); Windows-1252, whose quotes and dashes are often met as the control
          characters U+0080 to U+009F. U+0098 and U+009C are library marks for "do not sort" there.
"""

import html
import re
from typing import Final

_ELEMENTS: Final = (
    "a|abbr|address|article|aside|audio|b|base|basefont|bdi|bdo|big|blockquote|body|br|button|canvas|"
    "caption|center|cite|code|col|colgroup|dd|del|details|dfn|div|dl|dt|em|embed|fieldset|"
    "figcaption|figure|font|footer|form|frame|frameset|h[1-6]|head|header|hr|html|i|iframe|img|"
    "input|ins|kbd|label|legend|li|link|main|map|mark|marquee|meta|nav|noscript|object|ol|option|"
    "p|param|picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|"
    "summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|time|title|tr|track|tt|u|ul|var|video|"
    "wbr|o:p"
)
_TAG: Final = re.compile(rf"</?(?:{_ELEMENTS})(?=[\s/>])[^<>]*>|<[!?][^<>]*>", re.IGNORECASE)
_CLOSING: Final = re.compile(rf"</(?:{_ELEMENTS})\s*>", re.IGNORECASE)
_WITH_ATTRIBUTE: Final = re.compile(
    rf"<(?:{_ELEMENTS})\s[^<>]{{0,2000}}?[a-z-]\s*=[^<>]*>", re.IGNORECASE
)
_EMPTY: Final = re.compile(r"<(?:br|hr|wbr)\s*/?>|<!--|<!\[CDATA\[|<!doctype", re.IGNORECASE)
_BLOCK: Final = re.compile(
    rf"{_EMPTY.pattern}|<(?:p|li)\s*/?>|\A\s*<(?:div|h[1-6]|ul|ol|blockquote)\s*>", re.IGNORECASE
)
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_WITH_CONTENT: Final = tuple(
    (re.compile(whole, re.DOTALL | re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for whole, closing in (
        (r"<!--.*?-->", r"-->"),
        (r"<script\b.*?</script\s*>", r"</script\s*>"),
        (r"<style\b.*?</style\s*>", r"</style\s*>"),
    )
)
_PARAGRAPH: Final = re.compile(
    r"</?(?:p|div|h[1-6]|ul|ol|dl|table|blockquote|section|article|hr)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_LINE: Final = re.compile(
    r"</?br(?=[\s/>])[^<>]*>|<(?:li|tr|dt|dd)(?=[\s/>])[^<>]*>", re.IGNORECASE
)
_CELL: Final = re.compile(r"<t[dh](?=[\s/>])[^<>]*>", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_WINDOWS: Final = {
    code: bytes([code]).decode("cp1252", "ignore")
    for code in range(0x80, 0xA0)
    if code not in {0x98, 0x9C}
}
_DROPPED: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f"  # control characters that are no white space
    "\u00ad\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb"  # not seen
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # lone surrogates, noncharacters
)
# "do not sort" around an article, as library catalogues export it: <<Der>> Prozess, ¬Der¬ Prozess
_NOT_SORTED: Final = re.compile(r"\A\s*(?:<<([^<>]{1,20})>>|¬([^¬]{1,20})¬)\s*")


def plain_line(text: str) -> str:
    """A title, a name, a subject: hardly ever markup. White space is as it was."""
    found = _NOT_SORTED.match(text)
    if found:
        article = (found[1] or found[2]).strip()
        between = "" if article.endswith(("'", "’")) else " "  # <<L'>>étranger
        text = f"{article}{between}{text[found.end() :]}"
    return _plain(text, _EMPTY)


def plain_text(text: str) -> str:
    """A description, with its paragraphs as line ends where it is HTML."""
    return _plain(text, _BLOCK)


def _plain(text: str, signs: re.Pattern[str]) -> str:
    # Two rounds, since text whose tags are escaped once more is common.
    for _ in range(2):
        text = _without_tags(text, signs)
        if "&" not in text:
            break
        text = _REFERENCE.sub(_referred, text)
    return _DROPPED.sub("", _without_tags(text, signs).translate(_WINDOWS))


def _referred(reference: re.Match[str]) -> str:
    return html.unescape(reference[0])


def _without_tags(text: str, signs: re.Pattern[str]) -> str:
    if "<" not in text or ">" not in text:
        return text
    if not (_CLOSING.search(text) or signs.search(text) or _has_attribute(text)):
        return text
    # Each search ends at the last closing: beyond it, every opening would cost a search to the end.
    if (last := text.rfind("]]>")) >= 0:
        text = _CDATA.sub(r"\1", text[: last + 3]) + text[last + 3 :]
    for whole, closing in _WITH_CONTENT:
        ends = [found.end() for found in closing.finditer(text)]
        if ends:
            text = whole.sub("", text[: ends[-1]]) + text[ends[-1] :]
    return _TAG.sub("", _CELL.sub(" ", _LINE.sub("\n", _PARAGRAPH.sub("\n\n", text))))


def _has_attribute(text: str) -> bool:
    return "=" in text and _WITH_ATTRIBUTE.search(text) is not None
