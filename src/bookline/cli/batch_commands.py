"""The commands around batches: import --file, batch, review."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli.asked import DONE, FAILED, Asked, JsonOption, ServerOption, asked_of
from bookline.cli.batch_view import BatchView, is_good, sentence
from bookline.cli.import_commands import LimitOption, read_pages, until_over, with_client
from bookline.cli.job_ids import find_batch
from bookline.cli.stdin import Lines
from bookline.cli.views import json_line, result, say
from bookline.cli.words import clean, count
from bookline.errors import Refused
from bookline.job import CANCELLED, COMPLETED
from bookline.progress.batches import ITEM_STATES
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient

ACTIONS = ("show", "watch", "items", "cancel", "retry", "failed")
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="A batch id, or enough of it.")]


async def import_file(
    asked: Asked, client: "BooklineClient", data: bytes, *, name: str | None, source: str,
    refresh: bool, watch: bool,
) -> int:  # fmt: skip
    """Starts a batch and, unless ``watch`` is off, follows it to its end."""
    asked.interrupted = "interrupted before the answer; `bookline batch` shows whether it is kept"
    opened = await client.start_file(data, source, name=name, refresh=refresh)
    batch_id, total = opened["batchId"], opened["counts"]["total"]
    asked.interrupted = (
        f"interrupted; all {total:,} items of {batch_id} are kept and continue {asked.where}\n"
        f"watch them again: bookline batch {batch_id} watch"
    )
    if not asked.json:
        refused = f", {opened['refusedCount']:,} invalid" if opened["refusedCount"] else ""
        say(f"{batch_id}: {count(total, 'item')}, {opened['format']}{refused}")
        for one in opened["refused"]:
            name = clean(one["input"] or "")[:60]
            say(f"✗ {place_of(one)}  {name}  {one['code']}: {clean(one['message'])}")
    if not watch:
        asked.print(opened, lambda: result(batch_id))
        return DONE
    return await watch_batch(asked, client, opened)


async def watch_batch(asked: Asked, client: "BooklineClient", batch: Json) -> int:
    """Follows a batch to its end; what did not arrive goes to stdout, as it came."""
    with BatchView(batch, as_json=asked.json) as view:
        async with aclosing(client.follow_batch(batch["batchId"])) as messages:
            async for message in messages:
                view.hear(message)
    ended = await client.batch(batch["batchId"])
    if asked.json:
        json_line({"type": "summary", **ended})
        return DONE if is_good(ended) else FAILED
    say(sentence(ended))
    if ended["counts"]["review"]:
        say(f"answer the reviews: bookline review {batch['batchId']}")
    if not is_good(ended):
        sys.stdout.write(await client.failed(batch["batchId"]))
        sys.stdout.flush()
        say(
            "The rows that did not arrive are on stdout, as they came: correct them and import "
            f"them. To see them again: bookline batch {batch['batchId']} failed"
        )
    return DONE if is_good(ended) else FAILED


def batch(
    ctx: typer.Context,
    batch_id: Annotated[
        str | None,
        typer.Argument(
            metavar="BATCH", help="A batch id, or enough of it; without one, all are listed."
        ),
    ] = None,
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            help="show, watch, items, cancel, retry (all that failed), or failed (what did not "
            "arrive, as it came).",
        ),
    ] = "show",
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"Items of this state: {', '.join(ITEM_STATES)}.",
            show_default=False,
        ),
    ] = None,
    limit: LimitOption = 50,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Show, watch, cancel or retry a batch: many imports under one id.

    Exit code of watch: 0 when every item arrived, 1 when some did not.
    """
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        if action not in ACTIONS:
            raise Refused("INVALID_REQUEST", f"the action must be one of {', '.join(ACTIONS)}")
        if batch_id is None:
            return await _list(asked, client, limit)
        shown = await find_batch(client, batch_id)
        whole_id = shown["batchId"]
        match action:
            case "watch":
                return await watch_batch(asked, client, shown)
            case "items":
                return await _items(asked, client, whole_id, state, limit)
            case "cancel":
                await client.cancel_batch(whole_id)
                shown = await until_over(lambda: client.batch(whole_id), {COMPLETED, CANCELLED})
            case "retry":
                shown = await client.retry_batch(whole_id)
            case "failed":
                sys.stdout.write(await client.failed(whole_id))
                return DONE
        asked.print(shown, lambda: _show(shown))
        return DONE

    with_client(asked, work)


async def _list(asked: Asked, client: "BooklineClient", limit: int) -> int:
    from bookline.cli import show

    async def page(most: int, cursor: str | None) -> Json:
        return await client.batches(limit=most, cursor=cursor)

    found = await read_pages(page, limit)
    rows = [
        [one["batchId"], one["status"], show.when(one["createdAt"]), one["name"], sentence(one)]
        for one in found["items"]
    ]
    heads = ("batch", "status", "created (UTC)", "name", "items")
    asked.print(found, lambda: show.table(heads, rows, "there is no batch"))
    return DONE


async def _items(
    asked: Asked, client: "BooklineClient", batch_id: str, state: str | None, limit: int
) -> int:
    from bookline.cli import show

    async def page(most: int, cursor: str | None) -> Json:
        return await client.batch_items(batch_id, state=state, limit=most, cursor=cursor)

    found = await read_pages(page, limit)
    rows = [
        [place_of(one), one["state"], one["isbn"] or one["input"], _about(one)]
        for one in found["items"]
    ]
    heads = ("row", "state", "isbn or title", "title or reason")
    asked.print(found, lambda: show.table(heads, rows, "there is no such item"))
    return DONE


def place_of(item: Json) -> str:
    """Its line in the file; its index in a list."""
    return f"item {item['index']}" if item.get("line") is None else f"line {item['line']}"


def _about(item: Json) -> str:
    if item["error"]:
        return f"{item['error']['code']}: {item['error']['message']}"
    return item["title"] or ""


def _show(batch: Json) -> None:
    from bookline.cli import show

    left = batch["etaSeconds"]
    show.facts(
        {
            "batch": batch["batchId"],
            "name": batch["name"],
            "format": batch["format"],
            "status": batch["status"],
            "progress": f"{batch['progress']:.0%}",
            "left": None if left is None else f"{left} s",
            "items": f"{batch['counts']['total']:,}: {sentence(batch)}",
            "created": show.when(batch["createdAt"]),
            "updated": show.when(batch["lastUpdated"]),
        }
    )


def review(
    ctx: typer.Context,
    batch_id: BatchArgument,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Answer the reviews of a batch: which book does a row without an ISBN mean?

    Each answer is a line: a candidate's number, an ISBN, `s` to skip the row, an empty line to
    leave it open, `q` to stop. Exit code: 0 when all are answered, else 1.
    """
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        whole_id = (await find_batch(client, batch_id))["batchId"]

        async def page(most: int, cursor: str | None) -> Json:
            return await client.batch_items(whole_id, state="review", limit=most, cursor=cursor)

        found = (await read_pages(page, None))["items"]
        if asked.json:
            asked.print({"items": found}, lambda: None)
            return FAILED if found else DONE
        left, lines = len(found), Lines()
        for item in found:
            answer = await _ask(item, left, lines)
            if answer == "q":
                break
            left -= await _answer(client, whole_id, item, answer)
        say(f"{count(left, 'review')} left" if left else "all reviews are answered")
        return FAILED if left else DONE

    with_client(asked, work)


async def _ask(item: Json, left: int, lines: Lines) -> str:
    """The answer to one question; ``q`` where there is nobody to ask."""
    by = f" by {clean(', '.join(item['authors']))}" if item["authors"] else ""
    say(f"\n{clean(item['title'] or item['input'])}{by}  ({place_of(item)}, {left} left)")
    for number, one in enumerate(item["candidates"], 1):
        by, year = ", ".join(one["authors"]), (one["publicationDate"] or "")[:4]
        fits = f"{one['score']:.0%}"
        say(f"  {number}  {clean(one['title'])} · {clean(by)}  {year}  {one['isbn']}  {fits}")
    say("number, ISBN, s to skip, Enter to leave it open, q to stop: ")
    line = await lines.ask()
    return line.strip() if line else "q"


async def _answer(client: "BooklineClient", batch_id: str, item: Json, answer: str) -> bool:
    """Whether the question is answered now."""
    if not answer:
        return False
    candidates = item["candidates"]
    isbn: str | None = answer
    if answer.isdigit() and 1 <= int(answer[:9]) <= len(candidates):
        isbn = candidates[int(answer) - 1]["isbn"]
    elif answer == "s":
        isbn = None
    try:
        chosen = await client.choose(batch_id, item["index"], isbn)
    except Refused as refused:
        say(f"✗ {refused}")
        return False
    say(f"✓ {chosen['isbn'] or 'skipped'}")
    return True


def read_list(data: bytes) -> bytes:
    """A plain list without its comments, and without the ``✓`` lines that an import prints.

    What is no plain list stays as it is. Raises: Refused (UNSUPPORTED_FORMAT).
    """
    from bookline.cli.importing import read_lines
    from bookline.shelves.encoding import find_encoding
    from bookline.shelves.file import open_library_file

    try:
        is_list = open_library_file(data).format == "list"
    except Refused as refused:
        if refused.code != "UNREADABLE_FILE":
            raise
        is_list = False
    if not is_list:
        return data
    found = find_encoding(data)
    lines = read_lines(data[found.skip :].decode(found.codec).splitlines())
    return "".join(f"{line}\n" for line in lines).encode()


def name_of(path: Path) -> str | None:
    """What a batch from this file is called."""
    return None if str(path) == "-" else path.name[:200]
