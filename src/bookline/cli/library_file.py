"""A library's export on the command line: which books it names, and what is in it.

Way:      the command ``import`` → here → shelves/
Not here: what a reader said of the books; a server keeps none of it yet.
"""

from collections.abc import Iterator

from bookline.cli.importing import Wanted
from bookline.errors import InvalidIsbn, Refused
from bookline.shelves.file import LibraryFile, open_library_file
from bookline.shelves.preview import preview, to_json
from bookline.values import Json

NO_ISBN = "the row has none; add it, or import the book by its ISBN"
NOT_ASKED = "alreadyThere"  # of the API's preview: it takes the library


def find_export(data: bytes) -> LibraryFile | None:
    """The export that the bytes are; None for a plain list and for what is none.

    Raises: Refused (UNSUPPORTED_FORMAT, PAYLOAD_TOO_LARGE).
    """
    try:
        file = open_library_file(data)
    except Refused as refused:
        if refused.code == "UNREADABLE_FILE":
            return None
        raise
    return None if file.format == "list" else file


def read_export(file: LibraryFile) -> Wanted:
    """Its books; each row without an ISBN is refused with its line and title.

    Raises: Refused (PAYLOAD_TOO_LARGE, UNREADABLE_FILE).
    """
    isbns: dict[str, None] = {}
    refused: list[InvalidIsbn] = []
    repeated: list[str] = []
    for row in file.rows():
        if row.isbn is None:
            where = f"line {row.line}: " if row.line else ""
            refused.append(InvalidIsbn(f"{where}{row.title or row.input}", NO_ISBN))
        elif row.isbn.isbn13 in isbns:
            repeated.append(row.isbn.isbn13)
        else:
            isbns[row.isbn.isbn13] = None
    return Wanted(list(isbns), refused, repeated)


def together(one: Wanted, other: Wanted) -> Wanted:
    """Both, each book once."""
    again = [isbn for isbn in other.isbns if isbn in set(one.isbns)]
    return Wanted(
        list(dict.fromkeys([*one.isbns, *other.isbns])),
        [*one.refused, *other.refused],
        [*one.repeated, *again, *other.repeated],
    )


def read_preview(data: bytes) -> Json:
    """What is in a file, as the API's preview has it, without asking any library.

    Raises: Refused.
    """
    seen = to_json(preview(open_library_file(data), lambda _: ()))
    return {name: value for name, value in seen.items() if name != NOT_ASKED}


def preview_lines(seen: Json) -> Iterator[str]:
    """The same for people."""
    yield f"{seen['format']}, {seen['encoding']}: {seen['rows']} rows"
    yield f"  {seen['withIsbn']} with an ISBN, {seen['duplicates']} of them repeated"
    yield f"  {seen['withoutIsbn']} without one"
    if seen["repaired"]:
        yield f"  {seen['repaired']} ISBNs got their left zeros back"
    for one in seen["refused"]:
        where = f"line {one['line']}" if one["line"] else f"item {one['index']}"
        yield f"  {where}: {one['message']}"
