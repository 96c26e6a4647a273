"""The commands around the library: books, book, search."""

from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli.asked import DONE, JsonOption, ServerOption, asked_of
from bookline.cli.import_commands import AllOption, LimitOption, read_pages, with_client
from bookline.errors import Refused
from bookline.isbn import read_isbn
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.cli.client import Client

BOOK_HEADS = ("isbn", "title", "authors", "year")
QUERY_CHARS = 500  # the API's


def books(
    ctx: typer.Context,
    limit: LimitOption = 20,
    all: AllOption = False,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """List the library, last imported first."""
    asked = asked_of(ctx, server, json)

    async def work(client: "Client") -> int:
        from bookline.cli import show

        async def page(most: int, cursor: str | None) -> Json:
            return await client.books(limit=most, cursor=cursor)

        found = await read_pages(page, None if all else limit)
        rows = map(show.book_row, found["items"])
        asked.print(found, lambda: show.table(BOOK_HEADS, rows, "the library is empty"))
        return DONE

    with_client(asked, work)


def book(
    ctx: typer.Context,
    isbn: Annotated[str, typer.Argument(metavar="ISBN", help="In any form.")],
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Show one book with all that is known of it."""
    asked = asked_of(ctx, server, json)

    async def work(client: "Client") -> int:
        from bookline.cli import show

        found = await client.book(read_isbn(isbn).isbn13)
        asked.print(found, lambda: show.facts(show.book_facts(found)))
        return DONE

    with_client(asked, work)


def search(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What the book is about.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many to show.")] = 10,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Find books by meaning, nearest first."""
    asked = asked_of(ctx, server, json)

    async def work(client: "Client") -> int:
        from bookline.cli import show

        query = " ".join(text).strip()
        if not 1 <= len(query) <= QUERY_CHARS:
            raise Refused("INVALID_REQUEST", f"TEXT must have 1 to {QUERY_CHARS} characters")
        found = await client.search(query, limit=limit)
        rows = [[f"{one['score']:.3f}", *show.book_row(one["book"])] for one in found["items"]]
        heads = ("score", *BOOK_HEADS)
        asked.print(found, lambda: show.table(heads, rows, "nothing in the library is near"))
        return DONE

    with_client(asked, work)
