"""Server processes for the benchmarks, and what they use."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp


class Server:
    """A running ``bookline serve``."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """What a process has used; ``with_children``: with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = fields[11:15] if with_children else fields[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def postgres_cpu(folder: Path) -> float:
    """Seconds of all processes of the server below ``folder``, those that have ended too."""
    postmaster = int((folder / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    nanoseconds = (Path(f"/proc/{child}/schedstat").read_text().split()[0] for child in children)
    return sum(map(int, nanoseconds)) / 1e9 + cpu_seconds(postmaster, with_children=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def server_process(
    environment: dict[str, str],
    folder: str,
    port: int | None = None,
    program: Sequence[str] = ("-m", "bookline"),
) -> AsyncIterator[Server]:
    """Ready when the block begins, ended with it."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, "serve", "--port", str(port),
        env={**os.environ, **environment, "BOOKLINE_DATA_DIR": folder},
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process.pid)
    try:
        await until_ready(server.url, process)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(600):
            if process.returncode is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            try:
                async with client.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    raise SystemExit("the server was not ready within 30 s")
