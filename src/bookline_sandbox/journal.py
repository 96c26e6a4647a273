"""What was asked of the sandbox: the last requests in order, and how often each ISBN was asked.

Rule 1: bounded: the oldest requests go first; once the counts are full no new ISBN is counted.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

KEPT_REQUESTS = 10_000
COUNTED_ISBNS = 200_000  # our choice: twice the largest load test


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request. The status stays None while it hangs, or if it got no answer."""

    n: int
    at: float
    """Seconds since 1970."""
    route: str
    isbn: str | None
    """Several are joined by commas."""
    path: str
    status: int | None = None
    fault: str | None = None


class Journal:
    """The requests of the providers, covers and embeddings; control calls are not among them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT_REQUESTS)
        self._counts: dict[str, dict[str, int]] = {}
        self._last = 0

    def add(self, route: str, isbns: Sequence[str], path: str) -> Entry:
        """The new entry; the caller fills in how it ended."""
        self._last += 1
        joined = ",".join(isbns) or None
        entry = Entry(n=self._last, at=time.time(), route=route, isbn=joined, path=path)
        self._entries.append(entry)
        for isbn in isbns:
            if isbn in self._counts or len(self._counts) < COUNTED_ISBNS:
                routes = self._counts.setdefault(isbn, {})
                routes[route] = routes.get(route, 0) + 1
        return entry

    def entries(self, isbn: str | None = None) -> list[dict[str, Any]]:
        """In the order they came, all or those of one ISBN-13."""
        return [
            asdict(entry)
            for entry in self._entries
            if isbn is None or isbn in (entry.isbn or "").split(",")
        ]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many requests by ISBN-13 and route."""
        return {isbn: dict(routes) for isbn, routes in self._counts.items()}

    def clear(self) -> None:
        """Forget all; the numbers go on."""
        self._entries.clear()
        self._counts.clear()
