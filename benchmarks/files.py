"""How long the preview of a library file takes, and how much memory: 5,000 and 50,000 rows.

Usage:  python benchmarks/files.py
Units:  seconds of wall clock; MB of the process's peak (VmHWM) above what it held with the file.
"""

import random
import re
import sys
import time
from pathlib import Path

from bookline.isbn import find_isbn
from bookline.shelves.file import MOST_BYTES, open_library_file
from bookline.shelves.preview import preview
from bookline.shelves.writing import csv_line

HEADER = (
    "Book Id,Title,Author,Author l-f,Additional Authors,ISBN,ISBN13,My Rating,Average Rating,"
    "Publisher,Binding,Number of Pages,Year Published,Original Publication Year,Date Read,"
    "Date Added,Bookshelves,Bookshelves with positions,Exclusive Shelf,My Review,Spoiler,"
    "Private Notes,Read Count,Owned Copies\r\n"
)
LIMITS = {5_000: 1.0, 50_000: 3.0}
MOST_MB = 100


def goodreads(rows: int) -> bytes:
    """A made-up export, 40 % of its rows without an ISBN."""
    chance = random.Random(1)
    lines = [HEADER]
    for number in range(rows):
        ten = chance.randrange(10**9)
        isbn = _isbn(f"{ten:09}") if chance.random() < 0.6 else ""
        read, added = f"2020/01/{number % 28 + 1:02}", "2019/12/24"
        lines.append(
            csv_line(
                f'{number}|Title {number}|Ann Author|Author, Ann||="{isbn[3:]}"|="{isbn}"|'
                f"{number % 6}|4.1|House|Paperback|328|1961||{read}|{added}|sf, left|sf (#1)|read|"
                "Good.<br/>Very good. A long review.|||1|0".split("|")
            )
        )
    return "".join(lines).encode()


def _isbn(nine: str) -> str:
    found = next(one for last in "0123456789X" if (one := find_isbn(nine + last)))
    return found.isbn13


def memory_mb(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> int:
    good = True
    for rows, limit in LIMITS.items():
        data = goodreads(rows)
        assert len(data) < MOST_BYTES
        Path("/proc/self/clear_refs").write_text("5")
        held = memory_mb("VmRSS")
        start = time.perf_counter()
        seen = preview(open_library_file(data), lambda _: ())
        seconds = time.perf_counter() - start
        more = memory_mb("VmHWM") - held
        assert seen.rows == rows
        good = good and seconds < limit and more < MOST_MB
        print(
            f"{rows:,} rows, {len(data) / 1e6:.1f} MB: preview {seconds:.2f} s (limit {limit} s), "
            f"{more:.0f} MB more (limit {MOST_MB} MB), {seen.with_isbn:,} with ISBN"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
