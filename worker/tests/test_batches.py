"""Batches on Cloudflare: the list in an object of its own, its items as ordinary instances."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from benching import WORKER
from worlds import Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")
OVER = {"completed", "cancelled"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scripted(upstream: Upstream) -> AsyncIterator[World]:
    async with world(
        upstream, entry="scripted_entry", folders=[WORKER / "tests" / "scripted"]
    ) as made:
        yield made


async def start(here: World, items: Sequence[object], **more: Any) -> dict[str, Any]:
    status, answer = await here.ask("POST", "/v2/import/batch", json={"items": items}, **more)
    assert status == 202, answer
    return answer["data"]


async def batch(here: World, batch_id: str) -> dict[str, Any]:
    return (await here.ask("GET", f"/v2/import/batch/{batch_id}"))[1]["data"]


async def end(here: World, batch_id: str, seconds: float = 90) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while (found := await batch(here, batch_id))["status"] not in OVER:
            await asyncio.sleep(0.2)
    return found


async def items(here: World, batch_id: str, query: str = "limit=200") -> list[dict[str, Any]]:
    _, answer = await here.ask("GET", f"/v2/import/batch/{batch_id}/items?{query}")
    return answer["data"]["items"]


async def script(here: World, isbn: str, acts: dict[str, list[str]]) -> None:
    async with here.http.post(f"/_script/{isbn}", json=acts) as answer:
        assert answer.status == 200


async def test_every_item_of_a_list_ends_in_one_state(here: World, upstream: Upstream) -> None:
    isbns = await upstream.make(12)
    wanted = [*isbns, isbns[0], "978-not-one", {"isbn": "9780000000019", "userId": "reader-1"}]

    opened = await start(here, wanted, headers={"Idempotency-Key": f"list-{isbns[0]}"})
    again = await start(here, wanted, headers={"Idempotency-Key": f"list-{isbns[0]}"})
    found = await end(here, opened["batchId"])

    assert again["batchId"] == opened["batchId"]
    assert (opened["refusedCount"], opened["duplicates"]) == (1, 1)
    states = [one["state"] for one in await items(here, opened["batchId"])]
    assert states == ["completed"] * 13 + ["refused", "failed"]
    assert found["status"] == "completed"
    assert {n: c for n, c in found["counts"].items() if c} == {
        "total": 15, "completed": 13, "refused": 1, "failed": 1,
    }  # fmt: skip
    _, listed = await here.ask("GET", "/v2/import/batches?limit=1")
    assert [one["batchId"] for one in listed["data"]["items"]] == [opened["batchId"]]
    _, jobs = await here.ask("GET", f"/v2/import/jobs?batchId={opened['batchId']}")
    assert len(jobs["data"]["items"]) == 13


async def test_a_watcher_sees_the_batch_to_its_end(here: World, upstream: Upstream) -> None:
    opened = await start(here, await upstream.make(5))
    batch_id = opened["batchId"]

    async with here.http.ws_connect(f"/ws/progress?batchId={batch_id}") as socket:
        told = [json.loads(message.data) async for message in socket]
    async with here.http.get(f"/v2/import/batch/{batch_id}/events") as answer:
        lines = (await answer.text()).splitlines()
    story = [json.loads(one.removeprefix("data: ")) for one in lines if one.startswith("data:")]

    assert socket.close_code == 1000
    live = [one for one in told if one["type"] != "ping"]
    seqs = [one["seq"] for one in live]
    assert seqs == sorted(set(seqs))
    assert [one["type"] for one in live].count("batch_item") == 5
    assert live[-1]["type"] == story[-1]["type"] == "batch_completed"
    assert live[-1]["data"]["counts"]["completed"] == 5
    last = f"/v2/import/batch/{batch_id}/events?after={seqs[-1]}"
    async with here.http.get(last) as answer:
        assert answer.status == 204


async def test_a_file_is_previewed_and_imported_and_gives_back_what_failed(
    here: World, upstream: Upstream
) -> None:
    isbns = await upstream.make(3)
    rows = "".join(f"Title {one},Somebody,{one}\n" for one in isbns)
    text = f"Title,Author,ISBN\n{rows}Nothing,Nobody,9780000000019\n"
    preview = await here.ask(
        "POST", "/v2/import/file?preview=true", data=text, headers={"Content-Type": "text/csv"}
    )
    form = aiohttp.FormData()
    form.add_field("file", text, filename="shelf.csv", content_type="text/csv")

    status, opened = await here.ask("POST", "/v2/import/file?name=Shelf", data=form)
    batch_id = opened["data"]["batchId"]
    found = await end(here, batch_id)
    async with here.http.get(f"/v2/import/batch/{batch_id}/failed") as answer:
        failed = (await answer.text()).splitlines()

    assert (preview[0], status) == (200, 202)
    assert (found["name"], found["counts"]["completed"], found["counts"]["failed"]) == (
        "Shelf", 3, 1,
    )  # fmt: skip
    assert failed[0].startswith("Title,Author,ISBN,")
    assert "BOOK_NOT_FOUND" in failed[1]
    assert len(failed) == 2


async def test_a_row_without_an_isbn_is_looked_up(here: World, upstream: Upstream) -> None:
    [isbn] = await upstream.make(1)
    job = await here.end(await here.start(isbn))
    _, book = await here.ask("GET", f"/v2/books/{isbn}")
    title, author = job["result"]["title"], book["data"]["authors"][0]
    text = f'Title,Author,ISBN\n"{title}","{author}",\n"zzz no such title qqq","Nobody",\n'

    _, opened = await here.ask(
        "POST", "/v2/import/file", data=text.encode(), headers={"Content-Type": "text/csv"}
    )
    await end(here, opened["data"]["batchId"])

    sure, unknown = await items(here, opened["data"]["batchId"])
    assert sure["state"] in {"alreadyThere", "completed", "review"}
    assert (unknown["state"], unknown["error"]["code"]) == ("failed", "BOOK_NOT_FOUND")


async def test_what_failed_is_retried_under_the_same_job(
    scripted: World, upstream: Upstream
) -> None:
    isbns = await upstream.make(3)
    await script(scripted, isbns[1], {"fetch-metadata": ["refuse"]})
    opened = await start(scripted, isbns)
    batch_id = opened["batchId"]
    await end(scripted, batch_id)
    before = await items(scripted, batch_id)

    status, _ = await scripted.ask("POST", f"/v2/import/batch/{batch_id}/retry")
    await end(scripted, batch_id)
    after = await items(scripted, batch_id)

    assert status == 202
    assert [one["state"] for one in before] == ["completed", "failed", "completed"]
    assert [one["state"] for one in after] == ["completed"] * 3
    assert [one["jobId"] for one in after] == [one["jobId"] for one in before]
    status, answer = await scripted.ask("POST", f"/v2/import/batch/{batch_id}/retry")
    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")


async def test_a_cancelled_batch_ends_and_leaves_nothing_open(
    scripted: World, upstream: Upstream
) -> None:
    isbns = await upstream.make(45)
    for isbn in isbns[:20]:
        await script(scripted, isbn, {"upload-cover": ["pause 30"]})
    opened = await start(scripted, isbns)
    batch_id = opened["batchId"]
    async with asyncio.timeout(60):
        while not (await batch(scripted, batch_id))["counts"]["running"]:
            await asyncio.sleep(0.1)

    status, _ = await scripted.ask("POST", f"/v2/import/batch/{batch_id}/cancel")
    found = await end(scripted, batch_id)

    assert (status, found["status"]) == (202, "cancelled")
    counts = {name: n for name, n in found["counts"].items() if n}
    assert set(counts) <= {"total", "cancelled", "completed"}
    assert counts["cancelled"] >= 20
    _, jobs = await scripted.ask("GET", f"/v2/import/jobs?batchId={batch_id}&limit=200")
    assert {one["status"] for one in jobs["data"]["items"]} <= {"cancelled", "completed"}


async def test_a_batch_holds_no_single_import_up(scripted: World, upstream: Upstream) -> None:
    isbns = await upstream.make(41)
    for isbn in isbns[:-1]:
        await script(scripted, isbn, {"fetch-metadata": ["pause 20"]})
    opened = await start(scripted, isbns[:-1])
    async with asyncio.timeout(60):
        while not (await batch(scripted, opened["batchId"]))["counts"]["running"]:
            await asyncio.sleep(0.1)

    job = await scripted.end(await scripted.start(isbns[-1]), 15)
    listed = f"/v2/import/jobs?batchId={opened['batchId']}&status=running&limit=200"
    _, running = await scripted.ask("GET", listed)

    found = await batch(scripted, opened["batchId"])
    assert {one["status"] for one in running["data"]["items"]} == {"running"}
    assert job["status"] == "completed"
    assert found["counts"]["running"] <= 20
    assert found["counts"]["queued"] >= 20
    await scripted.ask("POST", f"/v2/import/batch/{opened['batchId']}/cancel")


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "batch/batch-none", {}, 404, "BATCH_NOT_FOUND"),
        ("GET", "batch/batch-none/items", {}, 404, "BATCH_NOT_FOUND"),
        ("GET", "batch/batch-none/events", {}, 404, "BATCH_NOT_FOUND"),
        ("GET", "batch/batch-none/failed", {}, 404, "BATCH_NOT_FOUND"),
        ("POST", "batch/batch-none/cancel", {}, 404, "BATCH_NOT_FOUND"),
        ("POST", "batch/batch-none/retry", {}, 404, "BATCH_NOT_FOUND"),
        ("GET", "batch/batch-none/items/0/candidates/9780000000019/cover", {}, 404,
         "BATCH_NOT_FOUND"),
        ("POST", "batch/batch-none/items/0/choose", {"json": {"skip": True}}, 404,
         "BATCH_NOT_FOUND"),
        ("POST", "batch/batch-none/items/x/choose", {"json": {"skip": True}}, 400,
         "INVALID_REQUEST"),
        ("POST", "batch/batch-none/items/0/choose", {"json": {}}, 400, "INVALID_REQUEST"),
        ("POST", "batch", {"json": {"items": []}}, 400, "INVALID_REQUEST"),
        ("POST", "batch", {"json": {"items": ["x"], "colour": 1}}, 400, "INVALID_REQUEST"),
        ("POST", "batch?refresh=perhaps", {"json": {"items": ["x"]}}, 400, "INVALID_REQUEST"),
        ("POST", "file", {"data": b"\x00\x01\x02"}, 400, "UNREADABLE_FILE"),
        ("POST", "file", {"headers": {"Content-Length": "5000001"}}, 413, "PAYLOAD_TOO_LARGE"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why(
    here: World, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    if "headers" in more:  # answered by what it says of itself: nobody reads the rest
        more = {**more, "data": begun()}
    answer = await here.ask(method, f"/v2/import/{path}", **more)

    assert (answer[0], answer[1]["error"]["code"]) == (status, code)


async def begun() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()
