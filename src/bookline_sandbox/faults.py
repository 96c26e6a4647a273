"""Faults on demand: the rules, which of them a request meets, and what they do to the answer.

Way:    control.py and server.py add rules; app.py asks for those of a request → here
Rule 1: a rule is used up by requests alone, so the same requests in the same order meet the same.
"""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import compress, crc32

from PIL import Image

from bookline_sandbox.catalogue import isbn13_of
from bookline_sandbox.wire import Answer, Endpoint, html_failure

PROVIDERS = ("google_books", "openlibrary", "isbndb")
ROUTES = (*PROVIDERS, "covers", "embeddings")

_BOOKS = frozenset(PROVIDERS)
_COVERS = frozenset({"covers"})
_ALL = frozenset(ROUTES)

KINDS = {
    "delay": _ALL,
    "status": _ALL,
    "hang": _ALL,
    "cut": _ALL,
    "close": _ALL,
    "wrong_type": _ALL,
    "garbage": _ALL,
    "wrong_key": _ALL,
    "huge": _ALL,
    "redirect": _ALL,
    "not_found": _BOOKS | _COVERS,
    "wrong_book": _BOOKS,
    "no_title": _BOOKS,
    "big_description": _BOOKS,
    "not_image": _COVERS,
    "tiny_image": _COVERS,
    "bomb": _COVERS,
}
"""Each kind and the routes it can meet. Any status code, as text, is a kind too: '429'."""

TWISTS = frozenset({"not_found", "wrong_book", "no_title", "big_description"})
"""Kinds that change the book one ISBN gets, not the whole answer."""

PARAMETERS = {
    "delay": ("ms",),
    "status": ("status", "retry_after"),
    "huge": ("bytes",),
    "redirect": ("url",),
}
HUGE_JSON_BYTES = 5_000_000
HUGE_COVER_BYTES = 11_000_000
LARGEST_BYTES = 50_000_000  # our choice
LONGEST_MS = 600_000  # our choice: ten minutes
_WRONG_KEY = {"google_books": 400, "isbndb": 403, "openlibrary": 403, "covers": 403}


class BadRule(ValueError):
    """A rule that makes no sense; the message says why."""


@dataclass(slots=True, kw_only=True)
class Rule:
    """One fault: whom it meets, what it does, and how often it has."""

    kind: str
    isbn: str = "*"
    route: str = "*"
    times: int | None = 1
    """None: for ever."""
    after: int = 0
    """The first matching requests, which it leaves alone."""
    parameters: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    used: int = 0

    def matching(self, route: str, isbns: Iterable[str]) -> list[str] | None:
        """The ISBNs of the request it is about ('*' for any); None if it is about another."""
        if self.route not in ("*", route) or route not in KINDS[self.kind]:
            return None
        if self.isbn == "*":
            return ["*"]
        return [self.isbn] if self.isbn in isbns else None

    def spend(self) -> bool:
        """Count one matching request; whether the rule meets it."""
        if self.times is not None and self.used >= self.times:
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.used += 1
        return True

    def as_dict(self) -> dict[str, Any]:
        """The rule as it was given, and its counts."""
        head = {"isbn": self.isbn, "route": self.route, "kind": self.kind}
        counts = {"times": self.times, "after": self.after, "seen": self.seen, "used": self.used}
        return head | self.parameters | counts


def read_rule(value: object) -> Rule:
    """A rule from its JSON shape.

    Raises: BadRule, for an unknown kind, route or parameter, or a value out of range.
    """
    if not isinstance(value, Mapping):
        raise BadRule("a rule is a JSON object")
    given = dict(value)
    kind = given.pop("kind", None)
    if isinstance(kind, int) or (isinstance(kind, str) and kind.isdecimal()):
        given["status"] = int(kind)
        kind = "status"
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadRule(f"unknown kind {kind!r}; known: {', '.join(KINDS)}, or a status code")
    rule = Rule(
        kind=kind,
        isbn=_isbn(given.pop("isbn", "*")),
        route=_route(given.pop("route", "*"), kind),
        times=_times(given.pop("times", 1)),
        after=_number("after", given.pop("after", 0), 0, 1_000_000),
    )
    unknown = set(given) - set(PARAMETERS.get(kind, ()))
    if unknown:
        raise BadRule(f"unknown parameter {sorted(unknown)[0]!r} for kind {kind!r}")
    rule.parameters = _parameters(kind, given)
    return rule


def _isbn(value: object) -> str:
    if value == "*":
        return "*"
    isbn = isbn13_of(value) if isinstance(value, str) else None
    if isbn is None:
        raise BadRule(f"isbn {value!r} is neither an ISBN nor '*'")
    return isbn


def _route(value: object, kind: str) -> str:
    if value == "*":
        return "*"
    if not isinstance(value, str) or value not in ROUTES:
        raise BadRule(f"unknown route {value!r}; known: {', '.join(ROUTES)}, '*'")
    if value not in KINDS[kind]:
        raise BadRule(f"kind {kind!r} cannot meet route {value!r}")
    return value


def _times(value: object) -> int | None:
    return None if value is None else _number("times", value, 1, 1_000_000)


def _number(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRule(f"{name} {value!r} is no whole number from {least} to {most}")
    return value


def _parameters(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case "delay":
            return {"ms": _number("ms", given.get("ms"), 0, LONGEST_MS)}
        case "status":
            status = _number("status", given.get("status"), 200, 599)
            return {"status": status} | _retry_after(given.get("retry_after"))
        case "huge" if "bytes" in given:
            return {"bytes": _number("bytes", given["bytes"], 1, LARGEST_BYTES)}
        case "redirect":
            if not isinstance(given.get("url"), str) or not given["url"]:
                raise BadRule("redirect needs a url")
            return {"url": given["url"]}
    return {}


def _retry_after(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRule("retry_after is a number of seconds or an HTTP date")
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        raise BadRule("retry_after is a number of seconds or an HTTP date")
    return {"retry_after": value}


@dataclass(slots=True)
class Met:
    """What one request meets."""

    delay_ms: int = 0
    twists: dict[str, str] = field(default_factory=dict)
    whole: Rule | None = None
    """The rule about the whole answer."""

    @property
    def names(self) -> str | None:
        """For the journal: the kinds, joined by '+'."""
        kinds = ["delay"] if self.delay_ms else []
        kinds += sorted(set(self.twists.values()))
        if self.whole:
            status = self.whole.parameters.get("status")
            kinds.append(str(status) if status else self.whole.kind)
        return "+".join(kinds) or None


_NOTHING = Met()


class Faults:
    """All rules, in the order they were added."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, *rules: Mapping[str, Any], **rule: Any) -> None:
        """Add rules, each a mapping, or one by its fields: `add(kind="429", isbn=…, times=2)`.

        Raises: BadRule; then none of them was added.
        """
        self._rules += [read_rule(one) for one in (*rules, *([rule] if rule else []))]

    def clear(self) -> None:
        """Forget all rules."""
        self._rules.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """The rules and how often each was used."""
        return [rule.as_dict() for rule in self._rules]

    def meet(self, route: str, isbns: Iterable[str]) -> Met:
        """Spend the rules this request meets: delays and twists add up, the first other ends it."""
        if not self._rules:
            return _NOTHING
        met = Met()
        for rule in self._rules:
            about = rule.matching(route, isbns)
            if about is None or not rule.spend():
                continue
            if rule.kind == "delay":
                met.delay_ms += rule.parameters["ms"]
            elif rule.kind in TWISTS:
                met.twists = dict.fromkeys(about, rule.kind) | met.twists
            else:
                met.whole = rule
                break
        return met


def replaced(rule: Rule, endpoint: Endpoint) -> Answer | None:
    """The answer that stands in for the provider's own; None if the own one is still needed."""
    image = endpoint.route == "covers"
    match rule.kind:
        case "status":
            return _with_retry_after(endpoint.failure(rule.parameters["status"]), rule)
        case "wrong_key":
            return endpoint.failure(_WRONG_KEY.get(endpoint.route, 401))
        case "redirect":
            return Answer(status=302, headers=(("location", rule.parameters["url"]),))
        case "wrong_type":
            return html_failure(200, "Welcome")
        case "not_image":
            return Answer(body=html_failure(200, "Welcome").body, content_type="image/jpeg")
        case "garbage" if image:
            return Answer(body=_JPEG_HEAD + b"\x00garbage" * 500, content_type="image/jpeg")
        case "garbage":
            return Answer(body=b'{"kind": "books#volumes", "items": [{"title": "Brok\xff\xfe')
        case "tiny_image":
            return Answer(body=tiny_gif(), content_type="image/gif")
        case "bomb":
            return Answer(body=bomb_png(), content_type="image/png")
        case "huge" if image:
            return Answer(body=_huge_cover(rule), content_type="image/jpeg")
    return None


_JPEG_HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def _with_retry_after(answer: Answer, rule: Rule) -> Answer:
    if "retry_after" not in rule.parameters:
        return answer
    return Answer(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers=(*answer.headers, ("retry-after", str(rule.parameters["retry_after"]))),
    )


def enlarged(answer: Answer, rule: Rule) -> Answer:
    """The same JSON with padding, over 4 MB by default."""
    padding = b"x" * rule.parameters.get("bytes", HUGE_JSON_BYTES)
    try:
        empty = json.loads(answer.body) == {}
    except ValueError:
        empty = True
    start = b"{" if empty else answer.body.rstrip()[:-1] + b","
    return Answer(body=start + b'"padding":"' + padding + b'"}', content_type=answer.content_type)


def _huge_cover(rule: Rule) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 600), "#456789").save(buffer, "JPEG")
    return buffer.getvalue().ljust(rule.parameters.get("bytes", HUGE_COVER_BYTES), b"\0")


def tiny_gif() -> bytes:
    """A true picture of one pixel."""
    buffer = io.BytesIO()
    Image.new("P", (1, 1)).save(buffer, "GIF")
    return buffer.getvalue()


def bomb_png() -> bytes:
    """A small PNG whose head claims 30000 by 30000 pixels, with a true checksum."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + name + data + crc32(name + data).to_bytes(4)

    side = (30_000).to_bytes(4)
    head = chunk(b"IHDR", side + side + b"\x08\x02\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", compress(b"\0" * 100)) + chunk(b"IEND", b"")
