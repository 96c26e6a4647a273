"""Cold start until ``/readyz`` says yes, and memory at rest with the embedder loaded."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from common import percentile, show, show_machine

RUNS, REST_SECONDS = 7, 5.0


def start(folder: str) -> tuple[float, float]:
    """Seconds until ready, and resident megabytes after a rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bookline", "serve", "--port", str(port)],
        env={**os.environ, "BOOKLINE_DATA_DIR": folder},
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
        taken = time.perf_counter() - began
        time.sleep(REST_SECONDS)
        return taken, _resident_mb(process.pid)
    finally:
        process.terminate()
        process.wait()


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1000


def main() -> None:
    show_machine()
    with tempfile.TemporaryDirectory() as folder:
        first = start(folder)
        runs = [start(folder) for _ in range(RUNS)]
    show("first start ever (makes the databases)", f"{first[0]:.2f} s", "goal ≤ 2 s")
    show("start, median", f"{percentile([run[0] for run in runs], 0.5):.2f} s", "goal ≤ 1.5 s")
    show("start, slowest", f"{max(run[0] for run in runs):.2f} s")
    show("memory at rest", f"{max(run[1] for run in runs):.0f} MB", "goal ≤ 160 MB")


if __name__ == "__main__":
    main()
