"""The Worker with scripted steps instead of the real ones; METRICS_KV holds scripts and counts."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from scripts import Script, ScriptedSteps
from workers import Response

import entry
import on_cloudflare.taking_up
from entry import BatchDO, BookImportWorkflow, CallerLimitsDO, JobStateManagerDO
from on_cloudflare.cloud import Cloud
from on_cloudflare.engine import CloudEngine
from on_cloudflare.journal import Rooms

__all__ = [
    "BatchDO", "BookImportWorkflow", "CallerLimitsDO", "Default", "JobStateManagerDO",
    "WebSocketConnectionDO",
]  # fmt: skip


class KvNotes:
    """Fills ``Notes``."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    async def script(self, isbn: str) -> Script:
        return json.loads(await self._namespace.get(f"script:{isbn}") or "{}")

    async def count(self, isbn: str, step: str) -> int:
        key = f"calls:{isbn}:{step}"
        call = int(await self._namespace.get(key) or 0)
        await self._namespace.put(key, str(call + 1))
        return call


def steps(cloud: Cloud) -> ScriptedSteps:
    return ScriptedSteps(KvNotes(cloud.binding("METRICS_KV")))


Cloud.steps = steps
on_cloudflare.taking_up.LATE_MS = 0
HELD: set[str] = set()
"""What the engine is not asked any more: who asks waits until the runtime is killed."""


def holding(call: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Waits before the call where that is held, behind it where ``after-`` it is."""

    async def held(*asked: Any, **more: Any) -> None:
        if call.__name__ in HELD:
            await asyncio.sleep(600)
        await call(*asked, **more)
        if f"after-{call.__name__}" in HELD:
            await asyncio.sleep(600)

    return held


CloudEngine.start = holding(CloudEngine.start)
CloudEngine.start_all = holding(CloudEngine.start_all)
CloudEngine.restart = holding(CloudEngine.restart)
ASKED: dict[str, list[str]] = {}
"""Object → what it was asked, in turn: what Cloudflare would bill."""
ask = Rooms.ask


async def counted(self: Rooms, name: str, do: str, **asked: object) -> Any:
    ASKED.setdefault(name, []).append(do)
    return await ask(self, name, do, **asked)


Rooms.ask = counted


class WebSocketConnectionDO(entry.WebSocketConnectionDO):
    """Can be made as an older Worker would have left it."""

    async def age(self) -> str:
        self.ctx.storage.sql.exec("ALTER TABLE jobs DROP COLUMN spent_ms")
        self.ctx.storage.sql.exec("ALTER TABLE jobs ADD COLUMN forgotten TEXT DEFAULT 'x'")
        self.ctx.storage.kv.put("schema", "an older one")
        return "older"


class Default(entry.Default):
    """Takes scripts, and tells what objects were asked, too."""

    async def fetch(self, request: Any) -> Response:
        if "/_script/" in request.url:
            isbn = request.url.rpartition("/")[2]
            await self.env.METRICS_KV.put(f"script:{isbn}", await request.text())
            return Response("kept")
        if "/_hold/" in request.url:
            HELD.add(request.url.rpartition("/")[2])
            return Response("held")
        if "/_asked/" in request.url:
            return Response.json(ASKED.get(request.url.rpartition("/")[2], []))
        if "/_age/" in request.url:
            room = self.env.WEBSOCKET_DO.getByName(request.url.rpartition("/")[2])
            return Response(await room.age())
        return await super().fetch(request)
