"""Questions to providers and for covers by the runtime's ``fetch``.

Rule 1:  the body is read piece by piece, and no further than its cap.
Rule 2:  a question follows redirects on the same host only; a cover's are checked one by one.
Source:  https://developers.cloudflare.com/workers/runtime-apis/fetch/
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from pyodide.ffi import JsException
from workers import fetch

from bookline.errors import ProviderDown, ProviderRefused
from bookline.net import cover_rules
from bookline.net.addresses import Address, CoverHosts
from bookline.ports import Answer
from on_cloudflare.plain import DEEPEST, is_deep

MOST_BYTES = 4_000_000  # our choice; Google's longest page is below 0.2 MB
MOST_REDIRECTS = 3


class FetchHttp:
    """Fills the port Http."""

    def __init__(self, user_agent: str) -> None:
        self._headers = {"user-agent": user_agent, "accept": "application/json"}

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        full = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
        return await self._ask(full, "GET", headers)

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        told = {"content-type": "application/json", **(headers or {})}
        return await self._ask(url, "POST", told, body=_dumped(json))

    async def _ask(
        self, url: str, method: str, headers: Mapping[str, str] | None, **more: str
    ) -> Answer:
        place = urlsplit(url)
        where = f"{place.netloc}{place.path}"
        told = {**self._headers, **(headers or {})}
        for _ in range(MOST_REDIRECTS + 1):
            answer = await _fetched(url, where, MOST_BYTES, method=method, headers=told, **more)
            target = urljoin(url, answer.headers.get("location", ""))
            if answer.status not in cover_rules.REDIRECTS or "location" not in answer.headers:
                return _shallow(answer, where)
            other = urlsplit(target)
            if (other.scheme, other.netloc) != (place.scheme, place.netloc) or method != "GET":
                raise ProviderRefused(
                    f"{place.netloc} redirects to {other.scheme}://{other.netloc}"
                )
            url = target
        raise ProviderRefused(f"{place.netloc} redirects more than {MOST_REDIRECTS} times")


class FetchCovers:
    """Fills the port CoverFetcher.

    Names are resolved by Cloudflare, whose ``fetch`` reaches public addresses only.
    """

    def __init__(self, hosts: Collection[str], user_agent: str, *, allow_private: bool) -> None:
        self._hosts = CoverHosts(hosts, allow_private=allow_private)
        self._headers = {"user-agent": user_agent, "accept": cover_rules.ACCEPT}

    async def fetch(self, url: str) -> Answer:
        try:
            async with asyncio.timeout(cover_rules.LIMIT_SECONDS):
                return await cover_rules.follow(self._hosts, url, self._get)
        except TimeoutError as error:
            host = urlsplit(url).netloc
            raise ProviderDown(f"{host} did not answer in time", "COVER_TIMEOUT") from error

    async def _get(self, address: Address) -> Answer:
        try:
            answer = await _fetched(
                address.text, address.host, cover_rules.MOST_BYTES, headers=self._headers
            )
        except ProviderDown as error:
            raise ProviderDown(str(error), "COVER_FAILED") from error
        except TooLarge as error:
            raise cover_rules.too_large(address.host) from error
        cover_rules.refuse_status(address.host, answer)
        return answer


class TooLarge(ProviderDown):
    """A body over its cap."""


async def _fetched(url: str, where: str, most_bytes: int, **request: Any) -> Answer:
    """Raises: ProviderDown (no connection, cut body), TooLarge."""
    try:
        response = await fetch(url, redirect="manual", **request)
        body = await read_capped(response.js_object.body, most_bytes)
    except (JsException, OSError) as error:
        raise ProviderDown(f"{where} could not be reached: {type(error).__name__}") from error
    if body is None:
        raise TooLarge(f"{where} sent more than {most_bytes // 1_000_000} MB")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status, headers=headers, body=body, url=url)


async def read_capped(stream: Any, most_bytes: int) -> bytes | None:
    """The body; None where it is longer than the cap."""
    if not stream:
        return b""
    reader, size = stream.getReader(), 0
    pieces: list[bytes] = []
    while True:
        part = await reader.read()
        if part.done:
            return b"".join(pieces)
        size += part.value.byteLength
        if size > most_bytes:
            await reader.cancel()
            return None
        pieces.append(part.value.to_bytes())


def _shallow(answer: Answer, where: str) -> Answer:
    """The same. JSON that is nested too deep would end the whole interpreter: it is told as broken.

    Raises: ProviderDown.
    """
    if is_deep(answer.body):
        raise ProviderDown(f"{where} sent JSON that is nested more than {DEEPEST} deep")
    return answer


def _dumped(value: object) -> str:
    return json.dumps(value)
