"""The legacy call, for clients that still speak it: there only while the legacy importer is.

Way:      gate.py → here → migration/legacy/message_passer.py
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from bookline.api import bodies, schemas
from bookline.api.envelope import success
from bookline.api.openapi import failures, json_body
from bookline.api.routes import Here
from bookline.errors import Refused

router = APIRouter(tags=["rollout"])


@router.post(
    "/v1/jobs",
    response_model=schemas.Success[schemas.LegacyJob],
    responses=failures("legacy"),
    openapi_extra=json_body(schemas.LegacyCall, is_start=False),
    summary="The legacy call: start a job, or ask for its status",
    deprecated=True,
)
async def legacy_call(request: Request, here: Here) -> Response:
    """`{"action": "start", "isbn"}` starts a workflow; `{"action": "status", "jobId"}` asks."""
    if here.legacy_call is None:
        raise Refused("NOT_FOUND", "the legacy call is gone: POST /v2/import")
    call = await bodies.read_body(request)
    return success(request, await here.legacy_call(call, request.scope["state"]["caller"]))
