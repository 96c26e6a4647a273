"""Who may ask what, from outside: keys for everything, a job's token for its own story alone."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websockets
from fastapi.routing import APIRoute
from stack import Server, server, statuses

from bookline.api.server import ROUTERS
from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = ("first-Key-8d1f-5a20", "second-Key-77ac-91be")
SECRET = "token-Secret-41b9-0c77-5d1e-aa82-6f03"
GOOGLE_KEY = "google-Key-5c02"
ISBNDB_KEY = "isbndb-Key-0e9d"
WITH_KEY = {"Authorization": f"Bearer {KEYS[1]}"}
OPEN = {"/healthz", "/readyz", "/", "/page/{name}"}
TOKEN_OPENS = {"/v2/import/status/{jobId}", "/v2/import/events/{jobId}"}


def environment(sandbox: Sandbox) -> dict[str, str]:
    return sandbox.settings() | {
        "BOOKLINE_API_KEYS": ",".join(KEYS),
        "BOOKLINE_TOKEN_SECRET": SECRET,
        "BOOKLINE_GOOGLE_BOOKS_API_KEY": GOOGLE_KEY,
        "BOOKLINE_ISBNDB_API_KEY": ISBNDB_KEY,
        "BOOKLINE_CORS_ORIGINS": "https://shelf.example",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server with keys. Its client sends none unless a test says so."""
    async with server(environment(sandbox), tmp_path_factory.mktemp("keys") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def job(api: Server, sandbox: Sandbox) -> dict[str, Any]:
    """``data`` of a started import that is over by now."""
    return await start(api, sandbox.make(1)[0])


async def start(api: Server, isbn: str) -> dict[str, Any]:
    _, answer, _ = await api.post("/v2/import/workflow", {"isbn": isbn}, headers=WITH_KEY)
    data: dict[str, Any] = answer["data"]
    await api.get(f"/v2/import/events/{data['jobId']}", headers=WITH_KEY)
    return data


def routes() -> Iterator[tuple[str, str]]:
    """Every route of the application, those outside its document too."""
    yield "GET", "/openapi.json"
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    yield method, route.path


def filled(path: str, job_id: str) -> str:
    values = {
        "jobId": job_id, "isbn": "9780451524935", "name": "page.css",
        "batchId": "batch-1795979414503-PYlijrRSbR8IRcwJ", "index": "0",
    }  # fmt: skip
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path
    return path


def token_of(job_id: str, expires_in: int) -> str:
    """A token as the server signs it, for any moment."""
    expiry = str(int(time.time()) + expires_in)
    digest = hmac.new(SECRET.encode(), f"{job_id}\n{expiry}".encode(), hashlib.sha256).digest()
    return f"{expiry}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


# ------------------------------------------------------------------ keys
async def test_every_route_but_health_and_the_page_needs_a_key(
    api: Server, job: dict[str, Any]
) -> None:
    told = {}
    for method, path in routes():
        status, answer, headers = await api.ask(method, filled(path, job["jobId"]))
        told[method, path] = status
        if status == 401:
            assert answer["error"]["code"] == "UNAUTHORIZED"
            assert headers["WWW-Authenticate"] == "Bearer"

    assert len(told) > 20
    assert {path for (_, path), status in told.items() if status != 401} == OPEN


async def test_what_does_not_exist_is_not_told_apart_without_a_key(api: Server) -> None:
    for method, path in (("GET", "/nowhere"), ("DELETE", "/v2/books"), ("OPTIONS", "/v2/books")):
        assert (await api.ask(method, path))[0] == 401


async def test_every_key_opens_every_route(api: Server, job: dict[str, Any]) -> None:
    for key in KEYS:
        for scheme in ("Bearer", "bearer"):
            headers = {"Authorization": f"{scheme} {key}"}
            for method, path in routes():
                status, _, _ = await api.ask(method, filled(path, job["jobId"]), headers=headers)
                assert status not in {401, 403}, path


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0].lower()}",
        f"Bearer {KEYS[0]}x", f"Bearer {KEYS[0][:-1]}", f"Bearer {','.join(KEYS)}", "Bearer \u00fc",
    ],
)  # fmt: skip
async def test_anything_but_a_key_is_refused(api: Server, authorization: str) -> None:
    status, answer, _ = await api.get("/v2/books", headers={"Authorization": authorization})

    assert (status, answer["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_a_key_does_not_count_in_the_query(api: Server) -> None:
    for name in ("token", "key", "api_key", "access_token"):
        assert (await api.get(f"/v2/books?{name}={KEYS[0]}"))[0] == 401


async def test_a_preflight_needs_no_key_and_a_401_has_cors_headers(api: Server) -> None:
    origin = {"Origin": "https://shelf.example"}

    preflight = await api.ask(
        "OPTIONS", "/v2/import", headers=origin | {"Access-Control-Request-Method": "POST"}
    )
    refused = await api.get("/v2/books", headers=origin)

    assert (preflight[0], refused[0]) == (204, 401)
    for answer in (preflight, refused):
        assert answer[2]["Access-Control-Allow-Origin"] == "https://shelf.example"


async def test_with_keys_any_host_name_is_served(api: Server) -> None:
    headers = WITH_KEY | {"Host": "shelf.example"}

    assert (await api.get("/v2/books", headers=headers))[0] == 200


# ------------------------------------------------------------------ tokens
async def test_a_token_opens_its_own_jobs_story_and_nothing_else(
    api: Server, sandbox: Sandbox, job: dict[str, Any]
) -> None:
    other = (await start(api, sandbox.make(1)[0]))["jobId"]
    token = f"?token={job['token']}"

    opened = set()
    for method, path in routes():
        status, _, _ = await api.ask(method, filled(path, job["jobId"]) + token)
        if status != 401:
            opened.add(path)
        if "{jobId}" in path:
            assert (await api.ask(method, filled(path, other) + token))[0] == 401

    assert opened - OPEN == TOKEN_OPENS


async def test_a_token_is_good_for_two_hours_and_not_a_second_longer(
    api: Server, job: dict[str, Any]
) -> None:
    job_id = job["jobId"]
    expiry = int(job["token"].partition(".")[0])

    assert 7_100 < expiry - time.time() <= 7_200
    assert (await api.get(f"/v2/import/status/{job_id}?token={token_of(job_id, 30)}"))[0] == 200
    assert (await api.get(f"/v2/import/status/{job_id}?token={token_of(job_id, -1)}"))[0] == 401
    assert (await api.get(f"/v2/import/status/{job_id}?token={token_of('x', 30)}"))[0] == 401


async def test_a_longer_life_cannot_be_written_into_a_token(
    api: Server, job: dict[str, Any]
) -> None:
    expiry, _, signature = job["token"].partition(".")

    for forged in (
        f"{int(expiry) + 1}.{signature}",
        f"0{job['token']}",
        f"{expiry}.",
        f".{signature}",
    ):
        status, _, _ = await api.get(f"/v2/import/status/{job['jobId']}?token={forged}")
        assert status == 401


async def test_a_watcher_needs_a_key_or_the_jobs_token(api: Server, job: dict[str, Any]) -> None:
    job_id, token = job["jobId"], job["token"]
    protocols = [websockets.Subprotocol(f"bookline.token.{token}")]

    assert await api.heard(job_id) == ([], 1008)
    assert await api.heard(job_id, "&token=") == ([], 1008)
    assert await api.heard(job_id, additional_headers={"Authorization": "Bearer x"}) == ([], 1008)
    for opened in (
        await api.heard(job_id, f"&token={token}"),
        await api.heard(job_id, subprotocols=protocols),
        await api.heard(job_id, additional_headers=WITH_KEY),
    ):
        assert statuses(opened[0])[-1] == "completed"
        assert opened[1] == 1000


async def test_without_a_key_unknown_jobs_are_not_told_from_known_ones(api: Server) -> None:
    unknown = "import-9780451524935-1700000000000-abcdefgh"

    assert (await api.get(f"/v2/import/status/{unknown}"))[0] == 401
    assert await api.heard(unknown) == ([], 1008)


async def test_a_token_outlives_a_restart_without_a_configured_secret(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = environment(sandbox)
    del env["BOOKLINE_TOKEN_SECRET"]
    async with server(env, tmp_path / "data") as api:
        started = await start(api, sandbox.make(1)[0])
        await api.restart()

        path = f"/v2/import/status/{started['jobId']}?token={started['token']}"
        assert (await api.get(path))[0] == 200
        assert (tmp_path / "data" / "token-secret").stat().st_mode & 0o077 == 0


async def test_each_caller_has_own_idempotency_keys(api: Server, sandbox: Sandbox) -> None:
    jobs = set()
    for key in KEYS:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the-same"}
        body = {"isbn": sandbox.make(1)[0]}
        status, answer, _ = await api.post("/v2/import/workflow", body, headers=headers)
        assert status == 202
        jobs.add(answer["data"]["jobId"])

    assert len(jobs) == 2


# ------------------------------------------------------------------ logs
@pytest.mark.parametrize(("form", "is_loud"), [("text", True), ("json", False)])
async def test_no_key_and_no_token_is_ever_logged(
    sandbox: Sandbox, tmp_path: Path, form: str, is_loud: bool
) -> None:
    """Not at debug level, not when things fail, not by uvicorn when ``serve`` does not mute it."""
    env = environment(sandbox) | {"BOOKLINE_LOG_LEVEL": "debug", "BOOKLINE_LOG_FORMAT": form}
    before = "from bookline.api import serving\nserving.quiet_uvicorn = lambda: None"
    before += "\nfrom bookline.shelf import Shelf\nShelf.find = lambda *_: 1 / 0"
    async with server(env, tmp_path / "data", before=before if is_loud else "") as api:
        started = await start(api, sandbox.make(1)[0])
        job_id, token = started["jobId"], started["token"]
        wrong = token_of("another", 60)
        isbn = sandbox.make(1)[0]
        sandbox.faults.add(kind="500", isbn=isbn, times=None)
        await start(api, isbn)
        for held in (token, wrong):
            await api.get(f"/v2/import/status/{job_id}?token={held}")
            await api.get(f"/v2/import/events/{job_id}?after=1&token={held}")
            await api.get(f"/nowhere?token={held}")
            await api.heard(job_id, f"&token={held}")
            await api.heard(job_id, subprotocols=[websockets.Subprotocol(f"bookline.token.{held}")])
        await api.heard(job_id, additional_headers=WITH_KEY)
        await api.get("/v2/books/9780451524935", headers=WITH_KEY)
        await api.post("/v2/import", {"isbn": "x"}, headers=WITH_KEY)
        await api.stop()

        log = api.log

    secrets = [*KEYS, SECRET, GOOGLE_KEY, ISBNDB_KEY, token, wrong, token.partition(".")[2]]
    assert [secret for secret in secrets if secret in log] == []
    assert "Bookline is ready" in log
    if is_loud:
        assert "WebSocket /ws/progress?jobId=" in log
