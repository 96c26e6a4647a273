"""Requests and answers: read, routed and sent as the contract says.

Way:      entry.py → ``answer`` → routes.py
Rule 1:   the shape of an answer, its codes and messages are api/answers.py's.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workers import Response

from bookline.api import answers
from bookline.api.bodies import USUAL_BODY_BYTES, check_names, limit_of, plain, read_switch
from bookline.api.limit_rules import headers_of, is_start, refusal
from bookline.api.origins import PREFLIGHT, SAFE_HEADERS, cors, is_foreign
from bookline.errors import Refused
from bookline.limits import Turn
from bookline.live.session import find_token
from bookline.values import Json
from on_cloudflare.cloud import Cloud
from on_cloudflare.limits import Callers
from on_cloudflare.net import read_capped
from on_cloudflare.plain import load, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as routes see it."""

    cloud: Cloud
    request: Any
    method: str
    base: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    caller: str = ""

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.query.get(name, default)

    def text(self, name: str) -> str | None:
        """Raises: Refused (INVALID_REQUEST) for what is no plain text."""
        value = self.query.get(name)
        return None if value is None else plain(name, value)

    def listed(self, header: str) -> list[str]:
        """A header's parts between commas."""
        return listed(self.headers, header)

    def limit(self, default: int) -> int:
        """Raises: Refused (INVALID_REQUEST)."""
        return limit_of(self.query.get("limit"), default)

    def switch(self, name: str) -> bool:
        """Raises: Refused (INVALID_REQUEST)."""
        return read_switch(name, self.query.get(name))

    async def json(self, known: tuple[str, ...] | None, most_bytes: int = USUAL_BODY_BYTES) -> Json:
        """The body's object. ``known`` are its fields; None where its reader checks them.

        Raises: Refused (PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST).
        """
        return self.object_of(await self.json_bytes(most_bytes), known)

    @property
    def kind(self) -> str:
        """The body's media type."""
        return (self.headers.get("content-type") or "").partition(";")[0].strip().lower()

    async def json_bytes(self, most_bytes: int) -> bytes:
        """A body that says that it is JSON. Raises: Refused."""
        if self.kind != "application/json" and not self.kind.endswith("+json"):
            raise Refused("UNSUPPORTED_MEDIA_TYPE", "send Content-Type: application/json")
        return await self.body(most_bytes)

    def object_of(self, body: bytes, known: tuple[str, ...] | None) -> Json:
        """The body as a JSON object, its names checked. Raises: Refused (INVALID_REQUEST)."""
        try:
            value = load(body.decode())
        except ValueError as error:
            raise Refused("INVALID_REQUEST", "the body is not JSON") from error
        if not isinstance(value, dict):
            raise Refused(
                "INVALID_REQUEST", 'the body must be an object like {"isbn": "9780451524935"}'
            )
        if known is not None:
            check_names(value, known)
        return value

    async def body(self, most_bytes: int) -> bytes:
        """Raises: Refused (PAYLOAD_TOO_LARGE)."""
        self.check_length(most_bytes)
        body = await read_capped(self.request.js_object.body, most_bytes)
        if body is None:
            raise _too_large(most_bytes)
        return body

    def check_length(self, most_bytes: int) -> None:
        """By what the request says of it. Raises: Refused (PAYLOAD_TOO_LARGE)."""
        length = self.headers.get("content-length") or "0"
        if length.isdigit() and int(length[:12]) > most_bytes:
            raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> Refused:
    return Refused("PAYLOAD_TOO_LARGE", f"the body of this request may have {most_bytes} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An answer, before it goes out."""

    data: object = None
    """Of the envelope."""
    body: bytes | None = None
    """Instead of an envelope."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[..., Awaitable[Sent | Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``path`` has its variable parts in braces; ``query`` names the parameters that it reads."""

    method: str
    path: str
    handler: Handler
    query: tuple[str, ...] = ()
    is_open: bool = False
    """Answers without a key."""
    takes_token: bool = False
    """A job's own token opens it, or a batch's."""
    is_socket: bool = False
    """Never limited: it has a closing code for whom it does not want."""
    takes_batch_token: bool = False
    """So does the token of the batch that the job is in."""

    def match(self, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None


async def answer(routes: tuple[Route, ...], cloud: Cloud, request: Any) -> Response:
    """The answer to a request, whatever happens."""
    request_id = answers.new_request_id()
    url = urlsplit(request.url)
    method = str(request.method)
    headers = {name.lower(): value for name, value in request.headers.items()}
    origins = cloud.listed("CORS_ORIGINS")
    limited: dict[str, str] = {}
    try:
        sent = await _route(routes, cloud, request, method, url, headers, request_id, limited)
    except Exception as error:
        failure = answers.failure_of(error, f"{method} {url.path}", request_id)
        sent = Sent(
            body=answers.encode(failure.to_json(request_id)), status=failure.status,
            headers={**JSON, **failure.headers},
        )  # fmt: skip
    if isinstance(sent, Response):
        return sent
    body, more = sent.body, dict(sent.headers)
    if body is None and sent.status not in {204, 304}:
        body = answers.encode(answers.success_json(sent.data, request_id))
        more = {**JSON, **more}
    told = {**SAFE_HEADERS, **cors(headers, origins), **limited, **more, "x-request-id": request_id}
    return Response(None if method == "HEAD" else body, status=sent.status, headers=told)


async def _is_opened(cloud: Cloud, route: Route, token: str, story_id: str) -> bool:
    """Whether the token is the job's or the batch's; a batch's opens the events of its jobs."""
    if cloud.tokens.opens(token, story_id, now_ms()):
        return True
    batch_id = await cloud.imports.batch_of(story_id) if route.takes_batch_token else None
    return batch_id is not None and cloud.tokens.opens(token, batch_id, now_ms())


TOKEN = "token"
"""The caller who has no key, and a token."""
STORY_IDS = ("job_id", "batch_id", "jobId", "batchId")
JSON = {"content-type": "application/json"}


async def _route(
    routes: tuple[Route, ...], cloud: Cloud, request: Any, method: str, url: Any,
    headers: Mapping[str, str], request_id: str, limited: dict[str, str],
) -> Sent | Response:  # fmt: skip
    """What the route answers. What its limit says is put into ``limited``, for the headers."""
    origins = cloud.listed("CORS_ORIGINS")
    is_preflight = method == "OPTIONS" and "access-control-request-method" in headers
    if is_foreign(headers, method, url.path, origins) or (
        is_preflight and headers.get("origin") not in origins
    ):
        raise Refused("FORBIDDEN", "requests from other web pages are refused; see CORS_ORIGINS")
    if is_preflight:
        return Sent(status=204, headers=PREFLIGHT)
    asked_for = "GET" if method == "HEAD" else method
    fits = [(route, values) for route in routes if (values := route.match(url.path)) is not None]
    if not fits:
        raise Refused("NOT_FOUND", f"there is nothing at {url.path[:200]}")
    mine = [(route, values) for route, values in fits if route.method == asked_for]
    if not mine:
        allowed = ", ".join(sorted({route.method for route, _ in fits}))
        raise Refused("METHOD_NOT_ALLOWED", f"{method} is not allowed here, only {allowed}")
    route, values = mine[0]
    query = {name: given[-1] for name, given in parse_qs(url.query, keep_blank_values=True).items()}
    token = _token(query, headers) if route.takes_token else None
    named = {**query, **values}
    story_id = next((named[one] for one in STORY_IDS if one in named), "")
    caller = await _caller(cloud, route, headers, token, story_id)
    known = (*route.query, "token") if route.takes_token else route.query
    asked = Asked(
        cloud=cloud, request=request, method=method, base=f"{url.scheme}://{url.netloc}",
        path=url.path, query=query, headers=headers, request_id=request_id, caller=caller,
    )  # fmt: skip
    starts = is_start(method, url.path, query)
    if route.is_socket:
        turn = None
    else:
        turn = await _turn(cloud.callers, asked, asked_for, route.path, limited, starts=starts)
    try:
        check_names(query, known, "query parameter")
        return await route.handler(asked, **values)
    except Exception:
        if starts and turn is not None:
            await cloud.callers.give_back(_name(asked), method)
        raise


async def _turn(
    callers: Callers, asked: Asked, method: str, route: str, limited: dict[str, str], *,
    starts: bool,
) -> Turn | None:  # fmt: skip
    """The caller's turn, if he is limited. Raises: Refused (RATE_LIMIT_EXCEEDED)."""
    found = await callers.take(_name(asked), method, asked.path, route, starts=starts)
    if found is None:
        return None
    limited |= headers_of(*found)
    if not found[1].is_allowed:
        said, limited["Retry-After"] = refusal(*found)
        raise Refused("RATE_LIMIT_EXCEEDED", said)
    return found[1]


def _name(asked: Asked) -> str:
    """Whose limits they are: a key's, or an address', which Cloudflare writes and no caller can."""
    has_key = asked.caller not in {"", TOKEN}
    return asked.caller if has_key else asked.headers.get("cf-connecting-ip", "")


def _token(query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    return query.get("token") or find_token(listed(headers, "sec-websocket-protocol"))[0]


def listed(headers: Mapping[str, str], name: str) -> list[str]:
    """A header's parts between commas."""
    return [one.strip() for one in (headers.get(name) or "").split(",")]


async def _caller(
    cloud: Cloud, route: Route, headers: Mapping[str, str], token: str | None, story_id: str
) -> str:
    """Whose keys of idempotency these are. Raises: Refused (UNAUTHORIZED, FORBIDDEN)."""
    if token is not None and await _is_opened(cloud, route, token, story_id):
        return TOKEN
    if route.is_open:
        return ""
    if token is not None and "authorization" not in headers:
        raise Refused("UNAUTHORIZED", "this token does not open this job, or its time is over")
    if not cloud.keys:
        if cloud.var("INSECURE") == "on":
            return ""
        raise Refused(
            "FORBIDDEN", "this Worker has no API_KEYS yet, so it answers nobody: set that secret"
        )
    caller = cloud.keys.match(headers.get("authorization"))
    if caller is None:
        raise Refused("UNAUTHORIZED", "send an API key: Authorization: Bearer …")
    return caller
