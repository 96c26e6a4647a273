"""Where a request comes from and what it calls us, also through proxies.

Rule 1:  X-Forwarded-* counts only from TRUSTED_PROXIES.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

from bookline.api.origins import is_host
from bookline.api.peers import client_of, is_within, read_networks
from bookline.setting_values import is_loopback
from bookline.settings import Settings


class Callers:
    """How requests reach a server with these settings."""

    def __init__(self, settings: Settings, *, any_host: bool) -> None:
        self._proxies = read_networks(settings.trusted_proxies)
        self._any_host = any_host
        self._host = settings.host.lower()

    def address(self, scope: Scope) -> str:
        """The client (``client_of``); behind proxies of ours, who the last of them names."""
        address = _sender(scope)
        if not self._is_proxy(address):
            return client_of(address)
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        hops = [hop.strip() for line in forwarded for hop in line.split(",") if hop.strip()]
        for hop in reversed(hops):
            if not self._is_proxy(hop):
                return client_of(hop[:64])
        return address

    def read_forwarded(self, scope: Scope) -> None:
        """Makes scheme and host what the caller used: the URLs in our answers are the caller's."""
        if not self._is_proxy(_sender(scope)):
            return
        headers = MutableHeaders(scope=scope)
        scheme = headers.get("x-forwarded-proto", "").strip().lower()
        if scheme in {"http", "https"} and scope["type"] == "http":
            scope["scheme"] = scheme
        host = headers.get("x-forwarded-host", "").rpartition(",")[2].strip()
        if host:
            headers["host"] = host

    def names_us(self, headers: Headers) -> bool:
        """True for a name of this server.

        Without keys only a loopback name is: a web page cannot rebind its own name to us.
        """
        if self._any_host:
            return True
        host = headers.get("host", "").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name == self._host or is_loopback(name.strip("[]"))

    def _is_proxy(self, address: str) -> bool:
        return is_within(address, self._proxies)


def has_plain_host(headers: Headers) -> bool:
    """One Host that can stand in a URL; none at all is what HTTP/1.0 sends."""
    hosts = headers.getlist("host")
    return len(hosts) <= 1 and all(map(is_host, hosts))


def _sender(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
