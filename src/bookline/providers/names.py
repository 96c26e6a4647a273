"""Names, publishers and subjects as the reader of a shelf expects them: without library dress.

Way:      reading.py → here
Rule 1:   only what is certainly no part of it goes: a name with a year in it that is no life date
          ("Class of 1984") stays, and so does a subject that merely looks odd.
Rule 2:   a value that comes out is read again without a change.
Source:   MARC 21 (X00 $d dates, $e roles), ISBD punctuation, LCC and Dewey class marks, BISAC
          codes, Open Library's subjects, seen in recorded answers.
"""

import re
from typing import Final

from bookline.placeholders import is_no_name, is_no_publisher

_QUOTES: Final = {'"': '"', "“": "”", "„": "“", "”": "”", "«": "»", "»": "«", "‹": "›", "'": "'",
                  "‘": "’", "`": "'"}  # fmt: skip

# ------------------------------------------------------------------ names
_YEAR: Final = r"(?:(?:ca|c|circa|approximately|approx|about|um)\.?\s*)?[0-9]{3,4}\??"
_ERA: Final = r"(?:\s*(?:B\.?\s?C\.?(?:\s?E\.?)?|A\.?\s?D\.?))?"
_DATES: Final = (
    rf"(?:{_YEAR}{_ERA}(?:\s+or\s+{_YEAR})?\s*[-‐-―]\s*(?:(?:d\.?\s*)?(?:{_YEAR}|[0-9]{{2}}\??){_ERA})?"
    rf"|(?:b|d|fl|born|died|active|flourished|geb|gest|né en|née en)\b\.?\s*{_YEAR}{_ERA}"
    r"|[-‐-―]\s*[0-9]{3,4}"
    r"|(?:(?:active|fl|flourished)\b\.?\s*)?[0-9]{1,2}(?:st|nd|rd|th)\s+cent(?:ury|\.)?(?:\s*B\.?C\.?)?)"
)
_LIFE: Final = re.compile(
    rf"(?:\s*,\s*|\s*[(\[]\s*){_DATES}\s*[)\]]?\s*[.,;]?\s*(?=\Z|[,;(\[])", re.IGNORECASE
)
_ROLE: Final = (
    r"(?:(?:joint|co-?|general|series|volume|managing|contributing|main|primary|assistant)[\s-]*)?"
    r"(?:author|auth|writer|editor|edited by|ed|eds|edt|aut|trl|ill|nrt|hrsg|hg|herausgeber(?:in)?|"
    r"translator|translated by|trans|transl|tr|trad|traductor(?:a)?|traducteur|traduttore|übers|"
    r"übersetzer(?:in)?|illustrator|illustrated by|illus|illustr|illustrateur|ilustrador(?:a)?|"
    r"illustratore|narrator|narrated by|reader|read by|erzähler(?:in)?|narrateur|"
    r"introduction|introduction by|intro|foreword|foreword by|preface|preface by|afterword|"
    r"afterword by|contributor|compiler|compiled by|comp|photographer|photographs by|artist|"
    r"cover artist|cover design|designer|adapter|adapted by|autor(?:in)?|auteur|autore|"
    r"verfasser(?:in)?|directeur|dir|coord|creator|penciller|inker|letterer|colou?rist|"
    r"author of introduction(?:, etc)?|writer of (?:foreword|introduction|preface|afterword))"
    r"s?\.?"
)
_ROLES: Final = rf"{_ROLE}(?:\s*(?:,|;|/|&|and|und|et|y)\s*{_ROLE})*"
_BRACKETED_ROLE: Final = re.compile(rf"\s*[(\[]\s*{_ROLES}\s*[)\]]\s*", re.IGNORECASE)
_SPACE_BEFORE: Final = re.compile(r"\s+(?=[,;])")
_TRAILING_ROLE: Final = re.compile(rf"(?:\s*[,;:/]|\s+[-‐-―])\s*{_ROLES}\s*\Z", re.IGNORECASE)
_LEADING_ROLE: Final = re.compile(
    r"\A(?:(?:written|edited|translated|illustrated|compiled|narrated|read|adapted|introduced|"
    r"foreword|introduction|photographs|selected)(?:\s+and\s+\w+)?\s+by|by|author:|editor:|"
    r"translator:|illustrator:|hrsg\. von|herausgegeben von|von:|ed\. by)\s+(?=\S)",
    re.IGNORECASE,
)
_KEEPS_STOP: Final = re.compile(
    r"(?:\b(?:[^\W\d_]|jr|sr|dr|mr|mrs|ms|st|inc|ltd|llc|co|corp|bros|esq|ph\.?d|m\.?d|b\.?a|m\.?a|"
    r"etc|al|prof|rev|hon|dept|univ|assn|pty|gmbh|s\.?a|nv|bv|u\.?s|u\.?k|ii|iii|iv|pub|pubs|publ|"
    r"verl|intl|int|ed|eds))\.\Z",
    re.IGNORECASE,
)


def tidy_name(line: str) -> str | None:
    """An author without life dates, roles, quotation marks and a final full stop; None where it
    says that there is no name.
    """
    for _ in range(3):  # "Family, Given, 1936- (editor)." wears one over the other
        before = line
        line = _unquoted(line)
        line = _LEADING_ROLE.sub("", line)
        line = _SPACE_BEFORE.sub("", _BRACKETED_ROLE.sub(" ", line))
        line = _TRAILING_ROLE.sub("", line)
        line = _LIFE.sub("", line).strip(" ,;:/")
        line = _without_stop(line)
        if line == before:
            break
    return None if not line or is_no_name(line) else line


# ------------------------------------------------------------------ publishers
_SUPPLIED: Final = re.compile(r"\[([^\[\]]+)\]")
"""What a cataloguer did not find in the book itself stands in brackets."""
_ISBD_END: Final = re.compile(r"\s*[,;:/]+\s*\Z")


def tidy_publisher(line: str) -> str | None:
    """A publisher without quotation marks and cataloguing punctuation; None where it says that
    there is none.
    """
    for _ in range(3):
        before = line
        if is_no_publisher(line):  # "[SN]" is none, "SN" may be one
            return None
        line = _ISBD_END.sub("", _unquoted(line))
        if supplied := _SUPPLIED.fullmatch(line):
            line = supplied[1].strip()
        if line == before:
            break
    return None if not line or is_no_publisher(line) else line


# ------------------------------------------------------------------ subjects
_BISAC: Final = re.compile(r"\A[A-Z]{3}[0-9]{6}\b[\s:/–-]*")
_CALL_NUMBER: Final = re.compile(
    # LCC: class, number, cutters, year: PR6073.H569 V45 2004
    r"[A-Z]{1,3}\s?[0-9]{1,4}(?:\.[0-9]+)?(?:\s?\.?[A-Z][0-9]{1,6}[a-z]*)+(?:\s[0-9]{4}[a-z]?)?(?:\s.{0,12})?"
    r"|[A-Z]{1,3}[0-9]{2,4}(?:\.[0-9]+)?"
    # Dewey: 823.914, 823/.914, [Fic], 813'.54, 823.9/14 22
    r"|\[?[0-9]{3}(?:[./'’][0-9/'’.]+)?\]?(?:\s(?:[0-9]{2}|B|F|dc[0-9]{2}))?"
    r"|\[?(?:Fic|E|B|Bio|Nonfic)\]"
    r"|(?:P[A-Z]|Q[A-Z]|H[A-Z]|BF|BS|BX|GV|ML|TX|DS|DA|DK)"  # a class alone
)
_MACHINE: Final = re.compile(
    r"[a-z][a-z0-9_-]{0,30}:[^\s=]{0,80}=.*"  # nyt:combined-print-fiction=2011-05-07
    r"|(?-i:[a-z][a-z0-9_]{1,30}):[^\s:]\S*"  # collectionid:x
    r"|97[89][-\s0-9]{10,14}"
    r"|(?:nyt|collection|series|award|place|person|people|time|org|lexile|ar|dewey|lcc|lccn|oclc|"
    r"isbn|bisac|thema|bic|ia|openlibrary|goodreads|librarything|genre|form|id|tag|language|"
    r"content_warning|literary_form|audience|mood):\S.*"
    r"|https?://\S*"
    r"|(?:lexile|reading level|accelerated reader|ar level|guided reading|ages?|grades?)\b"
    r"[\s:_-]*(?:grade\s*)?[0-9kK].*"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{32,64}"
    r"|[0-9]{5,}"
    r"|[\W_]*",
    re.IGNORECASE,
)
_PERIOD: Final = re.compile(r"[0-9]{4}(?:\s?[-–]\s?(?:[0-9]{4})?)")
_FAKES: Final = frozenset(
    {
        "accessible book", "protected daisy", "in library", "lending library", "overdrive",
        "internet archive wishlist", "open library staff picks", "popular print disabled books",
        "print disabled", "printdisabled", "borrowable", "browsing collection", "inlibrary",
        "large type books", "new york times bestseller", "new york times reviewed",
        "long now manual for civilization", "open_syllabus_project", "open syllabus project",
        "staff picks", "daisy", "ebook", "e-book", "ebooks", "electronic books", "book", "books",
        "general", "unknown", "other", "uncategorized", "unclassified", "subject", "subjects",
        "category", "none", "n/a", "null", "undefined", "tbd", "to be determined", "not available",
        "kindle ebooks", "kindle store",
    }
)  # fmt: skip
_HEADING_END: Final = re.compile(r"(?<=[^\W\d_]{3})\.\Z")


def tidy_subject(line: str) -> str | None:
    """A subject without its code; None for call numbers, codes and machine tags."""
    line = _BISAC.sub("", _unquoted(line)).strip()
    if not line or line.casefold() in _FAKES or _CALL_NUMBER.fullmatch(line):
        return None
    if _MACHINE.fullmatch(line) and not _PERIOD.fullmatch(line):
        return None
    if not _KEEPS_STOP.search(line):
        line = _HEADING_END.sub("", line)
    return line


def _unquoted(line: str) -> str:
    """Without quotation marks around the whole; a quoted part of it keeps its own."""
    line = line.strip()
    while len(line) > 2 and _QUOTES.get(line[0]) == line[-1] and line[0] not in line[1:-1]:
        line = line[1:-1].strip()
    if line in {'""', "''", "“”", "«»"}:
        return ""
    return line


def _without_stop(line: str) -> str:
    if line.endswith(".") and not line.endswith("..") and not _KEEPS_STOP.search(line):
        return line[:-1].rstrip()
    return line
