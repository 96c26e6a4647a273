"""From what a format found to a row: its ISBN, repaired where that is proven, or why not.

Rule 1:  an ISBN that stands there as it should wins over one that has to be repaired.
Rule 2:  only what the check digit proves is repaired: lost left zeros, a number written as a
         fraction or with marks for thousands. "9.78E+12" has lost digits that nothing can prove.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from bookline.errors import InvalidIsbn
from bookline.isbn import LONGEST_INPUT_CHARS, Isbn, find_isbn, read_isbn
from bookline.shelves.cells import LONGEST_TITLE_CHARS
from bookline.shelves.row import Entry, Row

MOST_AUTHORS = 20  # our choice
_PARTS = re.compile(r"[,;|/\n]+")
_SHORT = re.compile(r"\d{6,8}[\dXx]")
_AS_FRACTION = re.compile(r"(\d+)[.,]0{1,3}")
_AS_POWER = re.compile(r"(\d)[.,](\d{12})E\+?12", re.IGNORECASE)
_IN_THOUSANDS = re.compile(r"\d{1,3}(?:[.,' \u00a0]\d{3}){2,4}")
_WORDS_OF_ISBN = re.compile(r"isbn(?:[-\s]?1[03]\b)?", re.IGNORECASE)
_WITHIN = re.compile(
    r"(?<![\w-])(?:9[- ]?7[89][-‐-― ]?(?:\d[-‐-― ]?){9}\d|(?:\d[-‐-― ]?){9}[\dXx])(?![\w-]|[.,]\d)",
    re.ASCII,
)
DATE_OR_TIME = re.compile(
    r"(?<![\w-])(?:(?:19|20)\d\d[-/.][01]?\d[-/.][0-3]?\d(?![\d-])"
    r"|[0-3]?\d[-/.][0-3]?\d[-/.](?:19|20)\d\d(?![\d-])|\d{1,2}:\d\d(?::\d\d)?(?!\d))",
    re.ASCII,
)
"""Its digits are no part of an ISBN, though they may look like one."""
_WRAPPING = "=\"[]'` "


def check(entry: Entry, line: int | None, cells: object) -> Row:
    """The row that an entry makes. Never raises: what is wrong stands in ``refused``."""
    isbn, text, repaired = _isbn(entry.isbns)
    title = entry.title[:LONGEST_TITLE_CHARS]
    given = next((one for one in entry.isbns if one.strip(_WRAPPING)), "")
    return Row(
        line=line,
        input=(text or given or title)[: LONGEST_INPUT_CHARS * 4],
        isbn=isbn,
        repaired=repaired,
        title=title,
        authors=tuple(one[:LONGEST_TITLE_CHARS] for one in entry.authors if one)[:MOST_AUTHORS],
        reading=entry.reading,
        open_library_id=entry.open_library_id,
        refused=None if isbn else _why_not(entry, given),
        cells=cells,
    )


def repair(text: str) -> Isbn | None:
    """The ISBN that a spreadsheet has made a number of, if its check digit proves it."""
    bare = text.strip(_WRAPPING)
    if fraction := _AS_FRACTION.fullmatch(bare):
        bare = fraction[1]
    elif power := _AS_POWER.fullmatch(bare):
        bare = power[1] + power[2]
    elif _IN_THOUSANDS.fullmatch(bare):
        bare = re.sub(r"\D", "", bare)
    if bare != text and (whole := find_isbn(bare)):
        return whole
    return find_isbn(bare.zfill(10)) if _SHORT.fullmatch(bare) else None


def _isbn(texts: Sequence[str]) -> tuple[Isbn | None, str, bool]:
    filled = [text for text in texts if text.strip(_WRAPPING)]
    for part in chain(_parts(filled), _within(filled)):
        if found := find_isbn(part):
            return found, part, False
    for part in _parts(filled):
        if found := repair(part):
            return found, part, True
    return None, "", False


def _parts(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        if text and len(text) <= LONGEST_INPUT_CHARS:
            yield text
        if len(text) > 13 and _PARTS.search(text):
            yield from (part.strip() for part in _PARTS.split(text[:2_000]) if part.strip())


def _within(texts: Sequence[str]) -> Iterator[str]:
    """What may be an ISBN among other words: "ISBN-13: 978…", "978… (pbk.)"."""
    for text in texts:
        bare = DATE_OR_TIME.sub(" ", _WORDS_OF_ISBN.sub(" ", text[:2_000]))
        yield from (word.strip("()[]{}.:;,") for word in bare.split())
        yield from (found[0] for found in _WITHIN.finditer(bare))


def _why_not(entry: Entry, given: str) -> str | None:
    if entry.not_a_book:
        return f"The export says that this is not a book but: {entry.not_a_book[:64]}."
    if entry.title or entry.open_library_id:
        return None
    if not given:
        return "The row has neither an ISBN nor a title."
    try:
        read_isbn(given)
    except InvalidIsbn as refused:
        return refused.message
    return "The row has no usable ISBN."
