"""The demo: a sandbox, a server and a dozen books, imported over HTTP as a user would.

Way:      the command ``demo`` → here → sandbox, processes.py, importing.py, bookline/client
Rule 1:   no key, no network, nothing kept: the data lies in a folder that goes at the end.
Rule 2:   what goes wrong in it is ordered, and checked: the demo is a test of the whole.
"""

import asyncio
import os
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from itertools import count
from pathlib import Path

import aiohttp

from bookline.api.listening import listen
from bookline.cli import show
from bookline.cli.importing import Outcome, Wanted, import_all
from bookline.cli.processes import Child
from bookline.cli.serving import until_told
from bookline.cli.views import View, result, say
from bookline.client import BooklineClient
from bookline.errors import TryLater
from bookline.logs import set_up_logs
from bookline.setting_values import address
from bookline_sandbox import Sandbox

LATENCY_MS = 250
RETRY_SCALE = 0.5
USUAL_PORT = 8787
LOOK_SECONDS = 0.1
_ANSWERS = re.compile(r"^bookline_http_requests_total\{.*\} (\S+)$", re.MULTILINE)
QUESTION = "a state that watches everyone and forbids free thought"
ANSWER = "9780451524935"  # Nineteen Eighty-Four

NOT_A_BOOK = "9780000000019"
BUSY, DOWN, SLOW_COVER, BAD_COVER = (
    "9780804139021", "9780141439471", "9780142437247", "9780062316097",
)  # fmt: skip
BOOKS = (
    "9780451524935", "9780061120084", SLOW_COVER, "9780345391803", BUSY, "9780156012195", DOWN,
    "9787536692930", "9788437604947", BAD_COVER, "9780465026562", "9780441478125",
)  # fmt: skip
PROVIDERS = ("google_books", "openlibrary", "isbndb")


async def show_all(view: View, port: int | None, *, once: bool) -> bool:
    """Runs it; True if all went as it should.

    Raises: TryLater when the port is taken.
    """
    set_up_logs("error", "text")
    waits = not once and sys.stdin.isatty()
    with tempfile.TemporaryDirectory(prefix="bookline-demo-") as folder:
        async with Sandbox(latency_ms=LATENCY_MS) as sandbox:
            _order_faults(sandbox)
            async with _server(sandbox, Path(folder), port) as (child, url):
                say(f"This is a demo: Bookline runs at {url}")
                say("with a stand-in for Google Books, Open Library and ISBNdb.")
                say("It needs no key and no network, and keeps nothing.\n")
                if waits:
                    await _until_somebody_watches(url)
                async with BooklineClient(url, notice=say) as client:
                    faults = await _import(client, child, view)
                if waits:
                    ended = asyncio.create_task(until_told())
                    await asyncio.sleep(0)  # Ctrl-C is heard from here on
                    say(f"\nThe page stays open at {url}. Ctrl-C ends the demo.")
                    await ended
    return not faults


async def _import(client: BooklineClient, child: Child, view: View) -> list[str]:
    """Imports the books, with a crash in the middle; what was not as it was ordered."""
    say(f"Importing {len(BOOKS)} books and one number that is no book. Some answers are made to")
    say("fail, one cover is no picture, and the server is killed on purpose.\n")
    crash = asyncio.create_task(_crash(client, child, view))
    try:
        with view:
            outcome = await import_all(
                client, Wanted([*BOOKS, NOT_A_BOOK], (), ()), "auto", view, watch=True
            )
            view.sum_up(outcome.to_json(), outcome.sentence())
    finally:
        crash.cancel()
        await asyncio.gather(crash, return_exceptions=True)
    faults = list(_unexpected(outcome, await _search(client)))
    for fault in faults:
        say(f"✗ {fault}")
    return faults


async def _crash(client: BooklineClient, child: Child, view: View) -> None:
    """Kills the server as soon as one book is done and others are not."""
    while not (await client.jobs(status="completed", limit=1, cursor=None))["items"]:  # noqa: ASYNC110 - it is another process that knows
        await asyncio.sleep(LOOK_SECONDS)
    child.kill()
    view.notice(
        "The server was killed (kill -9) with imports in progress. It restarts and resumes."
    )


@asynccontextmanager
async def _server(
    sandbox: Sandbox, folder: Path, port: int | None
) -> AsyncIterator[tuple[Child, str]]:
    """A server in a process of its own, restarted whenever it ends, and its address.

    The socket is ours: while the server is down, requests wait instead of being refused.
    """
    with closing(_listen(port)) as listening:
        url = address("127.0.0.1", listening.getsockname()[1])
        child = Child(listening, 0, [], _environment(sandbox, folder), folder)
        await child.start()
        kept = asyncio.create_task(child.keep())
        try:
            yield child, url
        finally:
            await child.stop()
            kept.cancel()
            await asyncio.gather(kept, return_exceptions=True)


async def _until_somebody_watches(url: str) -> None:
    """Until the page is opened, or Enter is pressed."""
    say(f"Open {url} in a browser to watch there too, or press Enter. Then it begins.")
    begun, loop, stdin = asyncio.Event(), asyncio.get_running_loop(), sys.stdin.fileno()

    def hear() -> None:
        os.read(stdin, 1024)
        begun.set()

    loop.add_reader(stdin, hear)
    visit = asyncio.create_task(_page_opened(url))
    visit.add_done_callback(lambda _: begun.set())
    try:
        await begun.wait()
    finally:
        loop.remove_reader(stdin)
        visit.cancel()
        await asyncio.gather(visit, return_exceptions=True)


async def _page_opened(url: str) -> None:
    """Until the server has answered somebody else."""
    async with aiohttp.ClientSession() as session:
        for asked in count():
            async with session.get(f"{url}/metrics") as answer:
                answers = sum(map(float, _ANSWERS.findall(await answer.text())))
            if answers > asked:
                return
            await asyncio.sleep(LOOK_SECONDS)


def _order_faults(sandbox: Sandbox) -> None:
    """A provider that is busy, one that is down, a cover that comes late, and one that is none."""
    for provider in PROVIDERS:
        sandbox.faults.add(kind="429", route=provider, isbn=BUSY, retry_after=2)
        sandbox.faults.add(kind="503", route=provider, isbn=DOWN, times=2)
    sandbox.faults.add(kind="503", route="covers", isbn=SLOW_COVER, times=2)
    sandbox.faults.add(kind="not_image", route="covers", isbn=BAD_COVER, times=None)


def _environment(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """The server's: the demo's own settings, and none of the user's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKLINE_")}
    return {
        **others,
        **sandbox.settings(),
        "BOOKLINE_DATA_DIR": str(folder),
        "BOOKLINE_RETRY_SCALE": str(RETRY_SCALE),
        "BOOKLINE_PROVIDER_RATES": ",".join(f"{name}=off" for name in PROVIDERS),
        "BOOKLINE_LOG_LEVEL": "error",
    }


def _listen(port: int | None) -> socket.socket:
    """At the port asked for; else at the usual one, or any that is free."""
    if port is not None:
        return listen("127.0.0.1", port)
    with suppress(TryLater):
        return listen("127.0.0.1", USUAL_PORT)
    return listen("127.0.0.1", 0)


async def _search(client: BooklineClient) -> list[str]:
    """Asks by meaning and shows the nearest; their ISBNs."""
    found = await client.search(QUESTION, limit=3)
    say(f"\nThe library, searched by meaning: “{QUESTION}”")
    for one in found["items"]:
        result(f"  {one['score']:.3f}  {show.book_name(one['book'])}")
    return [one["book"]["isbn"] for one in found["items"]]


def _unexpected(outcome: Outcome, found: list[str]) -> Iterator[str]:
    """What is not as it was ordered."""
    stories = {story.isbn: story for story in outcome.stories}
    for isbn in BOOKS:
        if not stories[isbn].is_good:
            yield f"{isbn} was not imported"
    if (stories[NOT_A_BOOK].error or {}).get("code") != "BOOK_NOT_FOUND":
        yield f"{NOT_A_BOOK} is no book, but was not told as such"
    for isbn in (BUSY, DOWN, SLOW_COVER):
        if not stories[isbn].retries:
            yield f"{isbn} was not retried"
    if [story.isbn for story in outcome.warned] != [BAD_COVER]:
        yield f"{BAD_COVER}, and no other, should have a warning"
    if not any(story.resumed_by for story in outcome.stories):
        yield "the server was killed, but no import had to be resumed"
    if ANSWER not in found:
        yield f"the search did not find {ANSWER}"
