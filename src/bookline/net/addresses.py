"""Which addresses a cover may come from: URLs, hosts and IP addresses, checked without any I/O.

Way:      cover_fetcher.py → here
Source:   RFC 3986 (URL), RFC 6890 and IANA's special-purpose registries (IP addresses).
Rule 1:   the text that is checked is the text that is asked for: no second parser in between.
Rule 2:   whatever is not known to be harmless is refused, and the message holds no query.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote

from bookline.errors import CoverRefused, Refused

PROVIDER_HOSTS = frozenset(
    {
        "books.google.com",
        "*.books.google.com",  # bks3.books.google.com and its like, in older volumes
        "books.googleusercontent.com",  # where Google redirects publishers' pictures to
        "covers.openlibrary.org",
        "archive.org",  # Open Library keeps its large covers there …
        "*.archive.org",  # … which redirects to its machines: ia800.us., dn7.ca.archive.org
        "images.isbndb.com",
        "*.isbndb.com",
    }
)
"""Hosts of the providers' pictures; ``*.`` stands for any subdomain."""

LONGEST_URL_CHARS = 2_000  # our choice; the longest signed one seen has 400

_LABEL = r"[a-z0-9_-]{1,63}"
_NAME = rf"{_LABEL}(?:\.{_LABEL}){{0,20}}"
_HOST = rf"(?P<host>\[[0-9a-f:.]{{2,45}}\]|{_NAME})(?::(?P<port>[0-9]{{1,5}}))?"
_ENTRY = re.compile(_HOST, re.IGNORECASE | re.ASCII)
_URL = re.compile(
    rf"(?P<scheme>https?)://{_HOST}(?P<rest>[/?][^#]*)?(?:#.*)?", re.IGNORECASE | re.ASCII
)
_SENT_AS_THEY_ARE = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986: reserved, unreserved, and the escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A cover's address that has passed the checks."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int
    text: str
    """The whole URL, exactly as it is asked for."""


class CoverHosts:
    """The allow list: the providers' hosts, and those that the operator adds.

    ``extra`` holds ``host`` or ``host:port``. With ``allow_private`` these may be plain http,
    IP addresses, and private.
    Raises: Refused when an entry is neither.
    """

    def __init__(self, extra: Collection[str] = (), *, allow_private: bool = False) -> None:
        self._extra = frozenset(_read_entry(entry) for entry in extra)
        self._allow_private = allow_private

    def clean(self, url: str) -> Address:
        """The address to ask, with ``http:`` made ``https:`` and the fragment dropped.

        Raises: CoverRefused with the first rule that is broken.
        """
        refuse_characters(url)
        parts = _URL.fullmatch(quote(url, safe=_SENT_AS_THEY_ARE))
        if parts is None:
            raise CoverRefused("the cover's address is no plain https address")
        scheme, host = parts["scheme"].lower(), _plain(parts["host"])
        port = int(parts["port"]) if parts["port"] else None
        if scheme == "http" and not self.may_be_private(host, 80 if port is None else port):
            # Every image link of Google Books is http:, and all these hosts speak https.
            scheme, port = "https", None if port == 80 else port
        if port is None:
            port = 443 if scheme == "https" else 80
        self._refuse_host(host, port)
        shown = f"[{host}]" if ":" in host else host
        if port != (443 if scheme == "https" else 80):
            shown = f"{shown}:{port}"
        rest = parts["rest"] or "/"
        text = f"{scheme}://{shown}{rest if rest.startswith('/') else '/' + rest}"
        return Address(scheme=scheme, host=host, port=port, text=text)

    def may_be_private(self, host: str, port: int) -> bool:
        """Whether this host may be plain http and have a private address."""
        return self._allow_private and self._is_extra(host, port)

    def _refuse_host(self, host: str, port: int) -> None:
        if _is_ip(host) and not self.may_be_private(host, port):
            raise CoverRefused(f"the cover's host {host} is an IP address")
        if self._is_extra(host, port):
            return
        if host not in PROVIDER_HOSTS and not _parents(host) & PROVIDER_HOSTS:
            raise CoverRefused(f"the cover's host {host} is not on the list")
        if port != 443:
            raise CoverRefused(f"the cover's host {host} may be asked on port 443, not {port}")

    def _is_extra(self, host: str, port: int) -> bool:
        usual = port == 443 or (port == 80 and self._allow_private)
        return (host, port) in self._extra or (usual and (host, None) in self._extra)


def refuse_characters(url: str) -> None:
    """Raises: CoverRefused for characters on which parsers disagree, and for an overlong text."""
    if len(url) > LONGEST_URL_CHARS:
        raise CoverRefused(f"the cover's address has {len(url)} characters")
    if not url.isprintable() or " " in url or "\\" in url:
        raise CoverRefused("the cover's address holds characters that no address may hold")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet, and to one machine there."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        return _is_public_v6(ip) if inner is None else _is_public_v4(inner)
    return _is_public_v4(ip)


_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
# Known to newer Pythons only, or public by the letter but of no use to a cover.
_NOT_PUBLIC_V4 = tuple(ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24"))
_NOT_PUBLIC_V6 = tuple(ip_network(net) for net in ("2001::/23", "2001:db8::/32", "3fff::/20"))


def _is_public_v4(ip: IPv4Address) -> bool:
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    return not any(ip in net for net in _NOT_PUBLIC_V4)


def _is_public_v6(ip: IPv6Address) -> bool:
    if ip not in _GLOBAL_UNICAST or not ip.is_global:
        return False
    return not any(ip in net for net in _NOT_PUBLIC_V6)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a connection to this one really reaches."""
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _read_entry(entry: str) -> tuple[str, int | None]:
    parts = _ENTRY.fullmatch(entry.strip())
    if parts is None:
        raise Refused("INVALID_REQUEST", f"COVER_HOSTS: {entry!r} is neither host nor host:port")
    try:
        host = _plain(parts["host"])
    except CoverRefused as error:
        raise Refused("INVALID_REQUEST", f"COVER_HOSTS: {entry!r} is no address") from error
    return host, int(parts["port"]) if parts["port"] else None


def _plain(host: str) -> str:
    """Lower case; IPv6 without brackets and in its one short form."""
    if not host.startswith("["):
        return host.lower()
    try:
        return str(IPv6Address(host[1:-1]))
    except ValueError as error:
        raise CoverRefused("the cover's address holds a broken IPv6 address") from error


def _is_ip(host: str) -> bool:
    """Also the short forms that a resolver reads as IPv4: ``127.1``, ``2130706433``, ``0x7f.1``."""
    return ":" in host or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rsplit(".", 1)[-1]) is not None


def _parents(host: str) -> frozenset[str]:
    labels = host.split(".")
    return frozenset("*." + ".".join(labels[at:]) for at in range(1, len(labels)))
