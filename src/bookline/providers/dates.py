"""Publication dates as providers and libraries write them → YYYY, YYYY-MM or YYYY-MM-DD.

Way:      reading.py → here
Rule 1:   as exact as it was written and no more; what is written for "unknown" is None.
Rule 2:   an impossible month or day leaves the part before it.
Source:   MARC 260 $c (``1998, c1997``, ``[1949]``, ``1998 [i.e. 1999]``), ISO 8601.
"""

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Final

EARLIEST_YEAR: Final = 1400  # before it no book was printed
LAST_OTHER_YEAR: Final = "1500"  # of the Islamic calendars, for some decades to come
YEARS_AHEAD: Final = 5  # announced books; further ahead: another calendar, or a slip
_FILLERS: Final = frozenset({"1900-01-01", "1753-01-01", "1899-12-30", "1899-12-31"})
"""What databases write for "no date"."""

_FILLED: Final = re.compile(
    r"0?1[-/.]0?1[-/.](?:1900|1753)|(?:3[01][-/.]12|12[-/.]3[01])[-/.]1899", re.ASCII
)
"""The same, as days are written elsewhere."""

_MONTH_NAMES: Final = """
january jan januar jänner janvier janv enero ene gennaio gen janeiro januari
    янв января январь;
february feb februar février févr fév febrero febbraio fevereiro fev februari
    фев февраля февраль;
march mar märz mrz mars marzo março maart mrt marts март марта;
april apr avril avr abril abr aprile апр апреля апрель;
may mai mayo maggio mag maio mei maj maja май мая;
june jun juni juin junio giugno giu junho июнь июня;
july jul juli juillet juil julio luglio lug julho июль июля;
august aug août agosto ago augustus augusti авг августа август;
september sep sept septembre septiembre settembre set setembro сент сентября сентябрь;
october oct oktober okt octobre octubre ottobre ott outubro out окт октября октябрь;
november nov novembre noviembre novembro нояб ноября ноябрь;
december dec dezember dez décembre déc diciembre dic dicembre dezembro desember
    дек декабря декабрь
"""
"""From January on, in the languages of most books; in Russian both cases."""
_MONTHS: Final = {
    name: number for number, row in enumerate(_MONTH_NAMES.split(";"), 1) for name in row.split()
}
_DASHES: Final = re.compile(r"[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_NUMERIC: Final = re.compile(
    r"([0-9]{4})(?:[-/.]\s?([0-9]{1,2})(?:[-/.]\s?([0-9]{1,2})\.?(?:[T ].*)?)?)?", re.DOTALL
)
_COMPACT: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T.*|[0-9]{6})?")
_COMPACT_MONTH: Final = re.compile(r"(19[2-9][0-9]|20[0-9]{2})(0[1-9]|1[0-2])")
"""Not 160101, which is a day of 2016 as likely."""
_MONTH_YEAR: Final = re.compile(r"(0?[1-9]|1[0-2])[-/.]([0-9]{4})")
_EAST_ASIAN: Final = re.compile(
    r"([0-9]{4})\s*[年년]\s*(?:([0-9]{1,2})\s*[月월]\s*(?:([0-9]{1,2})\s*[日일号號])?)?.{0,20}"
)
_DAY_FIRST: Final = re.compile(
    r"(?P<day>[0-9]{1,2})([-/.])\s?(?P<month>[0-9]{1,2})\2\s?(?P<year>[0-9]{4})(?:[T ,].*)?",
    re.DOTALL,
)
_MONTH: Final = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY: Final = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th|er|º|ª)?\.?"
_REST: Final = r"(?:\s+[0-9]{2}:.*|\s*г\.?)?"  # the time, or "year" in Russian
_OF: Final = r"(?:of|de|del)\s+"
_WEEKDAY: Final = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\s+)?"
_WORDED: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_WEEKDAY}(?:{_DAY}[\s-]+(?:{_OF})?)?{_MONTH}[,\s-]+(?:{_OF})?(?P<year>[0-9]{{4}}){_REST}",
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY},?\s+(?P<year>[0-9]{{4}})(?:,?\s+[0-9]{{1,2}}:.*)?",
        rf"(?P<year>[0-9]{{4}}),?[\s-]+{_MONTH}(?:[\s-]+{_DAY})?",
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\s+[0-9]{{2}}:[0-9:]+\s+(?:[A-Z]{{2,5}}\s+)?(?P<year>[0-9]{{4}})",
    )
)
_YEAR: Final = re.compile(r"(?<![0-9])[0-9]{4}(?![0-9s?]|\?)")
_MEANT: Final = re.compile(r"i\.?\s*e\.?,?\s*([0-9]{4})(?![0-9])", re.IGNORECASE)
_RANGE: Final = re.compile(
    r"[0-9]{4}\s*(?:[-/]|to|bis|or|oder|ou|and|und|et)\s*[0-9]{4}", re.IGNORECASE
)
_BETWEEN: Final = re.compile(
    r"\b(?:between|zwischen|entre|not before|not after|before|after)\b", re.IGNORECASE
)
_COPYRIGHT: Final = re.compile(
    r"(?:\b(?:c|cop|copyright|p|phonogram)\.?|[©℗])\s*(?=[0-9]{4})", re.IGNORECASE
)
_BRACKETED: Final = re.compile(r"\[[^\]]*?([0-9]{4})\??[^\]]*\]|\(([0-9]{4})\)")


def read_date(value: object, *, this_year: int | None = None) -> str | None:
    """The date, or None for what is none, for fillers (``1900-01-01``), for years before 1400 and
    for those more than five years ahead of ``this_year`` (by default the present one).
    """
    latest = (this_year or datetime.now(UTC).year) + YEARS_AHEAD
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 < value < 10**8 else None
    if not isinstance(value, str) or len(value) > 100:
        return None
    text = _DASHES.sub("-", value).strip().strip("\u200e\u200f")
    if not text.isascii():
        text = _DASHES.sub("-", unicodedata.normalize("NFKC", text)).strip()
        text = "".join(str(unicodedata.decimal(char, char)) for char in text)  # ٢٠١٩
    if _FILLED.match(text):
        return None
    found = _exact(text, latest) or _year(text, latest)
    return None if found in _FILLERS else found


def _exact(text: str, latest: int) -> str | None:
    for form in (_NUMERIC, _EAST_ASIAN):
        if numeric := form.fullmatch(text):
            return _date(latest, *numeric.groups())
    if (compact := _COMPACT.fullmatch(text)) and _is_day(*compact.groups()):
        return _date(latest, *compact.groups())
    if compact := _COMPACT_MONTH.fullmatch(text):
        return _date(latest, *compact.groups())
    if day_first := _DAY_FIRST.fullmatch(text):
        return _in_some_order(latest, day_first)
    if turned := _MONTH_YEAR.fullmatch(text):
        return _date(latest, turned[2], turned[1])
    for form in _WORDED:
        if worded := form.fullmatch(text):
            day = worded.groupdict().get("day")
            return _date(latest, worded["year"], str(_MONTHS[worded["month"].lower()]), day)
    return None


def _in_some_order(latest: int, found: re.Match[str]) -> str | None:
    """Day and month as they must be. ``05/07/2019`` has two readings, and is a year; with full
    stops the day comes first everywhere.
    """
    day, month, year = found["day"], found["month"], found["year"]
    if int(month) > 12 >= int(day) and "." not in found[0]:
        day, month = month, day
    is_certain = int(day) > 12 or day == month or "." in found[0]
    return _date(latest, year, month, day) if is_certain else _date(latest, year)


def _year(text: str, latest: int) -> str | None:
    """The year that a text is about, where it says one: corrected, printed, or of copyright."""
    if meant := _MEANT.search(text):
        return _date(latest, meant[1])
    if _RANGE.search(text) or _BETWEEN.search(text):
        return None
    printed = _YEAR.findall(_COPYRIGHT.sub("x0", text))  # "x0" + digits is no year any more
    for year in printed or _YEAR.findall(_COPYRIGHT.sub(" ", text)):
        bracketed = _BRACKETED.search(text)  # 5758 [1998], 1403 [2024]
        ours = _date(latest, bracketed[1] or bracketed[2]) if bracketed else None
        read = _date(latest, year)
        if read and not (ours and read < LAST_OTHER_YEAR < ours):
            return read
        if bracketed:
            return ours
    return None


def _is_day(year: str, month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(year) > 0


def _date(latest: int, year: str, month: str | None = None, day: str | None = None) -> str | None:
    if not EARLIEST_YEAR <= int(year) <= latest:
        return None
    if month is None or not 1 <= int(month) <= 12:
        return year
    try:
        return date(int(year), int(month), int(day or 0)).isoformat()
    except ValueError:  # there is no such day
        return f"{year}-{int(month):02}"
