"""Results as tables and facts: aligned on a terminal, tab-separated lines for programs.

Rule 1:  a value from a provider is cleaned of control characters first.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bookline.cli.views import result, say
from bookline.cli.words import clean
from bookline.values import Json

_STYLES = {
    "completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan",
    "passed": "green", "broken": "red", "not yet": "yellow",
}  # fmt: skip

FIXED_CHARS = 19  # a column as wide as a time is never wrapped
LEAST_CHARS = 12  # our choice: a narrower column cannot be read


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """Rows on stdout; ``nothing`` is said where there is none.

    A terminal that is too narrow for the columns shows two lines a row.
    """
    lines = [[clean("" if cell is None else cell) for cell in row] for row in rows]
    if not lines:
        say(nothing)
    elif sys.stdout.isatty():
        _rich_table(heads, lines)
    else:
        for line in lines:
            result("\t".join(line))


def _rich_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    fixed = [place == 0 or width <= FIXED_CHARS for place, width in enumerate(widths)]
    least = [
        width if is_fixed else LEAST_CHARS for width, is_fixed in zip(widths, fixed, strict=True)
    ]
    if sum(least) + 2 * len(heads) - 2 > console.width:
        for first, *others in (heads, *lines):
            styled = [Text(cell, _STYLES.get(cell, "")) for cell in others if cell]
            style = "bold" if first == heads[0] else ""
            console.print(Text(first, style, overflow="fold"))
            console.print(Padding(Text(" · ", style).join(styled), (0, 0, 0, 4)))
        return
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head, is_fixed in zip(heads, fixed, strict=True):
        shown.add_column(head, no_wrap=is_fixed, overflow="fold" if is_fixed else "ellipsis")
    for line in lines:
        shown.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in line))
    console.print(shown)


def facts(values: Mapping[str, object]) -> None:
    """One fact a line: its name, then its value; what is not known is left out.

    On a terminal, a long value goes on below itself.
    """
    known = {name: clean(value) for name, value in values.items() if value not in (None, "", [])}
    width = max(map(len, known), default=0) + 2
    room = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else sys.maxsize
    for name, value in known.items():
        lines = textwrap.wrap(value, room - width) if len(value) > room - width else [value]
        result(f"{name:<{width}}" + f"\n{'':<{width}}".join(lines))


def job_row(job: Json) -> list[object]:
    return [job["jobId"], job["status"], when(job["createdAt"]), job_title(job)]


def job_title(job: Json) -> str:
    """What is known of the book, or why there is none."""
    if job["result"]:
        return str(job["result"]["title"])
    if job["error"]:
        return str(job["error"]["code"])
    return f"{job['step'] or ''}"


def job_facts(job: Json) -> dict[str, Any]:
    error, made = job["error"], job["result"] or {}
    attempt = f", try {job['attempt']}" if job["attempt"] else ""
    return {
        "job": job["jobId"],
        "isbn": job["isbn"],
        "title": made.get("title"),
        "status": job["status"],
        "step": f"{job['step']}{attempt}" if job["step"] else None,
        "progress": f"{job['progress']:.0%}",
        "source": made.get("source") or job["source"],
        "method": job["method"],
        "stored in": made.get("storedIn"),
        "cover": made.get("coverR2Key"),
        "warnings": "; ".join(f"{one['step']}: {one['code']}" for one in made.get("warnings", [])),
        "error": f"{error['code']}: {error['message']}" if error else None,
        "created": when(job["createdAt"]),
        "updated": when(job["lastUpdated"]),
    }


def book_row(book: Json) -> list[object]:
    year = (book["publicationDate"] or "")[:4]
    return [book["isbn"], book["title"], ", ".join(book["authors"]), year]


def book_facts(book: Json) -> dict[str, Any]:
    cover = book["cover"]
    return {
        "title": book["title"],
        "subtitle": book["subtitle"],
        "authors": ", ".join(book["authors"]),
        "isbn": book["isbn"],
        "isbn-10": book["isbn10"],
        "publisher": book["publisher"],
        "published": book["publicationDate"],
        "pages": book["pageCount"],
        "language": book["language"],
        "categories": ", ".join(book["categories"]),
        "cover": f"{cover['key']} ({cover['width']} × {cover['height']})" if cover else None,
        "embedding": book["embedding"] and book["embedding"]["model"],
        "source": book["provenance"]["source"],
        "imported": when(book["provenance"]["importedAt"]),
        "edited": ", ".join(book["locked"]),
        **_reading_facts(book["reading"] or {}),
        "description": book["description"],
    }


def _reading_facts(reading: Json) -> dict[str, Any]:
    """What its reader says of a book."""
    owned = reading.get("owned")
    return {
        "status": reading.get("status"),
        "rating": reading.get("rating"),
        "shelves": ", ".join(reading.get("shelves") or ()),
        "added": reading.get("dateAdded"),
        "read on": ", ".join(reading.get("datesRead") or ()),
        "times read": reading.get("readCount"),
        "owned": None if owned is None else ("yes" if owned else "no"),
        "review": reading.get("review"),
        "notes": reading.get("notes"),
    }


def when(iso: str) -> str:
    """``2026-11-22 21:19:19`` of an ISO time, in UTC as it came."""
    return iso[:19].replace("T", " ")


def book_name(book: Json) -> str:
    """``title · author``."""
    return clean(f"{book['title']} · {book['author']}" if book["author"] else book["title"])
