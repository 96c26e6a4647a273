"""The port Engine over Cloudflare Workflows: the instance's id is the job's id.

Way:      imports.py and batch.py → here → entry.py, BookImportWorkflow
Source:   https://developers.cloudflare.com/workflows/build/workers-api/
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from bookline.errors import StoreDown
from bookline.job import CANCELLED, FAILED, ImportInput
from bookline.values import Json
from bookline.workflow import VERSION
from on_cloudflare.journal import Rooms
from on_cloudflare.plain import load

log = logging.getLogger(__name__)

OVER = frozenset({"complete", "errored", "terminated"})
"""How an instance stands that does nothing more."""


class CloudEngine:
    """Fills the port Engine. ``workflow`` is the binding BOOK_IMPORT_WORKFLOW."""

    def __init__(self, workflow: Any, rooms: Rooms, wait_until: Callable[[Any], None]) -> None:
        self._workflow = workflow
        self._rooms = rooms
        self._wait_until = wait_until
        self._failed_step: dict[str, str | None] = {}

    async def start_all(self, orders: Sequence[ImportInput]) -> None:
        """The same for at most 100 at once. Safe twice: ids that are known are passed over."""
        every = [{"id": order.job_id, "params": _params(order)} for order in orders]
        try:
            await self._workflow.create_batch(every)
        except Exception as error:
            raise _down(error) from error

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        try:
            await self._workflow.create({"id": order.job_id, "params": _params(order)})
        except Exception as error:
            if "already_exists" not in str(error):
                raise _down(error) from error

    async def take_up(self, order: ImportInput) -> None:
        """Starts a queued job whose start, or whose retry, never arrived. Safe twice."""
        await self.start(order)
        if await self.find_end(order.job_id) is not None:
            self._failed_step[order.job_id] = await self._step_that_failed(order.job_id)
            await self.restart(order.job_id)

    async def find_end(self, job_id: str) -> str | None:
        """How the job's instance has ended, which the platform or an operator may have done; None
        while it has not.

        Raises: StoreDown.
        """
        try:
            instance = await self._workflow.get(job_id)
            status: str = (await instance.status())["status"]
        except Exception as error:
            raise _down(error) from error
        return status if status in OVER else None

    async def _step_that_failed(self, job_id: str) -> str | None:
        """In the run before, as its story tells."""
        story = await self._rooms.ask(job_id, "story", job_id=job_id, after=0)
        ends = [event for event in map(load, story) if event["status"] == FAILED]
        return ends[-1]["data"]["error"].get("step") if ends else None

    async def settle(self, job_id: str) -> None:
        """Waits until the engine has the run's end, and remembers where it failed."""
        job = await self._rooms.ask(job_id, "find", job_id=job_id)
        if job["status"] == FAILED:
            self._failed_step[job_id] = (job["error"] or {}).get("step")
        for _ in range(50):
            instance = await self._workflow.get(job_id)
            if (await instance.status())["status"] not in {"running", "queued", "waiting"}:
                return
            await asyncio.sleep(0.1)
        raise StoreDown("Cloudflare Workflows has not ended the run yet; try again")

    async def restart(self, job_id: str) -> None:
        step = self._failed_step.pop(job_id, None)
        instance = await self._workflow.get(job_id)
        try:
            await (instance.restart({"from": {"name": step}}) if step else instance.restart())
        except Exception as error:
            raise _down(error) from error

    def wake(self, job_id: str) -> None:
        """A cancelled job that its journal has ended: the engine need not wait for it."""
        self._wait_until(self._end_if_over(job_id))

    async def _end_if_over(self, job_id: str) -> None:
        job = await self._rooms.ask(job_id, "find", job_id=job_id)
        if job is None or job["status"] != CANCELLED:
            return
        try:
            instance = await self._workflow.get(job_id)
            await instance.terminate()
        except Exception as error:  # it was never started, or has ended by itself
            log.info("%s is cancelled; its instance says: %s", job_id, error)


def _params(order: ImportInput) -> Json:
    return {**order.to_json(), "version": VERSION}


def _down(error: Exception) -> StoreDown:
    return StoreDown(f"Cloudflare Workflows: {str(error).strip().splitlines()[-1]}")
