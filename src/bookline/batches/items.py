"""A list as it came, to a batch's items: JSON values and rows of library files.

Way:      api/, cli/ → here → service.py
Rule 1:   a wrong shape refuses the whole list and names the path; a wrong value (an ISBN, an item's
          source) refuses its item alone.
Rule 2:   each value or row becomes exactly one item. None is dropped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from bookline.errors import Refused
from bookline.isbn import read_isbn
from bookline.progress.batches import IMPORT, LOOK_UP, REFUSED, Item, error_of
from bookline.reading import read_reading
from bookline.shelves.row import Row

ITEMS_MOST = 10_000  # docs/contract.md
USER_ID_CHARS = 200  # our choice, as for a single import
INPUT_CHARS = 256  # our choice: what is shown of it; ``cells`` has it all
REFUSED_SHOWN = 100  # docs/contract.md
ITEM_FIELDS = ("isbn", "source", "userId", "reading")
IGNORED_FIELDS = ("code", "reason")
"""What ``…/failed`` adds to an item."""

CheckSource = Callable[[str], None]
"""Raises: Refused (INVALID_SOURCE, SOURCE_NOT_CONFIGURED)."""


def items_of_json(values: object, source: str, check_source: CheckSource) -> list[Item]:
    """The items of a request's list.

    Raises: Refused (INVALID_REQUEST) that names the path of what has the wrong shape.
    """
    if not isinstance(values, list):
        raise _wrong("items", 'must be a list like ["9780451524935"]')
    if not 1 <= len(values) <= ITEMS_MOST:
        raise _wrong("items", f"must have 1 to {ITEMS_MOST:,} items; this has {len(values):,}")
    return [_item_of_json(index, value, source, check_source) for index, value in enumerate(values)]


def items_of_rows(rows: Iterable[Row], source: str) -> Iterator[Item]:
    """The items of a file's rows, in their order, read as they are asked for."""
    for index, row in enumerate(rows):
        yield _item_of_row(index, row, source)


def _item_of_json(index: int, value: object, source: str, check_source: CheckSource) -> Item:
    path = f"items[{index}]"
    if isinstance(value, str):
        return _checked(index, value, {}, path, source, check_source)
    if not isinstance(value, Mapping):
        raise _wrong(path, "must be an ISBN or an object with one")
    for name in value:
        if name not in ITEM_FIELDS and name not in IGNORED_FIELDS:
            raise _wrong(f"{path}.{plain(name)[:64]}", f"is not one of {', '.join(ITEM_FIELDS)}")
    return _checked(index, value.get("isbn"), value, path, source, check_source)


def _checked(
    index: int,
    isbn: object,
    more: Mapping[str, object],
    path: str,
    source: str,
    check_source: CheckSource,
) -> Item:
    user_id = more.get("userId")
    if user_id is not None and (
        not isinstance(user_id, str) or len(user_id) > USER_ID_CHARS or plain(user_id) != user_id
    ):
        raise _wrong(f"{path}.userId", f"must be a text of at most {USER_ID_CHARS} characters")
    reading = None
    if more.get("reading") is not None:
        read = read_reading(more["reading"], f"{path}.reading")
        reading = read.to_json() if read else None
    own = more.get("source")
    isbn13, error = None, None
    try:
        if own is not None:
            check_source(own if isinstance(own, str) else str(own)[:64])
        isbn13 = _read_isbn(isbn)
    except Refused as refused:
        error = error_of(refused.code, str(refused))
    return Item(
        index=index,
        input=plain(isbn if isinstance(isbn, str) else str(isbn or ""))[:INPUT_CHARS],
        isbn=isbn13,
        source=own if isinstance(own, str) and not error else source,
        user_id=user_id,
        reading=reading,
        cells=dict(more) if more else isbn,
        state=REFUSED if error else "queued",
        todo="" if error else IMPORT,
        error=error,
    )


def _read_isbn(isbn: object) -> str:
    if isbn is None:
        raise Refused("INVALID_ISBN", "ISBN must be 10 or 13 digits: isbn is missing")
    if not isinstance(isbn, str):
        raise Refused("INVALID_ISBN", "ISBN must be 10 or 13 digits: isbn must be a string")
    return read_isbn(isbn).isbn13


def _item_of_row(index: int, row: Row, source: str) -> Item:
    isbn13 = row.isbn.isbn13 if row.isbn else None
    error = error_of("INVALID_ISBN", plain(row.refused)) if row.refused else None
    return Item(
        index=index,
        line=row.line,
        input=plain(row.input)[:INPUT_CHARS],
        isbn=None if error else isbn13,
        source=source,
        title=plain(row.title) or None,
        authors=tuple(map(plain, row.authors)),
        open_library_id=row.open_library_id,
        reading=row.reading.to_json() if row.reading else None,
        cells=row.cells,
        state=REFUSED if error else "queued",
        todo="" if error else (IMPORT if isbn13 else LOOK_UP),
        error=error,
    )


def plain(text: str) -> str:
    """The text as any store can keep it: no NUL, no half of a character pair."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


class Tally:
    """Items as they pass by, and what is told of the list besides."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self._isbns: set[str] = set()
        self.refused: list[Item] = []
        """The first ones."""
        self.refused_count = 0
        self.duplicates = 0
        """Items behind the first of their ISBN."""

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            if item.state == REFUSED:
                self.refused_count += 1
                if len(self.refused) < REFUSED_SHOWN:
                    self.refused.append(item)
            if item.isbn is not None:
                self.duplicates += item.isbn in self._isbns
                self._isbns.add(item.isbn)
            yield item


def _wrong(path: str, why: str) -> Refused:
    return Refused("INVALID_REQUEST", f"{path} {why}", {"path": path})
