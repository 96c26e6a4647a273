"""Which books need no import: the library has them with all that a provider gives.

Way:      feeder.py and the preview → here → the library, the journal
Rule 1:   a book that still lacks something counts too when every usable source was asked for it in
          the last 30 days: asking again would bring nothing.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from bookline.book import Book
from bookline.job import Job
from bookline.merging import missing

ASKED_MS = 30 * 86_400_000  # docs/contract.md

FindBooks = Callable[[Sequence[str]], Awaitable[Mapping[str, Book]]]
FindJob = Callable[[str], Awaitable[Job | None]]


class AlreadyThere:
    """``completes`` is the setting COMPLETE; ``clock`` gives epoch milliseconds."""

    def __init__(
        self,
        find_books: FindBooks,
        find_job: FindJob,
        *,
        usable: Collection[str],
        completes: bool,
        clock: Callable[[], int],
    ) -> None:
        self._find_books = find_books
        self._find_job = find_job
        self._usable = frozenset(usable)
        self._completes = completes
        self._clock = clock

    async def titles(self, isbns: Sequence[str]) -> Mapping[str, str]:
        """ISBN-13 → title of those that need no import. Raises: StoreDown."""
        books = await self._find_books(isbns)
        return {
            isbn: book.metadata.title
            for isbn, book in books.items()
            if _is_whole(book) or await self._were_all_asked(book)
        }

    async def _were_all_asked(self, book: Book) -> bool:
        """An import with ``auto`` asks every source for what the others left empty."""
        if self._clock() - _ms(book.provenance.updated_at) > ASKED_MS:
            return False
        if self._usable == {book.provenance.source}:
            return True
        job = await self._find_job(book.provenance.job_id)
        return self._completes and job is not None and job.order.source == "auto"


def _is_whole(book: Book) -> bool:
    lacks = missing(book.metadata) - {"cover"} | (set() if book.cover else {"cover"})
    return not lacks - set(book.locked)  # an import changes no locked field


def _ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
