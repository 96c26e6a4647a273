"""Markdown, as Open Library's descriptions are written in, to plain text.

Way:      open_library_answers.py → here, before reading.read_description
Rule 1:   only marks that cannot be meant as text: ``2 * 3``, ``snake_case``, ``[sic]`` stay.
Rule 2:   the work is bounded by the length of the text.
Source:   CommonMark 0.31; the footnotes are what Open Library's editors write (``([source][1])``).
"""

import re
from typing import Final

_DEFINITION: Final = re.compile(r"^[ ]{0,3}\[([^\]\n]{1,40})\]:[ \t]*<?(?:https?:|/)\S*.*$", re.M)
_SOURCE: Final = re.compile(
    r"[ \t]*\(\s*\[[^\]\n]{1,60}\](?:\[[^\]\n]{1,40}\]|\((?:https?:|/)[^)\s]{1,500}\))\s*\)"
)
_SOURCE_AND_STOP: Final = re.compile(rf"(?<=[.!?…]){_SOURCE.pattern}\.")
_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,200})\]\([^)\s]{1,500}\)")
_LINK: Final = re.compile(
    r"\[([^\[\]\n]{1,300})\]\((?:https?:|mailto:|/)[^)\s]{0,500}(?: \"[^\"\n]{0,200}\")?\)"
)
_REFERRED: Final = re.compile(r"\[([^\[\]\n]{1,300})\]\[([^\[\]\n]{1,40})\]")
_FOOTNOTE: Final = re.compile(r"\[([^\[\]\n]{1,40})\](?!\()")
_AUTOLINK: Final = re.compile(r"<(https?://[^<>\s]{1,500})>")
_QUOTE: Final = re.compile(r"^[ ]{0,3}(?:>[ \t]?)+", re.M)
_HEADING: Final = re.compile(r"^[ ]{0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.M)
_RULE: Final = re.compile(r"^[ ]{0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$", re.M)
_UNDERLINE: Final = re.compile(r"^[ ]{0,3}=+[ \t]*$", re.M)
_STRONG: Final = (
    re.compile(r"(?<![\w*\\])\*\*\*(?=[^\s*])([^\n*]{1,500}?)(?<=[^\s*\\])\*\*\*(?![\w*])"),
    re.compile(r"(?<![\w*\\])\*\*(?=[^\s*])([^\n*]{1,500}?)(?<=[^\s*\\])\*\*(?![\w*])"),
    re.compile(r"(?<![\w_\\])__(?=[^\s_])([^\n]{1,500}?)(?<=[^\s_\\])__(?![\w_])"),
)
_EMPHASIS: Final = (
    re.compile(r"(?<![\w*\\])\*(?=[^\s*])([^\n*]{1,500}?)(?<=[^\s*\\])\*(?![\w*])"),
    re.compile(r"(?<![\w_\\])_(?=[^\s_])([^\n_]{1,500}?)(?<=[^\s_\\])_(?![\w_])"),
)
_CODE: Final = re.compile(r"(?<!`)`([^`\n]{1,200})`(?!`)")
_ESCAPED: Final = re.compile(r"\\([\\`*_{}\[\]()#+\-.!>~|])")
_HARD_BREAK: Final = re.compile(r"(?:\\|[ ]{2,})$", re.M)


def without_marks(text: str) -> str:
    """The text as it reads without its marks; what is no Markdown comes back as it was."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    names = {found[1].casefold() for found in _DEFINITION.finditer(text)}
    text = _DEFINITION.sub("", text)
    text = _SOURCE.sub("", _SOURCE_AND_STOP.sub("", text))
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    if names:
        text = _REFERRED.sub(lambda one: one[1] if one[2].casefold() in names else one[0], text)
        text = _FOOTNOTE.sub(lambda one: "" if one[1].casefold() in names else one[0], text)
    text = _RULE.sub("", _UNDERLINE.sub("", _QUOTE.sub("", text)))
    text = _HARD_BREAK.sub("", _HEADING.sub(r"\1", text))
    for mark in (*_STRONG, *_EMPHASIS, _CODE, _AUTOLINK):
        text = mark.sub(r"\1", text)
    return _ESCAPED.sub(r"\1", text)
