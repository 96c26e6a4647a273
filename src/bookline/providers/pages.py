"""Counts of pages as providers and libraries write them: 104, "1,024", "xii, 97 p. : ill. ; 22 cm".

Way:      reading.py → here
Rule 1:   never a count of something else: volumes, plates, minutes, centimetres.
Source:   MARC 300 $a, ISBD 5.
"""

import re
from typing import Final

MOST_PAGES: Final = 100_000
_NUMBER: Final = r"[0-9]{1,3}(?:[,.\u00a0 ’'][0-9]{3})+|[0-9]{1,6}"
_BARE: Final = re.compile(rf"\[?\s*(?:ca\.?\s*|c\.?\s*|about\s*)?({_NUMBER})\s*\]?", re.IGNORECASE)
_UNIT: Final = re.compile(
    r"(?:(?<![^\W\d_])(?:p|pp|pages?|pgs?)\b|\bleaves\b|\bleaf\b|\bs\b|\bseiten?\b|\bsidor\b|\bsider\b|"
    r"\bp[áa]ginas?\b|\bp[áa]gs?\b|\bpagine\b|\bpagina['’]?s\b|\bblz\b|\bbladzijden\b|\bstron\b|"
    r"\bстр\b|\bс\b|\bl\b|ページ|頁|페이지|页)"
    r"(?!\.?\s*(?:of|de)\s+(?:plates|planches|maps|illustrations|music))",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(rf"(?<![0-9.,])(?:{_NUMBER})(?![0-9])")
_BRACKETED: Final = re.compile(r"\[[^\]]{0,20}\]")
_SPAN: Final = re.compile(r"[0-9]\s*[-‐-―]\s*[0-9]+\s*\Z")


def read_pages(value: object) -> int | None:
    """A count of pages from 1 to 100,000."""
    if isinstance(value, str):
        value = _written(value.strip()) if len(value) <= 200 else None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_PAGES:
        return value
    return None


def _written(text: str) -> int | None:
    if bare := _BARE.fullmatch(text):
        return _number(bare[1])
    unit = _UNIT.search(text)
    if unit is None:
        return None
    before = text[: unit.start()].rstrip(" ,;.")
    before = re.split(r"[(:;]", before)[-1]  # "2 v. (xii, 345" and "1 CD : 3"
    if _SPAN.search(before):  # pages 12-34 of something
        return None
    plain = _COUNT.findall(_BRACKETED.sub(" ", before))
    counts = plain or _COUNT.findall(before)
    return _number(counts[-1]) if counts else None


def _number(text: str) -> int:
    return int(re.sub(r"[^0-9]", "", text))
