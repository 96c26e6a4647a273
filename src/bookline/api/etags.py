"""ETags of books and pictures.

Rule 1:  told from the content alone, so every process gives the same one.
Rule 2:  standard library only: the Cloudflare Worker runs this file as it is.
Source:  RFC 9110, 8.8.3 and 13.1.2.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def tag_of(data: Mapping[str, Any]) -> str:
    """Weak: the envelope around the same book has another time."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def cover_headers(body: bytes, pinned: str | None) -> dict[str, str]:
    """ETag and Cache-Control of a cover; ``pinned`` is the hash by which it was asked for.

    Of the bytes, not of the row: another import may just be laying a new picture there.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    is_pinned = pinned is not None and len(pinned) >= 16 and sha256.startswith(pinned)
    cache = "public, max-age=31536000, immutable" if is_pinned else "no-cache"
    return {"ETag": f'"{sha256}"', "Cache-Control": cache}


def has_tag(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names it."""
    tags = [one.strip().removeprefix("W/") for one in (header or "").split(",")]
    return tag.removeprefix("W/") in tags or "*" in tags
