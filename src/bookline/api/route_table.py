"""What each route takes, read from the routes themselves: parameters, body fields, body size.

Way:      server.py makes it from the routers → here ← gate.py asks for each request
Rule 1:   what a route does not declare it does not take: an unknown name is refused by name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, compile_path

from bookline.api.bodies import BODY_BYTES, USUAL_BODY_BYTES

_PARAMETER = re.compile(r"\{[^}]*\}")
ANYTHING = frozenset({"/", "/docs", "/page/{name}"})
"""Pages for people: what others put behind their address does no harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRule:
    """What one route takes."""

    path: str
    methods: frozenset[str]
    query_names: frozenset[str] | None = frozenset()
    """None: anything."""
    body_names: tuple[str, ...] | None = None
    """Fields of its JSON body; None where the route looks by itself."""
    body_bytes: int = USUAL_BODY_BYTES


class RouteTable:
    """All routes, to be found by request."""

    def __init__(self, rules: Sequence[RouteRule]) -> None:
        self._rules = [(compile_path(rule.path)[0], rule) for rule in rules]

    def find(self, method: str, path: str) -> RouteRule | None:
        """The route that answers; where none takes the method, one of this path; else None."""
        found = [rule for fits, rule in self._rules if fits.match(path)]
        return next((rule for rule in found if method in rule.methods), found[0] if found else None)


def read_routes(routes: Sequence[BaseRoute]) -> RouteTable:
    """The table of these routes, and of the OpenAPI document."""
    rules = [_rule(route) for route in routes if isinstance(route, APIRoute)]
    return RouteTable([RouteRule(path="/openapi.json", methods=frozenset({"GET"})), *rules])


def _rule(route: APIRoute) -> RouteRule:
    methods = frozenset(route.methods or ())
    body_bytes = [BODY_BYTES.get(f"{one} {_PARAMETER.sub('{}', route.path)}") for one in methods]
    return RouteRule(
        path=route.path,
        methods=methods,
        query_names=None if route.path in ANYTHING else frozenset(_query_names(route.dependant)),
        body_names=_body_names(route.openapi_extra or {}),
        body_bytes=next((one for one in body_bytes if one), USUAL_BODY_BYTES),
    )


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (one.alias for one in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _body_names(extra: Mapping[str, Any]) -> tuple[str, ...] | None:
    content = extra.get("requestBody", {}).get("content", {})
    properties = content.get("application/json", {}).get("schema", {}).get("properties")
    return None if properties is None else tuple(properties)
