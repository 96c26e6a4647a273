"""Which book a row without an ISBN means: asked by title and author, taken only when it is sure.

Way:      look_ups.py → here → providers/title_search.py, matching.py
Rule 1:   the first source that is sure is enough; else what all of them found is put together.
Rule 2:   not found is an answer, an outage is none: BOOK_NOT_FOUND only if all said so.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from bookline.batches.matching import ranked, sure_one, to_choose_from
from bookline.errors import GiveUp, ProviderDown, Resting, TryLater, all_of
from bookline.ports import BookSearch, Pace
from bookline.progress.batches import Candidate, Item
from bookline.providers.title_search import OpenLibrarySearch
from bookline.time_limit import time_limit

LIMIT_SECONDS = 10.0  # our choice, for each question; waiting for a turn does not count

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a look-up came to."""

    isbn: str | None = None
    """Of the book, where it is sure."""
    candidates: Sequence[Candidate] = ()
    """Else what may be meant; with neither, nobody knows the book."""


class LookUp:
    """``searches`` are the usable sources, in the order in which they are asked."""

    def __init__(self, searches: Sequence[BookSearch], pace: Pace | None = None) -> None:
        self._searches = searches
        self._pace = pace
        self._rested: set[str] = set()
        """Sources that answered nobody when they were last wanted."""

    async def __call__(self, item: Item) -> Verdict:
        """Raises: Resting where a source answers nobody and the others are not sure; TryLater when
        an outage keeps the answer back; GiveUp when no source can be asked at all.
        """
        found: list[Candidate] = []
        failures: list[TryLater | GiveUp] = []
        if item.open_library_id and (sure := await self._by_id(item.open_library_id, failures)):
            return Verdict(isbn=sure.isbn)
        searches = await self._in_turn(item.source) if item.title else []
        author = next(iter(item.authors), "")
        for search in searches:
            found += await self._search(search, item, author, failures)
            if sure := sure_one(ranked(item.title or "", item.authors, found)):
                return Verdict(isbn=sure.isbn)
        if searches and author and not found and not failures:
            # The author may be written otherwise; then it is one for a review.
            found += await self._search(searches[0], item, "", failures)
        return _verdict(item, found, failures, asked=len(searches))

    async def _by_id(
        self, open_library_id: str, failures: list[TryLater | GiveUp]
    ) -> Candidate | None:
        for search in self._searches:
            if isinstance(search, OpenLibrarySearch):
                try:
                    async with time_limit(LIMIT_SECONDS):
                        return await search.find_record(open_library_id)
                except Resting:
                    return None  # by its title another may be sure of it
                except TimeoutError:
                    failures.append(ProviderDown(f"{search.name} did not answer in time"))
                except (TryLater, GiveUp) as failure:
                    failures.append(failure)
        return None

    async def _in_turn(self, source: str) -> list[BookSearch]:
        """The one that was named, or all; behind are those that want to be left alone. One that may
        be back is first: as long as it is not, the others are asked nothing more.
        """
        chosen = [one for one in self._searches if source in {"auto", one.name}]
        if self._pace is None:
            return chosen
        held = {one.name: await self._pace.held_seconds(one.name) > 0 for one in chosen}
        return sorted(chosen, key=lambda one: (held[one.name], one.name not in self._rested))

    async def _search(
        self, search: BookSearch, item: Item, author: str, failures: list[TryLater | GiveUp]
    ) -> Sequence[Candidate]:
        """What one source finds; why it could not be asked goes to ``failures``.

        Raises: Resting.
        """
        try:
            async with time_limit(LIMIT_SECONDS):
                found = await search.search(item.title or "", author)
        except Resting:
            self._rested.add(search.name)
            raise
        except TimeoutError:
            message = f"{search.name} did not answer within {LIMIT_SECONDS:g} s"
            failures.append(ProviderDown(message, "PROVIDER_TIMEOUT"))
        except (TryLater, GiveUp) as failure:
            failures.append(failure)
        else:
            self._rested.discard(search.name)
            return found
        log.info("%s was not searched: %s", search.name, failures[-1].code)
        return ()


def _verdict(
    item: Item, found: Sequence[Candidate], failures: Sequence[TryLater | GiveUp], *, asked: int
) -> Verdict:
    candidates = to_choose_from(ranked(item.title or "", item.authors, found))
    if candidates:
        return Verdict(candidates=candidates)
    later = [failure for failure in failures if isinstance(failure, TryLater)]
    if later:
        raise all_of(later)
    if failures and len(failures) >= asked:
        raise failures[0]
    return Verdict()
