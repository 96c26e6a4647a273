"""How a cover's address is followed and its answers are read, without any network.

Way:      cover_fetcher.py (aiohttp) and the Cloudflare Worker (fetch) hand their question to
          ``follow``
Rule 1:   each redirect is checked as wholly as the first address.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from bookline.errors import CoverRefused, ProviderDown, SlowDown
from bookline.net.addresses import Address, CoverHosts, refuse_characters
from bookline.ports import Answer
from bookline.providers.answers import read_retry_after

MOST_BYTES = 10 * 1024 * 1024  # docs/contract.md
MOST_REDIRECTS = 3  # docs/contract.md
# For all redirects together. Our choice: below the step's 20 s, so that the reason can be told.
LIMIT_SECONDS = 15.0
ACCEPT = "image/jpeg, image/png, image/webp, image/gif"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COME_BACK = frozenset({408, 425})  # RFC 9110, RFC 8470: the same request may be sent again
# Where Google sends those who ask too often; the page itself is never asked for.
_THROTTLED = re.compile(
    r"https?://(?:[a-z0-9-]+\.)?google\.(?:[a-z]{2}|com?\.[a-z]{2}|com)/sorry(?:[/?]|\Z)",
    re.IGNORECASE,
)


async def follow(
    hosts: CoverHosts, url: str, get: Callable[[Address], Awaitable[Answer]]
) -> Answer:
    """The answer with status 200, after at most three redirects.

    ``get`` asks one address, follows nothing, and reads a body only of an answer that passes
    ``refuse_status``.
    Raises: CoverRefused (address, host, 4xx), SlowDown, and what ``get`` raises.
    """
    address = hosts.clean(url)
    for _ in range(MOST_REDIRECTS + 1):
        answer = await get(address)
        if answer.status == 200:
            return answer
        target = _target(address, answer)
        if _THROTTLED.match(target):
            said = f"{address.host} is rate limiting us"
            raise SlowDown(said, None, read_retry_after(answer))
        address = hosts.clean(target)
    raise CoverRefused(f"the cover is more than {MOST_REDIRECTS} redirects away")


def refuse_status(host: str, answer: Answer) -> None:
    """Raises: for any status but 200 and redirects, the error that says what to do about it."""
    status = answer.status
    if status == 200 or status in REDIRECTS:
        return
    said = f"{host} answered {status}"
    if status == 429:
        raise SlowDown(said, None, read_retry_after(answer))
    if status >= 500 or status in _COME_BACK:
        raise ProviderDown(said, "COVER_FAILED", read_retry_after(answer))
    raise CoverRefused(said)


def too_large(host: str) -> CoverRefused:
    """The refusal of a picture over ``MOST_BYTES``."""
    return CoverRefused(f"the cover at {host} is larger than {MOST_BYTES // 1024 // 1024} MB")


def _target(address: Address, answer: Answer) -> str:
    location = answer.headers.get("location", "")
    if not location:
        raise CoverRefused(f"{address.host} redirects without saying where to")
    refuse_characters(location)
    try:
        return urljoin(address.text, location)
    except ValueError as error:
        raise CoverRefused(f"{address.host} redirects to a broken address") from error
