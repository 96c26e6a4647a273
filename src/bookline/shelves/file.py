"""A library file: what it is, and its rows in a stream.

Way:      api/, cli/ → here → encoding, records, formats/
Rule 1:   each row of the file becomes at least one row here. None is dropped.
Rule 2:   the format is known by the header, never by the file's name.
Units:    sizes in bytes of the file as it came.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bookline.errors import Refused
from bookline.shelves.cells import Cells, columns
from bookline.shelves.checking import check
from bookline.shelves.encoding import Encoding, find_encoding, unreadable
from bookline.shelves.formats import FORMATS
from bookline.shelves.formats.format import Format
from bookline.shelves.json_file import json_format, looks_like_json, read_json
from bookline.shelves.plain_list import looks_like_isbns, read_line
from bookline.shelves.records import Lines, Record, find_delimiter, read_records
from bookline.shelves.row import Row

MOST_BYTES = 20 * 1024 * 1024  # the API's limit
MOST_ROWS = 50_000  # the API's limit
LINES_TO_LOOK_AT = 50  # our choice: how far a list may begin with something else
_DOUBLE_MARK = "ï»¿"  # a UTF-8 mark that was encoded twice; old versions of calibre write it
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel writes it first


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFile:
    """A file whose kind is known. ``rows()`` may be read more than once."""

    format: str
    encoding: str
    header: tuple[str, ...]
    """The columns' names as they came; empty for lists and JSON."""
    delimiter: str
    _data: bytes
    _codec: Encoding
    _table: Format | None
    _header_line: int = 0

    def rows(self) -> Iterator[Row]:
        """The rows in their order, read as they are asked for.

        Raises: Refused(PAYLOAD_TOO_LARGE) behind the last row that is allowed,
        Refused(UNREADABLE_FILE) where JSON is broken.
        """
        for number, row in enumerate(self._all_rows()):
            if number >= MOST_ROWS:
                raise Refused(
                    "PAYLOAD_TOO_LARGE",
                    f"The file has more than {MOST_ROWS:,} rows. Divide it and send the parts.",
                )
            yield row

    def _all_rows(self) -> Iterator[Row]:
        if self._table is not None:
            yield from self._table_rows(self._table)
        elif self.format == "list":
            for number, line in enumerate(_text(self._data, self._codec), 1):
                if line.strip():
                    yield from read_line(line, number)
        else:
            yield from read_json(_text(self._data, self._codec).read())

    def _table_rows(self, table: Format) -> Iterator[Row]:
        places = columns(self.header)
        lines = Lines(_text(self._data, self._codec))
        for record in read_records(lines, self.delimiter, len(self.header)):
            if record.line > self._header_line:
                entry = table.read(Cells(places, record.cells))
                yield check(entry, record.line, record.cells)


def open_library_file(data: bytes) -> LibraryFile:
    """The file's format, encoding and header. Reads its beginning alone.

    Raises: Refused(UNREADABLE_FILE, UNSUPPORTED_FORMAT, PAYLOAD_TOO_LARGE).
    """
    if len(data) > MOST_BYTES:
        size = f"{MOST_BYTES >> 20} MB"
        raise Refused(
            "PAYLOAD_TOO_LARGE", f"The file is larger than {size}. Divide it and send the parts."
        )
    codec = find_encoding(data)
    text = _text(data, codec)
    if looks_like_json(text.read(200)):
        kind = json_format(_text(data, codec).read())
        return _file(kind, codec, data)
    return _table(data, codec) or _list(data, codec)


def _table(data: bytes, codec: Encoding) -> LibraryFile | None:
    found = _header(data, codec)
    if found is None:
        return None
    record, delimiter = found
    record.cells[0] = record.cells[0].removeprefix(_DOUBLE_MARK).strip('"')
    header = columns(record.cells)
    table = next((one for one in FORMATS if one.known_by(header)), None)
    if table is None:
        return None
    return _file(table.name, codec, data, table=table, header=record, delimiter=delimiter)


def _header(data: bytes, codec: Encoding) -> tuple[Record, str] | None:
    """The first record and its delimiter. Excel's ``sep=;`` before it says the delimiter."""
    lines = Lines(_text(data, codec))
    given = None
    for line in lines:
        if separator := _SEPARATOR_LINE.fullmatch(line):
            given = separator[1]
        elif line.strip():
            lines.give_back()
            delimiter = given or find_delimiter(line)
            record = next(read_records(lines, delimiter, None), None)
            return (record, delimiter) if record else None
    return None


def _list(data: bytes, codec: Encoding) -> LibraryFile:
    seen = [line for line, _ in zip(_text(data, codec), range(LINES_TO_LOOK_AT), strict=False)]
    if any(looks_like_isbns(line[:10_000]) for line in seen):
        return _file("list", codec, data)
    first = next((line.strip() for line in seen if line.strip()), "")
    raise unreadable(
        "The file has no column for ISBNs, none for title and author, and its lines hold no ISBN. "
        f"It begins with {first[:80]!r}."
    )


def _file(
    name: str,
    codec: Encoding,
    data: bytes,
    *,
    table: Format | None = None,
    header: Record | None = None,
    delimiter: str = ",",
) -> LibraryFile:
    return LibraryFile(
        format=name,
        encoding=codec.name,
        header=tuple(header.cells) if header else (),
        delimiter=delimiter,
        _data=data,
        _codec=codec,
        _table=table,
        _header_line=header.line if header else 0,
    )


def _text(data: bytes, codec: Encoding) -> io.TextIOWrapper:
    stream = io.BytesIO(data)
    stream.seek(codec.skip)
    return io.TextIOWrapper(stream, encoding=codec.codec, newline="")
