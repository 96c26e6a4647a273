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

from bookline.isbn import find_isbn
from bookline.placeholders import is_no_name, is_no_publisher, is_nothing

_QUOTES: Final = {
    '"': '"”', "“": '”"', "„": "“”", "”": "”", "«": "»", "»": "«", "‹": "›", "'": "'’", "‘": "’",
    "`": "'", "「": "」", "『": "』",
}  # fmt: skip
_DOUBLED: Final = re.compile(r"\A(?:\"\"|'')(.+)(?:\"\"|'')\Z")

# ------------------------------------------------------------------ names
_YEAR: Final = (
    r"(?:(?:ca|c|circa|approximately|approx|about|um|ок|ca\. um)\.?\s*)?[0-9]{3,4}\??"
    r"(?:\s+[A-Z][a-z]{2,8}\.?\s+[0-9]{1,2}(?![0-9]))?"  # 1950 Mar. 3-
)
_ERA: Final = (
    r"(?:\s*(?:B\.?\s?C\.?(?:\s?E\.?)?|A\.?\s?D\.?|[vn]\.\s?Chr\.?|av\.\s?J\.?-C\.?|a\.\s?C\.|"
    r"до н\.\s?э\.))?"
)
_BORN: Final = (
    r"(?:(?:b|d|fl|born|died|active|flourished|geb|gest|né en|née en|nato nel|род)\b\.?|[*†])"
)
_DATES: Final = (
    rf"(?:{_YEAR}{_ERA}(?:\s+or\s+{_YEAR})?\s*[-‐-―]\s*(?:(?:d\.?\s*)?(?:{_YEAR}|[0-9]{{2}}\??){_ERA})?"
    rf"|{_BORN}\s*{_YEAR}{_ERA}(?:\s*[-‐-―]\s*{_YEAR})?"
    r"|[-‐-―]\s*[0-9]{3,4}"
    r"|(?:(?:active|fl|flourished)\b\.?\s*)?[0-9]{1,2}(?:st|nd|rd|th)\s+cent(?:ury|\.)?(?:\s*B\.?C\.?)?)"
)
_ROLE: Final = (
    r"(?:(?:joint|co-?|general|series|volume|managing|contributing|main|primary|assistant|cover|"
    r"goodreads)[\s-]*)?"
    r"(?:author|auth|writer|editor(?:[\s-]in[\s-]chief)?|edited by|ed|eds|edt|aut|trl|ill|nrt|"
    r"hrsg|hg|herausge\w{2,8}(?: von)?|red|redak\w{0,8}|reda[ck]tor|"
    r"transl?|translat\w{2,4}(?: by)?|tr|trad|tradu\w{2,8}(?: p[ao]r)?|überse\w{2,8}|"
    r"übers|übs|vertaler|översättare|tłum|tłumacz|переводчик|пер|перевод|"
    r"ill?ustr\w{0,9}(?: (?:by|von))?|illus|художник|илл|zeichner(?:in)?|art|"
    r"narrat\w{2,5}(?: by)?|narradora?|reader|read by|erzähler(?:in)?|sprecher(?:in)?|"
    r"intro(?:duc\w{1,6})?(?: by)?|foreword(?: by)?|pr[eé]fa\w{1,6}(?: by)?|afterword(?: by)?|"
    r"einleitung|vorwort|nachwort|pr[oó]log\w{1,6}|"
    r"contribut\w{2,4}|mitwirkende[rn]?|compil\w{2,5}(?: by)?|comp|photogr\w{2,6}(?: by)?|"
    r"fotogr[aá]f\w{0,3}|artist|cover artist|design(?:er)?|adapt\w{2,5}(?: by)?|"
    r"autor(?:in|a|es|en)?|auteure?(?: du texte)?|autore|автор|verfasser(?:in)?|director|"
    r"directeur|dir|coord|curatore|a cura di|редактор|ред|сост|"
    r"creator|penciller|inker|letterer|colou?rist|"
    r"author of introduction(?:, etc)?|writer of \w{7,12}|"
    r"著|訳|編|編著|監修|絵|文|译|主编|编|编著|著者|編者|訳者|译者|畫|繪|지음|옮김|저|역)"
    r"s?\.?"
)
_ROLES: Final = rf"{_ROLE}(?:\s*(?:,|;|/|&|\+|and|und|et|y|e|och|og|en|и)\s*{_ROLE}){{0,4}}"
# Only after a comma, a bracket or a full stop: "Class of 1984" and "Group 47" are names.
_LIFE: Final = re.compile(
    rf"\s*(?:[,;(\[]|(?<=\w\w)\.)\s*{_DATES}\s*"
    r"(?:[;,]\s*[^\W\d][^()\[\]]*[)\]]|[)\]])?"  # (1802-1885 ; écrivain)
    rf"\s*[.,;]?\s*(?:{_ROLES}\s*\Z)?(?=\Z|[,;(\[])",
    re.IGNORECASE,
)
LEAST_YEARS, MOST_YEARS = 15, 110  # of an author's life
_BARE_LIFE: Final = re.compile(r"(?<=[^\W\d_][\s\].])\s*\*?\s*([0-9]{4})\s*[-‐-―]\s*([0-9]{4})?\Z")
"""Without any mark before it. The two years must be a life's."""
_BRACKETED_ROLE: Final = re.compile(rf"\s*[(\[]\s*{_ROLES}\s*[)\]]\s*", re.IGNORECASE)
_SPACE_BEFORE: Final = re.compile(r"\s+(?=[,;])")
_TRAILING_ROLE: Final = re.compile(rf"(?:\s*[,;:/]|\s+[-‐-―])\s*{_ROLES}\s*\Z", re.IGNORECASE)
_EAST_ASIAN_ROLE: Final = re.compile(
    r"(?<=\w)\s+(?:著|訳|編|編著|監修|絵|文|译|主编|编|编著|著者|編者|訳者|译者|畫|繪|지음|옮김|저|역)\Z"
)
_FAMILY_AND_GIVEN: Final = re.compile(
    r"(?:(?:Ma?c|St\.?|San|Ó|[Vv][ao]n|[Dd][aeiou][lnrs]?|[Ll][aeo]s?|[Tt]e[nr])\s+){0,3}"
    r"[\w'’-]+,\s*(?!Hrsg|Hg)[A-Z][a-z]{1,4}\.?"
)
"""Not a role: "Asner, Ed", "Van Halen, Ed", "Buchwald, Art"."""
_LEADING_ROLE: Final = re.compile(
    r"\A(?:(?:written|edited|translated|illustrated|compiled|narrated|read|adapted|introduced|"
    r"foreword|introduction|photographs|selected)(?:\s+and\s+\w+)?\s+by|by|author:|editor:|"
    r"translator:|illustrator:|hrsg\. von|herausgegeben von|übersetzt von|von:|ed\. by|a cura di|"
    r"traduit par|illustré par|traducido por|vertaald door)\s+(?=\S)",
    re.IGNORECASE,
)
_KEEPS_STOP: Final = re.compile(
    r"(?:\.[^\W\d_]{1,4}\.|\b(?:[^\W\d_]|anon|aavv|aa|vv|jr|sr|dr|mr|mrs|ms|st|inc|ltd|llc|co|corp|bros|esq|ph\.?d|m\.?d|b\.?a|m\.?a|"
    r"etc|al|prof|rev|hon|dept|univ|assn|pty|gmbh|s\.?a|nv|bv|u\.?s|u\.?k|ii|iii|iv|pub|pubs|publ|"
    r"verl|intl|int|ed|eds)\.)\Z",
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
        line = _EAST_ASIAN_ROLE.sub("", line)
        if not _FAMILY_AND_GIVEN.fullmatch(line):
            line = _TRAILING_ROLE.sub("", line)
        line = _without_life(line).strip(" ,;:/")
        line = _without_stop(line)
        if line == before:
            break
    return None if not line or is_no_name(line) else line


def _without_life(line: str) -> str:
    line = _LIFE.sub(" ", line).strip()
    bare = _BARE_LIFE.search(line)
    if bare and (bare[2] is None or LEAST_YEARS <= int(bare[2]) - int(bare[1]) <= MOST_YEARS):
        line = line[: bare.start()].rstrip()
    return line


# ------------------------------------------------------------------ publishers
_SUPPLIED: Final = re.compile(r"\[([^\[\]]+)\]")
"""What a cataloguer did not find in the book itself stands in brackets."""
_WORD_END: Final = re.compile(r"(?<=[^\W\d_]{5})\.\Z")
_ISBD_END: Final = re.compile(r"\s*[,;:/]+\s*\Z")


def tidy_publisher(line: str) -> str | None:
    """A publisher without quotation marks and cataloguing punctuation; None where it says that
    there is none.
    """
    for _ in range(3):
        before = line
        if is_no_publisher(line):  # "[SN]" is none, "SN" may be one
            return None
        line = _without_stop_of_word(_ISBD_END.sub("", _unquoted(line)))
        if supplied := _SUPPLIED.fullmatch(line):
            line = supplied[1].strip()
        if line == before:
            break
    return None if not line or is_no_publisher(line) else line


# ------------------------------------------------------------------ subjects
_BISAC: Final = re.compile(r"\A(?:BISAC:?\s*)?[A-Z]{3}[0-9]{6}\b[\s:/–-]*")
_LCC: Final = (
    r"(?:A[CEGIMNPSYZ]|B[CDFHJLMPQRSTVX]|C[BCDEJNRST]|D(?:AW?|JK?|[BCDEFGHKLPQRSTUX])|G[ABCEFNRTV]"
    r"|H[ABCDEFGJMNQSTVX]|J[ACFJKLNQSVXZ]|K[A-Z]{1,2}|L[A-HJT]|M[LT]|N[ABCDEKX]|P[A-HJ-NQRSTZ]"
    r"|Q[ABCDEHKLMPR]|R[A-GJ-MSTVXZ]|S[BDFHK]|T[AC-HJ-LNPRSTX]|U[A-H]|V[A-M]|ZA)"
)
"""The classes of the Library of Congress that have two letters and more."""
_CUTTER: Final = r"\.?[A-Z][0-9]{1,6}[a-z]*"
_CALL_NUMBER: Final = re.compile(
    # class, number, cutters, year, author or volume: PR6073.H569 V45 2004, PZ7.R79835Har 1999
    rf"(?:{_LCC}|[A-HJ-NP-VZ])\s?[0-9]{{1,4}}(?:\.[0-9]+)?[\s.]\.?{_CUTTER}(?:\s?{_CUTTER})*"
    r"(?:[A-Z][a-z]{1,3})?(?:\s(?:[0-9]{4}[a-z]?|[A-Z][a-z]{1,3}|v\.\s?[0-9]+))*"
    rf"|{_LCC}[0-9]{{2,4}}(?:\.[0-9]+)?(?:{_CUTTER})?|PZ[0-9]"
    r"|[A-HJ-NP-VZ](?:[0-9]{1,4}\.[0-9]+|[0-9]{4})"
    # Dewey: 823.914, 823/.914, [Fic], 813'.54, 823.9/14 22
    r"|(?:DDC:?\s*)?\[?[0-9]{3}(?:[./'’][0-9/'’.]+)?\]?(?:\s(?:[0-9]{2}|B|F|dc[0-9]{2}))?"
    r"|\[?(?:Fic|FIC|Bio|Nonfic)\]?(?:\s[A-Z][a-z]{2})?|\[[EB]\](?:\s(?:92|[A-Z][a-z]{2}))?"
    r"|[0-9]{1,2}|[A-Za-z]"
    r"|(?:P[A-Z]|Q[A-Z]|H[A-Z]|BF|BS|BX|GV|ML|TX|DS|DA|DK)"  # a class alone
    # Thema: 3MPBGJ, 5AK
    r"|[1-6][A-Z]{2,7}(?:-[A-Z]{2}-[A-Z])?"
)
_MACHINE: Final = re.compile(
    r"[a-z][a-z0-9_-]{0,30}:[^\s=]{0,80}=.*"  # nyt:combined-print-fiction=2011-05-07
    r"|(?-i:[a-z][A-Za-z0-9_]{1,30}):[^\s:]\S*"  # collectionid:x
    r"|(?:\((?:DLC|OCoLC)[^()]*\)\s?)?(?:sh|fst|n|nr|no|gnd)[0-9]{5,12}"  # authority records
    r"|(?-i:OL[0-9]{1,12}[AMW]|Q[0-9]{3,12}|B0[0-9A-Z]{8})"
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
        "general", "other", "uncategorized", "unclassified", "unassigned", "subject", "subjects",
        "category", "no subject", "default", "misc", "deleted", "amazon.com", "isbn", "bisacsh",
        "lcsh", "gsafd", "lcgft", "ocolc", "kindle ebooks", "kindle store",
    }
)  # fmt: skip
_THESAURUS: Final = re.compile(
    r"(?<=[.)\w])\s+(?:(?:lcsh|gsafd|lcgft|bisacsh|sears|rvmgf|gnd|aat|homoit)|fast\s*(?=\(OCoLC))(?:\s*\(.*)?\Z"
)
"""Whose heading it is: ``Biographies. lcgft``, ``Wizards. fast (OCoLC)fst01176417``."""
_HEADING_END: Final = re.compile(r"(?<=[^\W\d_]{3})\.\Z")


def tidy_subject(line: str) -> str | None:
    """A subject without its code; None for call numbers, codes, machine tags, and "unknown"."""
    line = _THESAURUS.sub("", _BISAC.sub("", _unquoted(line)).strip(" ,;:/"))
    if line.casefold() in _FAKES or _CALL_NUMBER.fullmatch(line) or is_nothing(line):
        return None
    if (line[0].isdigit() and find_isbn(line)) or (
        _MACHINE.fullmatch(line) and not _PERIOD.fullmatch(line)
    ):
        return None
    if line.endswith(".") and not _KEEPS_STOP.search(line):
        line = _HEADING_END.sub("", line)
    return line


def _unquoted(line: str) -> str:
    """Without quotation marks around the whole, or one alone at an end; a quoted part keeps its
    own.
    """
    line = line.strip()
    if doubled := _DOUBLED.fullmatch(line):
        line = doubled[1].strip()
    while len(line) > 2 and line[-1] in _QUOTES.get(line[0], "") and line[0] not in line[1:-1]:
        line = line[1:-1].strip()
    if line.count('"') == 1 and '"' in {line[0], line[-1]} and not re.search(r"[0-9]\"\Z", line):
        line = line.strip('" ')
    return "" if line in {'""', "''", "“”", "«»"} else line


def _without_stop(line: str) -> str:
    if line.endswith(".") and not line.endswith("..") and not _KEEPS_STOP.search(line):
        return line[:-1].rstrip()
    return line


def _without_stop_of_word(line: str) -> str:
    """Without a full stop behind a word too long for an abbreviation."""
    if line.endswith(".") and not _KEEPS_STOP.search(line):
        return _WORD_END.sub("", line)
    return line
