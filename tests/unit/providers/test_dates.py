"""A date is as exact as it was written, and what stands for none is none."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.providers.dates import read_date

NOW = 2026


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        ("2002-05-01", "2002-05-01"),
        ("2006", "2006"),
        ("2004-01", "2004-01"),
        ("2019-10-03T00:00:00+02:00", "2019-10-03"),
        ("2014-7-4", "2014-07-04"),
        ("1998/11/30", "1998-11-30"),
        ("June 1983", "1983-06"),
        ("Jul 08, 2018", "2018-07-08"),
        ("Sept. 1, 2001", "2001-09-01"),
        ("1st May 1990", "1990-05-01"),
        ("5 mar 1971", "1971-03-05"),
        ("2019-13-45", "2019"),
        ("2019-02-31", "2019-02"),
        ("February 30, 2001", "2001-02"),
        ("12/31/1994", "1994-12-31"),
        ("19--", None),
        ("1990-1995", None),
        (0, None),
        (True, None),
        (2015.0, None),
        ("soon", None),
        ("", None),
        (None, None),
        ("1998, c1997", "1998"),
        ("1998 c1997", "1998"),
        ("1998, ©1997", "1998"),
        ("c1997, 1998 printing", "1998"),
        ("c1998", "1998"),
        ("©1998", "1998"),
        ("cop. 1998", "1998"),
        ("[1949]", "1949"),
        ("[1949?]", None),
        ("5758 [1998]", "1998"),
        ("2541 [1998]", "1998"),
        ("Shōwa 55 [1980]", "1980"),
        ("5758, c1998", None),
        ("1998 [i.e. 1999]", "1999"),
        ("1403", "1403"),
        ("2000年5月", "2000-05"),
        ("2000年5月12日", "2000-05-12"),
        ("2000年", "2000"),
        ("2000년 5월 12일", "2000-05-12"),
        ("２０００年５月", "2000-05"),
        ("20120131", "2012-01-31"),
        ("20120231", "2012-02"),
        ("20121331", None),
        ("2019\u201110\u201103", "2019-10-03"),
        ("2019\u201310\u201303", "2019-10-03"),
        ("2049-01-01", None),
        ("2104", None),
        ("2031", "2031"),
        ("2032", None),
        ("8858", None),
        ("9999", None),
        ("1900-01-01", None),
        ("1900-01-01T00:00:00Z", None),
        ("January 1, 1900", None),
        ("1/1/1900", None),
        ("01.01.1900 00:00", None),
        ("1/1/1901", "1901-01-01"),
        ("1900", "1900"),
        ("1900-01-02", "1900-01-02"),
        ("1901-12-13", "1901-12-13"),
        ("0001-01-01", None),
        ("2013-06-1", "2013-06-01"),
        ("12/2004", "2004-12"),
        ("2004, May 19", "2004-05-19"),
        ("Tuesday, May 4, 2004", "2004-05-04"),
        ("May 4, 2004, 12:00:00 AM", "2004-05-04"),
        ("31.12.2019", "2019-12-31"),
        ("7.5.2019", "2019-05-07"),
        ("13/05/2019", "2019-05-13"),
        ("05/07/2019", "2019"),
        ("13/13/2019", "2019"),
        ("7. Mai 2019", "2019-05-07"),
        ("1er mai 2019", "2019-05-01"),
        ("7 de mayo de 2019", "2019-05-07"),
        ("février 2019", "2019-02"),
        ("maart 2019", "2019-03"),
        ("1 января 2019", "2019-01-01"),
        ("май 2019 г.", "2019-05"),
        ("1 janvier 1900", None),
        ("201905", "2019-05"),
        ("201913", None),
        ("160101", None),  # the first of January 2016, or nothing
        ("190512", None),
        ("٢٠١٩", "2019"),
        ("1403 [2024]", "2024"),
        ("1776 [reprint 1976]", "1776"),
        ("Spring 2004", "2004"),
        ("1990s", None),
        ("1939-1945", None),
        ("between 1998 and 2001", None),
        ("[1998 or 1999]", None),
        ("not before 1998", None),
        ("600 BC", None),
        ("-720", None),
        ("190u", None),
        ("19??", None),
        ("[n.d.]", None),
        ("Jan 1st, 3000", None),
        ("????", None),
        (20120131, "2012-01-31"),
        (1998, "1998"),
        (10**30, None),
    ],
)
def test_a_date_is_read_as_libraries_and_shops_write_it(written: object, exact: str | None) -> None:
    assert read_date(written, this_year=NOW) == exact


@given(st.dates(min_value=date(1400, 1, 1), max_value=date(NOW + 20, 1, 1)))
def test_a_day_is_the_same_in_every_way_of_writing_it(day: date) -> None:
    is_taken = day.year <= NOW + 5 and day.isoformat() != "1900-01-01"
    expected = day.isoformat() if is_taken else None
    ways = [
        day.isoformat(), f"{day.year}{day.month:02}{day.day:02}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day:%B} {day.day}, {day.year}", f"{day.day:02} {day:%b} {day.year}",
        f"{day.year}\u2011{day.month}\u2011{day.day}", f"{day.isoformat()}T00:00:00+02:00",
    ]  # fmt: skip

    assert {
        read_date(way, this_year=NOW)
        for way in ways
        if day.isoformat() not in {"1753-01-01", "1899-12-30", "1899-12-31"}
    } <= {expected}


@given(st.text(max_size=120))
def test_whatever_is_written_a_date_is_a_date_or_none(text: str) -> None:
    found = read_date(text, this_year=NOW)

    assert found is None or 1400 <= int(found[:4]) <= NOW + 5
    assert found is None or read_date(found, this_year=NOW) == found
