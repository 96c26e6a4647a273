"""Which processes on this machine are alive: each holds a lock that ends with it.

Way:     app.py opens it; all others speak to the port Nodes
Rule 1:  the operating system frees a lock the moment its process dies, however it dies. So a dead
         process is known at once, and a frozen one still counts as alive.
Rule 2:  a file that is there and unlocked is a dead process'; one that is missing may be removed by
         hand, and its process puts it back.
Source:  flock(2). For many machines, where no lock is shared: leases.py.
"""

import asyncio
import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO

GRACE_SECONDS = 3.0  # our choice: a process puts its file back within one
STAY_SECONDS = 1.0


class Locks:
    """Fills the port Nodes with a folder of locked files. ``passed`` gives seconds."""

    def __init__(self, folder: Path, passed: Callable[[], float] = time.monotonic) -> None:
        self.node_id = f"node-{uuid.uuid4().hex[:16]}"
        self._folder = folder
        self._passed = passed
        self._lock: IO[str] | None = None
        self._seen: dict[str, float] = {}
        """Another process → when its lock was last seen."""

    def open(self) -> None:
        path, before = self._folder / self.node_id, self._lock
        while self._lock is before:
            self._folder.mkdir(parents=True, exist_ok=True)
            # FileNotFoundError: the folder was removed just now.
            with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as unless_kept:
                lock = unless_kept.enter_context(path.open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _is_there(path, lock):  # else it was taken for a dead one's before it was locked
                    lock.write(str(os.getpid()))
                    lock.flush()
                    unless_kept.pop_all()
                    self._lock = lock
        if before is not None:
            before.close()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def living(self) -> set[str]:
        """Ids of the processes that are alive, this one included; the dead ones' files go.

        One whose file is missing, not unlocked, is given some time: somebody removed the folder.
        """
        self._stay()
        now = self._passed()
        for path in self._folder.glob("node-*"):
            if path.name == self.node_id:
                continue
            if _is_locked(path):
                self._seen[path.name] = now
            else:
                self._seen.pop(path.name, None)
        self._seen = {one: at for one, at in self._seen.items() if now - at <= GRACE_SECONDS}
        return {self.node_id, *self._seen}

    async def run(self) -> None:
        while True:
            self._stay()
            await asyncio.sleep(STAY_SECONDS)

    def _stay(self) -> None:
        """Puts the own file back where somebody has removed it."""
        if self._lock is not None and not _is_there(self._folder / self.node_id, self._lock):
            self.open()

    @contextlib.asynccontextmanager
    async def only_one(self, chore: str) -> AsyncIterator[bool]:
        with (self._folder.parent / f"{chore}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _is_locked(path: Path) -> bool:
    """A file that nobody holds goes while we hold it, so that none who begins can be in it."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, file):
                path.unlink()
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether the path still names this open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
