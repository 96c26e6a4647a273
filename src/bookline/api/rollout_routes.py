"""The routes of docs/contract.md: the rollout, and workflow against legacy in numbers.

Way:      gate.py → here → migration/rollouts.py
Not here: the shape of a change is read in bodies.py.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bookline.api import bodies, rollout_schemas
from bookline.api.envelope import success
from bookline.api.openapi import failures, json_body
from bookline.api.routes import Here
from bookline.api.schemas import Success

router = APIRouter(tags=["rollout"])


@router.get(
    "/v2/rollout",
    response_model=Success[rollout_schemas.Rollout],
    responses=failures("list"),
    summary="What share of imports uses the workflow now",
)
async def rollout(request: Request, here: Here) -> Response:
    """What is in force, the gates to the next stage, and the last changes."""
    return success(request, await here.rollouts.describe())


@router.put(
    "/v2/rollout",
    response_model=Success[rollout_schemas.Rollout],
    responses=failures("change"),
    openapi_extra=json_body(rollout_schemas.RolloutChange, is_start=False),
    summary="Change the rollout by hand",
)
async def change(request: Request, here: Here) -> Response:
    """Any of its fields, whatever the gates say; holds from the next import on, everywhere."""
    wanted = bodies.read_change(await bodies.read_body(request), _caller(request))
    await here.rollouts.change(wanted.change, wanted.actor, wanted.reason)
    return success(request, await here.rollouts.describe())


@router.post(
    "/v2/rollout/advance",
    response_model=Success[rollout_schemas.Rollout],
    responses=failures("change"),
    openapi_extra=json_body(rollout_schemas.RolloutReason, is_start=False),
    summary="Go to the next stage, if every gate lets it",
)
async def advance(request: Request, here: Here) -> Response:
    """10, 50, 100. A closed gate is a 409 whose `details.gates` say which, and by how much."""
    wanted = bodies.read_reason(await bodies.read_body(request), _caller(request))
    await here.rollouts.advance(wanted.actor, wanted.reason)
    return success(request, await here.rollouts.describe())


@router.post(
    "/v2/rollout/rollback",
    response_model=Success[rollout_schemas.Rollout],
    responses=failures("change"),
    openapi_extra=json_body(rollout_schemas.RolloutReason, is_start=False),
    summary="Send everybody back to legacy",
)
async def rollback(request: Request, here: Here) -> Response:
    """To 0 %. Imports that run already end where they began."""
    wanted = bodies.read_reason(await bodies.read_body(request), _caller(request))
    await here.rollouts.rollback(wanted.actor, wanted.reason)
    return success(request, await here.rollouts.describe())


@router.get(
    "/v2/metrics/imports",
    response_model=Success[rollout_schemas.ImportMetrics],
    responses=failures("list"),
    summary="Workflow against legacy, in numbers",
)
async def import_metrics(
    request: Request,
    here: Here,
    window: Annotated[str, Query(description="how far back: 15m, 24h, 7d at most")] = "24h",
) -> Response:
    """Of imports that ended in the window. An unknown ISBN is no failure; no ISBN is kept."""
    return success(request, await here.rollouts.metrics(window, bodies.read_window_ms(window)))


def _caller(request: Request) -> str:
    caller: str = request.scope["state"]["caller"]
    return caller
