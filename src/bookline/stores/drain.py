"""From the fallback store back into the library, when it answers again.

Way:     app.py calls it every now and then → here → a KeyValue and a Library
Rule 1:  an entry goes only after its book is in the library, and only if it is still what was read.
Rule 2:  one entry that cannot be read stops no other; it stays until its time is over.
"""

import logging

from bookline.aside import PREFIX, removed_jobs
from bookline.book import Book
from bookline.errors import Removed, StoreDown
from bookline.ports import KeyValue, Library, ObjectStore
from bookline.values import Json

log = logging.getLogger(__name__)

REFUSED_MOST = 3  # our choice: books in a row; then it is the library that is down

_NUMBERS = frozenset({"pageCount", "width", "height", "dimensions"})
_LISTS = frozenset({"authors", "categories"})


async def drain(fallback: KeyValue, library: Library, objects: ObjectStore | None = None) -> int:
    """How many books have gone into the library. Ends early, and quietly, when a store is down.

    With ``objects``, a cover that another one has replaced is removed. Safe to run at any time, in
    several processes too: a book that is kept twice is kept once.
    """
    drained = refused = 0
    try:
        for key in await fallback.keys(PREFIX):
            entry = await fallback.find(key)
            book = None if removed_jobs(entry) else _read_entry(key, entry)
            if entry is None or book is None:
                continue
            try:
                await _keep(book, library, objects)
            except Removed as error:
                log.info("%s", error)
            except StoreDown as error:
                refused += 1
                if refused == REFUSED_MOST:
                    raise
                log.info("%s stays in the fallback store for now: %s", key, error)
                continue
            refused = 0
            drained += await fallback.remove(key, if_value=entry)
    except StoreDown as error:
        log.info("the fallback store was not drained to its end: %s", error)
    if drained:
        log.info("%d books went from the fallback store into the library", drained)
    return drained


def _read_entry(key: str, entry: Json | None) -> Book | None:
    """None for an entry that is over by now, or that is no book (that is logged)."""
    if entry is None:
        return None
    try:
        book = Book.from_stored(entry)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.warning("%s stays in the fallback store: it is no book (%r)", key, error)
        return None
    if not all(map(_has_right_types, entry.values())):
        log.warning("%s stays in the fallback store: a field has the wrong type", key)
        return None
    if key != PREFIX + book.isbn:
        log.warning("%s stays in the fallback store: it holds the book %s", key, book.isbn)
        return None
    return book


def _has_right_types(part: object) -> bool:
    """So that a library that does not take a book is down, and not just this book bad."""
    if isinstance(part, list):  # the locked fields
        return all(isinstance(item, str) for item in part)
    if not isinstance(part, dict):
        return part is None or isinstance(part, str)  # the time of an edit
    return all(value is None or _is_type(name, value) for name, value in part.items())


def _is_type(name: str, value: object) -> bool:
    if name == "fields":
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    if name in _NUMBERS:
        return isinstance(value, int) and 0 <= value < 2**31
    if name in _LISTS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


async def _keep(book: Book, library: Library, objects: ObjectStore | None) -> None:
    before = await library.find(book.isbn)
    kept = await library.keep(book)
    if objects is None or kept.cover is None:
        return
    covers = (book.cover, before and before.cover)
    for key in {cover.key for cover in covers if cover} - {kept.cover.key}:
        try:
            await objects.remove(key)
        except StoreDown as error:
            log.warning("the older cover %s remains: %s", key, error)
