"""Which processes on this machine are alive: each holds a lock that ends with it.

Way:     app.py opens it; all others speak to the port Nodes
Rule 1:  the operating system frees a lock the moment its process dies, however it dies. So a dead
         process is known at once, and a frozen one still counts as alive.
Source:  flock(2). For many machines, where no lock is shared: leases.py.
"""

import asyncio
import contextlib
import fcntl
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO


class Locks:
    """Fills the port Nodes with a folder of locked files."""

    def __init__(self, folder: Path) -> None:
        self.node_id = f"node-{uuid.uuid4().hex[:16]}"
        self._folder = folder
        self._lock: IO[str] | None = None

    def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / self.node_id).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def close(self) -> None:
        if self._lock is not None:
            (self._folder / self.node_id).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    async def living(self) -> set[str]:
        """Ids of the processes that are alive, this one included; the dead ones' files go."""
        alive = set()
        for path in self._folder.glob("node-*"):
            if path.name == self.node_id or _is_locked(path):
                alive.add(path.name)
            else:
                path.unlink(missing_ok=True)
        return alive

    async def run(self) -> None:
        """The lock needs nothing done."""
        await asyncio.Event().wait()

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
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
