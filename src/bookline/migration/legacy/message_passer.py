"""What is left of the job state manager once the workflow does the work: it passes messages on.

Way:      POST /v1/jobs → here → imports.py
Rule 1:   "start" starts a workflow. The old importer itself is ``method: legacy``, and stays.
Source:   the plan's phase 3.3, "after" (docs/plan-checklist.md).
"""

from bookline.errors import Refused
from bookline.imports import Imports, Order
from bookline.values import Json


class MessagePasser:
    """The legacy call ``{"action": "start" | "status", …}``."""

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    async def handle(self, call: Json, caller: str = "") -> Json:
        """``{"jobId"}`` of a start, ``{"jobId", "status", "lastEvent"}`` of a job.

        Raises: Refused for another action, and for what the service refuses.
        """
        action = call.get("action")
        if action == "start":
            order = Order(isbn=_text(call, "isbn"), source=_source(call), caller=caller)
            job, _is_new = await self._imports.start(order, "workflow")
            return {"jobId": job.job_id}
        if action == "status":
            job = await self._imports.find(_text(call, "jobId"))
            event = job.last_event
            status = event["status"] if event and event["status"] else job.status
            return {"jobId": job.job_id, "status": status, "lastEvent": event}
        raise Refused("INVALID_REQUEST", 'action must be "start" or "status"')


def _text(call: Json, name: str) -> str:
    value = call.get(name)
    if not isinstance(value, str):
        code = {"isbn": "INVALID_ISBN", "jobId": "MISSING_JOB_ID"}[name]
        raise Refused(code, f"{name} is missing, or no string")
    return value


def _source(call: Json) -> str:
    source = call.get("source", "auto")
    if not isinstance(source, str):
        raise Refused("INVALID_SOURCE", "source must be a string")
    return source
