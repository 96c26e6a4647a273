"""Events over our own server's streams: how many writes, what is done at once, and how they end.

Way:      bytes as a browser sends them → uvicorn's protocol, ours → the hub; a counting wire
Not here: ids, headers and all else that shows outside: tests/journeys/test_live.py.
"""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bookline.api.peers import Peers
from bookline.api.protocols import GuardedHttp
from bookline.errors import StoreDown
from bookline.job import ImportInput, Job
from bookline.live import sse
from bookline.progress.events import News, completed
from bookline.progress.hub import QUEUE_MOST, Hub
from bookline.settings import read_settings
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import stores_in_memory

pytestmark = pytest.mark.usefixtures("quick_time")

PATIENCE_SECONDS = 120.0
RESULT = {"isbn": "9780142437247", "saved": True, "storedIn": "database"}
ASK = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /ws/progress HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Wire(asyncio.Transport):
    """A transport that keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.is_closed = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def abort(self) -> None:
        self.is_closed = True

    close = abort

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Watcher:
    """A browser on the other end of the wire."""

    def __init__(self, hub: Hub, kind: type[HttpToolsProtocol] = GuardedHttp) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            answer = sse.stream(hub, "job", 0, is_over=False)
            await answer(scope, receive, send)
            await scope["state"][sse.STREAM].tell(scope, receive, send)

        config = uvicorn.Config(app, log_config=None)
        protocol: Any = kind
        if kind is GuardedHttp:
            protocol = partial(kind, peers=Peers(read_settings({}, None)))
        self.wire = Wire()
        self.http = protocol(config, ServerState(), {})
        self.http.connection_made(self.wire)
        self.http.data_received(ASK)

    def heard(self) -> bytes:
        """The body so far, out of its chunks."""
        head, rest = b"".join(self.wire.writes).split(b"\r\n\r\n", 1)
        assert b"transfer-encoding: chunked" in head
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, end, rest = body + rest[:length], rest[length : length + 2], rest[length + 2 :]
            assert end == b"\r\n"
        return body

    @property
    def seqs(self) -> list[int]:
        lines = self.heard().split(b"\n")
        return [int(line[4:]) for line in lines if line.startswith(b"id: ")]

    async def wrote(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.wire.writes) < count:
                await asyncio.sleep(0)


def some(text: str) -> News:
    return News(key=text, type="workflow_progress", status="started", data={"n": text})


async def until_nobody_watches(hub: Hub) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.watchers:
            await asyncio.sleep(0)


@pytest.fixture
async def journal() -> SqlJournal:
    made = stores_in_memory(lambda: 1_000).journal
    order = ImportInput(job_id="job", isbn="9780142437247", input_isbn="x")
    await made.open(Job(order=order, method="workflow", created_ms=0, updated_ms=0, node="n"))
    await made.claim("job", "n")
    return made


@pytest.fixture
async def hub(journal: SqlJournal) -> AsyncIterator[Hub]:
    hub = Hub(journal.find, journal)
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    yield hub
    hub.close()
    await asyncio.sleep(0.01)
    running.cancel()


@pytest.fixture
async def watcher(hub: Hub, journal: SqlJournal) -> Watcher:
    """One that has seen two events: head, time to come back, replay."""
    for number in range(2):
        journal.tell("job", some(f"before {number}"))
    made = Watcher(hub)
    await made.wrote(3)
    await asyncio.sleep(0.01)
    return made


# ------------------------------------------------------------------ writes
async def test_the_replay_is_one_write_of_many_events(watcher: Watcher) -> None:
    assert len(watcher.wire.writes) == 3
    assert watcher.heard().startswith(b"retry: 1000\n\nid: 1\ndata: {")
    assert watcher.seqs == [1, 2]


async def test_events_are_written_together_in_the_pass_in_which_they_are_heard(
    watcher: Watcher, journal: SqlJournal
) -> None:
    [hear] = journal.fanout._hearers
    journal.fanout._hearers.clear()
    for number in range(3):
        journal.tell("job", some(f"live {number}"))
    events = await journal.read("job", 2, 9)

    hear(events)  # no await: no task had a turn

    assert len(watcher.wire.writes) == 4
    assert watcher.seqs == [1, 2, 3, 4, 5]


async def test_what_cannot_be_written_at_once_comes_later_and_in_order(
    watcher: Watcher, journal: SqlJournal
) -> None:
    watcher.http.pause_writing()

    for number in range(3):
        journal.tell("job", some(f"held back {number}"))
        await asyncio.sleep(0.005)
    held = len(watcher.wire.writes)
    watcher.http.resume_writing()
    journal.tell("job", some("at once"))
    await watcher.wrote(5)  # the first by itself, then all that had gathered
    await asyncio.sleep(0.01)

    assert held == 3
    assert watcher.seqs == [1, 2, 3, 4, 5, 6]


async def test_a_stream_that_is_not_taken_holds_a_bounded_part_and_ends_and_nobody_else_waits(
    watcher: Watcher, hub: Hub, journal: SqlJournal
) -> None:
    other = Watcher(hub)
    await other.wrote(3)
    await asyncio.sleep(0.01)
    watcher.http.pause_writing()

    for number in range(QUEUE_MOST + 50):
        journal.tell("job", some(f"live {number}"))
        await asyncio.sleep(0)
        assert other.wire.writes[-1].count(b"id: ") == 1  # it has heard this one already
    watcher.http.resume_writing()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.watchers > 1:
            await asyncio.sleep(0)
    await watcher.wrote(5)

    assert other.seqs == list(range(1, QUEUE_MOST + 53))
    assert watcher.seqs == [1, 2, 3]  # the browser comes back with Last-Event-ID
    assert watcher.wire.writes[-1] == b"0\r\n\r\n"


async def test_a_request_that_waits_behind_a_stream_stops_nothing(
    watcher: Watcher, journal: SqlJournal
) -> None:
    watcher.http.data_received(ASK)

    journal.tell("job", some("live"))
    await watcher.wrote(4)

    assert watcher.seqs == [1, 2, 3]


async def test_a_ping_is_one_write_and_no_event(watcher: Watcher, hub: Hub) -> None:
    hub._ping(float("inf"))

    assert len(watcher.wire.writes) == 4
    last = watcher.heard().strip().split(b"\n")[-1]
    assert json.loads(last.removeprefix(b"data: "))["type"] == "ping"
    assert watcher.seqs == [1, 2]


# ------------------------------------------------------------------ ends
async def test_behind_the_last_event_the_connection_is_free_again(
    watcher: Watcher, hub: Hub, journal: SqlJournal
) -> None:
    await journal.finish("job", completed(1, RESULT), run=1, result=RESULT, error=None)
    await until_nobody_watches(hub)
    await watcher.wrote(5)

    assert watcher.wire.writes[-1] == b"0\r\n\r\n"
    assert not watcher.wire.is_closed
    watcher.wire.writes.clear()
    watcher.http.data_received(ASK)
    await watcher.wrote(3)
    assert watcher.seqs == [1, 2, 3]


async def test_a_watcher_that_goes_is_forgotten(watcher: Watcher, hub: Hub) -> None:
    watcher.wire.close()
    watcher.http.connection_lost(None)

    await until_nobody_watches(hub)

    assert len(watcher.wire.writes) == 3


async def test_a_watcher_that_has_gone_leaves_nothing_for_the_collector_of_garbage(
    hub: Hub, journal: SqlJournal, no_collector: None
) -> None:
    watcher = Watcher(hub)
    await watcher.wrote(2)
    journal.tell("job", some("live"))
    await watcher.wrote(3)
    http = weakref.ref(watcher.http)

    watcher.wire.close()
    watcher.http.connection_lost(None)
    await until_nobody_watches(hub)
    await asyncio.sleep(0.01)
    del watcher

    assert http() is None


async def test_a_watcher_that_goes_with_a_request_behind_its_stream_is_no_error(
    watcher: Watcher, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.http.data_received(ASK)

    watcher.wire.close()
    watcher.http.connection_lost(None)
    await until_nobody_watches(hub)
    await asyncio.sleep(0.01)

    assert caplog.records == []


async def test_a_stream_whose_journal_cannot_be_read_ends_and_is_no_error(
    watcher: Watcher, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def down(*_: object) -> None:
        raise StoreDown("the journal does not answer")

    monkeypatch.setattr(hub._log, "read", down)
    for watch in hub._all():
        watch.miss()
    await until_nobody_watches(hub)
    await asyncio.sleep(0.01)

    assert caplog.records == []
    assert watcher.wire.writes[-1] == b"0\r\n\r\n"  # the browser comes back


async def test_a_websocket_that_is_asked_for_behind_a_stream_ends_the_connection(
    watcher: Watcher, hub: Hub
) -> None:
    watcher.http.data_received(UPGRADE)
    was_closed = watcher.wire.is_closed

    (watcher.wire.protocol or watcher.http).connection_lost(None)
    await asyncio.sleep(0.01)

    assert was_closed
    assert hub.watchers == 0


async def test_a_line_that_breaks_under_a_write_is_no_ones_trouble_but_its_own(
    watcher: Watcher, hub: Hub, journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Watcher(hub)
    await other.wrote(3)
    await asyncio.sleep(0.01)

    def broken(data: Any) -> None:
        raise RuntimeError("the transport is closed")

    monkeypatch.setattr(watcher.wire, "write", broken)
    journal.tell("job", some("live"))

    assert other.seqs == [1, 2, 3]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.watchers > 1:
            await asyncio.sleep(0)


# ------------------------------------------------------------------ other servers
async def test_a_server_without_a_line_tells_the_same(hub: Hub, journal: SqlJournal) -> None:
    for number in range(2):
        journal.tell("job", some(f"before {number}"))
    plain = Watcher(hub, HttpToolsProtocol)
    await plain.wrote(3)

    journal.tell("job", some("live"))
    await plain.wrote(4)
    hub._ping(float("inf"))
    await plain.wrote(5)

    assert plain.seqs == [1, 2, 3]
    assert b'"type":"ping"' in plain.heard()
    plain.wire.close()
    plain.http.connection_lost(None)
    await until_nobody_watches(hub)
