"""Request bodies and query parameters, read with a cap and plain errors.

Rule 1:  what cannot be read is a 400 that says what to send; nothing has happened by then.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bookline.errors import InvalidIsbn, Refused
from bookline.imports import Order
from bookline.migration.rollout import TEXT_CHARS, Change
from bookline.migration.rollouts import ACTOR_CHARS, REASON_CHARS, WEEK_MS
from bookline.threads import in_thread
from bookline.values import Json

if TYPE_CHECKING:
    from starlette.requests import Request

    from bookline.api.route_table import RouteRule

USUAL_BODY_BYTES = 16 * 1024  # docs/contract.md, as those that differ:
BODY_BYTES: Mapping[str, int] = {
    "PATCH /v2/books/{}": 256 * 1024,
    "PUT /v2/covers/{}": 10 * 1024 * 1024,
    "POST /v2/import/batch": 20 * 1024 * 1024,
    "POST /v2/import/file": 20 * 1024 * 1024 + 64 * 1024,  # the form around it
    "POST /v2/import/batch/{}/items/{}/choose": 256 * 1024,
}
"""Most bytes of a body, by method and path; a route that takes no body reads none."""
LIMIT_MOST = 200  # our choice: items of one page
_ON = frozenset({"true", "1", "on", "yes", "t", "y"})
_OFF = frozenset({"false", "0", "off", "no", "f", "n"})
_WINDOW = re.compile(r"([0-9]{1,5})([mhd])")
_PLUS = re.compile(r" ([0-9]{2}:?[0-9]{2})$")  # what a query makes of a "+" that is not quoted
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


async def read_body(request: Request) -> Json:
    """The JSON object of a request, with no field that its route does not declare.

    Raises: Refused (PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST).
    """
    return await read_object(request, await read_json_bytes(request))


async def read_json_bytes(request: Request) -> bytes:
    """A body that says that it is JSON. Raises: Refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Refused("UNSUPPORTED_MEDIA_TYPE", "send Content-Type: application/json")
    return await read_bytes(request)


async def read_object(request: Request, body: bytes) -> Json:
    """The request's body as a JSON object, its names checked. Raises: Refused."""
    is_small = len(body) <= USUAL_BODY_BYTES
    try:
        value = json.loads(body) if is_small else await in_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        raise Refused("INVALID_REQUEST", "the body is not JSON") from error
    if not isinstance(value, dict):
        raise Refused(
            "INVALID_REQUEST", 'the body must be an object like {"isbn": "9780451524935"}'
        )
    rule = _rule(request)
    if rule is not None and rule.body_names is not None:
        check_names(value, rule.body_names)
    return value


async def read_bytes(request: Request) -> bytes:
    """The whole body, as long as its route allows. Raises: Refused (PAYLOAD_TOO_LARGE)."""
    rule = _rule(request)
    most = USUAL_BODY_BYTES if rule is None else rule.body_bytes
    told = request.headers.get("content-length", "")
    body = bytearray()
    if not (told.isdigit() and int(told[:12]) > most):
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                break
        else:
            return bytes(body)
    size = f"{most >> 20} MB" if most >= 1 << 20 else f"{most >> 10} KB"
    raise Refused("PAYLOAD_TOO_LARGE", f"The body of this request is larger than {size}.")


def _rule(request: Request) -> RouteRule | None:
    """What gate.py found of the request's route."""
    rule: RouteRule | None = request.scope["state"].get("rule")
    return rule


def check_names(given: Iterable[str], known: Sequence[str], where: str = "field") -> None:
    """Raises: Refused (INVALID_REQUEST) that names what is not known there."""
    unknown = [ascii(name)[:50] for name in given if name not in known]
    if unknown:
        there = f"known are {', '.join(known)}" if known else "this request takes none"
        raise Refused("INVALID_REQUEST", f"unknown {where} {', '.join(unknown[:5])}: {there}")


def read_order(body: Json, headers: Mapping[str, str], caller: str) -> Order:
    """What the body asks for.

    Raises: Refused (INVALID_ISBN, INVALID_SOURCE, INVALID_REQUEST) for wrong types.
    """
    isbn = body.get("isbn")
    if isbn is None:
        raise InvalidIsbn("", "isbn is missing")
    if not isinstance(isbn, str):
        raise InvalidIsbn(str(isbn)[:64], "isbn must be a string")
    try:
        plain("isbn", isbn)
    except Refused as refused:
        raise InvalidIsbn(ascii(isbn)[1:-1], refused.message) from refused
    return Order(
        isbn=isbn,
        source=read_source(body),
        user_id=optional_text(body, "userId"),
        idempotency_key=headers.get("idempotency-key"),
        caller=caller,
    )


def read_source(body: Json) -> str:
    """Unchecked, but a text. Raises: Refused (INVALID_SOURCE)."""
    source = body.get("source")
    if source is not None and not isinstance(source, str):
        raise Refused("INVALID_SOURCE", "source must be a string")
    return "auto" if source is None else source


def read_method(body: Json, headers: Mapping[str, str]) -> str | None:
    """The method that a caller forces, by the body or as a tester by the header; None for none.

    Raises: Refused (INVALID_REQUEST) when both are given and differ.
    """
    method = optional_text(body, "method")
    cohort = headers.get("bookline-method")
    if None not in {method, cohort} and method != cohort:
        raise Refused("INVALID_REQUEST", "method and Bookline-Method name different methods")
    return cohort if method is None else method


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedChange:
    """A change of the rollout, with who wants it and why."""

    change: Change
    actor: str
    reason: str


CHANGES = ("percent", "salt", "killSwitch", "automatic", "users", "incident", "resolve")
TEXTS = ("salt", "incident")


def read_change(body: Json, caller: str) -> WantedChange:
    """Raises: Refused (INVALID_REQUEST) for anything that is none, and for nothing at all."""
    check_names(body, (*CHANGES, "reason", "actor"))
    given = {name: body[name] for name in CHANGES if body.get(name) is not None}
    if not given and body.get("reason") is None:
        raise Refused("INVALID_REQUEST", f"nothing to change: send one of {', '.join(CHANGES)}")
    for name in TEXTS:
        if len(optional_text(body, name) or "") > TEXT_CHARS:
            raise Refused("INVALID_REQUEST", f"{name} may have {TEXT_CHARS} characters")
    for name in ("percent", "resolve"):
        if name in given and (isinstance(given[name], bool) or not isinstance(given[name], int)):
            raise Refused("INVALID_REQUEST", f"{name} must be a whole number")
    users = given.get("users", {})
    if not isinstance(users, dict) or not all(
        one is None or isinstance(one, str) for one in users.values()
    ):
        raise Refused("INVALID_REQUEST", 'users must look like {"user-17": "workflow"}')
    change = Change(
        percent=given.get("percent"),
        salt=given.get("salt"),
        kill_switch=given.get("killSwitch"),
        automatic=given.get("automatic"),
        users={plain("users", user_id): method for user_id, method in users.items()} or None,
        incident=given.get("incident"),
        resolve=given.get("resolve"),
    )
    return _wanted(body, caller, change)


def read_reason(body: Json, caller: str) -> WantedChange:
    """Raises: Refused (INVALID_REQUEST)."""
    check_names(body, ("reason", "actor"))
    return _wanted(body, caller, Change())


def _wanted(body: Json, caller: str, change: Change) -> WantedChange:
    reason, actor = optional_text(body, "reason") or "", optional_text(body, "actor") or caller
    for name, text, most in (("reason", reason, REASON_CHARS), ("actor", actor, ACTOR_CHARS)):
        if len(text) > most:
            raise Refused("INVALID_REQUEST", f"{name} may have {most} characters")
    return WantedChange(change=change, actor=actor, reason=reason)


def read_window_ms(window: str) -> int:
    """``15m``, ``24h``, ``7d`` in milliseconds. Raises: Refused (INVALID_REQUEST)."""
    match = _WINDOW.fullmatch(window)
    milliseconds = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not 0 < milliseconds <= WEEK_MS:
        raise Refused("INVALID_REQUEST", "window must look like 15m, 24h or 7d, and 7d at most")
    return milliseconds


def read_since_ms(text: str) -> int:
    """An ISO 8601 time with its zone as epoch milliseconds. Raises: Refused (INVALID_REQUEST)."""
    try:
        at = datetime.fromisoformat(_PLUS.sub(r"+\1", text))
        if at.tzinfo is None:
            raise ValueError("no zone")
        return math.floor(at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Refused(
            "INVALID_REQUEST", "since must be a time with its zone, like 2026-11-22T21:19:19Z"
        ) from error


def read_limit(request: Request, default: int) -> int:
    """``?limit=``. Raises: Refused (INVALID_REQUEST)."""
    return limit_of(request.query_params.get("limit"), default)


def limit_of(text: str | None, default: int) -> int:
    """The same from the parameter's text. Raises: Refused (INVALID_REQUEST)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LIMIT_MOST):
        raise Refused("INVALID_REQUEST", f"limit must be a whole number from 1 to {LIMIT_MOST}")
    return int(text)


def read_switch(name: str, text: str | None) -> bool:
    """``?name=``, off where it is missing. Raises: Refused (INVALID_REQUEST)."""
    word = (text or "false").lower()
    if word not in _ON | _OFF:
        raise Refused("INVALID_REQUEST", f"{name} must be true or false")
    return word in _ON


def read_choice(body: Json) -> str | None:
    """Which book a review means: its ISBN, or None to skip it. Raises: Refused."""
    isbn, skip = optional_text(body, "isbn"), body.get("skip")
    if not (skip is None or skip is True) or (isbn is None) == (skip is None):
        raise Refused("INVALID_REQUEST", 'send either {"isbn": "9780451524935"} or {"skip": true}')
    return isbn


def read_index(text: str) -> int:
    """A place in a list, from 0. Raises: Refused (INVALID_REQUEST)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Refused("INVALID_REQUEST", "index must be a whole number from 0")
    return int(text)


def optional_text(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused("INVALID_REQUEST", f"{name} must be a string")
    return None if value is None else plain(name, value)


def plain(name: str, text: str) -> str:
    """The text, if it can be written down: JSON can hold half of a character pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused("INVALID_REQUEST", f"{name} is not valid Unicode") from error
    if "\0" in text:
        raise Refused("INVALID_REQUEST", f"{name} must not hold a NUL character")
    return text
