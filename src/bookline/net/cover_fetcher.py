"""Pictures from addresses that providers name, with every guard around them.

Way:      steps/cover.py → here (addresses.py checks) → the network, by aiohttp
Rule 1:   each redirect is checked as wholly as the first address.
Rule 2:   names are resolved here, all their addresses are checked, and the connection goes to
          just these: a name that changes its mind in between gains nothing.
Rule 3:   no proxy, no cookies, no credentials; nothing is kept of a body beyond the cap.
Not here: whether the bytes are a picture: pictures.py.
"""

import asyncio
import re
import socket
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bookline.errors import CoverRefused, ProviderDown, SlowDown
from bookline.net.addresses import Address, CoverHosts, is_public, refuse_characters
from bookline.ports import Answer
from bookline.providers.answers import read_retry_after

MOST_BYTES = 10 * 1024 * 1024  # docs/contract.md
MOST_REDIRECTS = 3  # docs/contract.md
# For all redirects together. Our choice: below the step's 20 s, so that the reason can be told.
LIMIT_SECONDS = 15.0
CONNECT_SECONDS = 5.0  # our choice
MOST_CONNECTIONS = 64  # our choice
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COME_BACK = frozenset({408, 425})  # RFC 9110, RFC 8470: the same request may be sent again
# Where Google sends those who ask too often; the page itself is never asked for.
_THROTTLED = re.compile(
    r"https?://(?:[a-z0-9-]+\.)?google\.(?:[a-z]{2}|com?\.[a-z]{2}|com)/sorry(?:[/?]|\Z)",
    re.IGNORECASE,
)


class GuardedCoverFetcher:
    """A ``CoverFetcher`` over aiohttp. Opens its connections at the first use.

    ``resolver`` stands in for the system's; whatever it says is checked.
    """

    def __init__(
        self,
        extra_hosts: Collection[str],
        allow_private: bool,
        user_agent: str,
        resolver: AbstractResolver | None = None,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._hosts = CoverHosts(extra_hosts, allow_private=allow_private)
        self._user_agent = user_agent
        self._resolver = resolver
        self._limit_seconds = limit_seconds
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> Answer:
        """The answer with status 200, after at most three redirects.

        Raises: CoverRefused (address, host, size, 4xx), SlowDown (429), ProviderDown (5xx, no
        connection, time-out, cut body).
        """
        address = self._hosts.clean(url)
        try:
            async with asyncio.timeout(self._limit_seconds):
                for _ in range(MOST_REDIRECTS + 1):
                    answer = await self._get(address)
                    if answer.status == 200:
                        return answer
                    target = _target(address, answer)
                    if _THROTTLED.match(target):
                        said = f"{address.host} is rate limiting us"
                        raise SlowDown(said, None, read_retry_after(answer))
                    address = self._hosts.clean(target)
        except TimeoutError as error:
            raise ProviderDown(f"{address.host} did not answer in time", "COVER_TIMEOUT") from error
        except aiohttp.InvalidURL as error:
            raise CoverRefused(f"{address.host} cannot be asked at this address") from error
        except (aiohttp.ClientError, OSError) as error:
            said = f"{address.host} could not be read: {type(error).__name__}"
            raise ProviderDown(said, "COVER_FAILED") from error
        raise CoverRefused(f"the cover is more than {MOST_REDIRECTS} redirects away")

    async def aclose(self) -> None:
        """Closes all connections. Safe twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, address: Address) -> Answer:
        """The picture, or a redirect."""
        url = URL(address.text, encoded=True)
        async with self._open().get(url, allow_redirects=False) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(status=response.status, headers=headers, url=address.text)
            if answer.status in _REDIRECTS:
                return answer
            _refuse_status(address.host, answer)
            return replace(answer, body=await _read(response, address.host))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MOST_CONNECTIONS,
                    resolver=_CheckedResolver(self._hosts, self._resolver),
                    use_dns_cache=False,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={
                    "User-Agent": self._user_agent,
                    "Accept": "image/jpeg, image/png, image/webp, image/gif",
                    "Accept-Encoding": "identity",
                },
            )
        return self._session


class _CheckedResolver(AbstractResolver):
    """Addresses of a name, all of them public, unless the operator trusts the host."""

    def __init__(self, hosts: CoverHosts, resolver: AbstractResolver | None) -> None:
        self._hosts = hosts
        self._resolver = resolver or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        trusted = self._hosts.may_be_private(host, port)
        if not trusted and not all(is_public(one["host"]) for one in found):
            raise CoverRefused(f"the cover's host {host} has an address that is not public")
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def _read(response: aiohttp.ClientResponse, host: str) -> bytes:
    """The body as it is after any decompression: what counts against the cap."""
    if (response.content_length or 0) > MOST_BYTES:
        raise _too_large(host)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _too_large(host)
    return bytes(body)


def _too_large(host: str) -> CoverRefused:
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


def _refuse_status(host: str, answer: Answer) -> None:
    """Raises: for any status but 200, the error that says what to do about it."""
    status = answer.status
    if status == 200:
        return
    said = f"{host} answered {status}"
    if status == 429:
        raise SlowDown(said, None, read_retry_after(answer))
    if status >= 500 or status in _COME_BACK:
        raise ProviderDown(said, "COVER_FAILED", read_retry_after(answer))
    raise CoverRefused(said)
