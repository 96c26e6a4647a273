"""Values that everything speaks in: JSON, times, pages of lists.

Units:   times are epoch milliseconds (``_ms``) inside and ISO 8601 with Z in JSON.
Rule 1:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Json = dict[str, Any]


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-11-22T21:19:19.123Z``."""
    at = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None at its end."""

    items: Sequence[T]
    next_cursor: str | None
    total: int | None = None
    """How many there are on all pages, where that is counted."""
