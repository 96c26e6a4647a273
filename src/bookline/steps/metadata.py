"""What is known of the book: from the source that was named, or from the first that knows it.

Way:      workflow.py → here → providers/
Rule 1:   not found is an answer, an outage is none: BOOK_NOT_FOUND only if all said so.
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
)
from bookline.isbn import Isbn
from bookline.job import ImportInput
from bookline.ports import MetadataProvider
from bookline.time_limit import time_limit

AUTO_LIMIT_SECONDS = 6.0  # our choice: two that hang leave the third some of the step's 15 s

_log = logging.getLogger(__name__)


class FetchMetadata:
    """The step ``fetch-metadata``. ``providers`` are the usable ones, in the order of ``auto``."""

    def __init__(
        self,
        providers: Sequence[MetadataProvider],
        *,
        limit_seconds: float = AUTO_LIMIT_SECONDS,
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._limit_seconds = limit_seconds

    async def __call__(self, order: ImportInput) -> Metadata:
        """The book as one source knows it; ``source`` says which.

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
        for provider in self._providers.values():
            try:
                async with time_limit(self._limit_seconds):
                    return await provider.find(isbn)
            except TimeoutError:
                message = f"{provider.name} did not answer within {self._limit_seconds:g} s"
                failures.append(ProviderDown(message, "PROVIDER_TIMEOUT"))
            except (TryLater, GiveUp) as failure:
                failures.append(failure)
            _log.info("%s: %s", provider.name, failures[-1].code)
        raise _verdict(isbn, failures)


def _verdict(isbn: Isbn, failures: Sequence[TryLater | GiveUp]) -> TryLater | GiveUp:
    """What all the failures come to: the outage that ends first, else the gravest answer."""
    later = [failure for failure in failures if isinstance(failure, TryLater)]
    if later:
        return min(later, key=lambda failure: failure.retry_after_seconds or 0.0)
    for failure in failures:
        if not isinstance(failure, BookNotFound | MetadataIncomplete):
            return failure
    for failure in failures:
        if isinstance(failure, MetadataIncomplete):
            return failure
    return BookNotFound(f"no source knows {isbn}")
