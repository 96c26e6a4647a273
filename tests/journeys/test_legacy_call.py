"""POST /v1/jobs: what the legacy importer's clients send still works, and starts workflows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from stack import Server, server

from bookline_sandbox import Sandbox

pytest.importorskip("bookline.migration.legacy")
pytestmark = pytest.mark.asyncio(loop_scope="session")

ISBN = "9780451524935"
KEY = "secret-key-of-16-or-more"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("legacy-call") / "data"
    async with Sandbox() as sandbox:
        env = sandbox.settings() | {"BOOKLINE_API_KEYS": KEY}
        async with server(env, folder, headers={"Authorization": f"Bearer {KEY}"}) as started:
            yield started


async def call(api: Server, body: Any) -> tuple[int, Any]:
    status, answer, _ = await api.post("/v1/jobs", body)
    return status, answer


async def test_a_start_is_a_workflow_whose_status_is_its_last_events(api: Server) -> None:
    status, started = await call(api, {"action": "start", "isbn": ISBN, "source": "openlibrary"})
    assert status == 200
    job_id = started["data"]["jobId"]
    assert (await api.until(job_id))["method"] == "workflow"

    status, told = await call(api, {"action": "status", "jobId": job_id})

    assert status == 200
    assert told["data"]["status"] == "completed"
    assert told["data"]["lastEvent"]["data"]["isbn"] == ISBN


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "INVALID_REQUEST"),
        ({"action": "stop"}, 400, "INVALID_REQUEST"),
        ({"action": ["start"]}, 400, "INVALID_REQUEST"),
        ({"action": "start"}, 400, "INVALID_ISBN"),
        ({"action": "start", "isbn": 9780451524935}, 400, "INVALID_ISBN"),
        ({"action": "start", "isbn": "123"}, 400, "INVALID_ISBN"),
        ({"action": "start", "isbn": "\ud800"}, 400, "INVALID_ISBN"),
        ({"action": "start", "isbn": ISBN, "source": 7}, 400, "INVALID_SOURCE"),
        ({"action": "start", "isbn": ISBN, "source": "amazon"}, 400, "INVALID_SOURCE"),
        ({"action": "status"}, 400, "MISSING_JOB_ID"),
        ({"action": "status", "jobId": "no-such-job"}, 404, "JOB_NOT_FOUND"),
        ({"action": "status", "jobId": "../etc"}, 404, "JOB_NOT_FOUND"),
    ],
)
async def test_a_call_that_makes_no_sense_says_what_to_send(
    api: Server, body: Any, status: int, code: str
) -> None:
    got, answer = await call(api, body)

    assert (got, answer["error"]["code"]) == (status, code)


async def test_it_needs_a_key_as_everything_does(api: Server) -> None:
    status, answer, _ = await api.post(
        "/v1/jobs", {"action": "status", "jobId": "x"}, headers={"Authorization": "Bearer wrong"}
    )

    assert (status, answer["error"]["code"]) == (401, "UNAUTHORIZED")
