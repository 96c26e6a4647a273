"""Which requests come from somebody else's web page, in the visitor's browser, and what its browser
is told.

Rule 1:  a page may not even learn whether we have something, nor use up its visitor's limits: such
         a request is refused before anything is counted.
Rule 2:  standard library only: the Cloudflare Worker runs this file as it is.
Source:  Fetch standard for Origin, W3C "Fetch Metadata Request Headers" for Sec-Fetch-*.
"""

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

PAGES = frozenset({"/", "/docs"})
"""What another site may link to."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
EXPOSED = "Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, ETag"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, "
    "Bookline-Method, If-None-Match",
    "Access-Control-Max-Age": "600",
}
"""What an allowed page may ask, beside what ``cors`` says."""
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""
_PORTS = {"http": ":80", "https": ":443"}


def is_host(text: str) -> bool:
    """True for ``name``, ``name:port`` and ``[address]:port``, and nothing that reads otherwise."""
    return len(text) <= 255 and HOST.fullmatch(text) is not None  # RFC 1035


def cors(headers: Mapping[str, str], allowed: Collection[str]) -> dict[str, str]:
    """What an answer says of the origin that asked; ``allowed`` are origins that may read it."""
    if not allowed:
        return {}
    origin = headers.get("origin", "")
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSED,
    }


def is_foreign(
    headers: Mapping[str, str], method: str, path: str, allowed: Collection[str]
) -> bool:
    """True if a page of another origin sent it; ``allowed`` are origins that may."""
    origin = headers.get("origin")
    if origin is not None:
        return origin not in allowed and not _is_own(origin, headers.get("host", ""))
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return False
    is_visit = (
        method in {"GET", "HEAD"}
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return not (is_visit and path in PAGES)


def _is_own(origin: str, host: str) -> bool:
    """The same host and port; which scheme the browser used, a proxy may hide from us."""
    scheme, _, place = origin.lower().partition("://")
    usual = _PORTS.get(scheme)
    if usual is None or not is_host(place) or urlsplit(f"//{place}").username:
        return False
    return place.removesuffix(usual) == host.lower().removesuffix(usual)
