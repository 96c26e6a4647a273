"""Which requests count against which limit, and what their answers say of it: the rules alone.

Way:      limiting.py and the Cloudflare Worker → here
Source:   draft-ietf-httpapi-ratelimit-headers for RateLimit-*.
"""

import math
from collections.abc import Mapping

from bookline.api.bodies import read_switch
from bookline.errors import Refused
from bookline.limits import Turn
from bookline.rates import Rate

# Not limited: probes, scrapes, the page's own files, and covers, of which a shelf shows hundreds.
UNLIMITED = ("/healthz", "/readyz", "/metrics", "/page/", "/v2/covers/")
STARTS = frozenset(
    {"/v2/import", "/v2/import/workflow", "/v2/import/batch", "/v2/import/file", "/v1/jobs"}
)


def is_start(method: str, path: str, query: Mapping[str, str]) -> bool:
    """A preview starts nothing."""
    return method == "POST" and path in STARTS and not _is_preview(query)


def _is_preview(query: Mapping[str, str]) -> bool:
    try:
        return read_switch("preview", query.get("preview"))
    except Refused:
        return False


def is_limited(path: str) -> bool:
    return path != "/" and not path.startswith(UNLIMITED)


def key_of(caller: str, method: str, route: str | None, *, starts: bool) -> str:
    """Whose allowance it is: a caller's for all starts, or for one route."""
    return f"{caller}:{method}:{'start' if starts else route or 'none'}"


def headers_of(rate: Rate, turn: Turn) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(rate.count),
        "RateLimit-Remaining": str(turn.remaining),
        "RateLimit-Reset": str(math.ceil(turn.reset_seconds)),
    }


def refusal(rate: Rate, turn: Turn) -> tuple[str, str]:
    """What the caller is told, and his ``Retry-After``."""
    seconds = math.ceil(turn.wait_seconds)
    said = f"{rate.count} in {rate.seconds:g} s are allowed; try again in {seconds} s"
    return said, str(seconds)
