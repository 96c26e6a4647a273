"""The commands around imports: import, status, watch, cancel, retry, jobs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli.asked import (
    DONE,
    FAILED,
    USAGE,
    Asked,
    JsonOption,
    ServerOption,
    asked_of,
    perform,
)
from bookline.cli.job_ids import find_job
from bookline.cli.views import View, result, say
from bookline.errors import Refused, TryLater
from bookline.job import JOB_STATUSES, QUEUED, RUNNING, SOURCES, TERMINAL
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient

PAGE_MOST = 200  # the API's
CANCEL_SECONDS = 5.0
READY_SECONDS = 2.0  # our choice: a command waits no longer to say more than it was asked for

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A job id, or enough of it.")]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many to show.")]
AllOption = Annotated[bool, typer.Option("--all", help="Show all of them.", show_default=False)]
WatchOption = Annotated[
    bool, typer.Option("--watch/--no-watch", help="Show each step live, until the end.")
]


def import_(
    ctx: typer.Context,
    isbns: Annotated[
        list[str] | None,
        typer.Argument(metavar="ISBN", help="ISBN-10 or ISBN-13; hyphens and spaces are fine."),
    ] = None,
    source: Annotated[
        str, typer.Option("--source", metavar="SOURCE", help=f"Whom to ask: {', '.join(SOURCES)}.")
    ] = "auto",
    watch: WatchOption = True,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="Import a library export (Goodreads, StoryGraph, any CSV and more) or a list, one "
            "ISBN a line, as one batch; - is stdin. What did not arrive is printed as it came: "
            "correct it and import that.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what is in the file, and start nothing.")
    ] = False,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="With --file: fetch books that are there already, too."),
    ] = False,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Import books by ISBN and show every step live.

    Exit code: 0 all are imported, 1 some are not, 2 nothing could be started. The failed ones
    are listed on stdout, for `--file`.
    """
    asked = asked_of(ctx, server, json)

    async def work() -> int:
        from bookline.cli import batch_commands
        from bookline.cli.importing import import_all, read_wanted, tell_reading
        from bookline.settings import read_settings

        settings = read_settings()
        texts = isbns or []
        if bool(texts) == bool(file):
            raise Refused("INVALID_REQUEST", "give at least one ISBN, or --file")
        if file is not None:
            data = await _read_file(file)
            async with asked.client(settings, keeps=not preview) as (client, url):
                if preview:
                    return await _preview(asked, client, data)
                if url and not asked.json:
                    say(f"using the server at {url}")
                return await batch_commands.import_file(
                    asked, client, batch_commands.read_list(data), source=source, watch=watch,
                    name=batch_commands.name_of(file), refresh=refresh,
                )  # fmt: skip
        wanted = read_wanted(texts)
        with asked.view() as view:
            tell_reading(wanted, view)
            if not wanted.isbns:
                return USAGE
            async with asked.client(settings, view.notice, keeps=True) as (client, url):
                if url:
                    view.notice(f"using the server at {url}")
                outcome = await import_all(client, wanted, source, view, watch=watch)
            is_many = len(texts) > 1
            view.sum_up(outcome.to_json(), outcome.sentence() if is_many and watch else "")
        if not watch:
            _tell_started(asked, [story.job_id for story in outcome.stories], url)
        elif not asked.json:
            for line in outcome.again():
                result(line)
        return DONE if outcome.is_good else FAILED

    perform(asked, work)


async def _read_file(path: Path) -> bytes:
    """A file, or as much of it as shows that it is too large. Raises: Refused."""
    from bookline.cli.stdin import read_stdin
    from bookline.shelves.file import MOST_BYTES

    try:
        if str(path) == "-":
            return await read_stdin(MOST_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused("INVALID_REQUEST", f"cannot read {path}: {error.strerror}") from error


async def _preview(asked: Asked, client: "BooklineClient", data: bytes) -> int:
    from bookline.cli import library_file

    seen = await client.preview_file(data)
    asked.print(seen, lambda: result("\n".join(library_file.preview_lines(seen))))
    return DONE


def _tell_started(asked: Asked, job_ids: list[str], url: str | None) -> None:
    if not asked.json:
        for job_id in job_ids:
            result(job_id)
    if url is None:
        say("no server runs: the imports are kept and continue at the next start: `bookline serve`")


def status(
    ctx: typer.Context, job: JobArgument, server: ServerOption = None, json: JsonOption = False
) -> None:
    """Show one import as it stands."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        found = await find_job(client, job)
        asked.print(found, lambda: show.facts(show.job_facts(found)))
        if found["status"] in {QUEUED, RUNNING}:
            await _tell_outage(client)
        return DONE

    with_client(asked, work)


async def _tell_outage(client: "BooklineClient") -> None:
    """What an open import may wait for, on stderr."""
    with contextlib.suppress(TryLater, TimeoutError):
        async with asyncio.timeout(READY_SECONDS):
            providers = (await client.readiness())["dependencies"]["providers"]
        if not providers["ok"]:
            say(providers["detail"])


def watch(
    ctx: typer.Context, job: JobArgument, server: ServerOption = None, json: JsonOption = False
) -> None:
    """Watch one import from its first step to its end.

    Exit code: 0 when it completes, 1 when it fails or is cancelled.
    """
    asked = asked_of(ctx, server, json)

    async def work() -> int:
        from bookline.settings import read_settings

        settings = read_settings()
        with asked.view() as view:
            async with asked.client(settings, view.notice) as (client, _url):
                return await _watch(client, await find_job(client, job), view)

    perform(asked, work)


def retry(
    ctx: typer.Context,
    job: JobArgument,
    watch: WatchOption = True,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Let a failed import continue at the step that failed.

    Exit code: 0 when it completes, 1 when it fails again or cannot be retried.
    """
    asked = asked_of(ctx, server, json)

    async def work() -> int:
        from bookline.settings import read_settings

        settings = read_settings()
        with asked.view() as view:
            async with asked.client(settings, view.notice) as (client, _url):
                before = await find_job(client, job)
                after = await client.retry(before["jobId"])
                if watch:
                    told = (before["lastEvent"] or {"seq": 0})["seq"]
                    return await _watch(client, after, view, told=told)
        asked.print(after, lambda: result(f"{after['jobId']} continues"))
        return DONE

    perform(asked, work)


async def _watch(client: "BooklineClient", job: Json, view: View, *, told: int = 0) -> int:
    from bookline.cli.importing import follow
    from bookline.cli.story import Story

    story = Story(job["isbn"], job["jobId"])
    view.accept(story)
    await follow(client, story, view, told=told)
    return DONE if story.is_good else FAILED


def cancel(
    ctx: typer.Context, job: JobArgument, server: ServerOption = None, json: JsonOption = False
) -> None:
    """Cancel an import.

    It ends at its next step's edge, or at once while it waits for a retry.
    """
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        job_id = (await find_job(client, job))["jobId"]
        await client.cancel(job_id)
        after = await until_over(lambda: client.status(job_id), TERMINAL)
        is_over = after["status"] in TERMINAL
        ends = f"is {after['status']}" if is_over else "ends at its next step's edge"
        asked.print(after, lambda: result(f"{job_id} {ends}"))
        return DONE if after["status"] != "completed" else FAILED

    with_client(asked, work)


async def until_over(read: Callable[[], Awaitable[Json]], ends: Container[str]) -> Json:
    """The job or batch that is read, at its end if that comes soon."""
    for _ in range(int(CANCEL_SECONDS / 0.25)):
        shown = await read()
        if shown["status"] in ends:
            break
        await asyncio.sleep(0.25)
    return shown


def jobs(
    ctx: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help=f"Only these: {', '.join(JOB_STATUSES)}.",
            show_default=False,
        ),
    ] = None,
    limit: LimitOption = 20,
    all: AllOption = False,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """List imports, newest first."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        async def page(most: int, cursor: str | None) -> Json:
            return await client.jobs(status=status, limit=most, cursor=cursor)

        found = await read_pages(page, None if all else limit)
        rows = map(show.job_row, found["items"])
        heads = ("job", "status", "created (UTC)", "title or reason")
        asked.print(found, lambda: show.table(heads, rows, "there is no such import"))
        return DONE

    with_client(asked, work)


async def read_pages(read: Callable[[int, str | None], Awaitable[Json]], limit: int | None) -> Json:
    """``items`` up to the limit (None: all), however many pages they are on."""
    items: list[Json] = []
    cursor = None
    while True:
        most = PAGE_MOST if limit is None else min(PAGE_MOST, limit - len(items))
        page = await read(most, cursor)
        items += page["items"]
        cursor = page["nextCursor"]
        if cursor is None or len(items) == limit:
            return {"items": items, "nextCursor": cursor}


def with_client(
    asked: Asked, work: Callable[["BooklineClient"], Awaitable[int]], *, keeps: bool = False
) -> None:
    """Runs a command that asks Bookline something. ``keeps`` is whether it brings something that is
    to be kept.
    """

    async def opened() -> int:
        from bookline.settings import read_settings

        async with asked.client(read_settings(), keeps=keeps) as (client, _url):
            return await work(client)

    perform(asked, opened)
