"""Openreads' export.

Source:  openreads, lib/core/helpers/backup/csv_export.dart: tags are divided by "|||||", times of
         reading by ";", each "start|end|milliseconds"; ratings have halves.
"""

from bookline.reading import Reading
from bookline.shelves.cells import Cells, day, days, names, prose, span, stars
from bookline.shelves.formats.format import Format, all_of
from bookline.shelves.row import Entry

STATUS_OF = {
    "finished": "read",
    "in_progress": "reading",
    "planned": "to-read",
    "abandoned": "did-not-finish",
}


def read(cells: Cells) -> Entry:
    """One row of the export."""
    return Entry(
        isbns=(cells["isbn"],),
        title=cells["title"],
        authors=names(cells["author"]),
        open_library_id=cells["olid"] or None,
        reading=Reading(
            status=STATUS_OF.get(cells["status"]),
            rating=stars(cells["rating"]),
            shelves=names(cells["tags"], "|||||") or None,
            date_added=day(cells["date added"]),
            dates_read=days([_time(one) for one in cells["readings"].split(";")]),
            review=prose(cells["my review"]),
            notes=prose(cells["notes"]),
        ),
    )


def _time(text: str) -> str | None:
    start, end, *_ = (*text.split("|"), "", "")
    return span(start, end)


FORMAT = Format(name="openreads", known_by=all_of("olid", "readings", "my review"), read=read)
