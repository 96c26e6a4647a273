"""Child processes that begin with everything imported: a server is ready in a quarter of the time.

Way:      stack.py, page_stack.py, test_crash.py → here → multiprocessing's fork server
Rule 1:   a child is a process of its own, with its own environment, folder and output; it is killed
          for real, by its own id.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["bookline.cli.main", "bookline.cli.serving", "bookline.api.serving"]
)


class Forked:
    """Runs Python source as ``__main__``; of ``subprocess.Popen`` what the journeys use."""

    def __init__(
        self, source: str, argv: list[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        log.touch()
        self._process = _context.Process(
            target=_run, args=(source, argv, dict(env), str(cwd), str(log)), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit code (minus the signal's number if it was killed), or None while it lives."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises: TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0)
        return code

    def send_signal(self, how: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(source: str, argv: list[str], env: dict[str, str], cwd: str, log: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for how in (signal.SIGINT, signal.SIGTERM):  # the fork server ignores some
        signal.signal(how, signal.default_int_handler if how == signal.SIGINT else signal.SIG_DFL)
    sys.argv = argv
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    exec(compile(source, "<child>", "exec"), {"__name__": "__main__"})
