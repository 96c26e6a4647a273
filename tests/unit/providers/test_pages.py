"""Pages are counted, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.providers.pages import read_pages


@pytest.mark.parametrize(
    ("written", "pages"),
    [
        ("104", 104), ("[104]", 104), ("1,024", 1024), ("1.024", 1024), ("1 024 p.", 1024),
        ("xii, 97 p.", 97), ("xii, 97 pages", 97), ("97 p", 97), ("97 pp.", 97), ("97p.", 97),
        ("200 p. : ill., ports. ; 22 cm.", 200), ("v, 345, [12] p.", 345), ("[12] p.", 12),
        ("345 p., [8] p. of plates", 345), ("2 v. (xii, 345 p.)", 345), ("245 S.", 245),
        ("245 s. : ill.", 245), ("96 leaves", 96), ("1 online resource (345 pages)", 345),
        ("ca. 200 p.", 200), ("123 páginas", 123), ("320 Seiten", 320), ("280頁", 280),
        ("ix, 1,120 p.", 1120), ("xii, 345, 3 p.", 345), ("345, 12 p.", 345), ("pp. xii, 345", 345),
        ("Pages: 345", 345), ("345 str.", 345), ("345 sivua", 345), ("345 oldal", 345),
        ("345쪽", 345),
        ("xii, 345", 345), ("viii p., 345 p.", 345), ("xv, 1 leaf, 345 p.", 345), ("345.0", 345),
        ("1 p. l., 345 p.", 345), ("[4] leaves, 345 pages", 345), ("２３４頁", 234),
        ("345 Bl.", 345),
        ("vol. 2, 345 p.", 345), ("400 illus., 345 p.", 345), ("345 unnumbered pages", 345),
        ("xx, 1234 p. in 3 v.", 1234),
        # something else is counted, or nothing
        ("2 v.", None), ("1 v. (various pagings)", None), ("3 volumes", None), ("22 cm", None),
        ("1 CD (60 min.)", None), ("8 p. of plates", None), ("p. 345-380", None),
        ("pp. 345-380", None), ("345.5", None), ("vol. 2", None), ("345-380 p.",
        None),
        ("xii p.", None), ("unpaged", None), ("1 sound disc", None), ("", None), ("0", None),
        ("1 audio disc : 2 hr., 10 min.", None), ("Height: 6.49605 Inches", None),
    ],
)  # fmt: skip
def test_pages_are_read_as_libraries_write_them(written: str, pages: int | None) -> None:
    assert read_pages(written) == pages


@given(
    st.integers(1, 999), st.sampled_from(["{} p.", "{} pages", "xii, {} p.", "{} S. : Ill.", "{}"])
)
def test_a_count_is_found_in_every_way_of_writing_it(count: int, form: str) -> None:
    assert read_pages(form.format(count)) == count


@pytest.mark.parametrize(
    ("value", "pages"),
    [(96, 96), (0, None), (-4, None), (100_001, None), (10**400, None), (True, None), (96.0, None),
     ([], None), (None, None)],
)  # fmt: skip
def test_pages_are_a_whole_number_above_none(value: object, pages: int | None) -> None:
    assert read_pages(value) == pages


@given(st.text(max_size=250))
def test_whatever_is_written_pages_are_a_count_or_none(text: str) -> None:
    assert 1 <= (read_pages(text) or 1) <= 100_000
