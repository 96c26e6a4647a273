"""Markdown, as Open Library's descriptions are written in, to plain text.

Way:      open_library_answers.py → here, before reading.read_description
Rule 1:   only marks that cannot be meant as text: ``2 * 3``, ``snake_case``, ``[sic]`` stay.
Rule 2:   the work is bounded by the length of the text.
Source:   CommonMark 0.31; the footnotes are what Open Library's editors write (``([source][1])``).
"""

import re
from collections.abc import Set
from functools import partial
from typing import Final

_DEFINITION: Final = re.compile(r"^[ ]{0,3}\[([^\]\n]{1,40})\]:[ \t]*<?(?:https?:|/)\S*.*$", re.M)
_TARGET: Final = r"(?:https?:|mailto:|/)(?:[^()\s]|\([^()\s]{0,200}\)){0,500}"
_SOURCE: Final = re.compile(
    r"(?<![ \t])[ \t]*\(\s*\[[^\]\n]{1,60}\]"
    rf"(?:\[[^\]\n]{{1,40}}\]|\({_TARGET}\))\s*\)"
    r"|(?<![ \t])[ \t]*\[\([^\]\n()]{1,60}\)\]"  # [(source)][1]
    rf"(?:\[[^\]\n]{{1,40}}\]|\({_TARGET}\))"
)
_SOURCE_AND_STOP: Final = re.compile(rf"(?<=[.!?…])(?:{_SOURCE.pattern})\.")
_NUMBERED: Final = re.compile(r"\W*[0-9]{1,4}\W*|source|ref|note", re.IGNORECASE)
_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,200})\]\([^)\s]{1,500}\)")
_LINK: Final = re.compile(rf"\[([^\[\]\n]{{1,300}})\]\(\s?{_TARGET}(?: \"[^\"\n]{{0,200}}\")?\s?\)")
_REFERRED: Final = re.compile(r"\[([^\[\]\n]{1,300})\]\[([^\[\]\n]{0,40})\]")
_FOOTNOTE: Final = re.compile(r"[ \t]?\[([^\[\]\n]{1,40})\](?!\()")
_FENCE: Final = re.compile(r"^[ ]{0,3}(?:```|~~~)[^\n`]{0,40}$\n?", re.M)
_AUTOLINK: Final = re.compile(r"<(https?://[^<>\s]{1,500})>")
_QUOTE: Final = re.compile(r"^[ ]{0,3}(?:>[ \t]?)+", re.M)
_HEADING: Final = re.compile(r"^[ ]{0,3}(?!#[ \t]+[0-9])#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.M)
_RULE: Final = re.compile(r"^[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$", re.M)
_UNDERLINE: Final = re.compile(r"^[ ]{0,3}=+[ \t]*$", re.M)
_DUNDERS: Final = "(?:init|main|name|new|str|repr|call|dict|doc|file|all|del|iter|len|class|slots)"
"""Words of Python, which are written ``__init__``."""
_STRONG: Final = (
    re.compile(
        r"(?<![\w*\\])\*\*\*(?=[^\s*])((?:[^\n*]|\n(?!\n)){1,500}?)(?<=[^\s*\\])\*\*\*(?![\w*])"
    ),
    re.compile(
        r"(?<![\w*\\])\*\*(?=[^\s*])((?:[^\n*]|\n(?!\n)){1,500}?)(?<=[^\s*\\])\*\*(?![\w*])"
    ),
    re.compile(
        rf"(?<![\w_\\])__(?=[^\s_])(?!{_DUNDERS}__)((?:[^\n_]|_(?!_)|\n(?!\n)){{1,500}}?)(?<=[^\s_\\])__(?![\w_])"
    ),
)
_EMPHASIS: Final = (
    re.compile(r"(?<![\w*\\])\*(?=[^\s*])((?:[^\n*]|\n(?!\n)){1,500}?)(?<=[^\s*\\])\*(?![\w*])"),
    re.compile(r"(?<![\w_\\])_(?=[^\s_])((?:[^\n_]|\n(?!\n)){1,500}?)(?<=[^\s_\\])_(?![\w_])"),
)
_CODE: Final = re.compile(r"(?<![`\w])`([^`\n]{1,200})`(?![`\w])")
_ESCAPED: Final = re.compile(r"\\([\\`*_{}\[\]()#+\-.!>~|])")
_HARD_BREAK: Final = re.compile(r"(?:\\|(?<! )[ ]{2,})$", re.M)


def without_marks(text: str) -> str:
    """The text as it reads without its marks; what is no Markdown comes back as it was."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    names = {found[1].casefold() for found in _DEFINITION.finditer(text)}
    text = _DEFINITION.sub("", text)
    text = _SOURCE.sub("", _SOURCE_AND_STOP.sub("", text))
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    if names:
        text = _REFERRED.sub(partial(_referred, names), text)
        text = _FOOTNOTE.sub(partial(_noted, names), text)
    text = _FENCE.sub("", _RULE.sub("", _UNDERLINE.sub("", _QUOTE.sub("", text))))
    text = _HARD_BREAK.sub("", _HEADING.sub(r"\1", text))
    for mark in (*_STRONG, *_EMPHASIS, *_STRONG, _CODE, _AUTOLINK):
        text = mark.sub(r"\1", text)
    return _ESCAPED.sub(r"\1", text)


def _referred(names: Set[str], link: re.Match[str]) -> str:
    """The words of a link whose target stands elsewhere: ``[words][1]``, ``[words][]``."""
    return link[1] if (link[2] or link[1]).casefold() in names else link[0]


def _noted(names: Set[str], link: re.Match[str]) -> str:
    """Nothing for a footnote's number; a name that is its own target is a word."""
    if link[1].casefold() not in names:
        return link[0]
    return "" if _NUMBERED.fullmatch(link[1]) else link[0].replace("[", "").replace("]", "")
