"""Watching an import from outside, over SSE and WebSocket: the contract sentence by sentence."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websockets
from stack import PATIENCE_SECONDS, Server, rest, seqs, server, statuses
from vanishing import vanish, websocket_request

from bookline.progress.events import News
from bookline.stores.opening import open_stores
from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHOLE = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]
FIELDS = {"type", "jobId", "seq", "status", "progress", "timestamp", "data"}
UNKNOWN = "import-9780451524935-1700000000000-abcdefgh"
SECRET = "s3cret-for-tokens-that-nobody-guesses"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def live(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    env = sandbox.settings() | {"BOOKLINE_TOKEN_SECRET": SECRET}
    async with server(env, tmp_path_factory.mktemp("live") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server whose watchers' queues are short."""
    before = (
        "from bookline.progress import hub\nfrom bookline.live import websocket\n"
        "hub.QUEUE_MOST = 50\nwebsocket.SEND_SECONDS = 60.0"
    )
    folder = tmp_path_factory.mktemp("hasty") / "data"
    async with server(sandbox.settings(), folder, before=before) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watchful(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server that pings after 0.3 s, and waits half a second for a machine to confirm."""
    before = (
        "from bookline.progress import hub\nfrom bookline.api import serving\n"
        "hub.PING_SECONDS = 0.3\nserving.UNCONFIRMED_MS = 500"
    )
    folder = tmp_path_factory.mktemp("watchful") / "data"
    async with server(sandbox.settings(), folder, before=before) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, Server]]:
    """Two processes on one folder."""
    env, folder = sandbox.settings(), tmp_path_factory.mktemp("two") / "data"
    async with server(env, folder) as one, server(env, folder) as other:
        yield one, other


@pytest.fixture
def isbn(sandbox: Sandbox) -> str:
    """A book that no other test imports."""
    return sandbox.make(1)[0]


def slow(sandbox: Sandbox, isbn: str, ms: int = 600) -> None:
    """The book's metadata takes a while, so that watchers come in time."""
    sandbox.faults.add(kind="delay", ms=ms, isbn=isbn, route="google_books")


# ------------------------------------------------------------------ the story
async def test_both_ways_tell_the_same_whole_story_in_order(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    slow(sandbox, isbn)
    job_id = (await live.begin(isbn))["jobId"]

    over_sse, (over_ws, code) = await asyncio.gather(live.story(job_id), live.heard(job_id))

    assert statuses(over_ws) == WHOLE
    assert seqs(over_ws) == [1, 2, 3, 4, 5]
    assert over_sse == over_ws
    assert code == 1000
    assert [message["progress"] for message in over_ws] == [0, 0.25, 0.5, 0.75, 1]
    assert all(set(message) == FIELDS and message["jobId"] == job_id for message in over_ws)


async def test_each_milestone_carries_what_the_contract_says(live: Server, isbn: str) -> None:
    story = await live.story((await live.begin(isbn))["jobId"])
    data = {message["status"]: message["data"] for message in story}

    assert data["started"] == {"isbn": isbn}
    assert data["metadata_fetched"]["metadata"]["isbn"] == isbn
    assert set(data["cover_uploaded"]) == {"coverR2Key", "coverUrl", "width", "height"}
    assert set(data["embedding_generated"]) == {"dimensions", "model"}
    assert set(data["completed"]) == {"isbn", "saved", "storedIn", "result"}


async def test_retries_and_warnings_are_told_with_the_wait_that_really_is(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="503", retry_after=1, isbn=isbn, route="google_books", times=1)
    sandbox.faults.add(kind="404", isbn=isbn, route="covers", times=None)
    began = time.monotonic()

    story = await live.story((await live.begin(isbn, source="google_books"))["jobId"])
    took_ms = (time.monotonic() - began) * 1000

    retry = next(message for message in story if message["type"] == "workflow_retry")
    warning = next(message for message in story if message["type"] == "workflow_warning")
    assert set(retry["data"]) == {"step", "attempt", "delayMs", "error"}
    assert (retry["data"]["step"], retry["data"]["attempt"]) == ("fetch-metadata", 1)
    assert 1_000 <= retry["data"]["delayMs"] <= took_ms
    assert set(warning["data"]) == {"step", "code", "message"}
    assert warning["data"]["step"] == "upload-cover"
    assert seqs(story) == list(range(1, len(story) + 1))
    assert statuses(story)[-1] == "completed"


async def test_a_late_watcher_sees_all_of_it_and_the_end(live: Server, isbn: str) -> None:
    """Completion never comes too late: it is replayed on the socket itself."""
    job = await live.finished(isbn)

    over_sse, (over_ws, code) = await asyncio.gather(
        live.story(job["jobId"]), live.heard(job["jobId"])
    )

    assert statuses(over_sse) == statuses(over_ws) == WHOLE
    assert code == 1000


async def test_many_watchers_of_one_job_hear_the_same_without_a_gap(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    slow(sandbox, isbn)
    job_id = (await live.begin(isbn))["jobId"]

    async def come(number: int) -> list[dict[str, Any]]:
        await asyncio.sleep(number * 0.03)
        return await live.story(job_id) if number % 2 else (await live.heard(job_id))[0]

    stories = await asyncio.gather(*(come(number) for number in range(40)))

    assert seqs(stories[0]) == [1, 2, 3, 4, 5]
    assert all(story == stories[0] for story in stories)


async def test_every_event_id_is_its_seq(live: Server, isbn: str) -> None:
    job = await live.finished(isbn)

    async for seq, message in live.sse(job["jobId"]):
        assert seq == message["seq"]


async def test_the_stream_is_one_that_proxies_leave_alone(live: Server, isbn: str) -> None:
    job = await live.finished(isbn)

    _, body, headers = await live.get(f"/v2/import/events/{job['jobId']}")

    assert headers["Content-Type"].startswith("text/event-stream")
    assert "no-cache" in headers["Cache-Control"]
    assert headers["X-Accel-Buffering"] == "no"
    assert body.startswith(b"retry: ")
    assert body.endswith(b"\n\n")


async def test_a_description_of_half_a_megabyte_stays_a_small_message(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="big_description", isbn=isbn, times=None)
    job_id = (await live.begin(isbn))["jobId"]

    async with live.watch(job_id) as watcher:
        sizes = [len((await watcher.recv()).encode()) for _ in WHOLE]  # type: ignore[union-attr]
    story = await live.story(job_id)

    assert max(sizes) < 32_768
    assert len(story[1]["data"]["metadata"]["description"]) <= 2_000


# ------------------------------------------------------------------ coming back
async def test_after_and_last_event_id_go_on_where_the_watcher_was(live: Server, isbn: str) -> None:
    job_id = (await live.finished(isbn))["jobId"]

    assert seqs(await live.story(job_id, "?after=2")) == [3, 4, 5]
    assert seqs(await live.story(job_id, Last_Event_ID="3")) == [4, 5]
    assert seqs(await live.story(job_id, "?after=1", Last_Event_ID="4")) == [5]
    assert seqs(await live.story(job_id, "?after=0")) == [1, 2, 3, 4, 5]
    assert seqs((await live.heard(job_id, "&after=3"))[0]) == [4, 5]


async def test_who_knows_all_is_told_to_come_back_no_more(live: Server, isbn: str) -> None:
    job_id = (await live.finished(isbn))["jobId"]

    for headers, query in (({"Last-Event-ID": "5"}, ""), ({}, "?after=5"), ({}, "?after=99")):
        path = f"/v2/import/events/{job_id}{query}"
        assert (await live.get(path, headers=headers))[0] == 204
    assert await live.heard(job_id, "&after=5") == ([], 1000)


async def test_an_odd_last_event_id_gets_the_whole_story(live: Server, isbn: str) -> None:
    """Browsers send it by themselves: to refuse it would end their coming back."""
    job_id = (await live.finished(isbn))["jobId"]

    for odd in ("x", "-1", "1.5", "9" * 40):
        assert seqs(await live.story(job_id, Last_Event_ID=odd)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 40, "%00", "%EF%BC%91"])
async def test_an_odd_after_is_refused(live: Server, isbn: str, after: str) -> None:
    job_id = (await live.finished(isbn))["jobId"]

    status, answer, _ = await live.get(f"/v2/import/events/{job_id}?after={after}")

    assert (status, answer["error"]["code"]) == (400, "INVALID_REQUEST")
    assert await live.heard(job_id, f"&after={after}") == ([], 1008)


async def test_a_retried_job_is_one_story_with_one_last_end(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    sandbox.faults.add(kind="500", isbn=isbn, route="google_books", times=4)
    job_id = (await live.begin(isbn, source="google_books"))["jobId"]
    failed = await live.story(job_id)

    slow(sandbox, isbn)
    assert (await live.post(f"/v2/import/retry/{job_id}"))[0] == 202
    behind, (whole, code) = await asyncio.gather(
        live.story(job_id, f"?after={failed[-1]['seq']}"), live.heard(job_id)
    )

    assert statuses(failed) == ["started", "failed"]
    assert behind[0]["type"] == "workflow_resumed"
    assert behind[0]["data"] == {"by": "retry"}
    assert statuses(whole) == ["started", "failed", *WHOLE[1:]]
    assert whole == failed + behind
    assert seqs(whole) == list(range(1, len(whole) + 1))
    assert code == 1000


async def test_a_cancelled_job_ends_its_story(live: Server, sandbox: Sandbox, isbn: str) -> None:
    sandbox.faults.add(kind="503", retry_after=3, isbn=isbn, route="google_books", times=None)
    job_id = (await live.begin(isbn, source="google_books"))["jobId"]
    async with live.watch(job_id) as watcher:
        while json.loads(await watcher.recv())["type"] != "workflow_retry":
            pass

        await live.post(f"/v2/import/cancel/{job_id}")
        told = await rest(watcher)

    assert statuses(told) == ["cancelled"]
    assert told[0]["data"]["error"]["code"] == "CANCELLED"
    assert watcher.close_code == 1000


# ------------------------------------------------------------------ who may watch
def token_of(job_id: str, expires_in: int) -> str:
    """A token as the server signs it, for any moment."""
    expiry = str(int(time.time()) + expires_in)
    digest = hmac.new(SECRET.encode(), f"{job_id}\n{expiry}".encode(), hashlib.sha256).digest()
    return f"{expiry}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


async def test_an_unknown_job_is_4404_and_a_missing_one_too(live: Server) -> None:
    assert await live.heard(UNKNOWN) == ([], 4404)
    assert await live.heard("") == ([], 4404)
    assert await live.heard("x" * 5_000) == ([], 4404)
    assert await live.heard("%00%FF") == ([], 4404)
    async with websockets.connect(live.ws_url) as watcher:
        assert await rest(watcher) == []
    assert watcher.close_code == 4404


async def test_a_right_token_opens_by_query_and_by_sub_protocol(live: Server, isbn: str) -> None:
    started = await live.begin(isbn)
    job_id, token = started["jobId"], started["token"]
    protocol = websockets.Subprotocol(f"bookline.token.{token}")

    by_query = await live.heard(job_id, f"&token={token}")
    async with live.watch(job_id, subprotocols=[websockets.Subprotocol("x"), protocol]) as watcher:
        by_protocol = await rest(watcher)

    assert by_query == (by_protocol, 1000)
    assert watcher.subprotocol == protocol
    assert statuses(by_protocol) == WHOLE


async def test_a_token_that_is_expired_or_of_another_job_is_1008(
    live: Server, sandbox: Sandbox
) -> None:
    mine, other = [(await live.finished(isbn))["jobId"] for isbn in sandbox.make(2)]
    assert (await live.heard(mine, f"&token={token_of(mine, 60)}"))[1] == 1000

    right = token_of(mine, 60)
    for wrong in (
        token_of(mine, -1), token_of(other, 60), right[:-1], right.swapcase(), "x", ".", "9" * 50,
        f"9{right}", "%00", "%F0%9F%98%80",
    ):  # fmt: skip
        assert await live.heard(mine, f"&token={wrong}") == ([], 1008), wrong
        if wrong.isascii() and "%" not in wrong:
            asked = [websockets.Subprotocol(f"bookline.token.{wrong}")]
            assert await live.heard(mine, subprotocols=asked) == ([], 1008), wrong


async def test_another_host_name_may_not_watch(live: Server, isbn: str) -> None:
    job_id = (await live.finished(isbn))["jobId"]
    url = f"ws://evil.example:{live.port}/ws/progress?jobId={job_id}"
    plain = socket.create_connection(("127.0.0.1", live.port))
    async with websockets.connect(url, sock=plain) as watcher:
        assert await rest(watcher) == []
    assert watcher.close_code == 1008


async def test_what_a_watcher_says_is_ignored(live: Server, sandbox: Sandbox, isbn: str) -> None:
    slow(sandbox, isbn)
    job_id = (await live.begin(isbn))["jobId"]

    async with live.watch(job_id) as watcher:
        for nonsense in ("hello", "{", '{"type":"cancel"}', b"\x00\xff", "", "x" * 10_000):
            await watcher.send(nonsense)
        told = await rest(watcher)

    assert statuses(told) == WHOLE
    assert watcher.close_code == 1000


async def test_watchers_that_go_away_trouble_nobody(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    slow(sandbox, isbn)
    job_id = (await live.begin(isbn))["jobId"]

    for number in range(10):
        async with live.watch(job_id) as watcher:
            await watcher.recv()
            if number % 2:
                watcher.transport.abort()
        async with live.http.get(f"{live.url}/v2/import/events/{job_id}") as answer:
            await answer.content.readline()

    assert statuses(await live.story(job_id)) == WHOLE
    assert "Traceback" not in live.log


# ------------------------------------------------------------------ several processes
async def test_a_watcher_on_either_of_two_processes_sees_everything(
    two: tuple[Server, Server], sandbox: Sandbox
) -> None:
    one, other = two
    for isbn in sandbox.make(3):
        slow(sandbox, isbn, ms=300)
        job_id = (await one.begin(isbn))["jobId"]

        here, there, (socket_there, code) = await asyncio.gather(
            one.story(job_id), other.story(job_id), other.heard(job_id)
        )

        assert statuses(there) == WHOLE
        assert here == there == socket_there
        assert code == 1000


async def test_a_job_of_another_process_can_be_cancelled_here(
    two: tuple[Server, Server], sandbox: Sandbox, isbn: str
) -> None:
    one, other = two
    sandbox.faults.add(kind="503", retry_after=3, isbn=isbn, route="google_books", times=None)
    job_id = (await one.begin(isbn, source="google_books"))["jobId"]
    await one.until(job_id, "running")

    assert (await other.post(f"/v2/import/cancel/{job_id}"))[0] == 202

    assert statuses(await other.story(job_id))[-1] == "cancelled"


# ------------------------------------------------------------------ pings and slow watchers
async def test_a_quiet_job_pings_its_watchers_without_a_seq(
    watchful: Server, sandbox: Sandbox, isbn: str
) -> None:
    job_id = await _hanging(watchful, sandbox, isbn)
    pings: list[tuple[int | None, dict[str, Any]]] = []
    events: list[tuple[int | None, dict[str, Any]]] = []
    async with aclosing(watchful.sse(job_id)) as stream:
        async for seq, message in stream:
            (pings if message["type"] == "ping" else events).append((seq, message))
            if len(pings) == 3:
                break
    await watchful.post(f"/v2/import/cancel/{job_id}")

    for seq, message in pings:
        assert seq is None
        assert "seq" not in message
        assert message["jobId"] == job_id
    assert [seq for seq, _ in events] == [1]


# Half-open connections: with the real limits, benchmarks/half_open.py.
async def test_a_socket_whose_machine_vanishes_is_found(
    watchful: Server, sandbox: Sandbox, isbn: str
) -> None:
    """No FIN, no RST, no acknowledgement: like a phone in a tunnel."""
    job_id = await _hanging(watchful, sandbox, isbn)
    plain = socket.create_connection(("127.0.0.1", watchful.port))
    async with watchful.watch(job_id, sock=plain, close_timeout=0.1) as watcher:
        for _ in range(5):  # some pings, which it answers
            await watcher.recv()
        await _until_watchers(watchful, 1)

        vanish(plain)

        await _until_found(watchful, job_id)


async def test_a_stream_whose_machine_vanishes_is_found(
    watchful: Server, sandbox: Sandbox, isbn: str
) -> None:
    job_id = await _hanging(watchful, sandbox, isbn)
    async with watchful.http.get(f"{watchful.url}/v2/import/events/{job_id}") as stream:
        for _ in range(9):
            await stream.content.readline()
        await _until_watchers(watchful, 1)
        assert stream.connection is not None
        assert stream.connection.transport is not None

        vanish(stream.connection.transport.get_extra_info("socket"))

        await _until_found(watchful, job_id)


async def test_a_watcher_that_answers_no_ping_is_found(
    watchful: Server, sandbox: Sandbox, isbn: str
) -> None:
    """Its machine lives and confirms, its program does not."""
    job_id = await _hanging(watchful, sandbox, isbn)
    with socket.create_connection(("127.0.0.1", watchful.port)) as deaf:
        deaf.sendall(websocket_request(job_id))
        assert b" 101 " in await asyncio.to_thread(deaf.recv, 4_096)

        await _until_found(watchful, job_id)


async def _hanging(server: Server, sandbox: Sandbox, isbn: str) -> str:
    """A job that has little to tell for a minute: the limit of its four tries."""
    sandbox.faults.add(kind="hang", isbn=isbn, route="google_books", times=None)
    job_id: str = (await server.begin(isbn, source="google_books"))["jobId"]
    return job_id


async def _watchers(server: Server) -> int:
    text = (await server.get("/metrics"))[1].decode()
    return int(float(re.search(r"^bookline_watchers (\S+)$", text, re.MULTILINE)[1]))  # type: ignore[index]


async def _until_watchers(server: Server, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _watchers(server) != count:
            await asyncio.sleep(0.05)


async def _until_found(server: Server, job_id: str) -> None:
    """Nobody watches any more, and not because there was nothing left to watch."""
    await _until_watchers(server, 0)
    assert (await server.job(job_id))["status"] == "running"
    await server.post(f"/v2/import/cancel/{job_id}")


async def _hear(
    watcher: websockets.ClientConnection, count: int, told: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The next so many events; ``told`` has them meanwhile."""
    told = [] if told is None else told
    while len(told) < count:
        message = json.loads(await watcher.recv())
        if message["type"] != "ping":
            told.append(message)
    return told


async def _flood(folder: Path, job_id: str, count: int, heard: list[dict[str, Any]]) -> None:
    """Events from another process, faster and larger than an import has them, and no faster than
    the keen one hears them.
    """
    journal = open_stores(folder, lambda: time.time_ns() // 1_000_000).journal
    for number in range(count):
        news = News(
            key=f"flood-{number}", type="workflow_warning", status=None, data={"m": "x" * 30_000}
        )
        journal.tell(job_id, news)
        await asyncio.sleep(0.004)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while number - len(heard) > 20:
                await asyncio.sleep(0.004)
    await journal.database.write(lambda db: None)
    journal.close()


async def test_a_watcher_that_does_not_listen_is_cut_and_comes_back_for_the_rest(
    hasty: Server, sandbox: Sandbox, isbn: str
) -> None:
    """One slow watcher costs nobody else anything, and itself no event."""
    sandbox.faults.add(kind="hang", isbn=isbn, route="google_books")
    job_id = (await hasty.begin(isbn, source="google_books"))["jobId"]
    await hasty.until(job_id, "running")
    narrow = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    narrow.connect(("127.0.0.1", hasty.port))

    async with hasty.watch(job_id, sock=narrow, max_queue=1) as deaf, hasty.watch(job_id) as keen:
        heard: list[dict[str, Any]] = []
        hearing = asyncio.create_task(_hear(keen, 251, heard))
        await _flood(hasty.data_dir, job_id, 250, heard)
        await hearing
        early = await rest(deaf)

    assert seqs(heard) == list(range(1, 252))
    assert deaf.close_code == 1013
    assert seqs(early) == list(range(1, len(early) + 1))
    async with hasty.watch(job_id, f"&after={len(early)}") as again:
        late = await _hear(again, 251 - len(early))
    assert seqs(early + late) == list(range(1, 252))


# ------------------------------------------------------------------ stops and crashes
async def test_a_stop_tells_watchers_to_come_back_and_the_import_goes_on(
    sandbox: Sandbox, tmp_path: Path, isbn: str
) -> None:
    slow(sandbox, isbn, ms=60_000)
    async with server(sandbox.settings(), tmp_path / "data") as live:
        job_id = (await live.begin(isbn, source="google_books"))["jobId"]
        async with live.watch(job_id) as watcher:
            first = json.loads(await watcher.recv())
            stream = live.sse(job_id)
            _, streamed = await anext(stream)
            live.ask_to_end()
            assert await rest(watcher) == []
        assert watcher.close_code == 1001
        assert [streamed, *[message async for _, message in stream]] == [first]
        await live.ended()  # it does not wait for them
        await live.start()

        story, code = await live.heard(job_id, "&after=1")

        assert first["seq"] == 1
        assert statuses(story) == WHOLE[1:]
        assert seqs(story) == list(range(2, len(story) + 2))
        assert code == 1000
        resumed = [message for message in story if message["type"] == "workflow_resumed"]
        assert [message["data"] for message in resumed] == [{"by": "restart"}]


async def test_after_a_crash_each_event_comes_exactly_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Clients that come back with the last seq they saw, whatever happened in between."""
    isbns = sandbox.make(6)
    for number, isbn in enumerate(isbns):
        slow(sandbox, isbn, ms=300 + 300 * number)
    async with server(sandbox.settings(), tmp_path / "data") as live:
        job_ids = [(await live.begin(isbn))["jobId"] for isbn in isbns]

        watchers = [asyncio.create_task(_faithful(live, job_id)) for job_id in job_ids]
        for _ in range(2):
            await asyncio.sleep(0.6)
            await live.kill()
            await live.start()
        stories = await asyncio.gather(*watchers)

        for story in stories:
            assert seqs(story) == list(range(1, len(story) + 1))
            assert statuses(story) == WHOLE


async def _faithful(live: Server, job_id: str) -> list[dict[str, Any]]:
    """What a client sees that comes back with ``after`` until the job has ended."""
    told: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                async with live.watch(job_id, f"&after={len(told)}") as watcher:
                    told += await rest(watcher)
                    if watcher.close_code == 1000:
                        return told
            except (OSError, websockets.InvalidMessage):
                await asyncio.sleep(0.05)


async def test_an_event_reaches_its_watcher_before_the_next_one_happens(
    live: Server, sandbox: Sandbox, isbn: str
) -> None:
    """Live, and not in a heap at the end; how soon is measured by the benchmarks."""
    sandbox.faults.add(kind="hang", isbn=isbn, route="covers", times=None)
    job_id = (await live.begin(isbn))["jobId"]

    async with live.watch(job_id) as watcher:
        told = await _hear(watcher, 2)

    assert statuses(told) == WHOLE[:2]
    job = await live.job(job_id)
    assert (job["status"], job["lastEvent"]["seq"]) == ("running", 2)
    await live.post(f"/v2/import/cancel/{job_id}")
