"""How one setting is read: rates, switches, lists, hosts, ports; and what is wrong with it.

Way:      settings.py gives each field its kind → here
"""

import difflib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator

from bookline.rates import Rate, read_rate

PREFIX = "BOOKLINE_"


def _read_switch(text: object) -> object:
    """``on`` or ``off``: also true, false, yes, no, 1, 0."""
    words = {"on": True, "true": True, "yes": True, "1": True}
    words |= {"off": False, "false": False, "no": False, "0": False}
    if isinstance(text, str):
        if text.strip().lower() not in words:
            raise ValueError("must be on or off")
        return words[text.strip().lower()]
    return text


def _read_limit(text: object) -> object:
    return read_rate(text) if isinstance(text, str) else text


def _read_list(text: object) -> object:
    if isinstance(text, str):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _read_rates(text: object) -> object:
    if not isinstance(text, str):
        return text
    rates = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, rate = part.partition("=")
        if not equals:
            raise ValueError("must look like google_books=10/s,openlibrary=3/s")
        rates[name.strip()] = read_rate(rate)
    return rates


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to this host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """Where a server that binds this host is reached from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _read_keys(text: object) -> object:
    keys = _read_list(text)
    if isinstance(text, str) and text and not keys:
        raise ValueError("is a list without a key; remove it to serve this machine without keys")
    return keys


def split_address(url: str) -> SplitResult:
    """Raises: ValueError for what is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("must be an address: scheme://host or scheme://host:port") from None


def check_port(netloc: str) -> None:
    """Raises: ValueError for a port that cannot be."""
    port = netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65_535):
        raise ValueError("has a port that cannot be: 1 to 65535")


Switch = Annotated[bool, BeforeValidator(_read_switch)]
Names = Annotated[tuple[str, ...], BeforeValidator(_read_list)]
KeyList = Annotated[tuple[str, ...], BeforeValidator(_read_keys)]
Limit = Annotated[Rate | None, BeforeValidator(_read_limit)]
Rates = Annotated[dict[str, Rate | None], BeforeValidator(_read_rates)]
# Open Library's 3/s holds with a contact, ISBNdb's 1/s is its smallest plan.
DEFAULT_RATES: dict[str, Rate | None] = {
    "google_books": Rate(count=10, seconds=1),
    "openlibrary": Rate(count=3, seconds=1),
    "isbndb": Rate(count=1, seconds=1),
}
_QUOTE = "'"
_LIST_HINT = "without it `bookline config` lists all"
_PLAIN = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be two capital letters, as US",  # the one that has a pattern
}
"""Pydantic's kinds of faults, as people say them."""


def fault_in_words(fault: Mapping[str, Any], names: Iterable[str]) -> str:
    """One of pydantic's faults as people say it; ``names`` are the fields that there are."""
    place = fault["loc"]
    if not place:  # of several settings together: the reason names them
        return str(fault["msg"]).removeprefix("Value error, ")
    field = str(place[0])
    name = PREFIX + field.upper()
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, names, 1)
        hint = f"did you mean {PREFIX}{near[0].upper()}?" if near else _LIST_HINT
        return f"{name} is not a setting; {hint}"
    return f"{name}: {reason_of(fault)}"


def reason_of(fault: Mapping[str, Any]) -> str:
    """What is wrong with a value, as people say it."""
    plain = _PLAIN.get(str(fault["type"]))
    if plain is None:
        return str(fault["msg"]).removeprefix("Value error, ")
    return plain.format(**fault.get("ctx", {})).replace(_QUOTE, "")
