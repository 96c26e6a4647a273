"""Who counts as one client: an IPv4 address, or a network of which one machine has all."""

import pytest
from starlette.types import Scope

from bookline.api.callers import Callers
from bookline.api.peers import STRANGERS_MOST, Peers, client_of
from bookline.settings import Settings

OPEN = Settings(host="::", api_keys=("a-key-of-16-characters",))


def asked_from(address: str, forwarded: str = "") -> Scope:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"type": "http", "client": (address, 1), "headers": headers}


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_one_client_is_an_address_or_a_network_of_64_bits(address: str, client: str) -> None:
    assert client_of(address) == client


def test_all_addresses_of_one_machine_have_one_share_of_connections() -> None:
    peers = Peers(OPEN)

    places = [peers.enter(f"2001:db8::{number:x}") for number in range(STRANGERS_MOST + 1)]

    last = places[-1]
    assert last is not None
    assert last.must_show_key
    elsewhere = peers.enter("2001:db8:0:1::1")
    assert elsewhere is not None
    assert not elsewhere.must_show_key


def test_all_addresses_of_one_machine_are_one_caller() -> None:
    callers = Callers(OPEN, any_host=False)

    seen = {callers.address(asked_from(f"2001:db8::{number:x}")) for number in range(9)}

    assert len(seen) == 1


@pytest.mark.parametrize("network", ["10.0.0.0/8", "::ffff:10.0.0.0/104"])
def test_a_trusted_proxy_is_known_by_its_address_in_ipv6_too(network: str) -> None:
    """A server on ``::`` sees an IPv4 proxy as ``::ffff:…``."""
    settings = OPEN.model_copy(update={"trusted_proxies": (network,)})
    callers = Callers(settings, any_host=False)

    assert callers.address(asked_from("::ffff:10.0.0.9", "198.51.100.4")) == "198.51.100.4"
    assert callers.address(asked_from("::ffff:11.0.0.9", "198.51.100.4")) == "11.0.0.9"
