"""The commands around the library: books, book, search, edit, delete, export."""

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bookline.cli.asked import DONE, JsonOption, ServerOption, asked_of
from bookline.cli.import_commands import AllOption, LimitOption, read_pages, with_client
from bookline.cli.views import say
from bookline.errors import Refused
from bookline.isbn import read_isbn
from bookline.threads import in_thread
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient

BOOK_HEADS = ("isbn", "title", "authors", "year")
QUERY_CHARS = 500  # the API's
SORTS = ("recent", "title", "author", "year")  # the API's
FORMATS = ("csv", "json", "goodreads")  # the API's
LISTS = frozenset({"authors", "categories", "unlock", "reading.shelves", "reading.datesRead"})
WHOLE_NUMBERS = frozenset({"pageCount", "reading.readCount"})

IsbnArgument = Annotated[str, typer.Argument(metavar="ISBN", help="In any form.")]


def books(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Each is in ISBN, title or author."),
    ] = None,
    author: Annotated[
        str, typer.Option("--author", metavar="WORDS", help="Words of the authors' names.")
    ] = "",
    language: Annotated[
        str, typer.Option("--language", metavar="LANGUAGE", help="Like en or pt-BR.")
    ] = "",
    sort: Annotated[
        str, typer.Option("--sort", metavar="ORDER", help=f"One of {', '.join(SORTS)}.")
    ] = "recent",
    limit: LimitOption = 20,
    all: AllOption = False,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """List the library, or the books that have these words."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        total = 0

        async def page(most: int, cursor: str | None) -> Json:
            nonlocal total
            found = await client.books(
                limit=most, cursor=cursor, q=" ".join(words or ()), author=author,
                language=language, sort=sort,
            )  # fmt: skip
            total = found["total"]
            return found

        found = {**await read_pages(page, None if all else limit), "total": total}
        rows = map(show.book_row, found["items"])
        asked.print(found, lambda: show.table(BOOK_HEADS, rows, "no books"))
        if not asked.json and total > len(found["items"]):
            say(f"{len(found['items'])} of {total:,} books; --all shows all")
        return DONE

    with_client(asked, work)


def book(
    ctx: typer.Context,
    isbn: IsbnArgument,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Show one book with all that is known of it."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        found = await client.book(read_isbn(isbn).isbn13)
        asked.print(found, lambda: show.facts(show.book_facts(found)))
        return DONE

    with_client(asked, work)


def search(
    ctx: typer.Context,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="What the book is about.")],
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=200, help="How many to show.")
    ] = 10,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Find books by their words, then by meaning."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        query = " ".join(text).strip()
        if not 1 <= len(query) <= QUERY_CHARS:
            raise Refused("INVALID_REQUEST", f"TEXT must have 1 to {QUERY_CHARS} characters")
        found = await client.search(query, limit=limit)
        rows = [
            [one["match"], f"{one['score']:.3f}", *show.book_row(one["book"])]
            for one in found["items"]
        ]
        heads = ("match", "score", *BOOK_HEADS)
        asked.print(found, lambda: show.table(heads, rows, "no book matches"))
        return DONE

    with_client(asked, work)


def edit(
    ctx: typer.Context,
    isbn: IsbnArgument,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE",
            help="title, subtitle, authors, description, publisher, publicationDate, pageCount, "
            "language, categories; cover=FILE; reading.status, reading.rating and the like. "
            "Several authors: separated by ; or the field twice. Nothing behind = empties the "
            "field. unlock=FIELD lets imports change it again.",
        ),
    ],
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Edit a book. Imports leave edited fields as they are."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        from bookline.cli import show

        isbn13 = read_isbn(isbn).isbn13
        wanted = read_changes(changes)
        cover = await in_thread(Path(wanted.pop("cover")).read_bytes) if "cover" in wanted else None
        if wanted or cover is None:
            found = await client.edit(isbn13, wanted)
        if cover is not None:
            found = await client.keep_cover(isbn13, cover)
        asked.print(found, lambda: show.facts(show.book_facts(found)))
        return DONE

    with_client(asked, work)


def delete(
    ctx: typer.Context,
    isbn: IsbnArgument,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a book with its cover and what readers say of it."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        isbn13 = read_isbn(isbn).isbn13
        await client.delete(isbn13)
        asked.print({"isbn": isbn13, "deleted": True}, lambda: say(f"{isbn13} is deleted"))
        return DONE

    with_client(asked, work)


def export(
    ctx: typer.Context,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.", show_default="csv"
        ),
    ] = None,
    server: ServerOption = None,
    json: JsonOption = False,
) -> None:
    """Print the whole library, with what its reader says of each book."""
    asked = asked_of(ctx, server, json)

    async def work(client: "BooklineClient") -> int:
        form = format or ("json" if asked.json else "csv")
        async with aclosing(client.export(form)) as pieces:
            async for piece in pieces:
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return DONE

    with_client(asked, work)


def read_changes(texts: list[str]) -> Json:
    """``FIELD=VALUE`` texts as the API's edit; a field given twice is a list.

    Raises: Refused (INVALID_REQUEST) for what is no field with a value.
    """
    changes: Json = {}
    reading: Json = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name):
            raise Refused("INVALID_REQUEST", f'write FIELD=VALUE, as title="Moby-Dick": {text!r}')
        whole, inner = (reading, name.removeprefix("reading.")) if "." in name else (changes, name)
        read = _value(name, value.strip())
        if isinstance(read, list) and isinstance(whole.get(inner), list):
            read = whole[inner] + read
        whole[inner] = read
    return {**changes, "reading": reading} if reading else changes


def _value(name: str, text: str) -> object:
    """The text as the field has it; None for an empty one. What cannot be read stays a text, so
    that the API's own message names it."""
    if not text:
        return None
    if name in LISTS:
        return [part.strip() for part in text.split(";") if part.strip()]
    if name in WHOLE_NUMBERS and text.isascii() and text.isdigit():
        return int(text)
    if name == "reading.rating":
        try:
            return float(text)
        except ValueError:
            return text
    if name == "reading.owned":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
    return text
