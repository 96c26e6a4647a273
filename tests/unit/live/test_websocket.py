"""Events over our own server's socket: how many writes, and what is done at once.

Way:      bytes as a browser sends them → uvicorn's protocol, ours → the hub; a counting wire
Not here: closing codes, tokens and all else that shows outside: tests/journeys/test_live.py.
"""

import asyncio
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from bookline.api.peers import Peers
from bookline.api.protocols import GuardedHttp
from bookline.api.sockets import WatchedSocket
from bookline.job import ImportInput, Job
from bookline.live import websocket
from bookline.progress.events import News
from bookline.progress.hub import Hub
from bookline.settings import read_settings
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import stores_in_memory

pytestmark = pytest.mark.usefixtures("quick_time")

PATIENCE_SECONDS = 120.0


class Wire(asyncio.Transport):
    """A transport that keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_aborted = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def pause_reading(self) -> None:
        raise AssertionError("what a watcher says must never stop the reading of its pongs")


class Watcher:
    """A client on the other end of the wire."""

    def __init__(
        self,
        hub: Hub,
        journal: SqlJournal,
        kind: type[WebSocketsSansIOProtocol] = WatchedSocket,
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"]["token"] = None
            socket = WebSocket(scope, receive, send)
            await websocket.serve(socket, hub, lambda *who: True)

        config = uvicorn.Config(app, log_config=None, ws_per_message_deflate=False)
        self.wire = Wire()
        self.socket = kind(config, ServerState(), {})
        self.client = ClientProtocol(parse_uri("ws://127.0.0.1/ws/progress?jobId=job"))
        self._read = 0
        self.socket.connection_made(self.wire)
        self.client.send_request(self.client.connect())
        self.send()

    def send(self) -> None:
        for data in self.client.data_to_send():
            self.socket.data_received(data)

    def heard(self) -> list[Frame]:
        """The frames that came since the last call. They are answered by ``send``."""
        fresh, self._read = self.wire.writes[self._read :], len(self.wire.writes)
        self.client.receive_data(b"".join(fresh))
        return [event for event in self.client.events_received() if isinstance(event, Frame)]

    async def wrote(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.wire.writes) < count:
                await asyncio.sleep(0)


def seqs(frames: list[Frame]) -> list[int]:
    return [json.loads(bytes(frame.data))["seq"] for frame in frames if frame.opcode is Opcode.TEXT]


def some(text: str) -> News:
    return News(key=text, type="workflow_progress", status="started", data={"n": text})


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
    """One that has seen five events."""
    for number in range(5):
        journal.tell("job", some(f"before {number}"))
    made = Watcher(hub, journal)
    await made.wrote(2)
    await asyncio.sleep(0.01)
    return made


# ------------------------------------------------------------------ writes
async def test_the_replay_is_one_write_of_many_messages(watcher: Watcher) -> None:
    handshake, *replay = watcher.wire.writes

    assert handshake.startswith(b"HTTP/1.1 101")
    assert len(replay) == 1
    assert seqs(watcher.heard()) == [1, 2, 3, 4, 5]


async def test_events_that_are_ready_together_are_one_write(
    watcher: Watcher, journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.heard()
    before = len(watcher.wire.writes)
    [hear] = journal.fanout._hearers
    journal.fanout._hearers.clear()
    for number in range(3):
        journal.tell("job", some(f"live {number}"))

    hear(await journal.read("job", 5, 9))  # as a journal does that has committed them together

    assert len(watcher.wire.writes) == before + 1
    assert seqs(watcher.heard()) == [6, 7, 8]


async def test_an_event_is_written_in_the_pass_in_which_it_is_heard(
    watcher: Watcher, journal: SqlJournal
) -> None:
    watcher.heard()
    [hear] = journal.fanout._hearers
    journal.fanout._hearers.clear()
    journal.tell("job", some("live"))
    events = await journal.read("job", 5, 9)

    hear(events)  # no await: no task had a turn

    assert seqs(watcher.heard()) == [6]


async def test_what_cannot_be_written_at_once_comes_later_and_in_order(
    watcher: Watcher, journal: SqlJournal
) -> None:
    watcher.heard()
    before = len(watcher.wire.writes)
    watcher.socket.pause_writing()

    for number in range(3):
        journal.tell("job", some(f"held back {number}"))
        await asyncio.sleep(0.005)
    held = len(watcher.wire.writes)
    watcher.socket.resume_writing()
    journal.tell("job", some("at once"))
    await watcher.wrote(before + 2)  # the first by itself, then all that had gathered
    await asyncio.sleep(0.01)

    assert held == before
    assert seqs(watcher.heard()) == [6, 7, 8, 9]


# ------------------------------------------------------------------ pings
async def test_a_line_that_breaks_under_a_write_is_no_ones_trouble_but_its_own(
    watcher: Watcher, hub: Hub, journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Watcher(hub, journal)
    await other.wrote(2)
    other.heard(), watcher.heard()

    def broken(data: Any) -> None:
        raise RuntimeError("the transport is closed")

    monkeypatch.setattr(watcher.wire, "write", broken)
    journal.tell("job", some("live"))

    assert seqs(other.heard()) == [6]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while hub.watchers > 1:
            await asyncio.sleep(0)


async def test_a_ping_is_one_write_for_the_peer_and_for_its_program(
    watcher: Watcher, hub: Hub
) -> None:
    watcher.heard()
    before = len(watcher.wire.writes)

    hub._ping(float("inf"))

    ping, message = watcher.heard()
    assert len(watcher.wire.writes) == before + 1
    assert ping.opcode is Opcode.PING
    assert json.loads(bytes(message.data))["type"] == "ping"


async def test_who_answers_pings_stays_and_who_does_not_is_cut_at_the_next(
    watcher: Watcher, hub: Hub
) -> None:
    for _ in range(3):
        hub._ping(float("inf"))
        watcher.heard()
        watcher.send()  # the pong
        await asyncio.sleep(0)
    stayed = not watcher.wire.is_aborted

    hub._ping(float("inf"))
    hub._ping(float("inf"))

    assert stayed
    assert watcher.wire.is_aborted
    watcher.socket.connection_lost(None)
    await asyncio.sleep(0.01)
    assert hub.watchers == 0


async def test_what_a_watcher_says_stops_nothing(
    watcher: Watcher, hub: Hub, journal: SqlJournal
) -> None:
    watcher.heard()
    for nonsense in (b"hello", b"{", b""):
        watcher.client.send_text(nonsense)
        watcher.client.send_binary(nonsense)
    watcher.send()

    journal.tell("job", some("live"))
    await asyncio.sleep(0.01)

    assert seqs(watcher.heard()) == [6]
    assert hub.watchers == 1


# ------------------------------------------------------------------ the end
async def test_a_watcher_that_has_gone_leaves_nothing_for_the_collector_of_garbage(
    hub: Hub, journal: SqlJournal, no_collector: None
) -> None:
    watcher = Watcher(hub, journal)
    await watcher.wrote(1)
    await asyncio.sleep(0.01)
    journal.tell("job", some("live"))
    socket = weakref.ref(watcher.socket)

    watcher.wire.close()
    watcher.socket.connection_lost(None)
    await asyncio.sleep(0.01)
    del watcher

    assert hub.watchers == 0
    assert socket() is None


async def test_a_connection_that_becomes_a_socket_keeps_nothing_of_its_http(
    no_collector: None,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await WebSocket(scope, receive, send).accept()
        await asyncio.sleep(0.01)

    config = uvicorn.Config(app, log_config=None, ws=WatchedSocket, ws_per_message_deflate=False)
    wire = Wire()
    made = GuardedHttp(config, ServerState(), {}, peers=Peers(read_settings({}, None)))
    http = weakref.ref(made)
    made.connection_made(wire)
    client = ClientProtocol(parse_uri("ws://127.0.0.1/ws/progress?jobId=job"))
    client.send_request(client.connect())

    made.data_received(b"".join(client.data_to_send()))
    await asyncio.sleep(0.02)
    del made

    assert wire.writes[0].startswith(b"HTTP/1.1 101")
    assert http() is None


# ------------------------------------------------------------------ other servers
async def test_a_server_without_a_line_tells_the_same(hub: Hub, journal: SqlJournal) -> None:
    for number in range(2):
        journal.tell("job", some(f"before {number}"))
    plain = Watcher(hub, journal, WebSocketsSansIOProtocol)
    await plain.wrote(3)

    journal.tell("job", some("live"))
    await plain.wrote(4)
    hub._ping(float("inf"))
    await plain.wrote(5)

    *events, ping = plain.heard()
    assert seqs(events) == [1, 2, 3]
    assert json.loads(bytes(ping.data))["type"] == "ping"
    assert hub.watchers == 1
    plain.socket.connection_lost(None)
    await asyncio.sleep(0.01)
    assert hub.watchers == 0
