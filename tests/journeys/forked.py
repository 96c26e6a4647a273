"""Child processes that begin with everything imported: a server is ready in a quarter of the time,
a command done in a fifth.

Way:      stack.py, page_stack.py, test_crash.py, test_cli*.py → here → the fork server of Python
Rule 1:   a child is a process of its own, with its own environment, folder and output; it is killed
          for real, by its own id.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["bookline.cli.main", "bookline.cli.serving", "bookline.api.serving", "bookline.cli.embedded"]
)
COMMAND = "from bookline.cli.main import run\nrun()"


class Forked:
    """Runs Python source as ``__main__``; of ``subprocess.Popen`` what the journeys use."""

    def __init__(
        self,
        source: str,
        argv: list[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        errors: Path | None = None,
        given: Path | None = None,
    ) -> None:
        """What it says goes to ``log``, stderr to ``errors`` if that is another file; ``given`` is
        its stdin.
        """
        log.touch()
        files = (str(given or os.devnull), str(log), str(errors or log))
        self._process = _context.Process(
            target=_run, args=(source, argv, dict(env), str(cwd), files), daemon=True
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


class ForkedCommand:
    """``bookline`` with these arguments, as ``python -m bookline`` runs it."""

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, given: str = ""
    ) -> None:
        self._folder = Path(mkdtemp(prefix="bookline-command-"))
        self._files = [self._folder / name for name in ("given", "out", "err")]
        for file, text in zip(self._files, (given, "", ""), strict=True):
            file.write_text(text, "utf-8")
        self._arguments = arguments
        given_, out, err = self._files
        self._process = Forked(
            COMMAND, ["bookline", *arguments], env=env, cwd=cwd, log=out, errors=err, given=given_
        )

    def done(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Its exit code and all that it said. Raises: TimeoutExpired."""
        try:
            code = self._process.wait(timeout)
            _, out, err = (file.read_text("utf-8") for file in self._files)
        finally:
            self._process.kill()
            shutil.rmtree(self._folder)
        return subprocess.CompletedProcess(self._arguments, code, out, err)


def _run(
    source: str, argv: list[str], env: dict[str, str], cwd: str, files: tuple[str, str, str]
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for how in (signal.SIGINT, signal.SIGTERM):  # the fork server ignores some
        signal.signal(how, signal.default_int_handler if how == signal.SIGINT else signal.SIG_DFL)
    sys.argv = argv
    os.dup2(os.open(files[0], os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(files[number], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    exec(compile(source, "<child>", "exec"), {"__name__": "__main__"})
