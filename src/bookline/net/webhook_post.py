"""Posts to the operator's own endpoint, and to nowhere else.

Rule 1:  the address is the operator's and may be in a private network; a redirect is not followed,
         so that whoever answers there cannot send us on.
Rule 2:  the answer's body is not read.
"""

from collections.abc import Mapping

import aiohttp

from bookline.errors import ProviderDown
from bookline.net.aiohttp_bounds import BoundedResponse, NameLookUp

POST_SECONDS = 15.0  # the standard's recommendation
CONNECTIONS = 8


class WebhookPost:
    """Fills ``Post`` for one URL. Opens its session in the running loop, at the first post."""

    def __init__(self, url: str, user_agent: str) -> None:
        self._url = url
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Raises: ProviderDown when there is no answer in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, resolver=NameLookUp()),
                response_class=BoundedResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=POST_SECONDS),
                headers={"User-Agent": self._user_agent},
            )
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status
        except TimeoutError as error:
            raise ProviderDown(f"no answer within {POST_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProviderDown(f"no answer: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Safe twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None
