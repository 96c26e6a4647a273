"""A library file as a batch, or as a preview of one.

Way:      api/, cli/ → here → shelves/, items.py, there.py
"""

import asyncio
from collections.abc import Collection
from itertools import chain

from bookline.batches.items import items_of_rows
from bookline.batches.service import BatchOrder
from bookline.batches.there import AlreadyThere
from bookline.shelves.encoding import unreadable
from bookline.shelves.file import LibraryFile
from bookline.shelves.preview import preview, to_json
from bookline.threads import ask_loop, in_thread


def order_of_file(
    file: LibraryFile, data: bytes, *, source: str, name: str | None, refresh: bool,
    idempotency_key: str | None = None, caller: str = "",
) -> BatchOrder:  # fmt: skip
    """The batch that a file asks for; all rows but the first are read when the batch is kept.

    Raises: Refused (UNREADABLE_FILE) for a header without rows, or a first row that is broken.
    """
    rows = file.rows()
    first = next(rows, None)
    if first is None:
        seen = "has a header and no rows" if file.header else "is a list without books"
        raise unreadable(f"The file {seen}. Export your library again.")
    return BatchOrder(
        items=items_of_rows(chain([first], rows), source),
        name=name,
        format=file.format,
        source=source,
        refresh=refresh,
        header=file.header,
        delimiter=file.delimiter,
        idempotency_key=idempotency_key,
        caller=caller,
        body=data + f"{source} {name} {refresh}".encode(),
    )


async def preview_of(file: LibraryFile, there: AlreadyThere) -> dict[str, object]:
    """What is in it, in the API's shape; read beside the event loop.

    Raises: Refused (UNREADABLE_FILE, PAYLOAD_TOO_LARGE), StoreDown.
    """
    loop = asyncio.get_running_loop()

    def already_there(isbns: Collection[str]) -> Collection[str]:
        return ask_loop(loop, there.titles(list(isbns)))

    return to_json(await in_thread(preview, file, already_there))
