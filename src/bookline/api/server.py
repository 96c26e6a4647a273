"""The ASGI application: routes behind the gate, opened and closed with the server.

Way:      serving.py, or any ASGI server by ``from_environment`` → here
Rule 1:   with another ASGI server, switch off its own reading of X-Forwarded-* and its access log,
          and give it a time limit for its stop: serving.py says why.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

import bookline
from bookline.api.batch_routes import router as batch_router
from bookline.api.book_routes import router as book_router
from bookline.api.envelope import broken, failure, failure_of
from bookline.api.gate import Gate
from bookline.api.keys import Keys, Tokens, keep_secret
from bookline.api.legacy_routes import router as legacy_router
from bookline.api.opds import router as opds_router
from bookline.api.openapi import completed
from bookline.api.page import router as page_router
from bookline.api.rollout_routes import router as rollout_router
from bookline.api.route_table import read_routes
from bookline.api.routes import router
from bookline.app import running
from bookline.clocks import now_ms
from bookline.errors import BooklineError, Refused
from bookline.logs import set_up_logs
from bookline.methods import legacy_room
from bookline.setting_values import is_loopback, reason_of
from bookline.settings import Role, Settings, read_settings
from bookline.threads import in_thread

ROUTERS = (
    router,
    batch_router,
    book_router,
    opds_router,
    rollout_router,
    *([legacy_router] if legacy_room() else []),
    page_router,
)
HEALTH = {"/healthz", "/readyz", "/metrics"}
ABOUT = """Give it an ISBN and it imports the book, durably, with every step shown live.

Every answer has one shape: `{"success", "data", "error"?, "metadata"}`. Watch an import over
`GET /v2/import/events/{jobId}` (Server-Sent Events) or the WebSocket `/ws/progress?jobId=…`.
"""


def create_server(settings: Settings, *, insecure: bool = False, role: Role = "all") -> Gate:
    """The application for one set of settings. A worker only says how it is.

    Raises: Refused when it would be open to others without keys.
    """
    keys = Keys(settings.api_keys)
    if not keys and not insecure and not is_loopback(settings.host):
        raise Refused(
            "FORBIDDEN",
            f"without keys only this machine may ask, and {settings.host} is open to others: "
            "set BOOKLINE_API_KEYS, or say --insecure if something in front of it checks callers",
        )
    given = settings.token_secret.get_secret_value()
    is_shared = bool(settings.postgres_url) and not given
    tokens = Tokens() if is_shared else Tokens(keep_secret(given, settings.data_dir))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        matching = asyncio.create_task(in_thread(_match_once, app))
        async with running(settings, role=role) as here:
            await matching
            if is_shared:
                await tokens.share(here.secrets.keep)
            app.state.bookline = here
            gate.limiting.limits = here.limits
            gate.hub = None if role == "worker" else here.hub
            gate.measures = here.measures
            gate.batch_of = here.imports.batch_of
            yield

    app = FastAPI(
        title="Bookline",
        version=bookline.__version__,
        description=ABOUT,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # page.py serves it, and the reference
    )
    app.state.tokens = tokens
    routers = (_health(),) if role == "worker" else ROUTERS
    for one in routers:
        app.include_router(one)
    app.add_exception_handler(BooklineError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_parameters)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_unforeseen)
    document = app.openapi
    app.openapi = cache(lambda: completed(document()))  # type: ignore[method-assign]
    routes = read_routes([route for one in routers for route in one.routes])
    gate = Gate(app, settings, keys, tokens, now_ms, routes=routes, any_host=insecure)
    return gate


def _match_once(app: FastAPI) -> None:
    """FastAPI prepares a router's routes when the first request comes by: for all, 0.1 s."""
    scope = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []}
    for route in app.router.routes:
        route.matches(scope)


def _health() -> APIRouter:
    """What a node answers that nobody sends imports to."""
    health = APIRouter()
    health.routes += [one for one in router.routes if getattr(one, "path", "") in HEALTH]
    return health


def from_environment() -> Gate:
    """The application for the environment's settings; for any ASGI server."""
    settings = read_settings()
    set_up_logs(settings.log_level, settings.log_format)
    return create_server(settings)


async def _on_ours(request: Request, error: Any) -> Response:
    return failure_of(request.scope, error)


async def _on_gone(request: Request, error: Exception) -> Response:
    """For nobody: whoever asked has hung up, and nothing is wrong here."""
    return failure(request.scope, "INVALID_REQUEST", "the body broke off")


async def _on_unforeseen(request: Request, error: Exception) -> Response:
    return broken(request.scope, error)


async def _on_parameters(request: Request, error: Any) -> Response:
    faults = [f"{fault['loc'][-1]}: {reason_of(fault)}" for fault in error.errors()]
    return failure(request.scope, "INVALID_REQUEST", "; ".join(faults)[:500])


async def _on_http(request: Request, error: Any) -> Response:
    path = request.url.path[:200]
    if error.status_code == 405:
        allowed = {"Allow": _with_head((error.headers or {}).get("Allow", ""))}
        return failure(
            request.scope,
            "METHOD_NOT_ALLOWED",
            f"{request.method} is not allowed at {path}",
            headers=allowed,
        )
    if error.status_code == 404:
        return failure(request.scope, "NOT_FOUND", f"there is nothing at {path}; see /docs")
    return failure(request.scope, "INVALID_REQUEST", str(error.detail))


def _with_head(methods: str) -> str:
    """gate.py answers HEAD wherever GET is answered."""
    names = {one.strip() for one in methods.split(",")}
    return ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))
