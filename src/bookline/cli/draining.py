"""The command rollout drain: waits until no legacy job is open.

Way:      rollout_commands.py → here → a server's rollout, or this process's
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli import rollout_words as words
from bookline.cli.asked import DONE, FAILED, JsonOption, ServerOption, asked_of
from bookline.cli.import_commands import with_client
from bookline.cli.views import result, say
from bookline.cli.words import count
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient

DRAIN_SECONDS = 1_800.0  # our choice: twice the usual deadline of a job
LOOK_SECONDS = 1.0


def drain(
    ctx: typer.Context,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait.")
    ] = DRAIN_SECONDS,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Wait until no legacy job is open, and say what comes next.

    Exit code: 0 when none is, 1 when some still are after the time-out.
    """
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        after = await drained(client.rollout, timeout, LOOK_SECONDS)
        left = after["open"]["legacy"]
        coming = words.still_coming(after) if after["hasLegacy"] else []
        told = {
            "drained": not left, "percent": after["percent"], "hasLegacy": after["hasLegacy"],
            "open": after["open"], "stillComing": coming,
            "next": None if left else words.after_drain(after),
        }  # fmt: skip
        if left and not asked.json:
            say(f"{count(left, 'legacy job')} still open")
        asked.print(told, lambda: None if left else result(words.after_drain(after)))
        return FAILED if left else DONE

    with_client(asked, work)


async def drained(look: Callable[[], Awaitable[Json]], timeout: float, pause: float) -> Json:
    """The rollout when no legacy job was open, or when the time was over. Tells what it sees."""
    end = time.monotonic() + timeout
    told: tuple[int, list[str]] | None = None
    while True:
        found = await look()
        left: int = found["open"]["legacy"]
        coming = words.still_coming(found) if found["hasLegacy"] else []
        if told is None or told[1] != coming:
            for why in coming:
                say(f"new legacy jobs still come in: {why}")
        if left and (told is None or told[0] != left):
            say(f"{count(left, 'legacy job')} open")
        told = left, coming
        if left and not found["hasLegacy"]:
            say("nothing runs them any more: the legacy importer is gone")
            return found
        if not left or time.monotonic() >= end:
            return found
        await asyncio.sleep(min(pause, max(end - time.monotonic(), 0)))
