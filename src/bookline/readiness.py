"""Whether what an import needs can be written, as a probe in the background found it last.

Way:     app.py names the checks → here → ``/readyz``, the command ``doctor``
Rule 1:  asking costs nothing and writes nothing: it reads what the last probe found.
Rule 2:  a change is worth one line in the log; what lasts is not told again.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bookline.errors import StoreDown
from bookline.threads import in_thread
from bookline.values import Json

log = logging.getLogger(__name__)

LOCAL_SECONDS = 0.7  # so that a state on this machine is known at most 1 s later
REMOTE_SECONDS = 25.0  # at most 30 s for what costs a request elsewhere
CHECK_SECONDS = 2.0
ROOM_BYTES = 256 * 1024  # our choice: a disk with less is as good as full


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How one dependency is asked. ``ask`` raises StoreDown when it cannot be used."""

    ask: Callable[[], Awaitable[object]]
    every_seconds: float = LOCAL_SECONDS


class Readiness:
    """The state of each dependency."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._states: dict[str, Json] = {}
        self._all_known = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as probes:
            for name, check in self._checks.items():
                probes.create_task(self._probe(name, check))

    async def states(self) -> dict[str, Json]:
        """Each dependency with ``ok`` and, if it is down, what to know."""
        await self._all_known.wait()
        return {name: self._states[name] for name in self._checks}

    async def _probe(self, name: str, check: Check) -> None:
        while True:
            self._note(name, await _state(check.ask))
            await asyncio.sleep(check.every_seconds)

    def _note(self, name: str, state: Json) -> None:
        before = self._states.get(name, {"ok": True})
        self._states[name] = state
        if len(self._states) == len(self._checks):
            self._all_known.set()
        if before["ok"] and not state["ok"]:
            log.warning("%s is down: %s", name, state["detail"])
        elif state["ok"] and not before["ok"]:
            log.warning("%s is back", name)


async def check_room(folder: Path) -> None:
    """Raises: StoreDown when the folder cannot be written, or its disk is full."""

    def ask() -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
            else:
                file.write(bytes(ROOM_BYTES))

    try:
        await in_thread(ask)
    except OSError as error:
        raise StoreDown(f"{folder} cannot be written: {error.strerror}") from error


async def _state(ask: Callable[[], Awaitable[object]]) -> Json:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await ask()
    except TimeoutError:
        return {"ok": False, "detail": f"no answer within {CHECK_SECONDS:g} s"}
    except StoreDown as error:
        return {"ok": False, "detail": str(error)}
    except Exception as error:
        log.exception("a check broke")
        return {"ok": False, "detail": f"unexpected {type(error).__name__}; see the log"}
    return {"ok": True, "detail": None}
