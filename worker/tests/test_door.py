"""The door: keys, tokens, foreign pages, names that are not known, and the idempotent start."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from worlds import Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")
KEY = "a-key-of-more-than-16"
SHELF = "https://shelf.example"
LOCKED = {"API_KEYS": KEY, "INSECURE": "", "CORS_ORIGINS": SHELF}
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locked(upstream: Upstream) -> AsyncIterator[World]:
    async with world(upstream, vars=LOCKED) as made:
        yield made


async def test_without_a_key_only_health_answers(locked: World) -> None:
    assert (await locked.ask("GET", "/healthz"))[0] == 200
    for path in ("/v2/books", "/v2/import/jobs", "/v2/import/status/x"):
        status, answer = await locked.ask("GET", path)
        assert (status, answer["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_a_jobs_token_opens_this_job_alone(locked: World, upstream: Upstream) -> None:
    isbns = await upstream.make(2)
    started = [
        (await locked.ask("POST", "/v2/import", json={"isbn": isbn}, headers=WITH_KEY))[1]["data"]
        for isbn in isbns
    ]
    job_id, token, other = started[0]["jobId"], started[0]["token"], started[1]["jobId"]

    async with locked.http.ws_connect(
        f"/ws/progress?jobId={job_id}", protocols=[f"bookline.token.{token}"]
    ) as socket:
        told = [json.loads(message.data) async for message in socket]

    assert socket.protocol == f"bookline.token.{token}"
    assert told[-1]["status"] == "completed"
    assert (await locked.ask("GET", f"/v2/import/status/{job_id}?token={token}"))[0] == 200
    assert (await locked.ask("GET", f"/v2/import/status/{other}?token={token}"))[0] == 401
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await locked.http.ws_connect(f"/ws/progress?jobId={other}&token={token}")


async def test_a_page_that_is_allowed_may_ask_and_read_the_limits(locked: World) -> None:
    asks = {"Origin": SHELF, "Access-Control-Request-Method": "POST"}
    async with locked.http.options("/v2/import", headers=asks) as answer:
        preflight = answer.status, dict(answer.headers)
    async with locked.http.get("/v2/books", headers={**WITH_KEY, "Origin": SHELF}) as answer:
        read = answer.status, dict(answer.headers)
    foreign = {**asks, "Origin": "https://evil.example"}
    async with locked.http.options("/v2/import", headers=foreign) as answer:
        refused = answer.status, dict(answer.headers)

    assert preflight[0] == 204
    assert "Idempotency-Key" in preflight[1]["Access-Control-Allow-Headers"]
    assert read[0] == 200
    assert read[1]["RateLimit-Limit"] == "600"
    assert "RateLimit-Remaining" in read[1]["Access-Control-Expose-Headers"]
    assert {one[1].get("Access-Control-Allow-Origin") for one in (preflight, read)} == {SHELF}
    assert refused[0] == 403
    assert "Access-Control-Allow-Origin" not in refused[1]


async def test_a_worker_without_keys_answers_nobody(upstream: Upstream) -> None:
    async with world(upstream, vars={"INSECURE": ""}) as here:
        status, answer = await here.ask("GET", "/v2/books")

    assert (status, answer["error"]["code"]) == (403, "FORBIDDEN")
    assert "API_KEYS" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/v2/books?colour=red", {}, 400, "INVALID_REQUEST"),
        ("POST", "/v2/import", {"json": {"isbn": "9780142437247", "x": 1}}, 400, "INVALID_REQUEST"),
        ("POST", "/v2/import", {"json": {"isbn": "978"}}, 400, "INVALID_ISBN"),
        ("POST", "/v2/import", {"json": {"isbn": "9780142437247", "method": "legacy"}}, 400,
         "INVALID_REQUEST"),
        ("POST", "/v2/import", {"data": "x"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("GET", "/v2/import/status/", {}, 400, "MISSING_JOB_ID"),
        ("GET", "/v2/nothing", {}, 404, "NOT_FOUND"),
        ("DELETE", "/v2/import", {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v2/books/9780142437247", {}, 404, "BOOK_NOT_FOUND"),
        ("GET", "/v2/books", {"headers": {"Origin": "https://evil.example"}}, 403, "FORBIDDEN"),
        ("GET", "/v2/books", {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "FORBIDDEN"),
        ("GET", "/v2/import/jobs?since=yesterday", {}, 400, "INVALID_REQUEST"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why(
    here: World, method: str, path: str, more: dict[str, object], status: int, code: str
) -> None:
    answer = await here.ask(method, path, **more)

    assert (answer[0], answer[1]["error"]["code"]) == (status, code)
    assert answer[1]["metadata"]["requestId"]


async def test_one_key_and_body_is_one_job(here: World, upstream: Upstream) -> None:
    isbn, other = await upstream.make(2)
    headers = {"Idempotency-Key": f"key-{isbn}"}

    starts = await asyncio.gather(
        *(
            here.ask("POST", "/v2/import/workflow", json={"isbn": isbn}, headers=headers)
            for _ in range(5)
        )
    )
    conflict = await here.ask("POST", "/v2/import/workflow", json={"isbn": other}, headers=headers)

    assert len({answer["data"]["jobId"] for _, answer in starts}) == 1
    assert (conflict[0], conflict[1]["error"]["code"]) == (409, "INVALID_STATE")


async def test_jobs_are_listed_newest_first_and_by_what_is_asked(
    here: World, upstream: Upstream
) -> None:
    isbns = await upstream.make(2)
    job_ids = [await here.start(isbn, userId="reader-1") for isbn in isbns]
    for job_id in job_ids:
        await here.end(job_id)

    async def listed(query: str) -> list[str]:
        _, answer = await here.ask("GET", f"/v2/import/jobs?{query}")
        return [job["jobId"] for job in answer["data"]["items"]]

    assert (await listed("userId=reader-1&limit=2")) == job_ids[::-1]
    assert (await listed(f"isbn={isbns[0]}")) == [job_ids[0]]
    assert job_ids[0] not in await listed("status=running")


async def test_the_legacy_call_starts_a_workflow(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)

    _, started = await here.ask("POST", "/v1/jobs", json={"action": "start", "isbn": isbn})
    job_id = started["data"]["jobId"]
    await here.end(job_id)

    _, told = await here.ask("POST", "/v1/jobs", json={"action": "status", "jobId": job_id})
    assert (told["data"]["status"], told["data"]["lastEvent"]["seq"]) == ("completed", 5)


async def test_search_finds_by_meaning(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)
    job = await here.end(await here.start(isbn))

    _, answer = await here.ask("GET", f"/v2/books/search?q={job['result']['title']}&limit=50")

    assert isbn in [one["book"]["isbn"] for one in answer["data"]["items"]]


async def test_imports_are_counted_for_the_rollout(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)
    await here.end(await here.start(isbn))
    await asyncio.sleep(1)  # the record follows the end

    _, answer = await here.ask("GET", "/v2/metrics/imports?window=15m")

    assert answer["data"]["methods"]["workflow"]["count"] >= 1
    _, rollout = await here.ask("GET", "/v2/rollout")
    assert rollout["data"]["percent"] == 100


@pytest.mark.parametrize("way", ["advance", "rollback"])
async def test_there_is_no_legacy_importer_to_roll_out_from(here: World, way: str) -> None:
    status, answer = await here.ask("POST", f"/v2/rollout/{way}", json={"reason": "a rehearsal"})

    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")


async def test_a_book_is_edited_covered_exported_and_deleted(
    here: World, upstream: Upstream
) -> None:
    [isbn] = await upstream.make(1)
    await here.end(await here.start(isbn))
    async with here.http.get(f"/v2/covers/{isbn}") as answer:
        picture = await answer.read()

    edited = await here.ask("PATCH", f"/v2/books/{isbn}", json={"title": "My own title"})
    await here.end(await here.start(isbn))
    kept = await here.ask("GET", f"/v2/books/{isbn}")
    covered = await here.ask(
        "PUT", f"/v2/covers/{isbn}", data=picture, headers={"Content-Type": "image/jpeg"}
    )
    async with here.http.get("/v2/books/export?format=json") as answer:
        exported = json.loads(await answer.text())
    async with here.http.delete(f"/v2/books/{isbn}") as answer:
        deleted = answer.status
    gone = await here.ask("GET", f"/v2/books/{isbn}")

    assert edited[1]["data"]["locked"] == ["title"]
    assert kept[1]["data"]["title"] == "My own title"
    assert covered[1]["data"]["cover"]["key"] == f"covers/{isbn}.own.jpg"
    assert "My own title" in [one["title"] for one in exported]
    assert (deleted, gone[0]) == (204, 404)


async def test_the_page_and_the_reference_are_served_without_a_key(locked: World) -> None:
    async with locked.http.get("/") as page, locked.http.get("/page/app.js") as script:
        answers = [page.status, script.status]
        policy = page.headers["Content-Security-Policy"]
    async with locked.http.get("/docs") as reference:
        text = await reference.text()

    assert answers == [200, 200]
    assert "script-src 'self'" in policy
    assert "/v2/import/workflow" in text


async def refusal(here: World, method: str, path: str) -> dict[str, str]:
    """The error of an answer; empty where there is none."""
    async with here.http.request(method, path) as answer:
        return (await answer.json())["error"] if answer.status >= 400 else {}


async def test_all_that_the_reference_names_is_answered(here: World) -> None:
    _, document = await here.ask("GET", "/openapi.json")
    operations = [
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, methods in document["paths"].items()
        for method in methods
    ]

    answers = {one: (await refusal(here, *one)).get("code") for one in operations}

    wrong = {"NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR"}
    assert {one: code for one, code in answers.items() if code in wrong} == {}
    assert len(operations) > 30


async def test_the_worker_takes_the_parameters_that_the_reference_names(here: World) -> None:
    _, document = await here.ask("GET", "/openapi.json")
    refused = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            named = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            query = "&".join(f"{name}=x" for name in named if name != "token")
            place = re.sub(r"\{\w+\}", "x", path)
            said = (await refusal(here, method.upper(), f"{place}?{query}")).get("message", "")
            if "unknown query" in said:
                refused.append((method, path, said))

    assert refused == []
