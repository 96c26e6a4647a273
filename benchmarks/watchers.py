"""A thousand watchers: how late events reach them, what an idle one costs, two processes.

Real server processes; the watchers are this process' own, on the same cores. The clock is the
machine's: a message's own timestamp, taken just before its commit (whole milliseconds, so ± 1 ms),
and the moment at which the client has received the bytes. What they say is read later, so that one
client's work is not another one's delay; nor is its garbage.
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from typing import cast

import aiohttp
import uvloop
from common import made_up_books, percentile, sandbox_process, show, show_machine
from processes import Server, server_process
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

IMPORTS, WATCHERS, SSE_WATCHERS = 100, 1_000, 200
IDLE_SECONDS = 28.0  # each is pinged once
REST_SECONDS = 10.0
CONNECT_AT_ONCE = 50
READ_AFTER_SECONDS = 0.3
LAST_CHUNK = b"0\r\n\r\n"


class Story:
    """What one watcher saw."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.late: list[float] = []
        """Seconds from commit to here, of the events that came live."""

    def hear(self, text: str | bytes, opened: float, now: float) -> None:
        event = json.loads(text)
        if event["type"] == "ping":
            return
        self.seqs.append(event["seq"])
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        if at > opened:
            self.late.append(now - at)

    def check(self) -> None:
        assert self.seqs == list(range(1, len(self.seqs) + 1)), self.seqs
        assert len(self.seqs) >= 5, self.seqs


class Client(asyncio.Protocol):
    """Stamps what comes when it comes, and reads it a moment later."""

    def __init__(self, url: str, job_id: str) -> None:
        self.story = Story()
        self.opened = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self._host = url.removeprefix("http://")
        self._job_id = job_id
        self._came: list[tuple[float, bytes]] = []
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def data_received(self, data: bytes) -> None:
        if not self._came:
            later = READ_AFTER_SECONDS if self.opened.done() else 0
            asyncio.get_running_loop().call_later(later, self._read)
        self._came.append((time.time(), data))

    def connection_lost(self, error: Exception | None) -> None:
        self._read()
        self.end(None)

    def end(self, code: int | None) -> None:
        if not self.closed.done():
            self.closed.set_result(code)

    def _read(self) -> None:
        for at, data in self._came:
            self.read(at, data)
        self._came.clear()

    def open(self, at: float) -> None:
        self._since = at + 0.2  # what comes before is the replay
        self.opened.set_result(None)

    def hear(self, at: float, text: bytes) -> None:
        self.story.hear(text, self._since, at)

    def ask(self) -> None:
        raise NotImplementedError

    def read(self, at: float, data: bytes) -> None:
        raise NotImplementedError


class Socket(Client):
    """A WebSocket."""

    def ask(self) -> None:
        address = f"ws://{self._host}/ws/progress?jobId={self._job_id}"
        self._protocol = ClientProtocol(parse_uri(address))
        self._protocol.send_request(self._protocol.connect())
        self._send()

    def read(self, at: float, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.open(at)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.hear(at, bytes(event.data))
        self._send()

    def end(self, code: int | None) -> None:
        self._protocol.receive_eof()
        super().end(self._protocol.close_code)

    def _send(self) -> None:
        """Pongs and the like; the server closes the connection."""
        for data in self._protocol.data_to_send():
            if data and not self.transport.is_closing():
                self.transport.write(data)


class Stream(Client):
    """Server-Sent Events."""

    def ask(self) -> None:
        self._rest = b""
        path = f"/v2/import/events/{self._job_id}"
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if data.endswith(LAST_CHUNK):
            self._read()
            self.end(1000)

    def read(self, at: float, data: bytes) -> None:
        if not self.opened.done():
            self.open(at)
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if text := event.partition(b"data: ")[2]:
                self.hear(at, text)


async def watch(
    url: str, job_id: str, gate: asyncio.Semaphore, opened: list[int], kind: type[Client] = Socket
) -> Story:
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    async with gate:
        transport, watcher = await loop.create_connection(
            lambda: kind(url, job_id), host, int(port)
        )
        await watcher.opened
        opened.append(1)
    try:
        code = await watcher.closed
    finally:
        transport.abort()
    assert code == 1000, code
    return watcher.story


KINDS: Mapping[type[Client], str] = {Socket: "978998", Stream: "978995"}
"""With the beginning of the ISBNs that are theirs."""


async def start(client: aiohttp.ClientSession, url: str, isbns: list[str]) -> list[str]:
    jobs = []
    for isbn in isbns:
        order = {"isbn": isbn, "source": "google_books"}
        async with client.post(f"{url}/v2/import/workflow", json=order) as answer:
            jobs.append((await answer.json())["data"]["jobId"])
    return jobs


async def slow_down(client: aiohttp.ClientSession, url: str, ms: int) -> None:
    await fault(client, url, kind="delay", ms=ms)


async def fault(client: aiohttp.ClientSession, url: str, **what: str | int) -> None:
    """The one thing that goes wrong, everywhere, from now on."""
    async with client.delete(f"{url}/_sandbox/faults"):
        pass
    rule = {"isbn": "*", "route": "*", "times": None, **what}
    async with client.post(f"{url}/_sandbox/faults", json=rule) as answer:
        assert answer.status < 300, await answer.text()


def show_late(name: str, stories: list[Story], goals: tuple[str, str]) -> None:
    for story in stories:
        story.check()
    late = [one for story in stories for one in story.late]
    print(f"{name}: {len(stories)} watchers, {len(late)} live events, none lost or out of order")
    show("event to socket P50", f"{percentile(late, 0.5) * 1000:.1f} ms")
    show("event to socket P95", f"{percentile(late, 0.95) * 1000:.1f} ms", goals[0])
    show("event to socket P99", f"{percentile(late, 0.99) * 1000:.1f} ms", goals[1])


async def spread(client: aiohttp.ClientSession, sandbox: str, server: Server) -> None:
    await slow_down(client, sandbox, 6_000)
    jobs = await start(client, server.url, await made_up_books(sandbox, IMPORTS, "978999"))
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)
    sockets = [watch(server.url, jobs[i % IMPORTS], gate, []) for i in range(WATCHERS)]
    streams = [watch(server.url, jobs[i % IMPORTS], gate, [], Stream) for i in range(SSE_WATCHERS)]
    stories = await asyncio.gather(*sockets, *streams)
    show_late(
        f"spread over {IMPORTS} imports", stories[:WATCHERS], ("goal ≤ 15 ms", "goal ≤ 100 ms")
    )
    show_late("streams at the same time", stories[WATCHERS:], ("", ""))


async def one_import(client: aiohttp.ClientSession, sandbox: str, server: Server) -> None:
    await slow_down(client, sandbox, 6_000)
    for kind in KINDS:
        jobs = await start(client, server.url, await made_up_books(sandbox, 1, KINDS[kind]))
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)
        stories = await asyncio.gather(
            *(watch(server.url, jobs[0], gate, [], kind) for _ in range(WATCHERS))
        )
        show_late(f"{kind.__name__}s, all on one import", stories, ("", "goal ≤ 30 ms"))


async def idle(client: aiohttp.ClientSession, sandbox: str, server: Server) -> None:
    isbns = await made_up_books(sandbox, len(KINDS), "978997")
    await fault(client, sandbox, kind="503", retry_after=60)  # a minute in which nothing happens
    await asyncio.sleep(5)  # the embedder's weights are loaded in the background
    cpu = server.cpu_seconds()
    await asyncio.sleep(REST_SECONDS)
    rest = (server.cpu_seconds() - cpu) / REST_SECONDS
    show("the server's share of a core, without watchers", f"{rest * 100:.1f} %")
    for kind, isbn in zip(KINDS, isbns, strict=True):
        [job] = await start(client, server.url, [isbn])
        await idle_watchers(server, job, kind)


async def idle_watchers(server: Server, job: str, kind: type[Client]) -> None:
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)
    opened: list[int] = []
    before, cpu = server.resident_kb(), server.cpu_seconds()
    watchers = [
        asyncio.create_task(watch(server.url, job, gate, opened, kind)) for _ in range(WATCHERS)
    ]
    while len(opened) < WATCHERS:
        await asyncio.sleep(0.05)
    connecting = server.cpu_seconds() - cpu
    await asyncio.sleep(1)
    after, cpu = server.resident_kb(), server.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    used = (server.cpu_seconds() - cpu) / IDLE_SECONDS
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    print(f"{WATCHERS} idle watchers, {kind.__name__}s:")
    show("CPU to connect each", f"{connecting / WATCHERS * 1000:.2f} ms")
    if kind is Socket:  # the others get what these have left
        show("memory of each", f"{(after - before) / WATCHERS:.1f} KB", "goal ≤ 40 KB")
    show("the server's share of a core, with them", f"{used * 100:.1f} %", "goal ≤ 3 %")


async def across(
    client: aiohttp.ClientSession, sandbox: str, environment: dict[str, str], folder: str
) -> None:
    await slow_down(client, sandbox, 2_000)
    async with (
        server_process(environment, folder) as one,
        server_process(environment, folder) as other,
    ):
        jobs = await start(client, one.url, await made_up_books(sandbox, 20, "978996"))
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)
        stories = await asyncio.gather(
            *(watch(other.url, jobs[i % 20], gate, []) for i in range(200))
        )
        show_late("from another process", stories, ("goal ≤ 50 ms", ""))


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    parts = ("spread", "one", "idle", "across")
    options.add_argument("part", nargs="*", choices=[*parts, []], default=[])
    chosen = options.parse_args().part or parts
    show_machine()
    gc.disable()
    async with sandbox_process() as (sandbox, environment):
        # No limit for one address, which all watchers share.
        environment["BOOKLINE_TRUSTED_PROXIES"] = "127.0.0.1"
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            for name, part in (("spread", spread), ("one", one_import), ("idle", idle)):
                if name in chosen:
                    with tempfile.TemporaryDirectory() as folder:
                        async with server_process(environment, folder) as server:
                            await part(client, sandbox, server)
            if "across" in chosen:
                with tempfile.TemporaryDirectory() as folder:
                    await across(client, sandbox, environment, folder)


if __name__ == "__main__":
    uvloop.run(main())
