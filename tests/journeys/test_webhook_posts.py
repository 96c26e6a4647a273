"""Webhooks from outside: a real receiver, a server that is killed, an endpoint that is away."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from stack import PATIENCE_SECONDS, Server, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = b"thirty-two bytes of a secret key"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """Takes posts, and says what a test wants."""

    def __init__(self) -> None:
        self.status = 204
        self.taken: list[dict[str, Any]] = []
        self.seen: list[tuple[str, int]] = []
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
        digest = hmac.new(KEY, signed.encode() + body, hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        self.seen.append((request.headers["webhook-id"], self.status))
        if self.status == 204:
            self.taken.append(json.loads(body))
        return web.Response(status=self.status, headers={"Location": "http://127.0.0.1:1/"})

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.taken) < count:
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


async def readiness(api: Server) -> dict[str, Any]:
    _, answer, _ = await api.get("/readyz")
    states: dict[str, Any] = answer["data"]["dependencies"]
    return states


async def test_every_end_is_posted_whatever_becomes_of_server_and_endpoint(
    receiver: Receiver, tmp_path: Path
) -> None:
    async with Sandbox() as sandbox:
        env = sandbox.settings() | {
            "BOOKLINE_WEBHOOK_URL": receiver.url,
            "BOOKLINE_WEBHOOK_SECRET": SECRET,
        }
        good, bad, late = sandbox.make(3)
        sandbox.faults.add(kind="not_found", isbn=bad, times=None)
        async with server(env, tmp_path / "data") as api:
            jobs = [await api.finished(good), await api.finished(bad)]
            await receiver.until(2)
            by_id = {one["jobId"]: one for one in receiver.taken}
            for job in jobs:
                assert by_id[job["jobId"]] == job["lastEvent"]

            receiver.status = 302  # away, and it would send us elsewhere
            after = await api.finished(late)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not any(status == 302 for _, status in receiver.seen):
                    await asyncio.sleep(0.02)
            async with asyncio.timeout(PATIENCE_SECONDS):  # the operator sees it
                while (await readiness(api))["webhooks"]["ok"]:
                    await asyncio.sleep(0.1)
            metrics = await (await api.http.get(f"{api.url}/metrics")).text()
            assert "bookline_webhooks_waiting 1.0" in metrics
            assert 'bookline_webhook_posts_total{result="refused"}' in metrics
            await api.kill()
            receiver.status = 204
            await api.start()
            await receiver.until(3)

            _, answer, _ = await api.post("/v2/import/batch", {"items": [good, bad]})
            batch_id = answer["data"]["batchId"]
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not any(one.get("batchId") == batch_id for one in receiver.taken):
                    await asyncio.sleep(0.05)

        assert receiver.taken[2] == after["lastEvent"]
        [end] = [one for one in receiver.taken if one.get("batchId") == batch_id]
        assert end["type"] == "batch_completed"
        assert SECRET not in api.log
