"""Peers who mean harm: whatever they send, memory, time and connections stay bounded.

Way:      raw sockets → a real server; the memory is the process' own, as the system counts it
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, server
from vanishing import websocket_request

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY_BYTES = 300_000_000
MORE_MEMORY_BYTES = 30_000_000
KEY = "k" * 20
PIECE = b"a" * 65_536
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v2/import/workflow HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
UNKNOWN = "import-9780451524935-1700000000000-abcdefgh"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def open_server(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    env = sandbox.settings() | {"BOOKLINE_EMBEDDER": "none"}  # it would be loaded meanwhile
    async with server(env, tmp_path_factory.mktemp("peers") / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def with_keys(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    env = sandbox.settings() | {"BOOKLINE_API_KEYS": KEY}
    folder = tmp_path_factory.mktemp("keys") / "data"
    before = "from bookline.api import protocols\nprotocols.HEAD_SECONDS = 300.0"
    async with server(env, folder, before=before) as running:
        yield running


def line(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def pour(port: int, begin: bytes, piece: bytes) -> tuple[int, bytes]:
    """Sends ``piece`` without end. How many bytes were taken, and what was answered."""
    with closing(line(port)) as peer:
        sent, heard = 0, b""
        try:
            peer.sendall(begin)
            while sent < MANY_BYTES:
                peer.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        try:
            while more := peer.recv(65_536):
                heard += more
        except OSError:
            pass
        return sent, heard


def memory(running: Server) -> int:
    """Bytes that the process holds."""
    status = Path(f"/proc/{running.pid}/status").read_text("utf-8")
    fields = dict(one.split(":", 1) for one in status.splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


# ------------------------------------------------------------------ requests without end
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(GET + b"X-Long: ", PIECE, id="one header"),
        pytest.param(GET, b"X-More: 1\r\n" * 5_000, id="many headers"),
        pytest.param(b"GET /", PIECE, id="the address"),
        pytest.param(b"", b"\r\n" * 30_000, id="empty lines"),
        pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\nX-Long: ", PIECE, id="one trailer"),
        pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: 1\r\n" * 5_000, id="many trailers"),
        pytest.param(CHUNKED + b"2;x=", PIECE, id="a chunk's extension"),
        pytest.param(b"", (GET + b"\r\n") * 2_000, id="requests ahead of their answers"),
    ],
)
async def test_a_request_without_end_is_cut_before_it_costs_memory(
    open_server: Server, begin: bytes, piece: bytes
) -> None:
    before = memory(open_server)

    sent, _ = await asyncio.to_thread(pour, open_server.port, begin, piece)

    assert sent < 30_000_000
    assert memory(open_server) - before < MORE_MEMORY_BYTES
    assert (await open_server.get("/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"X-Long: " + b"a" * 66_000 + b"\r\n\r\n", b"431"),
        (GET + b"X-More: 1\r\n" * 6_500 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_of_ours_is_answered_in_the_envelope(
    open_server: Server, head: bytes, status: bytes
) -> None:
    def ask() -> bytes:
        with closing(line(open_server.port)) as peer:
            peer.sendall(head)
            return peer.recv(65_536)

    said = await asyncio.to_thread(ask)

    assert said.split()[1] == status
    assert b'{"success":false,"data":null,"error":{"code":"INVALID_REQUEST"' in said
    assert b"connection: close" in said


async def test_a_head_of_64_kb_is_read(open_server: Server) -> None:
    """Browsers send many cookies where many programs share a host's name."""
    head = GET + b"Cookie: " + b"a" * 60_000 + b"\r\nConnection: close\r\n\r\n"

    def ask() -> bytes:
        with closing(line(open_server.port)) as peer:
            peer.sendall(head)
            return peer.recv(65_536)

    assert (await asyncio.to_thread(ask)).split()[1] == b"200"


HALVES = {
    "nothing": b"",
    "half a line": b"GET /heal",
    "half a head": GET,
    "an empty line": b"\r\n",
    "a second half": GET + b"\r\n" + GET[:-5],
    "half a body": CHUNKED + b"2\r\n{",
}


async def test_half_a_request_is_waited_for_and_then_cut(sandbox: Sandbox, tmp_path: Path) -> None:
    before = (
        "from bookline.api import protocols\n"
        "protocols.HEAD_SECONDS = 3.0\nprotocols.BODY_SECONDS = 3.0"
    )
    async with server(sandbox.settings(), tmp_path / "data", before=before) as hasty:

        def wait(begin: bytes) -> bytes:
            with closing(line(hasty.port)) as peer:
                peer.sendall(begin)
                return b"".join(_all(peer))

        # Each ends when the server cuts it.
        said = await asyncio.gather(*(asyncio.to_thread(wait, half) for half in HALVES.values()))

    answers = {name: told.count(b"HTTP/1.1") for name, told in zip(HALVES, said, strict=True)}
    assert answers == dict.fromkeys(HALVES, 0) | {"a second half": 1}


def _all(peer: socket.socket) -> Iterator[bytes]:
    try:
        while more := peer.recv(65_536):
            yield more
    except ConnectionResetError:
        pass


# ------------------------------------------------------------------ connections
async def test_one_address_cannot_take_all_connections(with_keys: Server) -> None:
    """Over 256 strangers there is a moment to show a key, then the connection is cut."""
    peers = [await asyncio.to_thread(line, with_keys.port) for _ in range(300)]
    try:
        alive = await asyncio.to_thread(_still_open, peers)
        status, _, _ = await with_keys.get("/v2/books", headers={"Authorization": f"Bearer {KEY}"})
    finally:
        for peer in peers:
            peer.close()

    assert 250 < alive <= 256  # the test's own line is one of them
    assert status == 200


def _still_open(peers: list[socket.socket]) -> int:
    """How many are left once the server has cut what it cuts."""
    end = time.monotonic() + PATIENCE_SECONDS
    while sum(map(_is_open, peers)) > 256 and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    return sum(map(_is_open, peers))


async def test_a_thousand_callers_with_a_key_have_room(with_keys: Server) -> None:
    request = (
        b"GET /v2/books HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        + KEY.encode() + b"\r\n\r\n"
    )  # fmt: skip

    def come() -> int:
        peers = [line(with_keys.port) for _ in range(1_000)]
        try:
            for peer in peers:
                peer.sendall(request)
            answered = sum(b" 200 " in peer.recv(65_536)[:20] for peer in peers)
            time.sleep(1.5)
            return answered if all(map(_is_open, peers)) else 0
        finally:
            for peer in peers:
                peer.close()

    assert await asyncio.to_thread(come) == 1_000


def _is_open(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return peer.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


async def test_the_process_raises_its_own_limit_of_open_files(open_server: Server) -> None:
    limits = Path(f"/proc/{open_server.pid}/limits").read_text("utf-8").splitlines()
    soft, hard = next(one for one in limits if one.startswith("Max open files")).split()[3:5]

    assert int(soft) == min(int(hard), 65_536)
    assert os.sysconf("SC_OPEN_MAX") <= int(soft)


# ------------------------------------------------------------------ watchers
def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True) -> bytes:
    """One of a client's frames, masked with zeros."""
    return bytes([opcode | (0x80 if is_last else 0), 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(frame(1, b"x", is_last=False), frame(0, is_last=False) * 10_000, id="parts"),
        pytest.param(b"", frame(9, b"p" * 100) * 600, id="pings"),
        pytest.param(b"", frame(10) * 10_000, id="pongs"),
        pytest.param(b"", frame(1, b"hello") * 6_000, id="words"),
    ],
)
async def test_a_watcher_that_says_too_much_is_cut(
    open_server: Server, sandbox: Sandbox, begin: bytes, piece: bytes
) -> None:
    isbn = sandbox.make(1)[0]
    sandbox.faults.add(kind="delay", ms=20_000, isbn=isbn, times=None)
    job_id = (await open_server.begin(isbn))["jobId"]
    before = memory(open_server)

    def flood() -> tuple[int, bytes]:
        with closing(line(open_server.port)) as peer:
            peer.sendall(websocket_request(job_id))
            assert b" 101 " in peer.recv(65_536)
            sent = 0
            try:
                peer.sendall(begin)
                while sent < MANY_BYTES:
                    peer.sendall(piece)
                    sent += len(piece)
            except OSError:
                pass
            return sent, b""

    sent, _ = await asyncio.to_thread(flood)
    await open_server.post(f"/v2/import/cancel/{job_id}")

    assert sent < 30_000_000
    assert memory(open_server) - before < MORE_MEMORY_BYTES


async def test_a_watcher_that_pings_as_people_do_is_answered(
    open_server: Server, sandbox: Sandbox
) -> None:
    isbn = sandbox.make(1)[0]
    sandbox.faults.add(kind="hang", isbn=isbn, route="google_books", times=None)
    job_id = (await open_server.begin(isbn, source="google_books"))["jobId"]

    async with open_server.watch(job_id) as socket_:
        for _ in range(50):
            await (await socket_.ping())
            await socket_.send("still here")
        told = json.loads(await socket_.recv())
    await open_server.post(f"/v2/import/cancel/{job_id}")

    assert told["seq"] == 1
