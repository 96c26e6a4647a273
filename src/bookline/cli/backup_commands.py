"""The commands that keep the data safe: backup, restore, move-database."""

from pathlib import Path
from typing import Annotated

import typer

from bookline.cli.asked import DONE, JsonOption, asked_of, perform
from bookline.cli.views import result, say
from bookline.cli.words import count

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]


def backup(ctx: typer.Context, file: FileArgument, json: JsonOption = False) -> None:
    """Write all that is kept here into one file; Bookline may run."""
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.cli.backups import back_up
        from bookline.settings import read_settings
        from bookline.threads import in_thread

        made = (await in_thread(back_up, read_settings(), file)).to_json()
        asked.print(made, lambda: result(f"Backed up to {file}: {_words(made)}"))
        return DONE

    perform(asked, work)


def restore(ctx: typer.Context, file: FileArgument, json: JsonOption = False) -> None:
    """Put a backup back where no data is; nothing is overwritten."""
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.cli import backups
        from bookline.settings import read_settings
        from bookline.threads import in_thread

        settings = read_settings()
        made = (await in_thread(backups.restore, settings, file)).to_json()
        asked.print(made, lambda: result(f"Restored to {settings.data_dir}: {_words(made)}"))
        return DONE

    perform(asked, work)


def _words(made: dict[str, object]) -> str:
    databases, covers = made["databases"], made["covers"]
    assert isinstance(databases, list)  # noqa: S101 - for the type checker
    assert isinstance(covers, int)  # noqa: S101
    return f"{', '.join(databases)} and {count(covers, 'cover')}"


def move_database(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FROM", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TO", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Copy a stopped deployment from SQLite to PostgreSQL, and check it.

    FROM is `sqlite:///folder`, TO `postgresql://…`. Run again, it continues where it was.
    """
    asked = asked_of(ctx, None, json)

    async def work() -> int:
        from bookline.cli.moving import move

        moved = await move(source, target, say)
        rows = sum(moved.values())
        asked.print(
            {"tables": moved, "rows": rows},
            lambda: result(f"Moved {rows} rows of {len(moved)} tables; each is there as it was."),
        )
        return DONE

    perform(asked, work)
