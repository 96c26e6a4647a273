"""Counts of pages as providers and libraries write them: 104, "1,024", "xii, 97 p. : ill. ; 22 cm".

Way:      reading.py → here
Rule 1:   never a count of something else: volumes, plates, minutes, centimetres.
Rule 2:   of several counts the largest: the others are what stands before and behind the text.
Source:   MARC 300 $a, ISBD 5.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MOST_PAGES: Final = 100_000
_NUMBER: Final = r"[0-9]{1,3}(?:[,.\u00a0 ’'][0-9]{3})+|[0-9]{1,6}"
_FRONT: Final = r"(?:(?:[ivxlc]+|\[[^\]]{1,9}\])\s*[,+]\s*)?"  # xii, 345
_BARE: Final = re.compile(
    rf"\[?\s*(?:ca\.?\s*|c\.?\s*|about\s*)?{_FRONT}({_NUMBER})(?:\.0)?\s*\]?", re.IGNORECASE
)
_AFTER: Final = re.compile(
    rf"(?:pp|pages?|pgs|seiten|p[áa]ginas?|pagine|стр)\b\.?\s*:?\s*{_FRONT}({_NUMBER})\.?\s*"
    r"(?=[;:,(]|\Z)",
    re.IGNORECASE,
)
"""The unit stands first: "pp. xii, 345 ; 23 cm"."""
_PAGES: Final = (
    r"(?<![^\W\d_])(?:p|pp|pages?|pgs?)\b|\bs\b|\bseiten?\b|\bsidor\b|\bsider\b|\bsivua?\b|\bp[áa]ginas?\b|"
    r"\bp[áa]gs?\b|\bpagine\b|\bpagina['’]?s\b|\bblz\b|\bbladzijden\b|\bstron\b|\bstr\b|\boldal\b|"
    r"\bстр\b|\bстраниц\b|\bс\b|ページ|頁|페이지|页|쪽|면"
)
_LEAVES: Final = (
    r"\bleaves\b|\bleaf\b|\b[lℓ]\b|\bbl\b|\bblatt\b|\bblätter\b|\bfeuillets\b|\bff?\b|\bhojas\b"
)
_UNIT: Final = re.compile(
    rf"\bp\.?\s?[lℓ]\b|(?:(?P<pages>{_PAGES})|(?P<leaves>{_LEAVES}))"
    r"(?!\.?\s*(?:of|de)\s+(?:plates|planches|maps|illustrations|music|l[áa]minas))",
    re.IGNORECASE,
)
"""Preliminary leaves (``2 p. l.``) are counted as nothing."""
_VOLUMES: Final = re.compile(
    r"[0-9]+\s?(?:v|vols?|volumes?|bde?|bände|t|tomes?|tomos?|cds?|dvds?|discs?)\b\.?"
    r"|\b(?:v|vol|volume|bd|band|t|tome|tomo|no|nr)\b\.?\s?[0-9]+",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(rf"(?<![0-9.,])(?:{_NUMBER})(?![0-9]|\s*[^\W\d_]{{2,20}}\.?\s*,)")
"""Not "300 illus., 97": a word of its own and a comma behind it."""
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
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if plain := _BARE.fullmatch(text) or _AFTER.match(text):
        return _number(plain[1])
    counts: dict[str | None, int] = {}
    for unit, count in _counted(text):
        counts[unit] = max(count, counts.get(unit, 0))
    return counts.get("pages") or counts.get("leaves")


def _counted(text: str) -> Iterator[tuple[str | None, int]]:
    """Each unit with the largest count before it."""
    start = 0
    for unit in _UNIT.finditer(text):
        before = text[start : unit.start()].rstrip(" ,;.")
        before = _VOLUMES.sub(" ", re.split(r"[(:;]", before)[-1])  # "2 v. (xii, 345"
        start = unit.end()
        if _SPAN.search(before):  # pages 12-34 of something
            continue
        if counts := _COUNT.findall(_BRACKETED.sub(" ", before)) or _COUNT.findall(before):
            yield unit.lastgroup, max(map(_number, counts))


def _number(text: str) -> int:
    return int(re.sub(r"[^0-9]", "", text))
