"""StoryGraph's export of 23 columns.

Source:  exports. "ISBN/UID" may hold an ASIN or a UUID; ratings go in quarters; "Dates Read" holds
         several times of reading, each a day or "start-end".
"""

import re

from bookline.reading import Reading
from bookline.shelves.cells import Cells, count, day, days, names, prose, span, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

_DAYS = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d)")
STATUS_OF = {
    "read": "read",
    "currently-reading": "reading",
    "to-read": "to-read",
    "did-not-finish": "did-not-finish",
    "paused": "paused",
}
OWNED = {"yes": True, "no": False}


def read(cells: Cells) -> Entry:
    """One row of the export."""
    return Entry(
        isbns=(cells["isbn uid"],),
        title=cells["title"],
        authors=names(cells["authors"]),
        reading=Reading(
            status=STATUS_OF.get(cells["read status"].lower()),
            rating=stars(cells["star rating"]),
            shelves=names(cells["tags"]) or None,
            date_added=day(cells["date added"]),
            dates_read=days([_time(one) for one in names(cells["dates read"])])
            or days([day(cells["last date read"])]),
            read_count=count(cells["read count"]),
            review=prose(cells["review"]),
            owned=OWNED.get(cells["owned"].lower()),
        ),
    )


def _time(text: str) -> str | None:
    """``2024/01/02-2024/01/09`` or one day; a spreadsheet may have put hyphens into the dates."""
    start, *others = _DAYS.findall(text) or [""]
    return span(start, others[0]) if others else day(start)


FORMAT = Format(name="storygraph", known_by=all_of("isbn uid", "read status"), read=read)
