"""What every request passes before its route: origin, key, names, limit; and each error's shape.

Way:      uvicorn → here → routes; then live/sse.py for a stream; live/websocket.py
Rule 1:   whatever goes wrong behind here, the answer has the envelope and the CORS headers.
Rule 2:   WebSockets are taken: live/websocket.py says no with a closing code that clients can read.
Rule 3:   a token is taken out of the query string before anything can log it.
Source:   Fetch standard for CORS.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from bookline.api.bodies import check_names
from bookline.api.callers import Callers, has_plain_host
from bookline.api.envelope import broken, failure, new_request_id
from bookline.api.keys import Keys, Tokens
from bookline.api.limiting import Limiting
from bookline.api.origins import PREFLIGHT, SAFE_HEADERS, cors, is_foreign
from bookline.api.peers import know_peer
from bookline.api.route_table import RouteRule, RouteTable
from bookline.api.watching import SOCKET, may_watch
from bookline.errors import BooklineError, Refused
from bookline.live import websocket
from bookline.live.sse import STREAM, Stream
from bookline.logs import request_id
from bookline.measures import Measures
from bookline.progress.hub import Hub
from bookline.settings import Settings

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
PAGE_PREFIX = "/page/"
JOB_EVENTS = "/v2/import/events/"
TOKEN_ROUTES = (JOB_EVENTS, "/v2/import/status/")
BATCH_EVENTS = re.compile(r"/v2/import/batch/([^/]{1,100})/events")
GOODBYE_SECONDS = 1.0


BatchOf = Callable[[str], Awaitable[str | None]]
"""The batch of a job, if it is in one."""


async def _no_batch(job_id: str) -> None:
    return None


class Gate:
    """ASGI middleware around the routes."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: Keys,
        tokens: Tokens,
        clock: Callable[[], int],
        *,
        routes: RouteTable,
        any_host: bool,
    ) -> None:
        self._app = app
        self._routes = routes
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._origins = frozenset(settings.cors_origins)
        self._callers = Callers(settings, any_host=any_host or bool(keys))
        self._may_watch = partial(may_watch, keys, tokens, clock)
        self.limiting = Limiting(settings)
        self.hub: Hub | None = None
        self.measures: Measures | None = None
        self.batch_of: BatchOf = _no_batch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = new_request_id()
        request_id.set(scope["state"]["request_id"])
        scope["state"]["token"] = _take_token(scope)
        scope["state"]["caller"] = self._callers.address(scope)
        self._callers.read_forwarded(scope)
        if scope["type"] == "websocket":
            scope["state"]["refusal"] = self._no_to_watcher(scope)
            await self._watch(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # whatever GET answers, without its body
            scope, send = {**scope, "method": "GET"}, _head_of(send)
        await self._http(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of the routes behind here."""
        document: dict[str, Any] = self._app.openapi()  # type: ignore[attr-defined]
        return document

    async def let_watchers_go(self) -> None:
        """Ends all watching, and returns when the watchers have been told."""
        if self.hub is None:
            return
        self.hub.close()
        for _ in range(int(GOODBYE_SECONDS / 0.02)):
            await asyncio.sleep(0.02)  # also for the last one's closing code to be sent
            if not self.hub.watchers:
                return

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == SOCKET.path and self.hub is not None:
            await websocket.serve(WebSocket(scope, receive, send), self.hub, self._may_watch)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        extra = cors(headers, self._origins) | SAFE_HEADERS
        extra["X-Request-Id"] = scope["state"]["request_id"]
        began = ended = False
        began_at = time.perf_counter()

        async def send_more(message: Message) -> None:
            nonlocal began, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                began = True
                self._answered(scope, message["status"], time.perf_counter() - began_at)
                more = MutableHeaders(scope=message)
                for name, value in extra.items():
                    if name == "Vary":
                        more.add_vary_header(value)
                    else:
                        more.setdefault(name, value)
            await send(message)

        try:
            answer = await self._stopped(scope, headers, extra)
            if answer is not None:
                await answer(scope, receive, send_more)
                return
            await self._app(scope, receive, send_more)
            stream: Stream | None = scope["state"].get(STREAM)
            if stream is not None:
                await stream.tell(scope, receive, send_more)
        except ClientDisconnect:
            return  # whoever asked is gone: there is nobody to answer, and nothing is wrong
        except Exception as error:
            if ended:  # answered by the handler in server.py; starlette raises it once more
                return
            if began and isinstance(error, BooklineError):
                raise
            answer = broken(scope, error)
            if began:
                raise
            await answer(scope, receive, send_more)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        """An answer begins: what it took, and whether a start was refused."""
        self.limiting.answered(scope, status)
        if self.measures is not None:
            rule: RouteRule | None = scope["state"].get("rule")
            route = rule.path if rule is not None else "none"
            self.measures.answered(scope["method"], status, route, seconds)

    async def _stopped(
        self, scope: Scope, headers: Headers, extra: dict[str, str]
    ) -> Response | None:
        """An answer instead of the route's, or None to let the request through."""
        path, method = scope["path"], scope["method"]
        refused = self._unwelcome(headers, method, path)
        if refused is not None:
            return failure(scope, *refused)
        if method == "OPTIONS" and "access-control-request-method" in headers:
            return self._preflight(scope, headers)
        if self._keys and not _is_open(path):
            caller = self._keys.match(headers.get("authorization"))
            if caller is not None:
                scope["state"]["caller"] = caller
            elif not await self._has_token(scope, path):
                return failure(
                    scope,
                    "UNAUTHORIZED",
                    "send Authorization: Bearer with an API key, or the job's token",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            know_peer(scope)
        scope["state"]["rule"] = rule = self._routes.find(method, path)
        _check_query(scope, rule)
        return await self.limiting.stop(scope, extra)

    def _unwelcome(self, headers: Headers, method: str, path: str) -> tuple[str, str] | None:
        """Code and reason of a refusal that comes before anything is counted."""
        if not has_plain_host(headers):
            return "INVALID_REQUEST", "the Host header must be one name, with or without a port"
        if not self._callers.names_us(headers):
            host = headers.get("host", "")[:100]
            return "FORBIDDEN", f"{host!r} is no name of this server; with API keys any is taken"
        if is_foreign(headers, method, path, self._origins):
            return "FORBIDDEN", "this origin is not in BOOKLINE_CORS_ORIGINS"
        return None

    def _no_to_watcher(self, scope: Scope) -> str | None:
        """Why a WebSocket is refused whatever it shows, for its closing code."""
        refused = self._unwelcome(Headers(scope=scope), "GET", scope["path"])
        if refused is not None:
            return refused[1]
        try:
            _check_query(scope, SOCKET)
        except Refused as error:
            return error.message
        return None

    async def _has_token(self, scope: Scope, path: str) -> bool:
        """A job's token opens its status and events, a batch's its events and those of its jobs."""
        token = scope["state"]["token"]
        if token is None or scope["method"] != "GET":
            return False
        if batch := BATCH_EVENTS.fullmatch(path):
            return self._tokens.opens(token, batch[1], self._clock())
        for prefix in TOKEN_ROUTES:
            job_id = path.removeprefix(prefix)
            if not path.startswith(prefix):
                continue
            if self._tokens.opens(token, job_id, self._clock()):
                return True
            batch_id = await self.batch_of(job_id) if prefix == JOB_EVENTS else None
            return batch_id is not None and self._tokens.opens(token, batch_id, self._clock())
        return False

    def _preflight(self, scope: Scope, headers: Headers) -> Response:
        if headers.get("origin", "") not in self._origins:
            return failure(scope, "FORBIDDEN", "this origin is not in BOOKLINE_CORS_ORIGINS")
        return Response(status_code=204, headers=PREFLIGHT)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path == "/" or path.startswith(PAGE_PREFIX)


def _check_query(scope: Scope, rule: RouteRule | None) -> None:
    """Raises: Refused (INVALID_REQUEST) that names a parameter which the route does not have."""
    if rule is None or rule.query_names is None:
        return
    query = scope["query_string"].decode("latin-1")
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if scope["state"]["token"] is not None:
        names.append("token")
    check_names(names, sorted(rule.query_names), "parameter")


def _head_of(send: Send) -> Send:
    """Sends the head of an answer and its end; what follows is dropped.

    A stream hears of the end by ``receive``, as of any watcher that goes.
    """
    is_over = False

    async def send_head(message: Message) -> None:
        nonlocal is_over
        if is_over:
            return
        await send(message)
        if message["type"] == "http.response.start":
            is_over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def _take_token(scope: Scope) -> str | None:
    """The query's token. What uvicorn logs of the request is this very scope."""
    parts: list[bytes] = scope["query_string"].split(b"&")
    tokens = [part for part in parts if part.startswith(b"token=")]
    if not tokens:
        return None
    scope["query_string"] = b"&".join(part for part in parts if part not in tokens)
    return unquote_plus(tokens[0].removeprefix(b"token=").decode("latin-1")) or None
