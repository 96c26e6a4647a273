"""Several server processes behind one port, one for each core: ``serve --processes N``.

Way:      the command ``serve`` → here → ``serve --socket FD`` in each child → serving.py
Rule 1:   the socket is opened once, here; the children take connections from it in turns, so none
          is refused while one of them is started again.
Rule 2:   the first child is ready before the others begin: it makes what is kept in the folder.
Rule 3:   a child that ends is started again; one that never was ready ends all of it.
Rule 4:   children end with their parent, however it ends: their stdin closes.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from bookline.api.listening import listen
from bookline.cli.serving import announce, until_told
from bookline.cli.views import say
from bookline.errors import TryLater
from bookline.setting_values import address
from bookline.settings import Settings

READY = b"ready\n"
AGAIN_SECONDS = 1.0  # our choice: between the end of a child and the next
END_SECONDS = 30.0  # our choice: more than a server takes to end; then it is killed


def cores() -> list[int]:
    """The cores that this process may use; an empty list where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to_one_core(place: int) -> None:
    """Two threads of Python on two cores hand one lock to and fro; on one core they do not."""
    if found := cores():
        os.sched_setaffinity(0, {found[place % len(found)]})


async def serve_in_processes(
    settings: Settings, count: int, options: list[str], environment: Mapping[str, str]
) -> None:
    """Until SIGINT or SIGTERM. Raises: TryLater when the port is taken or no child gets ready."""
    with contextlib.closing(listen(settings.host, settings.port)) as listening:
        url = address(settings.host, listening.getsockname()[1])
        async with AsyncExitStack() as stack:
            children = [Child(listening, place, options, environment) for place in range(count)]
            for child in children:
                stack.push_async_callback(child.stop)
            told = asyncio.create_task(until_told())
            starts = asyncio.create_task(_start(children))
            stack.callback(told.cancel)
            stack.callback(starts.cancel)
            await asyncio.wait({told, starts}, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                return
            await starts
            announce(
                settings,
                f"Bookline is ready at {url} ({count} processes, data in {settings.data_dir})",
            )
            kept = [asyncio.create_task(child.keep()) for child in children]
            stack.callback(lambda: [task.cancel() for task in kept])
            await told
            await asyncio.gather(*(child.stop() for child in children))


async def _start(children: list["Child"]) -> None:
    first, *others = children
    await first.start()
    await asyncio.gather(*(child.start() for child in others))


class Child:
    """One server process."""

    def __init__(
        self,
        listening: socket.socket,
        place: int,
        options: list[str],
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        """``folder`` is where it runs: whose ``.env`` it reads."""
        self._folder = folder
        self._listening = listening
        self._place = place
        self._options = options
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def start(self) -> None:
        """Returns when it takes requests. Raises: TryLater when it ended before."""
        number = self._listening.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bookline", "serve", *self._options,
            "--socket", str(number), "--core", str(self._place),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            pass_fds=[number], env=self._environment, cwd=self._folder, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        if await self._process.stdout.readline() != READY:
            raise TryLater(f"server process {self._place + 1} did not start")

    async def keep(self) -> None:
        """Starts it again whenever it ends."""
        while self._process is not None:
            code = await self._process.wait()
            if self._stopping:
                return
            say(f"server process {self._place + 1} ended ({code}) and is being restarted")
            await asyncio.sleep(AGAIN_SECONDS)
            with contextlib.suppress(TryLater):
                await self.start()

    def kill(self) -> None:
        """Ends it at once, as a crash would: SIGKILL. ``keep`` starts it again."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """Ends it as SIGTERM does. Safe twice."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
