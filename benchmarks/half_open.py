"""Watchers that vanish without a word: how long the server keeps them, with its real limits.

Sockets and streams of this process, opened one after another, so that their pings are due at all
times; then all are gone at once. A vanished one confirms nothing any more (``vanishing.py``); of a
deaf one the machine confirms, but the program answers no ping. A server for each kind, all at once.
"""

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import websockets
from common import made_up_books, sandbox_process, show, show_machine
from processes import Server, server_process

sys.path.append(str(Path(__file__).parents[1] / "tests" / "journeys"))
from vanishing import vanish, websocket_request

PEERS = 30
OPEN_SECONDS = 28.0  # the time between two pings
PATIENCE_SECONDS = 120.0

Peer = Callable[[], None]
"""What makes it vanish."""


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)))


async def a_socket(server: Server, job_id: str) -> Peer:
    plain = connect(server)
    address = f"ws{server.url.removeprefix('http')}/ws/progress?jobId={job_id}"
    watcher = await websockets.connect(address, sock=plain, ping_interval=None)
    kept.append(watcher)
    return lambda: vanish(plain)


async def a_deaf_socket(server: Server, job_id: str) -> Peer:
    plain = connect(server)
    plain.sendall(websocket_request(job_id))
    kept.append(plain)
    return lambda: None


async def a_stream(server: Server, job_id: str) -> Peer:
    plain = connect(server)
    plain.sendall(f"GET /v2/import/events/{job_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    kept.append(plain)
    return lambda: vanish(plain)


kept: list[object] = []
"""Else their ends would be told by the garbage collector."""


async def found(
    open_one: Callable[[Server, str], Awaitable[Peer]], server: Server, job_id: str
) -> list[float]:
    """Seconds from vanishing until the server lets go, of each peer."""
    async with aiohttp.ClientSession() as client:
        peers = []
        for _ in range(PEERS):
            peers.append(await open_one(server, job_id))
            await asyncio.sleep(OPEN_SECONDS / PEERS)
        assert (met := await watchers(client, server)) == PEERS, met
        began = time.monotonic()
        for disappear in peers:
            disappear()
        gone: list[float] = []
        while len(gone) < PEERS and time.monotonic() < began + PATIENCE_SECONDS:
            left = await watchers(client, server)
            gone += [time.monotonic() - began] * (PEERS - left - len(gone))
            await asyncio.sleep(0.1)
        return gone


async def watchers(client: aiohttp.ClientSession, server: Server) -> int:
    async with client.get(f"{server.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(float(next(line for line in lines if line.startswith("bookline_watchers "))[18:]))


async def measure(
    open_one: Callable[[Server, str], Awaitable[Peer]], environment: dict[str, str], isbn: str
) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        async with server_process(environment, folder) as server, aiohttp.ClientSession() as client:
            order = {"isbn": isbn, "source": "google_books"}
            async with client.post(f"{server.url}/v2/import/workflow", json=order) as answer:
                job_id = (await answer.json())["data"]["jobId"]
            return await found(open_one, server, job_id)


async def main() -> None:
    show_machine()
    kinds = {
        "vanished sockets": a_socket,
        "deaf sockets": a_deaf_socket,
        "vanished streams": a_stream,
    }
    async with sandbox_process() as (sandbox, environment):
        isbns = await made_up_books(sandbox, len(kinds), "978995")
        fault = {"isbn": "*", "route": "*", "kind": "503", "times": None, "retry_after": 60}
        async with aiohttp.ClientSession() as client:
            await client.post(f"{sandbox}/_sandbox/faults", json=fault)
        results = await asyncio.gather(
            *(
                measure(open_one, environment, isbn)
                for open_one, isbn in zip(kinds.values(), isbns, strict=True)
            )
        )
    for kind, gone in zip(kinds, results, strict=True):
        print(f"{PEERS} {kind}:")
        show("found", f"{len(gone)}")
        show("after, first / last", f"{gone[0]:.0f} / {gone[-1]:.0f} s", "goal ≤ 60 s")


if __name__ == "__main__":
    asyncio.run(main())
