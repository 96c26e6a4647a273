"""Moving over, over HTTP: sticky for every reader, in every process and after every restart."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from stack import Server, server

from bookline_sandbox import Sandbox

pytest.importorskip("bookline.migration.legacy")
pytestmark = pytest.mark.asyncio(loop_scope="session")

USERS = [f"reader-{number}" for number in range(400)]
NOT_A_BOOK = "9780000000019"
ISBN = "9780451524935"
AT_ONCE = 16


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with server(sandbox.settings(), tmp_path_factory.mktemp("rollout") / "data") as started:
        yield started


@asynccontextmanager
async def at(api: Server, **change: Any) -> AsyncIterator[dict[str, Any]]:
    """The rollout as asked for, and at 100 % without switches again."""
    yield await put(api, **change)
    await put(api, percent=100, killSwitch=False, automatic=False, salt="book-import")


async def put(api: Server, **change: Any) -> dict[str, Any]:
    status, answer, _ = await api.ask("PUT", "/v2/rollout", json={"reason": "test", **change})
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


async def method_of(api: Server, user: str | None, isbn: str = NOT_A_BOOK, **more: Any) -> str:
    order = {"isbn": isbn, "userId": user, "source": "openlibrary"}
    status, answer, _ = await api.post("/v2/import", order, **more)
    assert status == 202, answer
    method: str = answer["data"]["method"]
    return method


async def ways(api: Server, users: Sequence[str] = USERS) -> dict[str, str]:
    """How each of the users goes now: really started, one import each."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(user: str) -> tuple[str, str]:
        async with slots:
            return user, await method_of(api, user)

    return dict(await asyncio.gather(*(one(user) for user in users)))


async def test_400_readers_stay_where_they_are_and_only_move_forward(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with server(sandbox.settings(), tmp_path / "data") as first:
        await put(first, percent=10)
        at_10 = await ways(first)
        await put(first, percent=50)
        at_50 = await ways(first)
        await first.restart()
        async with server(sandbox.settings(), tmp_path / "data") as second:
            elsewhere = await ways(second, USERS[:100])
            again = await ways(first, USERS[:100])

    forward = {user for user, method in at_10.items() if method == "workflow"}
    assert 20 <= len(forward) <= 60
    assert 170 <= Counter(at_50.values())["workflow"] <= 230
    assert {at_50[user] for user in forward} == {"workflow"}, "nobody moved back"
    before = {user: at_50[user] for user in USERS[:100]}
    assert again == before, "the same after a restart"
    assert elsewhere == before, "the same in another process"


async def test_a_change_is_seen_by_the_other_process_at_its_next_import(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with (
        server(sandbox.settings(), tmp_path / "data") as one,
        server(sandbox.settings(), tmp_path / "data") as other,
    ):
        assert await method_of(other, "ada") == "workflow"

        await put(one, killSwitch=True)

        assert await method_of(other, "ada") == "legacy"


async def test_a_fresh_deployment_starts_at_its_setting(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {**sandbox.settings(), "BOOKLINE_WORKFLOW_ROLLOUT_PERCENT": "0"}
    async with server(env, tmp_path / "data") as api:
        assert await method_of(api, "ada") == "legacy"
        await put(api, percent=100)
        await api.restart()

        assert await method_of(api, "ada") == "workflow", "the run-time value is kept"


async def test_a_forced_method_beats_the_rollout(api: Server) -> None:
    async with at(api, percent=0):
        assert await method_of(api, "ada") == "legacy"
        assert await method_of(api, "ada", headers={"Bookline-Method": "workflow"}) == "workflow"
        for method in ("workflow", "legacy"):
            _, answer, _ = await api.post("/v2/import", {"isbn": NOT_A_BOOK, "method": method})
            assert answer["data"]["method"] == method


async def test_two_forced_methods_that_differ_are_refused(api: Server) -> None:
    status, answer, _ = await api.post(
        "/v2/import",
        {"isbn": ISBN, "method": "legacy"},
        headers={"Bookline-Method": "workflow"},
    )

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_a_tester_is_sent_by_name_until_he_is_taken_off_the_list(api: Server) -> None:
    async with at(api, percent=0, users={"tester": "workflow"}):
        assert await method_of(api, "tester") == "workflow"
        await put(api, users={"tester": None})
        assert await method_of(api, "tester") == "legacy"


async def test_a_rollout_that_moves_on_is_not_another_body(api: Server) -> None:
    """An Idempotency-Key stands for what was asked, not for how it was decided."""
    body = {"isbn": ISBN, "userId": "ada"}
    headers = {"Idempotency-Key": "moved-on"}
    async with at(api, percent=0):
        _, first, _ = await api.post("/v2/import", body, headers=headers)
    status, again, _ = await api.post("/v2/import", body, headers=headers)

    assert status == 202
    assert again["data"]["jobId"] == first["data"]["jobId"]
    assert again["data"]["method"] == first["data"]["method"] == "legacy"


async def test_a_durable_import_is_durable_whatever_the_rollout_says(api: Server) -> None:
    async with at(api, percent=0, killSwitch=True):
        assert (await api.begin(ISBN, userId="ada"))["method"] == "workflow"


async def test_each_change_is_kept_with_who_and_why(api: Server) -> None:
    async with at(api, percent=10, reason="first stage", actor="ada") as told:
        assert (told["percent"], told["stage"], told["nextStage"]) == (10, 10, 50)
        assert (told["updatedBy"], told["reason"]) == ("ada", "first stage")
        assert told["history"][0]["percent"] == 10
        assert told["history"][0]["by"] == "ada"


async def test_an_advance_without_a_sample_is_refused_by_name(api: Server) -> None:
    async with at(api, percent=10):
        status, answer, _ = await api.post("/v2/rollout/advance", {"reason": "hasty"})

    assert (status, answer["error"]["code"]) == (409, "INVALID_STATE")
    gates = {gate["gate"]: gate for gate in answer["error"]["details"]["gates"]}
    assert not gates["sample"]["passed"]
    assert gates["sample"]["limit"] == 100


async def test_a_rollback_sends_everybody_back(api: Server) -> None:
    async with at(api, percent=50):
        status, answer, _ = await api.post("/v2/rollout/rollback", {"reason": "phones ring"})

        assert (status, answer["data"]["percent"]) == (200, 0)
        assert {await method_of(api, user) for user in USERS[:10]} == {"legacy"}


@pytest.mark.parametrize(
    "body",
    [{}, {"actor": "ada"}, {"percent": "10"}, {"percent": "10abc"}, {"percent": 101},
     {"percent": -1}, {"percent": True}, {"percent": 10.5}, {"percentage": 10}, {"salt": ""},
     {"killSwitch": "on"}, {"users": ["ada"]}, {"users": {"ada": "both"}}, {"users": {"ada": 1}},
     {"resolve": "1"}, {"percent": 10, "reason": 7}, {"percent": 10, "actor": "a" * 101},
     {"incident": " "}, {"salt": "\ud800"}, {"\ud800": 1}],
)  # fmt: skip
async def test_a_change_that_makes_no_sense_changes_nothing(api: Server, body: Any) -> None:
    _, before, _ = await api.get("/v2/rollout")

    status, answer, _ = await api.ask("PUT", "/v2/rollout", json=body)

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    _, after, _ = await api.get("/v2/rollout")
    assert after["data"]["history"] == before["data"]["history"]


async def test_an_incident_that_is_not_open_is_not_found(api: Server) -> None:
    status, answer, _ = await api.ask("PUT", "/v2/rollout", json={"resolve": 77})

    assert (status, answer["error"]["code"]) == (404, "NOT_FOUND")


async def test_metrics_count_each_import_of_each_method_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with server(sandbox.settings(), tmp_path / "data") as api:
        for method, isbn in [
            ("workflow", ISBN), ("legacy", ISBN), ("legacy", NOT_A_BOOK), ("workflow", NOT_A_BOOK),
            ("legacy", "9780061120084"),
        ]:  # fmt: skip
            _, answer, _ = await api.post("/v2/import", {"isbn": isbn, "method": method})
            await api.until(answer["data"]["jobId"])
        await api.restart()

        _, answer, _ = await api.get("/v2/metrics/imports?window=1h")

    methods = answer["data"]["methods"]
    assert [methods[name]["count"] for name in ("workflow", "legacy")] == [2, 3]
    assert methods["legacy"]["byOutcome"]["done"] == 2
    assert methods["legacy"]["byOutcome"]["no_such_book"] == 1
    assert methods["legacy"]["successRate"] == 1
    for name in ("workflow", "legacy"):
        assert 0 < methods[name]["p50Ms"] <= methods[name]["p95Ms"] <= methods[name]["p99Ms"]
        assert set(methods[name]["stages"]) == {
            "fetch-metadata", "upload-cover", "generate-embedding", "save-to-database",
        }  # fmt: skip
    assert answer["data"]["comparison"]["successDifference"] == 0


@pytest.mark.parametrize("window", ["", "24", "h", "8d", "0m", "-1h", "1w", "1h ", "99999d", "١h"])
async def test_a_window_that_makes_no_sense_is_refused(api: Server, window: str) -> None:
    status, answer, _ = await api.get("/v2/metrics/imports", params={"window": window})

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_no_book_and_no_reader_is_in_the_metrics(api: Server) -> None:
    await api.until((await api.begin(ISBN, userId="reader-0"))["jobId"])

    _, answer, _ = await api.get("/v2/metrics/imports?window=7d")

    assert answer["data"]["methods"]["workflow"]["count"] > 0
    assert ISBN not in str(answer)
    assert "reader-0" not in str(answer)


async def test_jobs_that_the_old_importer_left_open_are_told_of_at_start(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults.add(kind="hang", route="openlibrary", isbn=NOT_A_BOOK, times=1)
    async with server(sandbox.settings(), tmp_path / "data") as api:
        _, answer, _ = await api.post(
            "/v2/import", {"isbn": NOT_A_BOOK, "method": "legacy", "source": "openlibrary"}
        )
        await api.until(answer["data"]["jobId"], "running")
        await api.kill()
    gone = "import bookline.methods\nbookline.methods.LEGACY_ROOM = 'bookline.gone'"

    async with server(sandbox.settings(), tmp_path / "data", before=gone) as after:
        assert "1 legacy jobs are open, and there is no legacy importer any more" in after.log
        assert (await after.job(answer["data"]["jobId"]))["status"] == "running"
        status, refused, _ = await after.post(f"/v2/import/retry/{answer['data']['jobId']}")
        assert (status, refused["error"]["code"]) == (409, "INVALID_STATE")
