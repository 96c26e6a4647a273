"""What is in a library file, for people."""

from collections.abc import Iterator

from bookline.cli.words import count
from bookline.values import Json


def preview_lines(seen: Json) -> Iterator[str]:
    """The API's preview as lines."""
    yield f"{seen['format']}, {seen['encoding']}: {count(seen['rows'], 'row')}"
    repeated = f", {count(seen['duplicates'], 'duplicate')}" if seen["duplicates"] else ""
    yield f"  {seen['withIsbn']:,} with an ISBN{repeated}"
    if looked_up := seen["withoutIsbn"] - seen["refusedCount"]:
        yield f"  {looked_up:,} without one, to be looked up by title and author"
    if seen["alreadyThere"]:
        yield f"  {seen['alreadyThere']:,} in the library already"
    if seen["repaired"]:
        yield f"  {count(seen['repaired'], 'ISBN')} whose lost zeros were restored"
    if seen["refusedCount"]:
        yield f"  {count(seen['refusedCount'], 'row')} that cannot be imported"
    for one in seen["refused"]:
        where = f"line {one['line']}" if one["line"] else f"item {one['index']}"
        yield f"  {where}: {one['message']}"
