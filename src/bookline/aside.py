"""A book in the fallback store: read, changed and deleted safely by any number of processes.

Way:      steps/save.py, shelf.py, stores/drain.py → here → a KeyValue
Rule 1:   an entry is changed only if it is still what was read; else it is read again.
Rule 2:   a deleted book leaves the ids of the jobs that may still save it: they are refused.
Rule 3:   standard library only: the Cloudflare Worker runs this file as it is.
"""

from collections.abc import Callable, Collection

from bookline.book import Book
from bookline.errors import Removed, StoreDown
from bookline.ports import KeyValue
from bookline.values import Json

PREFIX = "book:isbn:"  # the plan's phase 3.1 (docs/plan-checklist.md)
TTL_SECONDS = 30 * 86_400.0  # docs/contract.md
REMOVED_SECONDS = 86_400.0  # our choice: longer than any job runs
MOST_TRIES = 50  # our choice: processes that change one book at the same moment
_REMOVED = "removed"


class Aside:
    """The books that wait in the fallback store. Raises: StoreDown."""

    def __init__(self, fallback: KeyValue) -> None:
        self._fallback = fallback

    async def find(self, isbn: str) -> Book | None:
        """None too for an entry that is no book."""
        return read_entry(await self._fallback.find(PREFIX + isbn))

    async def keep(self, book: Book, merge: Callable[[Book, Book], Book]) -> Book:
        """The book, laid by ``merge`` over the one that waits. The time to live begins anew.

        Raises: Removed when the book was deleted while its import ran.
        """
        for _ in range(MOST_TRIES):
            entry = await self._fallback.find(PREFIX + book.isbn)
            if book.provenance.job_id in removed_jobs(entry):
                raise Removed(f"{book.isbn} was deleted while this import ran")
            older = read_entry(entry)
            stands = book if older is None else merge(book, older)
            if await self._replace(book.isbn, stands, entry):
                return stands
        raise StoreDown(f"{book.isbn} is being changed by others")

    async def change(self, isbn: str, change: Callable[[Book], Book]) -> Book | None:
        """The book after ``change``, which may be called again; None where none waits."""
        for _ in range(MOST_TRIES):
            entry = await self._fallback.find(PREFIX + isbn)
            book = read_entry(entry)
            if book is None:
                return None
            changed = change(book)
            if await self._replace(isbn, changed, entry):
                return changed
        raise StoreDown(f"{isbn} is being changed by others")

    async def remove(self, isbn: str, jobs: Collection[str]) -> Book | None:
        """The book that is gone; None where none waited. What these jobs save is refused."""
        for _ in range(MOST_TRIES):
            entry = await self._fallback.find(PREFIX + isbn)
            book = read_entry(entry)
            refused = {*jobs, *removed_jobs(entry)}
            if book is not None:
                refused.add(book.provenance.job_id)  # a drain may just be carrying it over
            if not refused:
                return None
            gone: Json = {_REMOVED: sorted(refused)}
            if await self._fallback.keep(
                PREFIX + isbn, gone, ttl_seconds=REMOVED_SECONDS, if_value=entry
            ):
                return book
        raise StoreDown(f"{isbn} is being changed by others")

    async def _replace(self, isbn: str, book: Book, entry: Json | None) -> bool:
        return await self._fallback.keep(
            PREFIX + isbn, book.to_stored(), ttl_seconds=TTL_SECONDS, if_value=entry
        )


def removed_jobs(entry: Json | None) -> frozenset[str]:
    """The jobs whose book was deleted; none for any other entry."""
    jobs = (entry or {}).get(_REMOVED)
    return frozenset(map(str, jobs)) if isinstance(jobs, list) else frozenset()


def read_entry(entry: Json | None) -> Book | None:
    """None too for what is no book: a good one may lie over it."""
    try:
        return Book.from_stored(entry) if entry is not None else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
