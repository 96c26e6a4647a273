"""What is in a library file, for people."""

from collections.abc import Iterator

from bookline.values import Json


def preview_lines(seen: Json) -> Iterator[str]:
    """The API's preview as lines."""
    yield f"{seen['format']}, {seen['encoding']}: {seen['rows']:,} rows"
    yield f"  {seen['withIsbn']:,} with an ISBN, {seen['duplicates']:,} of them repeated"
    yield f"  {seen['withoutIsbn']:,} without one"
    if seen["alreadyThere"]:
        yield f"  {seen['alreadyThere']:,} are in the library already"
    if seen["repaired"]:
        yield f"  {seen['repaired']:,} ISBNs got their left zeros back"
    for one in seen["refused"]:
        where = f"line {one['line']}" if one["line"] else f"item {one['index']}"
        yield f"  {where}: {one['message']}"
