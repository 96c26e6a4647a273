"""``Http`` by aiohttp: one session for all providers, answers read whole and capped.

Way:      providers/, embedders/ → here → the network
Rule 1:   headers, keys and queries stand in no message: a message names host and path alone.
Rule 2:   whatever goes wrong on the way is ProviderDown; what the other side means by its status
          is for providers/answers.py to say.
Not here: pictures from addresses that a provider names; they need other guards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from bookline import __version__
from bookline.errors import ProviderDown, ProviderRefused, Unreachable
from bookline.net.aiohttp_bounds import BoundedResponse, NameLookUp
from bookline.net.pace import Paced
from bookline.net.reach import Reach
from bookline.ports import Answer, Http, Pace

MOST_BYTES: Final = 4_000_000  # our choice; Google's longest page is below 0.2 MB
MOST_REDIRECTS: Final = 3
CONNECTIONS: Final = 100  # at once, to all hosts together
TOTAL_SECONDS: Final = 120.0  # a net below the steps' own limits, which are shorter

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD: Final = frozenset({307, 308})

_log = logging.getLogger(__name__)


class AiohttpHttp:
    """``Http`` over one session, which is opened at the first question in the running loop.

    ``contact`` is a mail address or a page: Open Library answers callers without one with 403.
    """

    def __init__(self, *, contact: str = "", pace: Pace | None = None) -> None:
        self._user_agent = user_agent(contact)
        self._pace = pace
        self._session: aiohttp.ClientSession | None = None
        self._reach = Reach()
        self._closed = False

    def for_provider(self, name: str) -> Http:
        """The same session, with each question waiting for the provider's turn."""
        return self if self._pace is None else Paced(self, self._pace, name)

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Raises: ProviderDown; ProviderRefused for a redirect that is not followed."""
        return await self._ask("GET", url, params=params, headers=headers)

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises: as ``get``."""
        return await self._ask("POST", url, json=json, headers=headers)

    async def aclose(self) -> None:
        """Close the session; questions that are still open or come later are ProviderDown."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, **request: Any
    ) -> Answer:
        where = "the provider"
        try:
            target = URL(url)
            where = f"{target.host_port_subcomponent}{target.path}"
            if params:
                target = target.update_query(params)
            return await self._follow(method, target, **request)
        except (aiohttp.ClientConnectorDNSError, aiohttp.ConnectionTimeoutError) as error:
            self._reach.lost(target.host or where)
            raise Unreachable(target.host or where) from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderDown(f"Cannot reach {target.host}: {_reason(error)}") from error
        except TimeoutError as error:
            raise ProviderDown(f"{where} did not answer in time", "PROVIDER_TIMEOUT") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            _log.debug("%s: %s", where, type(error).__name__)
            raise ProviderDown(
                f"The connection to {where} failed: {type(error).__name__}"
            ) from error

    async def _follow(self, method: str, url: URL, **request: Any) -> Answer:
        for _ in range(MOST_REDIRECTS + 1):
            session, host = self._open(), url.host or ""
            request["timeout"] = aiohttp.ClientTimeout(
                total=TOTAL_SECONDS, sock_connect=self._reach.limit_seconds(host)
            )
            async with session.request(method, url, allow_redirects=False, **request) as response:
                self._reach.found(host)
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await _read(response)
                url = _next(method, url, response.status, location)
        raise ProviderRefused(f"{url.host} redirects more than {MOST_REDIRECTS} times")

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ProviderDown("this process is ending and asks no more")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS,
                    ttl_dns_cache=60,
                    resolver=NameLookUp(self._reach.limit_seconds),
                ),
                response_class=BoundedResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={
                    "User-Agent": self._user_agent,
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip, deflate",
                },
            )
        return self._session


def user_agent(contact: str) -> str:
    """``Bookline/1.0 (contact)``; characters that a header cannot carry are left out."""
    safe = "".join(char for char in contact if " " <= char <= "~" and char not in "()").strip()
    return f"Bookline/{__version__} ({safe})" if safe else f"Bookline/{__version__}"


def _reason(error: aiohttp.ClientConnectorError) -> str:
    return error.os_error.strerror or type(error.os_error).__name__


async def _read(response: aiohttp.ClientResponse) -> Answer:
    """The answer with its body. aiohttp unpacks piece by piece, so the cap holds for bombs too."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            raise ProviderDown(f"{response.url.host} sent an answer over 4 MB")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status, headers=headers, body=bytes(body), url=str(response.url))


def _next(method: str, url: URL, status: int, location: str) -> URL:
    """Where a redirect leads.

    Raises: ProviderRefused for another host or port, for less than https, and for a POST that
    would become a GET.
    """
    target = url.join(URL(location))
    if (target.host, target.port) != (url.host, url.port) or target.scheme != url.scheme:
        raise ProviderRefused(f"{url.host} redirects to {target.scheme}://{target.host}")
    if method != "GET" and status not in _SAME_METHOD:
        raise ProviderRefused(f"{url.host} redirects what was posted")
    return target
