"""A real server in a child process, and clients that talk to it as users do.

Way:      the journeys' fixtures → here → ``bookline serve`` in a child process
Rule 1:   a child gets no BOOKLINE_ variable but those it is handed, and reads no stray ``.env``.
Rule 2:   a child is ended by its own process id.
Units:    ``RETRY_SCALE`` is 1/50, so that a retry takes 20 ms where users wait a second.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import websockets
from forked import Forked

PATIENCE_SECONDS = 120.0
"""Ends a hang. How soon something comes is not asked here: a busy machine decides it."""
TERMINAL = {"completed", "failed", "cancelled"}

# ``before`` may change constants, or break things on purpose.
RUNNER = """
import sys
before, sys.argv = sys.argv[1], ["bookline", "serve", *sys.argv[2:]]
exec(before)
from bookline.cli.main import run
run()
"""
READY = re.compile(r"ready at http://127\.0\.0\.1:(\d+)")

DEFAULTS = {
    "BOOKLINE_RATE_LIMIT_START": "off",
    "BOOKLINE_RATE_LIMIT_READ": "off",
    "BOOKLINE_RETRY_SCALE": "0.02",
    "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
}


class Server:
    """One server process and a client session for it. ``headers`` go with every request."""

    def __init__(
        self,
        env: Mapping[str, str],
        data_dir: Path,
        *,
        before: str = "",
        headers: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.port = 0
        self._env = {**DEFAULTS, **env, "BOOKLINE_DATA_DIR": str(data_dir)}
        self._before = before
        self._options = options
        self._headers = headers
        self._log = data_dir.with_name(f"{data_dir.name}-{id(self)}.log")
        self._process: Forked | None = None
        self.http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/progress"

    @property
    def pid(self) -> int:
        """The number of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """All that the process has written, over all its starts."""
        return self._log.read_text("utf-8")

    # ------------------------------------------------------------------ the process
    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession(headers=self._headers)
        try:
            await self.start()
        except BaseException:
            await self.http.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.http.close()
        await self.stop()

    async def start(self) -> None:
        """Returns once /readyz says yes; a second start takes the port of the first."""
        clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
        self.data_dir.mkdir(parents=True, exist_ok=True)
        known = len(self.log) if self._log.exists() else 0
        self._process = Forked(
            RUNNER,
            ["bookline", self._before, *self._options],
            env={**clean, **self._env, "BOOKLINE_PORT": str(self.port)},
            cwd=self.data_dir,
            log=self._log,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            self.port = await self._said_port(known)
            while (await self.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.05)

    async def _said_port(self, known: int) -> int:
        while self._process is not None and self._process.poll() is None:
            if said := READY.search(self.log, known):
                return int(said[1])
            await asyncio.sleep(0.02)
        raise RuntimeError(f"the server did not start:\n{self.log[-4000:]}")

    async def stop(self) -> int | None:
        """Asks it to end (SIGTERM) and makes it end if it does not; its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Ends it without a warning (SIGKILL)."""
        await self._end(signal.SIGKILL)

    def ask_to_end(self) -> None:
        """SIGTERM, and no more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        process, self._process = self._process, None
        return await asyncio.to_thread(process.wait, PATIENCE_SECONDS)

    async def restart(self) -> None:
        """Stops it in good order and starts it on the same folder and port."""
        await self.stop()
        await self.start()

    async def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(how)
        try:
            code = await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = await asyncio.to_thread(process.wait)
        return code

    # ------------------------------------------------------------------ requests
    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON (or bytes where it is none) and headers."""
        url = path if path.startswith("http") else self.url + path
        async with self.http.request(method, url, **more) as answer:
            body = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(body) if "json" in kind else body, answer.headers

    async def get(self, path: str, **more: Any) -> tuple[int, Any, Mapping[str, str]]:
        return await self.ask("GET", path, **more)

    async def post(
        self, path: str, body: Any = None, **more: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        return await self.ask("POST", path, **({"json": body} if body is not None else {}), **more)

    async def begin(self, isbn: str, **more: Any) -> dict[str, Any]:
        """Starts an import; ``data`` of the 202."""
        status, answer, _ = await self.post("/v2/import/workflow", {"isbn": isbn, **more})
        assert status == 202, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        status, answer, _ = await self.get(f"/v2/import/status/{job_id}")
        assert status == 200, answer
        data: dict[str, Any] = answer["data"]
        return data

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job, once it has one of these statuses (any end, if none is named)."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                job = await self.job(job_id)
                if job["status"] in (statuses or TERMINAL):
                    return job
                await asyncio.sleep(0.03)

    async def finished(self, isbn: str, **more: Any) -> dict[str, Any]:
        """An import from its start to its end."""
        return await self.until((await self.begin(isbn, **more))["jobId"])

    # ------------------------------------------------------------------ watchers
    async def sse(
        self, job_id: str, query: str = "", **headers: str
    ) -> AsyncGenerator[tuple[int | None, dict[str, Any]], None]:
        """Each event's ``id:`` and message until the stream ends."""
        url = f"{self.url}/v2/import/events/{job_id}{query}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.get(url, headers=named) as answer:
            assert answer.status == 200, await answer.text()
            seq: int | None = None
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    seq = int(value)
                elif name == "data":
                    yield seq, json.loads(value)
                    seq = None

    async def story(self, job_id: str, query: str = "", **headers: str) -> list[dict[str, Any]]:
        """All events over SSE, to the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            told = [message async for _, message in self.sse(job_id, query, **headers)]
        return [message for message in told if message["type"] != "ping"]

    def watch(self, job_id: str, query: str = "", **more: Any) -> websockets.connect:
        """A WebSocket on the job."""
        return websockets.connect(f"{self.ws_url}?jobId={job_id}{query}", **more)

    async def heard(
        self, job_id: str, query: str = "", **more: Any
    ) -> tuple[list[dict[str, Any]], int | None]:
        """All messages over a WebSocket but pings, and the closing code."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.watch(job_id, query, **more) as socket:
            told = await rest(socket)
        return told, socket.close_code


async def rest(socket: websockets.ClientConnection) -> list[dict[str, Any]]:
    """What a socket still says until it is closed, without pings."""
    told = []
    try:
        while True:
            message = json.loads(await socket.recv())
            if message["type"] != "ping":
                told.append(message)
    except websockets.ConnectionClosed:
        return told


def seqs(story: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in story]


def statuses(story: list[dict[str, Any]]) -> list[str]:
    """The milestones of a story, in order."""
    return [message["status"] for message in story if message["status"]]


@asynccontextmanager
async def server(
    env: Mapping[str, str],
    data_dir: Path,
    *,
    before: str = "",
    headers: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Server]:
    """A running server on a free loopback port, ended with the block."""
    async with Server(env, data_dir, before=before, headers=headers, options=options) as running:
        yield running
