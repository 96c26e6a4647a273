"""Cursors of lists: opaque text that holds where a page ended."""

import base64
import json
from typing import Any

from bookline.errors import Refused


def write_cursor(*place: int | str) -> str:
    """Text that is safe in a query string."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def read_cursor(text: str, *kinds: type) -> tuple[Any, ...]:
    """The place that ``write_cursor`` wrote. Raises: Refused for any other text."""
    try:
        place = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError) as error:
        raise Refused("INVALID_REQUEST", "the cursor is not one of ours") from error
    fits = isinstance(place, list) and [type(part) for part in place] == list(kinds)
    if not fits:
        raise Refused("INVALID_REQUEST", "the cursor is not one of ours")
    if any(isinstance(part, int) and abs(part) >= 2**63 for part in place):
        raise Refused("INVALID_REQUEST", "the cursor is not one of ours")
    return tuple(place)
