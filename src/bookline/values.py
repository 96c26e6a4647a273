"""Values that everything speaks in: JSON, times, pages of lists.

Units:   times are epoch milliseconds (``_ms``) inside and ISO 8601 with Z in JSON.
Rule 1:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Json = dict[str, Any]


def iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-11-22T21:19:19.123Z``."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


compact = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON without spaces, as it is kept and sent. Made once: an import asks it some 15 times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list; ``next_cursor`` is None at its end."""

    items: Sequence[T]
    next_cursor: str | None
    total: int | None = None
    """How many there are on all pages, where that is counted."""
