"""What did not arrive, in the form in which it came, with code and reason: to mend and send again.

Way:      api/, cli/ → here → service.py, shelves/writing.py
"""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from bookline.batches.service import Batches
from bookline.progress.batches import Batch, Item
from bookline.shelves.writing import write_failed

LIST_HEADER = ("isbn",)
"""A list gets one, so that what stands in its reasons is not read as ISBNs again."""


def is_table(batch: Batch) -> bool:
    """Whether it came as lines; else it came as JSON."""
    return bool(batch.header) or batch.format == "list"


def failed_headers(batch: Batch) -> dict[str, str]:
    """What the answer says of the text."""
    kind, ending = "application/json", "json"
    if is_table(batch):
        kind, ending = "text/csv; charset=utf-8", "csv"
    name = f"{batch.batch_id}-failed.{ending}"
    return {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}


def failed_pieces(batches: Batches, batch: Batch) -> AsyncIterator[str]:
    """The text, piece by piece."""
    return _failed_table(batches, batch) if is_table(batch) else _failed_json(batches, batch)


async def _failed_table(batches: Batches, batch: Batch) -> AsyncIterator[str]:
    header = batch.header or LIST_HEADER
    yield "".join(write_failed(header, batch.delimiter, ()))
    async for some in batches.not_arrived(batch.batch_id):
        rows = [(_cells(item), *_why(item)) for item in some]
        yield "".join(list(write_failed(header, batch.delimiter, rows))[1:])


async def _failed_json(batches: Batches, batch: Batch) -> AsyncIterator[str]:
    mark = '{"items":['
    async for some in batches.not_arrived(batch.batch_id):
        for item in some:
            yield mark + json.dumps(_as_it_came(item))
            mark = ","
    yield '{"items":[]}' if mark != "," else "]}"


def _cells(item: Item) -> Sequence[str]:
    return [str(cell) for cell in item.cells] if isinstance(item.cells, list) else []


def _as_it_came(item: Item) -> dict[str, Any]:
    code, reason = _why(item)
    value = item.cells if isinstance(item.cells, dict) else {"isbn": item.cells}
    return {**value, "code": code, "reason": reason}


def _why(item: Item) -> tuple[str, str]:
    if item.error is not None:
        return item.error["code"], item.error["message"]
    return "REVIEW", "Several books may be meant. Choose one, or add the ISBN."
