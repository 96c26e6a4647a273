"""How many connections one client address may have, so that nobody takes them all.

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
PEER = "bookline.peer"
"""Name of the ASGI extension whose ``place`` is a Place."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(texts: Sequence[str]) -> list[Network]:
    """The networks of TRUSTED_PROXIES."""
    return [ipaddress.ip_network(one, strict=False) for one in texts]


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """True if the address is one, and in one of the networks."""
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(caller in network for network in networks)


class Place:
    """One connection among those of its address."""

    __slots__ = ("_address", "_peers", "is_known")

    def __init__(self, peers: "Peers", address: str) -> None:
        self._peers = peers
        self._address = address
        self.is_known = False

    def know(self) -> None:
        """A key or a token was shown: the wider limit counts. Safe twice."""
        if not self.is_known:
            self.is_known = True
            self._peers.know(self._address)

    def leave(self) -> None:
        """The connection has gone. To be called once."""
        self._peers.leave(self._address, was_known=self.is_known)

    @property
    def must_show_key(self) -> bool:
        """True while this connection is one too many, unless it shows a key."""
        return not self.is_known and self._peers.is_crowded(self._address)


def know_peer(scope: Scope) -> None:
    """Whoever sent this has shown a key or a token; other servers than ours count nobody."""
    place: Place | None = scope.get("extensions", {}).get(PEER, {}).get("place")
    if place is not None:
        place.know()


class Peers:
    """The connections of this process, by client address."""

    def __init__(self, settings: Settings) -> None:
        self._has_keys = bool(settings.api_keys)
        is_alone = not self._has_keys and is_loopback(settings.host)
        self._strangers_most = KNOWN_MOST if is_alone else STRANGERS_MOST
        self._proxies = read_networks(settings.trusted_proxies)
        self._all: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()

    def enter(self, address: str) -> Place | None:
        """A place for one more connection; None when the address has too many."""
        if self._is_full(address) and not is_within(address, self._proxies):
            return None
        self._all[address] += 1
        self._strangers[address] += 1
        return Place(self, address)

    def _is_full(self, address: str) -> bool:
        is_crowded = self._strangers[address] >= self._strangers_most
        return self._all[address] >= KNOWN_MOST or (is_crowded and not self._has_keys)

    def is_crowded(self, address: str) -> bool:
        """True when there are more strangers from there than may be."""
        too_many = self._strangers[address] > self._strangers_most
        return too_many and not is_within(address, self._proxies)

    def know(self, address: str) -> None:
        """One of the address's strangers has shown a key."""
        self._strangers[address] -= 1

    def leave(self, address: str, *, was_known: bool) -> None:
        """Takes a connection off the count."""
        self._all[address] -= 1
        self._strangers[address] -= not was_known
        if not self._all[address]:  # so that the table stays as small as who is here
            del self._all[address], self._strangers[address]
