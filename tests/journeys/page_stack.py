"""A sandbox and a server as child processes, for those who look at the page in a browser.

Rule 1:  processes are ended by their own id, whatever happens.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from forked import Forked

READY_SECONDS = 120.0
SERVE = """
import asyncio
from bookline.cli.serving import serve_until_told
from bookline.settings import read_settings
asyncio.run(serve_until_told(read_settings()))
"""
OFF = {
    "BOOKLINE_RATE_LIMIT_START": "off",
    "BOOKLINE_RATE_LIMIT_READ": "off",
    "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
}


class Stack:
    """`with Stack(folder) as stack:` serves the page at `stack.url`."""

    def __init__(self, folder: Path, *, latency_ms: int = 0, **settings: str) -> None:
        self.folder = folder
        self.url = ""
        self._latency_ms = latency_ms
        self._settings = {f"BOOKLINE_{name}": value for name, value in settings.items()}
        self._sandbox: subprocess.Popen[str] | None = None
        self._server: Forked | None = None
        self.sandbox_url = ""

    def __enter__(self) -> Self:
        try:
            self._start_sandbox()
            self.start_server()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill_server()
        if self._sandbox is not None:
            self._sandbox.kill()
            self._sandbox.communicate()

    def start_server(self) -> None:
        """On the same port and folder each time. Raises: TimeoutError when it is not ready."""
        port = self.url.rpartition(":")[2] or str(free_port())
        environment = {
            **{name: value for name, value in os.environ.items() if "BOOKLINE" not in name},
            **OFF,
            **self._settings,
            "BOOKLINE_DATA_DIR": str(self.folder / "data"),
            "BOOKLINE_PORT": port,
        }
        self.url = f"http://127.0.0.1:{port}"
        log = self.folder / "server.log"
        self._server = Forked(SERVE, ["bookline"], env=environment, cwd=self.folder, log=log)
        self._wait_until_ready()

    def kill_server(self) -> None:
        """As a power cut would: no goodbye."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def fault(self, **rule: Any) -> None:
        """A fault of the sandbox: `fault(isbn=…, route="openlibrary", kind="503", times=2)`."""
        _ask("POST", f"{self.sandbox_url}/_sandbox/faults", rule)

    def start_import(self, isbn: str, method: str = "workflow", source: str = "auto") -> str:
        """Begins one beside the page; its job id."""
        body = {"isbn": isbn, "method": method, "source": source}
        return str(self.ask("POST", "/v2/import", body)["jobId"])

    def finish_import(self, isbn: str, method: str = "workflow", source: str = "auto") -> None:
        """The same, and waits until it has ended. Raises: TimeoutError."""
        self._until_over(f"/v2/import/status/{self.start_import(isbn, method, source)}")

    def finish_batch(self, isbns: list[str]) -> None:
        """Imports all of them together, and waits until they have ended. Raises: TimeoutError."""
        batch = self.ask("POST", "/v2/import/batch", {"items": isbns})
        self._until_over(f"/v2/import/batch/{batch['batchId']}")

    def _until_over(self, path: str) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.ask("GET", path)["status"] not in {"queued", "running"}:
                return
            time.sleep(0.05)
        raise TimeoutError(path)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """`data` of the server's answer. Raises: HTTPError."""
        return _ask(method, self.url + path, body)["data"]

    def add_book(self, facts: dict[str, Any]) -> None:
        """One more book that the providers know."""
        _ask("POST", f"{self.sandbox_url}/_sandbox/books", facts)

    def make(self, count: int) -> list[str]:
        """ISBNs of new books that the providers know."""
        made = _ask("POST", f"{self.sandbox_url}/_sandbox/make", {"count": count})
        return [str(isbn) for isbn in made["isbns"]]

    def _start_sandbox(self) -> None:
        command = [sys.executable, "-m", "bookline_sandbox", "--port", "0"]
        command += ["--latency-ms", str(self._latency_ms)]
        self._sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._sandbox.stdout is not None
        told = json.loads(self._sandbox.stdout.readline())
        self.sandbox_url = told["url"]
        self._settings = {**told["settings"], **self._settings}

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=READY_SECONDS) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError((self.folder / "server.log").read_text()[-2000:])


def _ask(method: str, url: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
        return json.load(answer)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
