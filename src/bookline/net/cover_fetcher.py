"""Pictures from addresses that providers name, with every guard around them.

Way:      steps/cover.py → here (cover_rules.py follows, addresses.py checks) → the network
Rule 1:   names are resolved here, all their addresses are checked, and the connection goes to
          just these: a name that changes its mind in between gains nothing.
Rule 2:   no proxy, no cookies, no credentials; nothing is kept of a body beyond the cap.
Not here: whether the bytes are a picture: pictures.py.
"""

import asyncio
import socket
from collections.abc import Collection
from dataclasses import replace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bookline.errors import CoverRefused, ProviderDown
from bookline.net.addresses import Address, CoverHosts, is_public
from bookline.net.aiohttp_bounds import BoundedResponse, NameLookUp
from bookline.net.cover_rules import (
    ACCEPT,
    LIMIT_SECONDS,
    MOST_BYTES,
    REDIRECTS,
    follow,
    refuse_status,
    too_large,
)
from bookline.ports import Answer

CONNECT_SECONDS = 5.0  # our choice
MOST_CONNECTIONS = 64  # our choice


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
        host = self._hosts.clean(url).host
        try:
            async with asyncio.timeout(self._limit_seconds):
                return await follow(self._hosts, url, self._get)
        except TimeoutError as error:
            raise ProviderDown(f"{host} did not answer in time", "COVER_TIMEOUT") from error

    async def aclose(self) -> None:
        """Closes all connections. Safe twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, address: Address) -> Answer:
        """The picture, or a redirect."""
        try:
            return await self._ask(address)
        except aiohttp.InvalidURL as error:
            raise CoverRefused(f"{address.host} has no valid address for the cover") from error
        except (aiohttp.ClientError, OSError) as error:
            said = f"{address.host} could not be read: {type(error).__name__}"
            raise ProviderDown(said, "COVER_FAILED") from error

    async def _ask(self, address: Address) -> Answer:
        url = URL(address.text, encoded=True)
        async with self._open().get(url, allow_redirects=False) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(status=response.status, headers=headers, url=address.text)
            if answer.status in REDIRECTS:
                return answer
            refuse_status(address.host, answer)
            return replace(answer, body=await _read(response, address.host))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MOST_CONNECTIONS,
                    resolver=_CheckedResolver(self._hosts, self._resolver),
                    use_dns_cache=False,
                ),
                response_class=BoundedResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={
                    "User-Agent": self._user_agent,
                    "Accept": ACCEPT,
                    "Accept-Encoding": "identity",
                },
            )
        return self._session


class _CheckedResolver(AbstractResolver):
    """Addresses of a name, all of them public, unless the operator trusts the host."""

    def __init__(self, hosts: CoverHosts, resolver: AbstractResolver | None) -> None:
        self._hosts = hosts
        self._resolver = resolver or NameLookUp()

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
        raise too_large(host)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise too_large(host)
    return bytes(body)
