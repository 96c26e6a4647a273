"""How many connections one client may have, so that nobody takes them all.

Way:      protocols.py enters and leaves; gate.py and routes.py say who has shown a key or token
Rule 1:   a connection over the strangers' limit has a moment to show a key, then it is cut.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence

from starlette.types import Scope

from bookline.setting_values import is_loopback
from bookline.settings import Settings

STRANGERS_MOST = 256  # docs/contract.md: connections of one address without a key or token
KNOWN_MOST = 1_100  # with one, and where only this machine can come
SHOW_KEY_SECONDS = 1.0  # our choice: for a connection over the strangers' limit
MAPPED = 96  # bits before an IPv4 address in ::ffff:0:0/96 (RFC 4291)
SITE_BITS = 64  # RFC 6177: no site gets less than that of IPv6
PEER = "bookline.peer"
"""Name of the ASGI extension whose ``place`` is a Place."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(texts: Sequence[str]) -> list[Network]:
    """The networks of TRUSTED_PROXIES, in the form in which ``is_within`` reads addresses."""
    return [_plain(ipaddress.ip_network(one, strict=False)) for one in texts]


def _plain(network: Network) -> Network:
    first = _read_address(str(network.network_address))
    if network.version == 4 or first is None or first.version == 6 or network.prefixlen < MAPPED:
        return network
    return ipaddress.IPv4Network((int(first), network.prefixlen - MAPPED))


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """True if the address is one, and in one of the networks."""
    caller = _read_address(address)
    return caller is not None and any(caller in network for network in networks)


def client_of(address: str) -> str:
    """Who is behind an address: itself in IPv4; in IPv6 its network, of which one machine may take
    whichever address it likes. Any other text is itself.
    """
    read = _read_address(address)
    if read is None:
        return address
    if isinstance(read, ipaddress.IPv4Address):
        return str(read)
    return str(ipaddress.ip_network((int(read), SITE_BITS), strict=False))


def _read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address that a socket of both kinds shows as IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Place:
    """One connection among those of its client."""

    __slots__ = ("_client", "_peers", "is_known")

    def __init__(self, peers: "Peers", client: str) -> None:
        self._peers = peers
        self._client = client
        self.is_known = False

    def know(self) -> None:
        """A key or a token was shown: the wider limit counts. Safe twice."""
        if not self.is_known:
            self.is_known = True
            self._peers.know(self._client)

    def leave(self) -> None:
        """The connection has gone. To be called once."""
        self._peers.leave(self._client, was_known=self.is_known)

    @property
    def must_show_key(self) -> bool:
        """True while this connection is one too many, unless it shows a key."""
        return not self.is_known and self._peers.is_crowded(self._client)


def know_peer(scope: Scope) -> None:
    """Whoever sent this has shown a key or a token; other servers than ours count nobody."""
    place: Place | None = scope.get("extensions", {}).get(PEER, {}).get("place")
    if place is not None:
        place.know()


class Peers:
    """The connections of this process, by client (``client_of``)."""

    def __init__(self, settings: Settings) -> None:
        self._has_keys = bool(settings.api_keys)
        is_alone = not self._has_keys and is_loopback(settings.host)
        self._strangers_most = KNOWN_MOST if is_alone else STRANGERS_MOST
        self._proxies = read_networks(settings.trusted_proxies)
        self._all: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()

    def enter(self, address: str) -> Place | None:
        """A place for one more connection; None when the client has too many."""
        is_proxy = is_within(address, self._proxies)
        client = address if is_proxy else client_of(address)
        if self._is_full(client) and not is_proxy:
            return None
        self._all[client] += 1
        self._strangers[client] += 1
        return Place(self, client)

    def _is_full(self, client: str) -> bool:
        is_crowded = self._strangers[client] >= self._strangers_most
        return self._all[client] >= KNOWN_MOST or (is_crowded and not self._has_keys)

    def is_crowded(self, client: str) -> bool:
        """True when there are more strangers from there than may be."""
        too_many = self._strangers[client] > self._strangers_most
        return too_many and not is_within(client, self._proxies)

    def know(self, client: str) -> None:
        """One of the client's strangers has shown a key."""
        self._strangers[client] -= 1

    def leave(self, client: str, *, was_known: bool) -> None:
        """Takes a connection off the count."""
        self._all[client] -= 1
        self._strangers[client] -= not was_known
        if not self._all[client]:  # so that the table stays as small as who is here
            del self._all[client], self._strangers[client]
