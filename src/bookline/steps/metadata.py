"""What is known of the book: from the source that was named, or from the first that knows it.

Way:      workflow.py → here → providers/, merging.py
Rule 1:   not found is an answer, an outage is none: BOOK_NOT_FOUND only if all said so.
Rule 2:   what completes a book never fails it, and takes three seconds at most.
Rule 3:   a source that said when to come back is not asked before: the others go first.
"""

import logging
from collections.abc import Sequence

from bookline.book import Metadata
from bookline.errors import (
    BookNotFound,
    GiveUp,
    MetadataIncomplete,
    ProviderDown,
    TryLater,
    WrongKey,
    all_of,
)
from bookline.isbn import Isbn
from bookline.job import ImportInput
from bookline.merging import completed, missing
from bookline.ports import MetadataProvider, Pace
from bookline.time_limit import time_limit

AUTO_LIMIT_SECONDS = 6.0  # our choice: two that hang leave the third some of the step's 15 s
COMPLETE_SECONDS = 3.0  # for all further sources together; waiting for a turn does not count

_log = logging.getLogger(__name__)


class FetchMetadata:
    """The step ``fetch-metadata``. ``providers`` are the usable ones, in the order of ``auto``."""

    def __init__(
        self,
        providers: Sequence[MetadataProvider],
        *,
        pace: Pace | None = None,
        complete: bool = True,
        limit_seconds: float = AUTO_LIMIT_SECONDS,
        complete_seconds: float = COMPLETE_SECONDS,
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._pace = pace
        self._complete = complete
        self._limit_seconds = limit_seconds
        self._complete_seconds = complete_seconds

    async def __call__(self, order: ImportInput) -> Metadata:
        """The book as one source knows it; ``source`` says which. With ``auto``, what it left empty
        comes from the next ones; ``fields`` says which gave it.

        Raises: BookNotFound, MetadataIncomplete, WrongKey, ProviderRefused (final);
        SlowDown, ProviderDown (later). With ``auto``, an outage of one comes before them all.
        """
        isbn = Isbn(order.isbn)
        if order.source == "auto":
            return await self._find_in_turn(isbn)
        provider = self._providers.get(order.source)
        if provider is None:  # the door refuses these; the configuration has changed since
            raise WrongKey(f"{order.source} is not configured any more")
        return await provider.find(isbn)

    async def _find_in_turn(self, isbn: Isbn) -> Metadata:
        failures: list[TryLater | GiveUp] = []
        left = await self._free_first()
        while left:
            provider = left.pop(0)
            try:
                async with time_limit(self._limit_seconds):
                    found = await provider.find(isbn)
            except TimeoutError:
                message = f"{provider.name} did not answer within {self._limit_seconds:g} s"
                failures.append(ProviderDown(message, "PROVIDER_TIMEOUT"))
            except (TryLater, GiveUp) as failure:
                failures.append(failure)
            else:
                return await self._completed(isbn, found, left) if self._complete else found
            _log.info("%s: %s", provider.name, failures[-1].code)
        raise _verdict(isbn, failures)

    async def _free_first(self) -> list[MetadataProvider]:
        """In the order of ``auto``, but those behind that want to be left alone for a while."""
        providers = list(self._providers.values())
        if self._pace is None:
            return providers
        held = {one.name: await self._pace.held_seconds(one.name) for one in providers}
        return sorted(providers, key=lambda one: held[one.name] > 0)  # the sort is stable

    async def _completed(
        self, isbn: Isbn, found: Metadata, others: Sequence[MetadataProvider]
    ) -> Metadata:
        """The book with what it lacks from the sources behind the one that answered."""
        try:
            async with time_limit(self._complete_seconds):
                for provider in others:
                    if not missing(found):
                        break
                    if self._pace is not None and await self._pace.held_seconds(provider.name) > 0:
                        continue
                    try:
                        found = completed(found, await provider.find(isbn))
                    except (TryLater, GiveUp) as failure:
                        _log.info("%s does not complete: %s", provider.name, failure.code)
        except TimeoutError:
            _log.info("completing took too long; the book stays as it is")
        return found


def _verdict(isbn: Isbn, failures: Sequence[TryLater | GiveUp]) -> TryLater | GiveUp:
    """What the failures come to: the outage that ends first, naming all of them, else the gravest
    answer.
    """
    later = [failure for failure in failures if isinstance(failure, TryLater)]
    if later:
        return all_of(later)
    for failure in failures:
        if not isinstance(failure, BookNotFound | MetadataIncomplete):
            return failure
    for failure in failures:
        if isinstance(failure, MetadataIncomplete):
            return failure
    return BookNotFound(f"no source knows {isbn}")
