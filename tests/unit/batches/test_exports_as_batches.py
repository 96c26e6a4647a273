"""An export of each kind as a batch: no row is dropped, and what did not arrive comes back."""

import json

import pytest

import made_up_exports
from bookline.batches.failed import failed_pieces
from bookline.batches.files import order_of_file
from bookline.batches.service import Batches
from bookline.imports import Imports
from bookline.job import ImportInput
from bookline.progress.batches import Item
from bookline.shelves.file import open_library_file
from bookline.shelves.row import Row
from bookline.stores.opening import stores_in_memory

NOW_MS = 1_700_000_000_000


def exports() -> dict[str, bytes]:
    names = (
        "GOODREADS", "STORYGRAPH", "LIBRARYTHING", "LIBRARYTHING_JSON", "LIBIB", "CALIBRE",
        "OPENREADS", "BOOKWYRM", "OPEN_LIBRARY",
    )  # fmt: skip
    found = {name.lower(): getattr(made_up_exports, name).encode() for name in names}
    return found | {
        "semicolons": "Title;Author;ISBN\n=odd;Ann;0451524934\n;;\n".encode("cp1252"),
        "list": b"9780451524935 mine\n978-0-14-243724-7\nnot one\n",
        "json": b'["9780451524935", {"isbn": "x", "title": "T", "mood": [1]}, 7]',
    }


class NoEngine:
    """Nothing is begun here."""

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None: ...

    async def restart(self, job_id: str) -> None: ...

    async def settle(self, job_id: str) -> None: ...

    def wake(self, job_id: str) -> None: ...


async def never(user_id: str | None, isbn: str) -> str:
    raise AssertionError("a batch asks nobody for a method")


@pytest.fixture
def batches() -> Batches:
    stores = stores_in_memory(lambda: NOW_MS)
    imports = Imports(
        stores.journal, {"workflow": NoEngine()}, usable=["openlibrary"], node="node-1",
        clock=lambda: NOW_MS, choose=never,
    )  # fmt: skip
    return Batches(stores.batches, imports, clock=lambda: NOW_MS)


async def kept(batches: Batches, data: bytes) -> tuple[str, list[Item], list[Row]]:
    """The batch's id, its items, and the rows that the file has."""
    file = open_library_file(data)
    order = order_of_file(file, data, source="auto", name=None, refresh=False)
    opened = await batches.start(order)
    batch_id = opened.batch.batch_id
    page, _ = await batches.items(batch_id, state=None, limit=200, cursor=None)
    return batch_id, list(page.items), list(file.rows())


@pytest.mark.parametrize("name", exports())
async def test_each_row_is_an_item_with_what_its_reader_said(batches: Batches, name: str) -> None:
    _, items, rows = await kept(batches, exports()[name])

    assert [item.index for item in items] == list(range(len(rows)))
    assert [item.line for item in items] == [row.line for row in rows]
    assert [item.isbn for item in items] == [row.isbn and row.isbn.isbn13 for row in rows]
    assert [item.reading for item in items] == [
        row.reading.to_json() if row.reading else None for row in rows
    ]
    assert [item.state == "refused" for item in items] == [bool(row.refused) for row in rows]


@pytest.mark.parametrize("name", exports())
async def test_what_did_not_arrive_is_the_same_rows_when_it_is_sent_again(
    batches: Batches, name: str
) -> None:
    batch_id, items, rows = await kept(batches, exports()[name])
    if any(item.state != "refused" for item in items):
        await batches.cancel(batch_id)

    text = "".join([one async for one in failed_pieces(batches, await batches.find(batch_id))])
    _, again, rows_again = await kept(batches, text.encode())

    assert [row.isbn for row in rows_again] == [row.isbn for row in rows]
    if name != "list":  # what stood beside an ISBN was a note
        assert [row.title for row in rows_again] == [row.title for row in rows]
    assert [row.reading for row in rows_again] == [row.reading for row in rows]
    assert [item.state for item in again] == [item.state for item in items]
    if text.startswith("{"):
        assert all({"code", "reason"} <= set(one) for one in json.loads(text)["items"])
    else:
        assert "code" in text.splitlines()[0]
