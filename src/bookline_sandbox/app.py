"""Serves every endpoint: reads the call, meets its faults, keeps the journal, sends the answer.

Way:      server.py → here → google_books, open_library, isbndb, covers, embeddings; control
Rule 1:   the providers' modules know nothing of faults: what a fault changes is done here.
Not here: connections that break: they need a transport, which server.py hands in by scope["state"].
"""

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from bookline_sandbox import control, embeddings, faults
from bookline_sandbox.catalogue import Catalogue, real_books
from bookline_sandbox.covers import Covers
from bookline_sandbox.faults import Faults, Met, Rule
from bookline_sandbox.google_books import GoogleBooks
from bookline_sandbox.isbndb import IsbnDb
from bookline_sandbox.journal import Journal
from bookline_sandbox.open_library import OpenLibrary
from bookline_sandbox.wire import Answer, Call, Endpoint, Shelf

LARGEST_REQUEST_BYTES = 8_000_000  # our choice
CUT_BYTES = 1000  # our choice: what a cut answer promises and does not send


class World:
    """All that one sandbox holds."""

    def __init__(self, *, latency_ms: float = 0, require_keys: bool = False) -> None:
        self.catalogue = Catalogue(real_books())
        self.faults = Faults()
        self.journal = Journal()
        self.latency_ms = latency_ms
        self.shelf = Shelf(self.catalogue)
        self.endpoints: list[Endpoint] = [
            *GoogleBooks(self.catalogue, require_keys=require_keys).endpoints(),
            *IsbnDb(self.catalogue, require_keys=require_keys).endpoints(),
            *OpenLibrary(self.catalogue).endpoints(),
            *Covers(self.catalogue).endpoints(),
            *embeddings.endpoints(),
        ]


def create_app(
    world: World | None = None, *, latency_ms: float = 0, require_keys: bool = False
) -> Starlette:
    """The ASGI application; `world` if its faults and journal shall be reached from outside."""
    world = world or World(latency_ms=latency_ms, require_keys=require_keys)
    routes: list[BaseRoute] = [
        Route(one.path, _Door(world, one), methods=[one.method]) for one in world.endpoints
    ]
    routes += control.routes(world.catalogue, world.faults, world.journal)
    app = Starlette(routes=routes)
    app.state.world = world
    return app


class _Door:
    """One endpoint as an ASGI application."""

    def __init__(self, world: World, endpoint: Endpoint) -> None:
        self._world = world
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        world, endpoint = self._world, self._endpoint
        call = await _read(scope, receive)
        isbns = endpoint.asked(call)
        query = f"?{call.raw_query}" if call.raw_query else ""
        entry = world.journal.add(endpoint.route, isbns, call.path + query)
        met = world.faults.meet(endpoint.route, isbns)
        entry.fault = met.names
        wait_seconds = (met.delay_ms + world.latency_ms) / 1000
        if wait_seconds and await _client_left(receive, wait_seconds):
            return
        kind = met.whole.kind if met.whole else None
        if kind not in ("hang", "close"):
            answer = await self._answer(call, met)
            entry.status = answer.status
            if kind != "cut":
                await answer.send(send)
                return
            half = replace(answer, body=answer.body[: len(answer.body) // 2])
            await half.send(send, missing_bytes=CUT_BYTES + len(answer.body), more=True)
        if kind != "hang":
            _transport(scope).close()
        await _client_left(receive, None)

    async def _answer(self, call: Call, met: Met) -> Answer:
        rule: Rule | None = met.whole
        answer = faults.replaced(rule, self._endpoint) if rule else None
        if answer is not None:
            return answer
        world = self._world
        shelf = Shelf(world.catalogue, met.twists) if met.twists else world.shelf
        answer = await self._endpoint.answer(call, shelf)
        return faults.enlarged(answer, rule) if rule and rule.kind == "huge" else answer


async def _read(scope: Scope, receive: Receive) -> Call:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = b""
    if scope["method"] != "GET":
        body = await _body(receive)
    return Call(
        method=scope["method"],
        path=unquote(scope["path"]),
        host=headers.get("host", "localhost"),
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        params=scope.get("path_params", {}),
        body=body,
    )


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while sum(map(len, parts)) <= LARGEST_REQUEST_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


async def _client_left(receive: Receive, seconds: float | None) -> bool:
    """Whether the client left within this time; None waits until it does."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


def _transport(scope: Scope) -> Any:
    return scope["state"]["transport_of"](scope["client"])
