"""The demo: a sandbox, a server and a dozen books, imported over HTTP as a user would.

Way:      the command ``demo`` → here → sandbox, serving.py, client.py, importing.py
Rule 1:   no key, no network, nothing kept: the data lies in a folder that goes at the end.
Rule 2:   what goes wrong in it is ordered, and checked: the demo is a test of the whole.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bookline.cli import show
from bookline.cli.client import ServerClient, connect
from bookline.cli.importing import Outcome, Wanted, import_all
from bookline.cli.serving import listen, serving, until_told
from bookline.cli.views import View, result, say
from bookline.errors import TryLater
from bookline.logs import set_up_logs
from bookline.settings import Settings, read_settings
from bookline_sandbox import Sandbox

LATENCY_MS = 250
RETRY_SCALE = 0.5
USUAL_PORT = 8787
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
    with tempfile.TemporaryDirectory(prefix="bookline-demo-") as folder:
        async with Sandbox(latency_ms=LATENCY_MS) as sandbox:
            _order_faults(sandbox)
            settings = _settings(sandbox, Path(folder), _free_port(port))
            async with serving(settings) as (server, url), connect(url, None, say) as client:
                say(f"Bookline runs at {url} for this demo, with a stand-in for the providers.")
                say("Some answers are made to fail: watch it retry. One cover is no picture, and")
                say("one number is no book.\n")
                with view:
                    outcome = await import_all(
                        client, Wanted([*BOOKS, NOT_A_BOOK], (), ()), "auto", view, watch=True
                    )
                    view.sum_up(outcome.to_json(), outcome.sentence())
                found = await _search(client)
                faults = list(_unexpected(outcome, found))
                for fault in faults:
                    say(f"✗ {fault}")
                if not once:
                    say(f"\nThe page: {url}  (Ctrl-C ends the demo)")
                    await until_told(server.stop)
    return not faults


def _order_faults(sandbox: Sandbox) -> None:
    """A provider that is busy, one that is down, a cover that comes late, and one that is none."""
    for provider in PROVIDERS:
        sandbox.faults.add(kind="429", route=provider, isbn=BUSY, retry_after=2)
        sandbox.faults.add(kind="503", route=provider, isbn=DOWN, times=2)
    sandbox.faults.add(kind="503", route="covers", isbn=SLOW_COVER, times=2)
    sandbox.faults.add(kind="not_image", route="covers", isbn=BAD_COVER, times=None)


def _settings(sandbox: Sandbox, folder: Path, port: int) -> Settings:
    """The demo's own: nothing of the environment's."""
    return read_settings(
        {
            **sandbox.settings(),
            "BOOKLINE_PORT": str(port),
            "BOOKLINE_DATA_DIR": str(folder),
            "BOOKLINE_RETRY_SCALE": str(RETRY_SCALE),
            "BOOKLINE_PROVIDER_RATES": ",".join(f"{name}=off" for name in PROVIDERS),
            "BOOKLINE_RATE_LIMIT_START": "off",
            "BOOKLINE_RATE_LIMIT_READ": "off",
        },
        env_file=None,
    )


def _free_port(port: int | None) -> int:
    """The port asked for; else the usual one, or any that is free."""
    if port is not None:
        return port
    with suppress(TryLater):
        listen("127.0.0.1", USUAL_PORT).close()
        return USUAL_PORT
    return 0


async def _search(client: ServerClient) -> list[str]:
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
    if ANSWER not in found:
        yield f"the search did not find {ANSWER}"
