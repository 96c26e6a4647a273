"""The HTTP API from outside: docs/contract.md's table row by row, its codes and its rules."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, seqs, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORIGIN = "https://shelf.example"
JOB_FIELDS = {
    "jobId", "batchId", "isbn", "inputIsbn", "source", "method", "status", "step", "attempt",
    "progress", "createdAt", "lastUpdated", "lastEvent", "data", "result", "error",
}  # fmt: skip
RESULT_FIELDS = {
    "success", "isbn", "title", "source", "saved", "storedIn", "coverR2Key", "coverUrl",
    "hasEmbedding", "warnings",
}  # fmt: skip
BOOK_FIELDS = {
    "isbn", "isbn10", "title", "subtitle", "author", "authors", "description", "publisher",
    "publicationDate", "pageCount", "language", "categories", "cover", "embedding", "provenance",
    "reading", "locked",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server as users have it, but for its limits; one origin may call it from browsers."""
    env = sandbox.settings() | {"BOOKLINE_CORS_ORIGINS": ORIGIN}
    async with server(env, tmp_path_factory.mktemp("api") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server with small limits. Its callers tell themselves apart by a proxy's header."""
    env = sandbox.settings() | {
        "BOOKLINE_RATE_LIMIT_START": "2/hour",
        "BOOKLINE_RATE_LIMIT_READ": "3/hour",
        "BOOKLINE_TRUSTED_PROXIES": "127.0.0.1",
        "BOOKLINE_EMBEDDER": "none",
    }
    async with server(env, tmp_path_factory.mktemp("limited") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keyless(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that asks the real providers and has no key of theirs."""
    env = {"BOOKLINE_RATE_LIMIT_READ": "2/hour"}
    async with server(env, tmp_path_factory.mktemp("keyless") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def troubled(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server with a broken route, and with an embedder that does not answer."""
    env = sandbox.settings() | {
        "BOOKLINE_CORS_ORIGINS": ORIGIN,
        "BOOKLINE_EMBEDDER": "openai",
        "BOOKLINE_EMBEDDER_URL": "http://127.0.0.1:9/v1",
    }
    breaks = "from bookline.shelf import Shelf\nShelf.find = lambda *_: 1 / 0"
    folder = tmp_path_factory.mktemp("troubled") / "data"
    async with server(env, folder, before=breaks) as running:
        yield running


@pytest.fixture
def isbn(sandbox: Sandbox) -> str:
    """A book that no other test imports."""
    return sandbox.make(1)[0]


def is_failure(answer: tuple[int, Any, Mapping[str, str]], status: int, code: str) -> bool:
    """The one shape of every bad answer."""
    got, body, headers = answer
    assert got == status, body
    assert headers["Content-Type"] == "application/json"
    assert body["success"] is False
    assert body["data"] is None
    assert body["error"]["code"] == code, body
    assert body["error"]["message"]
    assert isinstance(body["error"]["retryable"], bool)
    assert_metadata(body["metadata"], headers)
    return True


def assert_metadata(metadata: dict[str, Any], headers: Mapping[str, str]) -> None:
    assert datetime.fromisoformat(metadata["timestamp"]).utcoffset() is not None
    assert metadata["requestId"] == headers["X-Request-Id"]


# ------------------------------------------------------------------ starting
async def test_a_start_answers_202_with_urls_that_work_when_followed(
    api: Server, isbn: str
) -> None:
    status, answer, headers = await api.post("/v2/import/workflow", {"isbn": isbn})
    data = answer["data"]

    assert status == 202
    assert answer["success"] is True
    assert_metadata(answer["metadata"], headers)
    assert data["workflowId"] == data["jobId"]
    assert data["status"] == "started"
    assert data["isbn"] == data["inputIsbn"] == isbn
    assert headers["Location"] == data["statusUrl"]
    assert (await api.get(data["statusUrl"]))[1]["data"]["jobId"] == data["jobId"]
    assert seqs(await api.story(data["jobId"]))[0] == 1
    assert (await api.get(data["eventsUrl"]))[1].startswith(b"retry:")
    async with api.http.ws_connect(data["wsUrl"]) as socket:
        assert (await socket.receive_json())["seq"] == 1


async def test_a_job_id_is_unguessable_and_safe_everywhere(api: Server, isbn: str) -> None:
    ids = [(await api.begin(isbn))["jobId"] for _ in range(3)]

    assert len(set(ids)) == 3
    for job_id in ids:
        assert re.fullmatch(rf"import-{isbn}-\d{{13}}-[A-Za-z0-9_-]{{16,}}", job_id)
        assert len(job_id) <= 100


async def test_a_job_is_known_from_the_moment_of_the_202(api: Server, sandbox: Sandbox) -> None:
    for isbn in sandbox.make(20):
        started = await api.begin(isbn)

        assert (await api.job(started["jobId"]))["status"] in {"queued", "running", "completed"}


async def test_both_starts_take_the_same_body_and_tell_the_method(api: Server, isbn: str) -> None:
    status, answer, _ = await api.post("/v2/import", {"isbn": isbn, "method": "workflow"})

    assert status == 202
    assert answer["data"]["method"] == "workflow"
    assert (await api.until(answer["data"]["jobId"]))["method"] == "workflow"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("978-0-451-52493-5", "9780451524935"),
        (" 0451524934 ", "9780451524935"),
        ("0-8044-2957-X", "9780804429573"),
        ("0-8044-2957-x", "9780804429573"),
        ("978\u20100\u2011451\u201252493\u20135", "9780451524935"),
        ("978\u00a00451\u202f524935\u200b", "9780451524935"),
        ("９７８０４５１５２４９３５", "9780451524935"),
        ("\ufeff9780451524935", "9780451524935"),
    ],
)
async def test_every_form_of_an_isbn_is_read_and_the_input_kept(
    api: Server, text: str, canonical: str
) -> None:
    started = await api.begin(text)
    job = await api.job(started["jobId"])

    assert started["isbn"] == job["isbn"] == canonical
    assert started["inputIsbn"] == job["inputIsbn"] == text
    assert started["jobId"].startswith(f"import-{canonical}-")


@pytest.mark.parametrize(
    "isbn",
    [
        "", "   ", "abc", "97804515249", "978045152493", "9780451524936", "045152493X",
        "X451524934", "0000000000", "1234567890123", "9770451524935", "97804515249355",
        "0" * 200, 9780451524935, 451524934, 9780451524935.0, True, None, [], {}, ["0451524934"],
        "9780451524935; DROP TABLE books", "../../etc/passwd", "9780451524935\n9780306406157",
    ],
)  # fmt: skip
async def test_what_is_no_isbn_is_refused_with_the_reason(api: Server, isbn: Any) -> None:
    answer = await api.post("/v2/import/workflow", {"isbn": isbn})

    assert is_failure(answer, 400, "INVALID_ISBN")
    assert answer[1]["error"]["message"].startswith("ISBN must be 10 or 13 digits")
    assert answer[1]["error"]["retryable"] is False


async def test_a_missing_isbn_is_an_invalid_isbn(api: Server) -> None:
    assert is_failure(await api.post("/v2/import", {}), 400, "INVALID_ISBN")


@pytest.mark.parametrize("source", ["Google_Books", "AUTO", "", "amazon", 7, ["auto"], "\ud800"])
async def test_an_unknown_source_is_refused_at_the_door(
    api: Server, isbn: str, source: Any
) -> None:
    answer = await api.post("/v2/import/workflow", {"isbn": isbn, "source": source})

    assert is_failure(answer, 400, "INVALID_SOURCE")


@pytest.mark.parametrize("source", ["auto", "google_books", "isbndb", "openlibrary", None])
async def test_every_source_imports_and_is_told(api: Server, isbn: str, source: str | None) -> None:
    job = await api.finished(isbn, source=source)

    assert job["status"] == "completed"
    assert job["source"] == source or "auto"
    if source not in {"auto", None}:
        assert job["result"]["source"] == source


async def test_a_source_without_its_key_is_refused_before_anything_starts(keyless: Server) -> None:
    for source in ("google_books", "isbndb"):
        answer = await keyless.post("/v2/import", {"isbn": "9780451524935", "source": source})
        assert is_failure(answer, 400, "SOURCE_NOT_CONFIGURED")

    assert (await keyless.get("/v2/import/jobs"))[1]["data"]["items"] == []


@pytest.mark.parametrize("user", [7, [], {}, "u" * 201, "a\0b", "\udfff"])
async def test_a_user_that_cannot_be_kept_is_refused(api: Server, isbn: str, user: Any) -> None:
    answer = await api.post("/v2/import", {"isbn": isbn, "userId": user})

    assert is_failure(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("method", ["turbo", "Workflow", "", 1])
async def test_an_unknown_method_is_refused(api: Server, isbn: str, method: Any) -> None:
    answer = await api.post("/v2/import", {"isbn": isbn, "method": method})

    assert is_failure(answer, 400, "INVALID_REQUEST")


# ------------------------------------------------------------------ bodies
JSON = {"Content-Type": "application/json"}
START = "/v2/import/workflow"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"true", b"7", b'"9780451524935"', b"{} {}", b"\xff\xfe\xfa",
        b'{"isbn": "\xff"}', b"[" * 8_000, b'{"a":' * 3_000, b'{"isbn": ' + b"9" * 5_000 + b"}",
        b"isbn=9780451524935", b"<isbn/>", b"\0",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_refused(api: Server, body: bytes) -> None:
    answer = await api.ask("POST", START, data=body, headers=JSON)

    assert is_failure(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize("depth", [*range(860, 1000, 7), 4_000])
async def test_deep_nesting_never_breaks_the_server(api: Server, depth: int) -> None:
    nested = b'{"isbn": ' + b"[" * depth + b"]" * depth + b"}"

    status, answer, _ = await api.ask("POST", START, data=nested, headers=JSON)

    assert status == 400
    assert answer["error"]["code"] in {"INVALID_REQUEST", "INVALID_ISBN"}


@pytest.mark.parametrize("text", [r'"\ud800"', r'"978\u00000451524935\u0000"', r'"\udc00\ud800"'])
async def test_text_that_cannot_be_stored_is_a_plain_400(api: Server, text: str) -> None:
    for body in (f'{{"isbn": {text}}}', f'{{"isbn": "9780451524935", "userId": {text}}}'):
        status, answer, _ = await api.ask("POST", START, data=body.encode(), headers=JSON)

        assert status == 400, answer
        assert answer["error"]["code"] in {"INVALID_REQUEST", "INVALID_ISBN"}


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
async def test_a_body_of_another_type_is_refused(api: Server, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    skip = ["Content-Type"] if kind is None else []

    answer = await api.ask(
        "POST", START, data=b'{"isbn": "9780451524935"}', headers=headers, skip_auto_headers=skip
    )

    assert is_failure(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_charset_beside_the_type_is_fine(api: Server, isbn: str) -> None:
    body = json.dumps({"isbn": isbn}).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert (await api.ask("POST", START, data=body, headers=headers))[0] == 202


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 4_096):
        yield body[start : start + 4_096]


def _body_of(size: int, isbn: str = "9780451524935") -> bytes:
    return json.dumps({"isbn": isbn}).ljust(size).encode()


@pytest.mark.parametrize("size", [16_385, 300_000])
async def test_a_body_over_16_kb_is_refused_with_and_without_its_length(
    api: Server, size: int
) -> None:
    body = _body_of(size)
    assert len(body) == size

    for sent in (body, _in_pieces(body)):
        answer = await api.ask("POST", START, data=sent, headers=JSON)
        assert is_failure(answer, 413, "PAYLOAD_TOO_LARGE")


async def test_a_body_of_16_kb_is_taken(api: Server, isbn: str) -> None:
    body = _body_of(16_384, isbn)

    for sent in (body, _in_pieces(body)):
        assert (await api.ask("POST", START, data=sent, headers=JSON))[0] == 202


async def test_a_connection_serves_on_after_a_refused_body(api: Server) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        for _ in range(3):
            async with http.post(api.url + START, data=_body_of(100_000), headers=JSON) as answer:
                assert answer.status == 413
            async with http.get(api.url + "/healthz") as answer:
                assert answer.status == 200


# ------------------------------------------------------------------ Idempotency-Key
async def test_the_same_key_and_body_give_the_same_job(api: Server, isbn: str) -> None:
    key = {"Idempotency-Key": f"once-{isbn}"}
    hyphened = f"{isbn[:3]}-{isbn[3:]}"

    first = await api.post(START, {"isbn": isbn}, headers=key)
    again = await api.post(START, {"isbn": hyphened, "source": "auto"}, headers=key)
    await api.until(first[1]["data"]["jobId"])
    late = await api.post(START, {"isbn": isbn}, headers=key)

    assert [answer[0] for answer in (first, again, late)] == [202, 202, 202]
    assert len({answer[1]["data"]["jobId"] for answer in (first, again, late)}) == 1


async def test_the_same_key_with_another_body_is_a_conflict(api: Server, sandbox: Sandbox) -> None:
    one, two = sandbox.make(2)
    key = {"Idempotency-Key": f"once-{one}"}
    await api.post(START, {"isbn": one}, headers=key)

    for other in ({"isbn": two}, {"isbn": one, "source": "isbndb"}, {"isbn": one, "userId": "u"}):
        assert is_failure(await api.post(START, other, headers=key), 409, "INVALID_STATE")


async def test_the_same_key_sent_many_times_at_once_starts_one_job(api: Server, isbn: str) -> None:
    key = {"Idempotency-Key": f"at-once-{isbn}"}

    answers = await asyncio.gather(
        *(api.post(START, {"isbn": isbn}, headers=key) for _ in range(12))
    )

    assert {answer[0] for answer in answers} == {202}
    assert len({answer[1]["data"]["jobId"] for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_without_a_sensible_length_is_refused(api: Server, isbn: str, key: str) -> None:
    answer = await api.post(START, {"isbn": isbn}, headers={"Idempotency-Key": key})

    assert is_failure(answer, 400, "INVALID_REQUEST")


async def test_a_refused_request_does_not_use_its_key_up(api: Server, isbn: str) -> None:
    key = {"Idempotency-Key": f"later-{isbn}"}

    assert (await api.post(START, {"isbn": "nonsense"}, headers=key))[0] == 400
    assert (await api.post(START, {"isbn": isbn}, headers=key))[0] == 202


async def test_two_imports_of_one_book_at_once_leave_one_right_book(api: Server, isbn: str) -> None:
    jobs = await asyncio.gather(*(api.finished(isbn) for _ in range(6)))

    assert {job["status"] for job in jobs} == {"completed"}
    page = (await api.get("/v2/books?limit=200"))[1]["data"]["items"]
    assert [book["isbn"] for book in page].count(isbn) == 1


# ------------------------------------------------------------------ status and lists
async def test_a_job_always_has_all_its_fields(api: Server, sandbox: Sandbox, isbn: str) -> None:
    """Not known is null, never missing."""
    sandbox.faults.add(kind="delay", ms=1_500, isbn=isbn)
    job_id = (await api.begin(isbn))["jobId"]

    early = await api.job(job_id)
    listed = (await api.get("/v2/import/jobs?limit=1"))[1]["data"]["items"][0]
    late = await api.until(job_id)

    for job in (early, listed, late):
        assert set(job) == JOB_FIELDS
    assert early["result"] is None
    assert early["error"] is None
    assert set(late["result"]) == RESULT_FIELDS
    assert late["lastEvent"]["status"] == late["status"] == "completed"
    assert late["data"] == late["lastEvent"]["data"]
    assert late["progress"] == 1


async def test_a_failed_job_says_why_in_which_step_and_after_how_many_tries(
    api: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="500", isbn=isbn, route="google_books", times=None)

    job = await api.finished(isbn, source="google_books")

    assert job["status"] == "failed"
    assert job["error"]["code"] == "PROVIDER_ERROR"
    assert job["error"]["step"] == "fetch-metadata"
    assert job["error"]["attempts"] == 4
    assert job["result"] is None
    assert job["lastEvent"]["data"]["error"] == job["error"]


async def test_a_book_that_nobody_knows_fails_at_once(api: Server) -> None:
    job = await api.finished("9780000000019")

    assert (job["status"], job["error"]["code"]) == ("failed", "BOOK_NOT_FOUND")
    assert job["error"]["attempts"] == 1


@pytest.mark.parametrize("route", ["status", "events"])
async def test_a_job_id_that_is_missing_or_unknown_is_told_apart(api: Server, route: str) -> None:
    for path in (f"/v2/import/{route}", f"/v2/import/{route}/"):
        assert is_failure(await api.get(path), 400, "MISSING_JOB_ID")
    unknown = "import-9780451524935-1700000000000-abcdefgh"
    for job_id in (unknown, "x", "%2e%2e", "a%2Fb", "%00", "j" * 100):
        status, answer, _ = await api.get(f"/v2/import/{route}/{job_id}")
        assert status == 404, answer
        assert answer["error"]["code"] in {"JOB_NOT_FOUND", "NOT_FOUND"}


@pytest.mark.parametrize("control", ["cancel", "retry"])
async def test_a_control_without_a_job_says_so(api: Server, control: str) -> None:
    for path in (f"/v2/import/{control}", f"/v2/import/{control}/"):
        assert is_failure(await api.post(path), 400, "MISSING_JOB_ID")
    unknown = f"/v2/import/{control}/import-9780451524935-1700000000000-abcdefgh"
    assert is_failure(await api.post(unknown), 404, "JOB_NOT_FOUND")


async def _pages(api: Server, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        status, answer, _ = await api.get(path + more)
        assert status == 200, answer
        items += answer["data"]["items"]
        cursor = answer["data"]["nextCursor"]
    return items


async def test_jobs_are_listed_newest_first_and_paged_without_gap_or_repeat(
    api: Server, sandbox: Sandbox
) -> None:
    started = [(await api.begin(isbn))["jobId"] for isbn in sandbox.make(7)]

    listed = await _pages(api, "/v2/import/jobs?limit=3")

    ids = [job["jobId"] for job in listed]
    assert ids[:7] == started[::-1]
    assert len(ids) == len(set(ids))
    assert [job["createdAt"] for job in listed] == sorted(
        (job["createdAt"] for job in listed), reverse=True
    )


async def test_jobs_are_filtered_by_status_and_method(
    api: Server, sandbox: Sandbox, isbn: str
) -> None:
    await api.finished(isbn)
    sandbox.faults.add(kind="not_found", isbn=isbn, times=None)
    failed = await api.finished(isbn)

    listed = await _pages(api, "/v2/import/jobs?status=failed&method=workflow&limit=50")

    assert failed["jobId"] in [job["jobId"] for job in listed]
    assert {job["status"] for job in listed} == {"failed"}
    assert (await api.get("/v2/import/jobs?method=legacy"))[1]["data"]["items"] == []


async def test_jobs_are_found_by_book_user_and_time(api: Server, isbn: str) -> None:
    before = await api.finished(isbn)
    user_id = f"reader of {isbn}"
    job = await api.finished(isbn, userId=user_id)

    async def found(**query: str) -> list[str]:
        status, answer, _ = await api.get("/v2/import/jobs", params=query)
        assert status == 200, answer
        return [one["jobId"] for one in answer["data"]["items"]]

    hyphens = f"{isbn[:3]}-{isbn[3:]}"
    assert await found(isbn=hyphens) == [job["jobId"], before["jobId"]]
    assert await found(isbn=isbn, since=job["createdAt"]) == [job["jobId"]]
    assert await found(userId=user_id) == [job["jobId"]]
    assert await found(userId="nobody") == []
    assert await found(batchId="batch-1") == []
    local = datetime.fromisoformat(job["createdAt"]).astimezone(timezone(timedelta(hours=2)))
    assert job["jobId"] in await found(since=local.isoformat())
    loose = await api.get(f"/v2/import/jobs?isbn={isbn}&since={local.isoformat()}")
    assert [one["jobId"] for one in loose[1]["data"]["items"]] == [job["jobId"]]
    assert await found(since="2199-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("since=yesterday", "INVALID_REQUEST"), ("since=2026-11-22", "INVALID_REQUEST"),
        ("since=2026-11-22T10:00:00", "INVALID_REQUEST"), ("since=", "INVALID_REQUEST"),
        ("isbn=9780451524934", "INVALID_ISBN"), ("isbn=", "INVALID_ISBN"),
        ("userId=%00", "INVALID_REQUEST"), ("userId=" + "x" * 201, "INVALID_REQUEST"),
    ],
)  # fmt: skip
async def test_a_filter_that_cannot_be_is_refused(api: Server, query: str, code: str) -> None:
    assert is_failure(await api.get(f"/v2/import/jobs?{query}"), 400, code)


@pytest.mark.parametrize("path", ["/v2/import/jobs", "/v2/books"])
@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=201", "limit=x", "limit=", "limit=1.0", "limit=1e1",
        "limit=99999999999999999999", "limit=%EF%BC%95", "cursor=x", "cursor=%00", "cursor=W10",
        "cursor=WzFd", "cursor=bnVsbA", "cursor=WzFlOTksIngiXQ", "cursor=" + "A" * 3_000,
        "cursor=%ED%A0%80",
    ],
)  # fmt: skip
async def test_a_bad_page_is_a_bad_request(api: Server, path: str, query: str) -> None:
    assert is_failure(await api.get(f"{path}?{query}"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "query", ["status=done", "status=", "status=FAILED", "method=x", "method="]
)
async def test_an_unknown_filter_is_a_bad_request(api: Server, query: str) -> None:
    assert is_failure(await api.get(f"/v2/import/jobs?{query}"), 400, "INVALID_REQUEST")


# ------------------------------------------------------------------ cancel and retry
async def test_a_running_import_can_be_cancelled_once(
    api: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="503", retry_after=3, isbn=isbn, route="google_books", times=None)
    job_id = (await api.begin(isbn, source="google_books"))["jobId"]
    await api.until(job_id, "running")

    status, answer, _ = await api.post(f"/v2/import/cancel/{job_id}")
    job = await api.until(job_id)

    assert status == 202
    assert set(answer["data"]) == JOB_FIELDS
    assert job["status"] == "cancelled"
    assert job["error"]["code"] == "CANCELLED"
    assert is_failure(await api.get(f"/v2/books/{isbn}"), 404, "BOOK_NOT_FOUND")
    assert is_failure(await api.post(f"/v2/import/cancel/{job_id}"), 409, "INVALID_STATE")
    assert is_failure(await api.post(f"/v2/import/retry/{job_id}"), 409, "INVALID_STATE")


async def test_a_failed_import_can_be_retried_under_its_id(
    api: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="500", isbn=isbn, route="google_books", times=4)
    failed = await api.finished(isbn, source="google_books")
    assert failed["status"] == "failed"

    status, answer, _ = await api.post(f"/v2/import/retry/{failed['jobId']}")
    job = await api.until(failed["jobId"], "completed")

    assert status == 202
    assert answer["data"]["status"] == "queued"
    assert answer["data"]["error"] is None
    assert job["error"] is None


async def test_a_finished_import_can_neither_be_cancelled_nor_retried(
    api: Server, isbn: str
) -> None:
    job_id = (await api.finished(isbn))["jobId"]

    assert is_failure(await api.post(f"/v2/import/cancel/{job_id}"), 409, "INVALID_STATE")
    assert is_failure(await api.post(f"/v2/import/retry/{job_id}"), 409, "INVALID_STATE")


# ------------------------------------------------------------------ the library
async def test_a_book_is_found_by_every_form_of_its_isbn(api: Server) -> None:
    job = await api.finished("9780451524935")

    for form in ("9780451524935", "0451524934", "978-0-451-52493-5", "0-451-52493-4"):
        status, answer, _ = await api.get(f"/v2/books/{form}")
        assert status == 200
        assert set(answer["data"]) == BOOK_FIELDS
        assert answer["data"]["isbn"] == "9780451524935"
    book = answer["data"]
    assert book["author"] == book["authors"][0]
    assert set(book["cover"]) == {"key", "url", "contentType", "width", "height", "sha256"}
    assert set(book["embedding"]) == {"model", "dimensions"}
    assert set(book["provenance"]) == {
        "source", "sourceId", "jobId", "importedAt", "updatedAt", "fields",
    }  # fmt: skip
    assert book["provenance"]["jobId"] == job["jobId"]
    assert book["cover"]["url"] == job["result"]["coverUrl"]


async def test_a_book_that_is_not_there_and_one_that_cannot_be_are_told_apart(api: Server) -> None:
    assert is_failure(await api.get("/v2/books/9780000000019"), 404, "BOOK_NOT_FOUND")
    assert is_failure(await api.get("/v2/covers/9780000000019"), 404, "NOT_FOUND")
    for text in ("x", "978045152493", "%F0%9F%93%96", "%FF", "%00"):
        assert is_failure(await api.get(f"/v2/books/{text}"), 400, "INVALID_ISBN")
        assert is_failure(await api.get(f"/v2/covers/{text}"), 400, "INVALID_ISBN")


async def test_books_are_paged_without_gap_or_repeat(api: Server, sandbox: Sandbox) -> None:
    isbns = sandbox.make(5)
    await asyncio.gather(*(api.finished(isbn) for isbn in isbns))

    listed = [book["isbn"] for book in await _pages(api, "/v2/books?limit=2")]

    assert len(listed) == len(set(listed))
    assert set(isbns) <= set(listed)


async def test_search_is_by_meaning_with_scores(api: Server) -> None:
    await asyncio.gather(*(api.finished(isbn) for isbn in ("9780451524935", "9780142437247")))

    status, answer, _ = await api.get("/v2/books/search?q=a+whale+hunted+at+sea&limit=3")
    found = answer["data"]["items"]
    scores = [one["score"] for one in found]

    assert status == 200
    assert answer["data"]["model"]
    assert len(found) <= 3
    assert set(found[0]) == {"book", "score", "match"}
    assert set(found[0]["book"]) == BOOK_FIELDS
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "query", ["", "q=", "q=+++", "q=" + "x" * 501, "q=whale&limit=0", "q=whale&limit=201"]
)
async def test_a_search_that_asks_nothing_is_a_bad_request(api: Server, query: str) -> None:
    assert is_failure(await api.get(f"/v2/books/search?{query}"), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("q", ["%00", "%F0%9F%90%8B", "%ED%A0%80", "%FF", "'%22--", "x" * 500])
async def test_a_search_for_odd_text_still_answers(api: Server, q: str) -> None:
    assert (await api.get(f"/v2/books/search?q={q}"))[0] == 200


@pytest.mark.parametrize(
    ("quirk", "source", "kind", "magic"),
    [
        ([], "google_books", "image/jpeg", b"\xff\xd8"),
        (["google_png"], "google_books", "image/png", b"\x89PNG"),
        (["openlibrary_webp"], "openlibrary", "image/webp", b"RIFF"),
    ],
)
async def test_a_cover_has_its_true_type_and_never_changes_under_its_hash(
    api: Server, sandbox: Sandbox, quirk: list[str], source: str, kind: str, magic: bytes
) -> None:
    isbn = sandbox.make(1)[0]
    facts = sandbox.catalogue.by_isbn[isbn]
    sandbox.add_book(isbn13=isbn, title=facts.title, authors=["Ada"], quirks=quirk)
    job = await api.finished(isbn, source=source)

    pinned = await api.get(job["result"]["coverUrl"])
    plain = await api.get(f"/v2/covers/{isbn}")
    stale = await api.get(f"/v2/covers/{isbn}?v=0123456789abcdef")
    known = {"If-None-Match": f'"other", W/{plain[2]["ETag"]}'}
    unchanged = await api.get(f"/v2/covers/{isbn}", headers=known)

    assert [one[0] for one in (pinned, plain, stale, unchanged)] == [200, 200, 200, 304]
    assert pinned[2]["Content-Type"] == kind
    assert pinned[1].startswith(magic)
    assert "immutable" in pinned[2]["Cache-Control"]
    assert "immutable" not in plain[2]["Cache-Control"]
    assert "immutable" not in stale[2]["Cache-Control"]
    assert pinned[2]["ETag"] == plain[2]["ETag"] == unchanged[2]["ETag"]
    assert unchanged[1] == b""


async def test_a_book_without_a_cover_says_so(api: Server, sandbox: Sandbox, isbn: str) -> None:
    sandbox.faults.add(kind="404", isbn=isbn, route="covers", times=None)

    job = await api.finished(isbn)

    assert job["status"] == "completed"
    assert job["result"]["coverUrl"] is None
    assert [warned["step"] for warned in job["result"]["warnings"]] == ["upload-cover"]
    assert (await api.get(f"/v2/books/{isbn}"))[1]["data"]["cover"] is None
    assert is_failure(await api.get(f"/v2/covers/{isbn}"), 404, "NOT_FOUND")


# ------------------------------------------------------------------ every answer's shape
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/v2", 404, "NOT_FOUND"),
        ("GET", "/v2/import/status/a/b", 404, "NOT_FOUND"),
        ("GET", "/v2/books/", 404, "NOT_FOUND"),
        ("GET", "/page/../../settings.py", 404, "NOT_FOUND"),
        ("GET", "/page/none.js", 404, "NOT_FOUND"),
        ("GET", "/v2/import/workflow", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v2/import", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v2/books/9780451524935", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/healthz", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/v2/import/jobs", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/v2/import/jobs", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/ws/progress", 404, "NOT_FOUND"),
    ],
)
async def test_every_error_has_the_envelope_and_the_cors_headers(
    api: Server, method: str, path: str, status: int, code: str
) -> None:
    answer = await api.ask(method, path, headers={"Origin": ORIGIN})

    assert is_failure(answer, status, code)
    assert answer[2]["Access-Control-Allow-Origin"] == ORIGIN
    assert answer[2]["Vary"] == "Origin"
    if status == 405:
        assert answer[2]["Allow"]


async def test_what_breaks_unexpectedly_has_the_envelope_too(troubled: Server) -> None:
    """The sentence tells nothing of the inside; the log has it."""
    answer = await troubled.get("/v2/books/9780451524935", headers={"Origin": ORIGIN})

    assert is_failure(answer, 500, "INTERNAL_ERROR")
    assert answer[2]["Access-Control-Allow-Origin"] == ORIGIN
    assert "division" not in str(answer[1])
    assert troubled.log.count("ZeroDivisionError") == 1
    assert answer[1]["metadata"]["requestId"] in troubled.log


async def test_a_search_whose_embedder_is_down_is_unavailable_not_broken(troubled: Server) -> None:
    answer = await troubled.get("/v2/books/search?q=whale")

    assert is_failure(answer, 503, "UNAVAILABLE")
    assert answer[1]["error"]["retryable"] is True
    assert int(answer[2]["Retry-After"]) > 0


async def test_a_search_without_an_embedder_is_literal_alone(limited: Server) -> None:
    status, answer, _ = await limited.get("/v2/books/search?q=whale")

    assert status == 200
    assert answer["data"] == {"items": [], "model": None}


# ------------------------------------------------------------------ CORS and Host
async def test_a_preflight_from_an_allowed_origin_is_answered(api: Server) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}

    status, _, sent = await api.ask("OPTIONS", "/v2/import/workflow", headers=headers)

    assert status == 204
    assert sent["Access-Control-Allow-Origin"] == ORIGIN
    assert {"GET", "POST", "PUT"} <= set(re.split(", *", sent["Access-Control-Allow-Methods"]))
    allowed = sent["Access-Control-Allow-Headers"].lower()
    for name in ("authorization", "content-type", "idempotency-key", "last-event-id"):
        assert name in allowed


async def test_another_origin_gets_no_permission(api: Server) -> None:
    for origin in ("https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.upper()):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await api.ask("OPTIONS", "/v2/import/workflow", headers=headers)
        plain = await api.get("/healthz", headers={"Origin": origin})

        assert is_failure(preflight, 403, "FORBIDDEN")
        for answer in (preflight, plain):
            assert "Access-Control-Allow-Origin" not in answer[2]
            assert answer[2]["Vary"] == "Origin"


async def test_no_answer_allows_credentials_or_every_origin(api: Server) -> None:
    _, _, headers = await api.get("/healthz", headers={"Origin": ORIGIN})

    assert headers["Access-Control-Allow-Origin"] != "*"
    assert "Access-Control-Allow-Credentials" not in headers
    assert "Retry-After" in headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "localhost.evil.example"])
async def test_without_keys_another_host_name_is_refused(api: Server, host: str) -> None:
    """A web page that points its own name at us (DNS rebinding) reads nothing."""
    for path in ("/v2/import/jobs", "/", "/openapi.json"):
        assert is_failure(await api.get(path, headers={"Host": host}), 403, "FORBIDDEN")


@pytest.mark.parametrize("host", ["localhost:8787", "LocalHost", "127.0.0.1", "[::1]:8787"])
async def test_every_name_of_this_machine_is_taken(api: Server, host: str) -> None:
    assert (await api.get("/v2/import/jobs", headers={"Host": host}))[0] == 200


# ------------------------------------------------------------------ limits
def as_caller(name: str) -> dict[str, Any]:
    return {"headers": {"X-Forwarded-For": name}}


async def test_over_the_limit_is_429_with_when_to_come_back(limited: Server) -> None:
    me = as_caller("203.0.113.1")

    allowed = [await limited.get("/v2/import/jobs", **me) for _ in range(3)]
    stopped = await limited.get("/v2/import/jobs", **me)

    assert [one[0] for one in allowed] == [200, 200, 200]
    assert [one[2]["RateLimit-Remaining"] for one in allowed] == ["2", "1", "0"]
    assert is_failure(stopped, 429, "RATE_LIMIT_EXCEEDED")
    assert stopped[1]["error"]["retryable"] is True
    assert 1 <= int(stopped[2]["Retry-After"]) <= 1200
    assert stopped[2]["RateLimit-Limit"] == "3"
    assert stopped[2]["RateLimit-Remaining"] == "0"
    assert 1 <= int(stopped[2]["RateLimit-Reset"]) <= 3600


async def test_starts_have_a_limit_of_their_own(limited: Server, isbn: str) -> None:
    me = as_caller("203.0.113.2")

    for path in ("/v2/import", "/v2/import/workflow"):
        assert (await limited.post(path, {"isbn": isbn}, **me))[0] == 202
    for path in ("/v2/import", "/v2/import/workflow"):
        stopped = await limited.post(path, {"isbn": isbn}, **me)
        assert is_failure(stopped, 429, "RATE_LIMIT_EXCEEDED")
    assert (await limited.get("/v2/import/jobs", **me))[0] == 200


async def test_every_route_and_method_has_its_own_limit(limited: Server) -> None:
    """Polling one thing never starves another."""
    me = as_caller("203.0.113.3")
    job = "import-9780451524935-1700000000000-abcdefgh"
    routes = [
        ("GET", f"/v2/import/status/{job}"), ("GET", f"/v2/import/events/{job}"),
        ("POST", f"/v2/import/cancel/{job}"), ("POST", f"/v2/import/retry/{job}"),
        ("GET", "/v2/import/jobs"), ("GET", "/v2/books"), ("GET", "/v2/books/9780000000019"),
        ("GET", "/v2/books/search?q=x"), ("GET", "/openapi.json"), ("GET", "/docs"),
        ("GET", "/nowhere"),
    ]  # fmt: skip

    for method, path in routes:
        codes = [(await limited.ask(method, path, **me))[0] for _ in range(4)]
        assert 429 not in codes[:3], path
        assert codes[3] == 429, path


async def test_one_route_is_one_bucket_whatever_it_is_asked_for(limited: Server) -> None:
    me = as_caller("203.0.113.4")
    for number in range(3):
        await limited.get(f"/v2/import/status/job-{number}", **me)
        await limited.get(f"/nowhere/{number}", **me)
        await limited.get(f"/v2/books/978000000000{number}", **me)

    assert (await limited.get("/v2/books/9780451524935", **me))[0] == 429
    assert (await limited.get("/v2/import/status/job-3", **me))[0] == 429
    assert (await limited.get("/elsewhere", **me))[0] == 429


async def test_probes_covers_and_the_page_are_not_limited(limited: Server) -> None:
    me = as_caller("203.0.113.5")

    for path in ("/healthz", "/readyz", "/v2/covers/9780000000019", "/", "/page/none.js"):
        assert 429 not in [(await limited.get(path, **me))[0] for _ in range(5)]


async def test_a_forwarded_address_counts_only_from_a_configured_proxy(keyless: Server) -> None:
    codes = [(await keyless.get("/v2/books", **as_caller(f"203.0.113.{n}")))[0] for n in range(3)]

    assert codes == [200, 200, 429]


async def test_the_hop_before_our_own_proxies_is_the_caller(limited: Server) -> None:
    """What a caller writes in front of it does not count."""
    for n in range(3):
        hops = as_caller(f"198.51.100.{n}, 203.0.113.6, 127.0.0.1")
        assert (await limited.get("/v2/books", **hops))[0] == 200

    assert (await limited.get("/v2/books", **as_caller("203.0.113.6")))[0] == 429


async def test_behind_a_tls_proxy_the_urls_are_the_callers(limited: Server, isbn: str) -> None:
    headers = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        "Host": "localhost:8443",
    }

    status, answer, _ = await limited.post(START, {"isbn": isbn}, headers=headers)

    assert status == 202
    assert answer["data"]["statusUrl"].startswith("https://localhost:8443/v2/import/status/")
    assert answer["data"]["wsUrl"].startswith("wss://localhost:8443/ws/progress?jobId=")


async def test_two_processes_share_limits_jobs_and_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    env = sandbox.settings() | {
        "BOOKLINE_RATE_LIMIT_START": "3/hour",
        "BOOKLINE_RATE_LIMIT_READ": "off",
    }
    isbn = sandbox.make(1)[0]
    key = {"headers": {"Idempotency-Key": "shared"}}
    async with server(env, tmp_path / "data") as one, server(env, tmp_path / "data") as two:
        first = await one.post(START, {"isbn": isbn}, **key)
        second = await two.post(START, {"isbn": isbn}, **key)
        third = await one.post(START, {"isbn": isbn}, **key)
        stopped = await two.post(START, {"isbn": isbn}, **key)

        assert [first[0], second[0], third[0]] == [202, 202, 202]
        assert is_failure(stopped, 429, "RATE_LIMIT_EXCEEDED")
        assert len({answer[1]["data"]["jobId"] for answer in (first, second, third)}) == 1
        job = await two.until(first[1]["data"]["jobId"])
        assert job["status"] == "completed"


# ------------------------------------------------------------------ the service
async def test_health_asks_nothing_and_readiness_tells_of_each_dependency(api: Server) -> None:
    status, health, _ = await api.get("/healthz")
    ready_status, ready, _ = await api.get("/readyz")

    assert (status, ready_status) == (200, 200)
    assert health["data"]["status"] == "ok"
    assert ready["data"]["status"] == "ready"
    states = ready["data"]["dependencies"]
    assert {"journal", "engine", "library", "fallback", "objects"} <= set(states)
    assert all(state == {"ok": True, "detail": None} for state in states.values())


# The fallback store is down while there is a file of this name in the data folder.
BREAKABLE = """
from pathlib import Path
from bookline.errors import StoreDown
from bookline.stores.sqlite_key_value import SqliteKeyValue
find = SqliteKeyValue.find
async def find_or_break(store, key):
    if Path("fallback-is-down").exists():
        raise StoreDown("no fallback store")
    return await find(store, key)
SqliteKeyValue.find = find_or_break
"""


async def test_readiness_tells_what_is_down_and_whether_imports_can_do_without_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with server(sandbox.settings(), data, before=BREAKABLE) as api:
        (data / "objects").rename(tmp_path / "away")
        (data / "objects").write_text("no folder any more")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (degraded := await api.get("/readyz"))[1]["data"]["status"] == "ready":
                await asyncio.sleep(0.1)

            (data / "fallback-is-down").touch()
            while (stopped := await api.get("/readyz"))[0] == 200:
                await asyncio.sleep(0.1)

        assert degraded[0] == 200  # imports still end, with a warning
        assert degraded[1]["data"]["status"] == "degraded"
        assert degraded[1]["data"]["dependencies"]["objects"]["ok"] is False
        assert is_failure(stopped, 503, "UNAVAILABLE")
        states = stopped[1]["error"]["details"]["dependencies"]
        assert states["fallback"] == {"ok": False, "detail": "no fallback store"}
        assert states["journal"]["ok"] is True
        assert (await api.get("/healthz"))[0] == 200


async def test_without_a_library_a_book_waits_aside_and_moves_in_later(
    sandbox: Sandbox, tmp_path: Path, isbn: str
) -> None:
    """The plan's "D1 not ready" (docs/plan-checklist.md): nothing is lost."""
    env, folder = sandbox.settings(), tmp_path / "data"
    async with server({**env, "BOOKLINE_LIBRARY": "off"}, folder) as before:
        job = await before.finished(isbn)

        assert job["status"] == "completed"
        assert job["result"]["storedIn"] == "kv"
        assert (await before.get(f"/v2/books/{isbn}"))[0] == 200
        assert (await before.get("/v2/books"))[1]["data"]["items"] == []
        assert is_failure(await before.get("/v2/books/search?q=x"), 503, "UNAVAILABLE")

    async with server(env, folder) as after, asyncio.timeout(PATIENCE_SECONDS):
        while not (listed := (await after.get("/v2/books"))[1]["data"]["items"]):
            await asyncio.sleep(0.1)

        assert [book["isbn"] for book in listed] == [isbn]
        assert listed[0]["provenance"]["jobId"] == job["jobId"]
        assert (await after.get(listed[0]["cover"]["url"]))[0] == 200


async def test_the_page_and_the_reference_load_nothing_from_elsewhere(api: Server) -> None:
    for path in ("/", "/docs"):
        status, body, headers = await api.get(path)
        assert status == 200
        assert headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not re.search(rb'(src|href)="(https?:)?//', body)
