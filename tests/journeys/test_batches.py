"""Batches from outside: many imports under one id, over HTTP, SSE and WebSocket."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import FormData
from stack import PATIENCE_SECONDS, Server, rest, server
from websockets.asyncio.client import connect

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

KNOWN, ALSO_KNOWN, UNKNOWN = "9780451524935", "9780142437247", "9780000000019"
KEY = "a-key-of-twenty-four-chars"
BATCH_FIELDS = {
    "batchId", "name", "format", "createdAt", "lastUpdated", "status", "progress", "etaSeconds",
    "counts",
}  # fmt: skip
OPENED_FIELDS = BATCH_FIELDS | {
    "refused", "refusedCount", "duplicates", "statusUrl", "eventsUrl", "wsUrl", "token",
}  # fmt: skip
ITEM_FIELDS = {
    "index", "line", "input", "isbn", "jobId", "state", "title", "authors", "error",
    "candidates", "reading",
}  # fmt: skip
COUNTS = {
    "total", "queued", "running", "completed", "completedWithWarnings", "alreadyThere", "review",
    "failed", "cancelled", "refused", "skipped",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    env = sandbox.settings() | {"BOOKLINE_EMBEDDER": "none"}
    async with server(env, tmp_path_factory.mktemp("batches") / "data") as running:
        yield running


async def opened(api: Server, *items: object, **more: Any) -> dict[str, Any]:
    """``data`` of the 202."""
    query = more.pop("query", "")
    status, answer, headers = await api.post(
        f"/v2/import/batch{query}", {"items": list(items), **more}
    )
    assert status == 202, answer
    assert headers["Location"] == answer["data"]["statusUrl"]
    data: dict[str, Any] = answer["data"]
    return data


async def batch_of(api: Server, batch_id: str) -> dict[str, Any]:
    status, answer, _ = await api.get(f"/v2/import/batch/{batch_id}")
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


async def ended(api: Server, batch_id: str) -> dict[str, Any]:
    """The batch at its end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (batch := await batch_of(api, batch_id))["status"] == "running":
            await asyncio.sleep(0.03)
    return batch


async def items_of(api: Server, batch_id: str, query: str = "") -> list[dict[str, Any]]:
    status, answer, _ = await api.get(f"/v2/import/batch/{batch_id}/items{query}")
    assert status == 200, answer
    items: list[dict[str, Any]] = answer["data"]["items"]
    return items


async def story(api: Server, batch_id: str, query: str = "") -> list[dict[str, Any]]:
    """All events over SSE, to the end."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        api.http.get(f"{api.url}/v2/import/batch/{batch_id}/events{query}") as answer,
    ):
        assert answer.status == 200, await answer.text()
        lines = [line async for line in answer.content if line.startswith(b"data: ")]
    messages = [json.loads(line[6:]) for line in lines]
    return [message for message in messages if message["type"] != "ping"]


# ------------------------------------------------------------------ from the list to the books
async def test_a_list_becomes_books_and_each_item_says_what_became_of_it(api: Server) -> None:
    started = await opened(
        api, KNOWN, {"isbn": "0-14-243724-7"}, UNKNOWN, "not one", KNOWN, name="My shelf"
    )

    assert set(started) == OPENED_FIELDS
    assert (started["name"], started["format"], started["duplicates"]) == ("My shelf", "json", 1)
    assert started["refusedCount"] == 1
    assert started["refused"][0]["index"] == 3
    assert started["refused"][0]["code"] == "INVALID_ISBN"
    batch = await ended(api, started["batchId"])
    assert set(batch) == BATCH_FIELDS
    assert set(batch["counts"]) == COUNTS
    assert batch["status"] == "completed"
    assert (batch["progress"], batch["etaSeconds"]) == (1, None)
    assert batch["counts"]["total"] == 5
    items = await items_of(api, started["batchId"])
    assert all(set(item) == ITEM_FIELDS for item in items)
    assert [item["state"] for item in items] == [
        "completed", "completed", "failed", "refused", "completed",
    ]  # fmt: skip
    assert items[0]["jobId"] == items[4]["jobId"]
    assert items[0]["title"]
    assert items[2]["error"]["code"] == "BOOK_NOT_FOUND"
    assert (items[3]["jobId"], items[3]["isbn"]) == (None, None)
    assert (await api.get(f"/v2/books/{KNOWN}"))[0] == 200
    job = await api.job(items[0]["jobId"])
    assert job["batchId"] == started["batchId"]


async def test_a_book_that_is_there_with_all_its_data_is_not_fetched_again(
    api: Server, sandbox: Sandbox
) -> None:
    await ended(api, (await opened(api, KNOWN))["batchId"])
    sandbox.forget_requests()

    again = await opened(api, KNOWN, KNOWN)
    batch = await ended(api, again["batchId"])

    assert batch["counts"]["alreadyThere"] == 2
    [item, _] = await items_of(api, again["batchId"], "?state=alreadyThere")
    assert item["jobId"] is None
    assert item["title"]
    assert sandbox.requests == []
    refreshed = await ended(api, (await opened(api, KNOWN, query="?refresh=true"))["batchId"])
    assert refreshed["counts"]["completed"] == 1
    assert sandbox.requests != []


async def test_many_items_all_arrive(api: Server, sandbox: Sandbox) -> None:
    isbns = sandbox.make(150, "978998")

    started = await opened(api, *isbns)
    assert started["counts"]["total"] == 150
    batch = await ended(api, started["batchId"])

    assert batch["counts"]["completed"] == 150
    status, answer, _ = await api.get(f"/v2/import/batch/{started['batchId']}/items?limit=100")
    assert (status, answer["data"]["total"], len(answer["data"]["items"])) == (200, 150, 100)
    cursor = answer["data"]["nextCursor"]
    rest_of = await items_of(api, started["batchId"], f"?limit=100&cursor={cursor}")
    assert [item["index"] for item in rest_of] == list(range(100, 150))


async def test_a_single_import_beside_a_batch_does_not_wait_for_its_end(
    api: Server, sandbox: Sandbox
) -> None:
    """The batch has ten times as many books as may be at work; the one that comes last is served
    long before them, though it asks the same source.
    """
    [single, *isbns] = sandbox.make(641, "978993")
    started = await opened(api, *isbns)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await batch_of(api, started["batchId"]))["counts"]["completed"]:
            await asyncio.sleep(0.01)

    status, answer, _ = await api.post("/v2/import/workflow", {"isbn": single})
    assert status == 202, answer
    told = await api.story(answer["data"]["jobId"])
    batch = await batch_of(api, started["batchId"])
    await api.post(f"/v2/import/batch/{started['batchId']}/cancel")

    assert told[-1]["status"] == "completed"
    assert batch["status"] == "running"
    assert batch["counts"]["completed"] < 320


async def test_batches_are_listed_newest_first_with_their_number(api: Server) -> None:
    first, second = await opened(api, KNOWN), await opened(api, KNOWN)

    status, answer, _ = await api.get("/v2/import/batches?limit=2")

    assert status == 200
    ids = [batch["batchId"] for batch in answer["data"]["items"]]
    assert ids == [second["batchId"], first["batchId"]]
    assert answer["data"]["total"] >= 2


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": KNOWN}, "items"),
        ({"items": [KNOWN, 7]}, "items[1]"),
        ({"items": [{"isbn": KNOWN, "shelf": 1}]}, "items[0].shelf"),
        ({"items": [{"isbn": KNOWN, "userId": 1}]}, "items[0].userId"),
        ({"items": [{"isbn": KNOWN, "reading": {"rating": 9}}]}, "items[0].reading.rating"),
        ({"items": [{"isbn": KNOWN, "reading": {"mood": 9}}]}, "items[0].reading.mood"),
        ({"items": [KNOWN], "shelf": "x"}, "shelf"),
        ({"items": [KNOWN], "name": "x" * 201}, "name"),
        ({"items": [KNOWN] * 10_001}, "items"),
    ],
)
async def test_a_wrong_shape_refuses_the_whole_list_and_names_the_path(
    api: Server, body: dict[str, Any], path: str
) -> None:
    status, answer, _ = await api.post("/v2/import/batch", body)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert path in answer["error"]["message"]


async def test_a_wrong_value_refuses_its_item_alone(api: Server) -> None:
    started = await opened(
        api,
        {"isbn": KNOWN, "source": "amazon"},
        {"isbn": 9780451524935},
        {"source": "auto"},
        {"isbn": KNOWN, "code": "BOOK_NOT_FOUND", "reason": "once more"},
    )

    codes = [(one["index"], one["code"]) for one in started["refused"]]
    assert codes == [(0, "INVALID_SOURCE"), (1, "INVALID_ISBN"), (2, "INVALID_ISBN")]
    assert (await ended(api, started["batchId"]))["counts"]["refused"] == 3


async def test_the_batchs_own_source_is_checked_for_all(api: Server) -> None:
    status, answer, _ = await api.post("/v2/import/batch", {"items": [KNOWN], "source": "amazon"})

    assert (status, answer["error"]["code"]) == (400, "INVALID_SOURCE")


async def test_an_idempotency_key_gives_the_same_batch(api: Server) -> None:
    body = {"items": [KNOWN, "x"]}
    headers = {"Idempotency-Key": "batch-1"}
    _, first, _ = await api.post("/v2/import/batch", body, headers=headers)
    _, second, _ = await api.post("/v2/import/batch", body, headers=headers)

    status, other, _ = await api.post("/v2/import/batch", {"items": [KNOWN]}, headers=headers)

    assert second["data"]["batchId"] == first["data"]["batchId"]
    assert second["data"]["refused"] == first["data"]["refused"]
    assert (status, other["error"]["code"]) == (409, "INVALID_STATE")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("GET", "/items"), ("GET", "/events"), ("GET", "/failed"), ("POST", "/cancel"),
        ("POST", "/retry"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch_id", ["batch-1-unknown", "nothing"])
async def test_an_unknown_batch_is_404(api: Server, method: str, path: str, batch_id: str) -> None:
    status, answer, _ = await api.ask(method, f"/v2/import/batch/{batch_id}{path}")

    assert (status, answer["error"]["code"]) == (404, "BATCH_NOT_FOUND")


async def test_an_unknown_state_is_refused_by_name(api: Server) -> None:
    started = await opened(api, KNOWN)

    status, answer, _ = await api.get(f"/v2/import/batch/{started['batchId']}/items?state=done")

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "alreadyThere" in answer["error"]["message"]


# ------------------------------------------------------------------ live
async def test_watchers_hear_every_end_once_in_order_and_then_the_batchs_own(
    api: Server, sandbox: Sandbox
) -> None:
    isbns = sandbox.make(20, "978997")
    started = await opened(api, *isbns, isbns[0], "refused")
    address = f"{api.ws_url}?batchId={started['batchId']}"
    async with asyncio.timeout(PATIENCE_SECONDS), connect(address) as socket:
        heard = await rest(socket)
    told = await story(api, started["batchId"])

    assert socket.close_code == 1000
    for one in (heard, told):
        ends = [message["data"]["index"] for message in one if message["type"] == "batch_item"]
        assert sorted(ends) == list(range(21))
        assert one[-1]["type"] == "batch_completed"
        assert one[-2]["type"] == "batch_progress"
        assert [m["seq"] for m in one] == sorted({m["seq"] for m in one})
    assert {message["batchId"] for message in heard} == {started["batchId"]}
    assert set(heard[-2]["data"]) == {"counts", "progress", "etaSeconds"}
    end = next(message["data"] for message in told if message["type"] == "batch_item")
    assert set(end) == {"index", "jobId", "isbn", "state", "title", "error"}
    assert await story(api, started["batchId"], f"?after={told[-2]['seq']}") == told[-1:]
    known = f"/v2/import/batch/{started['batchId']}/events?after={told[-1]['seq']}"
    assert (await api.get(known))[0] == 204


async def test_a_watcher_of_no_batch_is_told_so(api: Server) -> None:
    async with connect(f"{api.ws_url}?batchId=batch-1-unknown") as socket:
        await rest(socket)

    assert socket.close_code == 4404


# ------------------------------------------------------------------ control
async def test_cancel_ends_what_waits_and_what_runs(api: Server, sandbox: Sandbox) -> None:
    isbns = sandbox.make(60, "978996")
    sandbox.faults.add(kind="delay", ms=300, times=None)
    try:
        started = await opened(api, *isbns)
        status, answer, _ = await api.post(f"/v2/import/batch/{started['batchId']}/cancel")
        batch = await ended(api, started["batchId"])
    finally:
        sandbox.faults.clear()

    assert status == 202
    assert answer["data"]["counts"]["cancelled"] >= 60 - 32
    assert batch["status"] == "cancelled"
    assert batch["counts"]["cancelled"] + batch["counts"]["completed"] == 60
    assert (await story(api, started["batchId"]))[-1]["type"] == "batch_cancelled"
    again = await api.post(f"/v2/import/batch/{started['batchId']}/cancel")
    assert (again[0], again[1]["error"]["code"]) == (409, "INVALID_STATE")


async def test_a_retry_of_all_that_failed_goes_on_under_the_same_jobs(
    api: Server, sandbox: Sandbox
) -> None:
    isbns = sandbox.make(4, "978995")
    for isbn in isbns[:3]:
        sandbox.faults.add(kind="not_found", isbn=isbn, times=None)
    started = await opened(api, *isbns, isbns[0])
    first = await ended(api, started["batchId"])
    jobs = [item["jobId"] for item in await items_of(api, started["batchId"])]
    sandbox.faults.clear()

    status, _, _ = await api.post(f"/v2/import/batch/{started['batchId']}/retry")
    batch = await ended(api, started["batchId"])

    assert (first["counts"]["failed"], first["status"]) == (4, "completed")
    assert status == 202
    assert batch["counts"]["completed"] == 5
    assert [item["jobId"] for item in await items_of(api, started["batchId"])] == jobs
    told = await story(api, started["batchId"])
    assert [message["type"] for message in told].count("batch_completed") == 2
    again = await api.post(f"/v2/import/batch/{started['batchId']}/retry")
    assert (again[0], again[1]["error"]["code"]) == (409, "INVALID_STATE")


async def test_what_did_not_arrive_comes_back_as_it_came(api: Server) -> None:
    sent = {"isbn": UNKNOWN, "userId": "ada"}
    started = await opened(api, KNOWN, sent, "not one")
    await ended(api, started["batchId"])

    status, answer, headers = await api.get(f"/v2/import/batch/{started['batchId']}/failed")

    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    [first, second] = answer["items"]
    assert first.pop("code") == "BOOK_NOT_FOUND"
    assert first.pop("reason")
    assert first == sent
    assert (second["isbn"], second["code"]) == ("not one", "INVALID_ISBN")
    assert (await api.post("/v2/import/batch", answer))[0] == 202


@pytest.mark.parametrize(
    "body", [{}, {"skip": False}, {"skip": [1]}, {"isbn": KNOWN, "skip": True}]
)
async def test_a_choice_is_exactly_one_of_an_isbn_and_skipping(
    api: Server, body: dict[str, Any]
) -> None:
    started = await opened(api, "refused")

    status, answer, _ = await api.post(
        f"/v2/import/batch/{started['batchId']}/items/0/choose", body
    )

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_only_an_open_review_can_be_answered(api: Server) -> None:
    started = await opened(api, "refused")
    where = f"/v2/import/batch/{started['batchId']}/items"

    status, answer, _ = await api.post(f"{where}/0/choose", {"skip": True})
    beyond, nothing, _ = await api.post(f"{where}/1/choose", {"skip": True})

    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")
    assert (beyond, nothing["error"]["code"]) == (404, "NOT_FOUND")


# ------------------------------------------------------------------ access
async def test_a_batchs_token_opens_its_events_and_those_of_its_jobs_and_nothing_else(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = sandbox.settings() | {"BOOKLINE_EMBEDDER": "none", "BOOKLINE_API_KEYS": KEY}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with server(env, tmp_path / "data", headers=headers) as api:
        started, other = await opened(api, KNOWN), await opened(api, ALSO_KNOWN)
        await ended(api, started["batchId"])
        await ended(api, other["batchId"])
        [item] = await items_of(api, started["batchId"])
        [strange] = await items_of(api, other["batchId"])
        batch_url = f"/v2/import/batch/{started['batchId']}"
        token = f"?token={started['token']}"
        del api.http.headers["Authorization"]

        async def asked(path: str) -> int:
            return (await api.get(path + token))[0]

        assert await asked(f"{batch_url}/events") == 200
        assert await asked(f"/v2/import/events/{item['jobId']}") == 200
        assert await asked(f"/v2/import/events/{strange['jobId']}") == 401
        assert await asked(f"/v2/import/batch/{other['batchId']}/events") == 401
        assert await asked(f"/v2/import/status/{item['jobId']}") == 401
        assert await asked(batch_url) == 401
        assert await asked(f"{batch_url}/items") == 401
        for query, code in (
            (f"batchId={started['batchId']}", 1000),
            (f"jobId={item['jobId']}", 1000),
            (f"jobId={strange['jobId']}", 1008),
            (f"batchId={other['batchId']}", 1008),
        ):
            async with connect(f"{api.ws_url}?{query}&token={started['token']}") as socket:
                await rest(socket)
            assert socket.close_code == code, query


# ------------------------------------------------------------------ files
GOODREADS = (
    "Book Id,Title,Author,ISBN,ISBN13,My Rating,Exclusive Shelf,My Review\n"
    f'1,Nineteen Eighty-Four,George Orwell,"=""0451524934""","=""{KNOWN}""",5,read,"Two\nlines"\n'
    f'2,The same,George Orwell,"=""""","=""{KNOWN}""",0,to-read,\n'
    '3,Nobody knows it,Nobody,"=""""","=""""",0,to-read,\n'
    '4,,,"=""""","=""""",0,to-read,\n'
).encode()


def form_of(data: bytes, name: str = "file") -> FormData:
    form = FormData()
    form.add_field(name, data, filename="shelf.csv", content_type="text/csv")
    return form


async def sent(api: Server, data: Any, query: str = "", **headers: str) -> tuple[int, Any]:
    status, answer, _ = await api.post(f"/v2/import/file{query}", data=data, headers=headers)
    return status, answer


@pytest.mark.parametrize("is_form", [True, False])
async def test_each_row_of_a_file_becomes_an_item(api: Server, is_form: bool) -> None:
    body = form_of(GOODREADS) if is_form else GOODREADS
    headers = {} if is_form else {"Content-Type": "text/csv"}

    status, answer = await sent(api, body, "?name=Shelf", **headers)

    assert status == 202, answer
    data = answer["data"]
    assert set(data) == OPENED_FIELDS
    assert (data["format"], data["name"], data["duplicates"]) == ("goodreads", "Shelf", 1)
    assert [(one["index"], one["code"]) for one in data["refused"]] == [(3, "INVALID_ISBN")]
    items = await items_of(api, data["batchId"])
    assert [item["line"] for item in items] == [2, 4, 5, 6]
    assert items[0]["reading"]["rating"] == 5
    assert items[0]["reading"]["review"] == "Two\nlines"
    assert items[0]["isbn"] == items[1]["isbn"] == KNOWN


async def test_a_preview_says_what_is_in_a_file_and_starts_nothing(api: Server) -> None:
    await ended(api, (await opened(api, KNOWN))["batchId"])
    before = (await api.get("/v2/import/batches"))[1]["data"]["total"]

    status, answer = await sent(api, form_of(GOODREADS), "?preview=true")

    assert status == 200
    seen = answer["data"]
    assert (seen["format"], seen["encoding"], seen["rows"]) == ("goodreads", "utf-8", 4)
    assert (seen["withIsbn"], seen["withoutIsbn"], seen["duplicates"]) == (2, 2, 1)
    assert (seen["alreadyThere"], seen["refusedCount"], seen["repaired"]) == (1, 1, 0)
    assert set(seen["sample"][0]) == ITEM_FIELDS
    assert seen["sample"][0]["title"] == "Nineteen Eighty-Four"
    assert (await api.get("/v2/import/batches"))[1]["data"]["total"] == before


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "UNREADABLE_FILE"),
        (b"nothing in here\n", 400, "UNREADABLE_FILE"),
        (b"isbn,title\n", 400, "UNREADABLE_FILE"),
        (b"[]", 400, "UNREADABLE_FILE"),
        (b"PK\x03\x04" + bytes(40), 415, "UNSUPPORTED_FORMAT"),
        (b"%PDF-1.7\n", 415, "UNSUPPORTED_FORMAT"),
        (b'["9780451524935", ', 400, "UNREADABLE_FILE"),
        (f"isbn\n{KNOWN}\n".encode() * 25_001, 413, "PAYLOAD_TOO_LARGE"),
        (io.BytesIO(b"isbn\n" + b"x" * (20 * 1024 * 1024)), 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=[
        "empty",
        "no list",
        "a header",
        "no entries",
        "xlsx",
        "pdf",
        "broken JSON",
        "rows",
        "bytes",
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_with_what_was_seen(
    api: Server, data: Any, status: int, code: str
) -> None:
    answered, answer = await sent(api, data, **{"Content-Type": "application/octet-stream"})

    assert (answered, answer["error"]["code"]) == (status, code)


async def test_a_form_has_one_field_named_file(api: Server) -> None:
    for form in (form_of(GOODREADS, "upload"), form_of(GOODREADS, "file")):
        form.add_field("shelf", "x")
        status, answer = await sent(api, form)
        assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    status, answer = await sent(api, b"no form", **{"Content-Type": "multipart/form-data"})
    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_failed_rows_come_back_as_they_came_with_two_columns_more(api: Server) -> None:
    data = f"Title;Kept;ISBN\n=odd;a,b;{UNKNOWN}\nfine;;{KNOWN}\n;x;\n".encode()
    _, answer = await sent(api, data, **{"Content-Type": "text/csv"})
    await ended(api, answer["data"]["batchId"])

    status, text, headers = await api.get(f"/v2/import/batch/{answer['data']['batchId']}/failed")

    assert status == 200
    assert headers["Content-Type"].startswith("text/csv")
    assert "attachment" in headers["Content-Disposition"]
    head, first, second = text.decode().splitlines()
    assert head == "Title;Kept;ISBN;code;reason"
    assert first.startswith(f"=odd;a,b;{UNKNOWN};BOOK_NOT_FOUND;")
    assert second.startswith(";x;;INVALID_ISBN;")
    again, _ = await sent(api, text, **{"Content-Type": "text/csv"})
    assert again == 202


async def test_what_readers_say_is_kept_for_each_of_them(api: Server, sandbox: Sandbox) -> None:
    [isbn, unknown] = sandbox.make(2, "978994")
    sandbox.faults.add(kind="not_found", isbn=unknown, times=None)
    try:
        started = await opened(
            api,
            {"isbn": isbn, "reading": {"rating": 4, "shelves": ["sea"]}},
            {"isbn": isbn, "userId": "ada", "reading": {"rating": 2}},
            {"isbn": unknown, "reading": {"rating": 1}},
        )
        await ended(api, started["batchId"])
        again = await opened(api, {"isbn": isbn, "reading": {"status": "read"}})
        await ended(api, again["batchId"])
    finally:
        sandbox.faults.clear()

    async def reading(query: str = "") -> dict[str, Any]:
        data: dict[str, Any] = (await api.get(f"/v2/books/{isbn}{query}"))[1]["data"]["reading"]
        return data

    mine = await reading()
    assert (mine["rating"], mine["shelves"], mine["status"]) == (4, ["sea"], "read")
    assert (await reading("?userId=ada"))["rating"] == 2
    await ended(api, (await opened(api, unknown))["batchId"])
    _, late, _ = await api.get(f"/v2/books/{unknown}")
    assert late["data"]["reading"]["rating"] == 1


# ------------------------------------------------------------------ rows without an ISBN
def titles(*rows: tuple[str, str]) -> bytes:
    lines = [f'"{title}","{author}",' for title, author in rows]
    return "\n".join(["Title,Author,ISBN", *lines, ""]).encode()


async def test_rows_without_an_isbn_are_looked_up_taken_or_reviewed(
    api: Server,
) -> None:
    rows = titles(
        ("Lord of the Flies", "Golding, William"),
        ("Nobody Wrote This", "No Body"),
        ("Lord of the Flies", "Bill Golding"),
    )

    _, answer = await sent(api, rows, **{"Content-Type": "text/csv"})
    batch_id = answer["data"]["batchId"]
    batch = await ended(api, batch_id)

    taken, unknown, unsure = await items_of(api, batch_id)
    assert (taken["state"], taken["isbn"]) == ("completed", "9780140283334")
    assert (unknown["state"], unknown["error"]["code"]) == ("failed", "BOOK_NOT_FOUND")
    assert (unsure["state"], unsure["isbn"], unsure["jobId"]) == ("review", None, None)
    [candidate] = [one for one in unsure["candidates"] if one["isbn"] == "9780140283334"]
    assert candidate["authors"] == ["William Golding"]
    assert candidate["score"] < 0.95
    assert batch["counts"]["review"] == 1
    assert batch["status"] == "completed"
    _, failed, _ = await api.get(f"/v2/import/batch/{batch_id}/failed")
    assert [line.split(",")[3] for line in failed.decode().splitlines()[1:]] == [
        "BOOK_NOT_FOUND", "REVIEW",
    ]  # fmt: skip

    where = f"/v2/import/batch/{batch_id}/items/2/choose"
    status, chosen, _ = await api.post(where, {"isbn": "978-0-451-52493-5"})
    again, _, _ = await api.post(where, {"skip": True})
    batch = await ended(api, batch_id)

    assert (status, chosen["data"]["isbn"]) == (200, KNOWN)
    assert again == 409
    assert batch["counts"]["review"] == 0
    assert (await items_of(api, batch_id))[2]["state"] in {"completed", "alreadyThere"}


async def test_a_candidates_cover_comes_from_this_server(api: Server, sandbox: Sandbox) -> None:
    """So that nobody who reviews is seen by a provider; a picture that is none is not handed on."""
    file = titles(("Lord of the Flies", "Bill Golding"))
    _, answer = await sent(api, file, **{"Content-Type": "text/csv"})
    batch_id = answer["data"]["batchId"]
    await ended(api, batch_id)
    [item] = await items_of(api, batch_id)
    [where] = {one["coverUrl"] for one in item["candidates"] if one["isbn"] == "9780140283334"}

    status, picture, headers = await api.get(where)
    sandbox.faults.add(kind="not_image", route="covers", isbn="9780140283334", times=None)
    try:
        broken, error, _ = await api.get(where)
    finally:
        sandbox.faults.clear()
    nobody, none, _ = await api.get(where.replace("9780140283334", KNOWN))

    item_path = f"/v2/import/batch/{batch_id}/items/0"
    assert where == f"{item_path}/candidates/9780140283334/cover"
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert picture.startswith(b"\xff\xd8\xff")
    assert headers["Cache-Control"].startswith("private")
    assert (broken, error["error"]["code"]) == (404, "NOT_FOUND")
    assert (nobody, none["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_review_that_is_skipped_is_over(api: Server) -> None:
    _, answer = await sent(
        api, titles(("Lord of the Flies", "Bill Golding")), **{"Content-Type": "text/csv"}
    )
    batch_id = answer["data"]["batchId"]
    await ended(api, batch_id)

    status, skipped, _ = await api.post(
        f"/v2/import/batch/{batch_id}/items/0/choose", {"skip": True}
    )

    assert (status, skipped["data"]["state"]) == (200, "skipped")
    batch = await batch_of(api, batch_id)
    assert (batch["status"], batch["counts"]["skipped"]) == ("completed", 1)
    assert (await api.get(f"/v2/import/batch/{batch_id}/failed"))[1].decode().count("\n") == 1
    kinds = [message["type"] for message in await story(api, batch_id)]
    assert kinds.count("batch_completed") == 2
