"""What Cloudflare starts: the door, the workflow, and the Durable Objects.

Way:     wrangler.jsonc names these classes → here → on_cloudflare/
Source:  docs/plan-checklist.md for their names; docs/cloudflare.md for how they are deployed.
"""

from functools import partial
from typing import Any

from pyodide.ffi import create_once_callable
from workers import DurableObject, Response, WorkerEntrypoint, WorkflowEntrypoint

from bookline.errors import Refused
from bookline.imports import Order
from bookline.patience import until_it_is_back
from bookline.stores.drain import drain
from on_cloudflare.batch import BatchDO
from on_cloudflare.cloud import Cloud
from on_cloudflare.http import answer
from on_cloudflare.limits import CallerLimitsDO
from on_cloudflare.room import WebSocketConnectionDO
from on_cloudflare.routes import ROUTES
from on_cloudflare.run import BrokenOff, run_import
from on_cloudflare.taking_up import take_all_up

__all__ = [
    "BatchDO", "BookImportWorkflow", "CallerLimitsDO", "Default", "JobStateManagerDO",
    "WebSocketConnectionDO",
]  # fmt: skip


def _nothing(work: Any) -> None:
    raise NotImplementedError("nobody waits for work beside a run")


class Default(WorkerEntrypoint):
    """The door."""

    async def fetch(self, request: Any) -> Response:
        return await answer(ROUTES, await Cloud.of(self.env, self.ctx.waitUntil), request)

    async def scheduled(self, controller: Any, env: Any, ctx: Any) -> None:
        """Each minute: jobs that were left are taken up, and what waits in the fallback store goes
        into the library.
        """
        cloud = await Cloud.of(self.env, _nothing)
        await take_all_up(cloud)
        if cloud.library is not None:
            await drain(cloud.fallback, cloud.library, cloud.objects)


class BookImportWorkflow(WorkflowEntrypoint):
    """One import. Its instance has the job's id."""

    async def run(self, event: Any, step: Any) -> Any:
        """``{"status"}``; or, of a run that the engine has broken off, what it did so with."""
        try:
            return await self._run(event, step)
        except BrokenOff as off:
            return _rejected(*off.args)

    async def _run(self, event: Any, step: Any) -> dict[str, str]:
        cloud = await Cloud.of(self.env, _nothing)
        params = event["payload"]
        journal = cloud.run_journal(params["jobId"])
        ended = await run_import(params, step, journal, cloud.steps(), cloud.policy)
        if ended is None:
            return {"status": "over"}
        job, record = ended
        await until_it_is_back(partial(cloud.index.keep, job, record))
        return {"status": job.status}


def _rejected(error: Exception) -> dict[str, Any]:
    """What JavaScript takes for a promise that is rejected by its own error.

    Raised here, the error would reach it as a traceback, which the engine takes for a failure.
    """
    return {"then": create_once_callable(lambda _, reject: reject(error))}


class JobStateManagerDO(DurableObject):
    """What is left of the plan's job state manager: it passes messages on (phase 3.3.1)."""

    async def call(self, call: dict[str, Any]) -> dict[str, Any]:
        """``{"action": "start" | "status", …}`` → ``{"value"}`` or ``{"refused"}``."""
        imports = (await Cloud.of(self.env, _nothing)).imports
        try:
            if call.get("action") == "start":
                order = Order(
                    isbn=_text(call, "isbn", "INVALID_ISBN"), source=call.get("source") or "auto",
                    caller=call.get("caller") or "",
                )  # fmt: skip
                job, _is_new = await imports.start(order, "workflow")
                return {"value": {"jobId": job.job_id}}
            if call.get("action") == "status":
                job = await imports.find(_text(call, "jobId", "MISSING_JOB_ID"))
                event = job.last_event
                status = event["status"] if event and event["status"] else job.status
                return {"value": {"jobId": job.job_id, "status": status, "lastEvent": event}}
            raise Refused("INVALID_REQUEST", 'action must be "start" or "status"')
        except Refused as error:
            return {"refused": [error.code, error.message, error.details]}


def _text(call: dict[str, Any], name: str, code: str) -> str:
    value = call.get(name)
    if not isinstance(value, str):
        raise Refused(code, f"{name} is missing, or no string")
    return value
