"""Every binding that may be missing is missing in turn: the import goes on, and says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from benching import WORKER
from worlds import Upstream, world

pytestmark = pytest.mark.asyncio(loop_scope="session")
IMPATIENT: dict[str, Any] = {
    "entry": "impatient_entry",
    "folders": [WORKER / "tests" / "scripted"],
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What becomes of an import."""

    without: Sequence[str] = ()
    has_tables: bool = True
    stored_in: str
    has_embedding: bool
    warned: tuple[str, ...] = ()
    ready: str = "degraded"
    """What /readyz says."""
    listed: int = 200
    """The status of the list of jobs."""
    shown: int = 200
    """The status of the book; one that is down may have it or not."""


TABLE = {
    "no DB": Row(without=["DB"], stored_in="kv", has_embedding=True, listed=503),
    "DB fails": Row(
        has_tables=False, stored_in="kv", has_embedding=True, warned=("save-to-database",),
        listed=503, shown=503,
    ),
    "no AI": Row(without=["AI"], stored_in="database", has_embedding=False),
    "no BOOK_VECTORS": Row(without=["BOOK_VECTORS"], stored_in="database", has_embedding=False),
    "none of the three": Row(
        without=["DB", "AI", "BOOK_VECTORS"], stored_in="kv", has_embedding=False, listed=503
    ),
    "no JOB_STATE_MANAGER": Row(
        without=["JOB_STATE_MANAGER"], stored_in="database", has_embedding=True, ready="ready"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
async def test_an_import_does_without(upstream: Upstream, name: str) -> None:
    row = TABLE[name]
    [isbn] = await upstream.make(1)

    async with world(upstream, without=row.without, tables=row.has_tables, **IMPATIENT) as here:
        job = await here.end(await here.start(isbn))
        book = await here.ask("GET", f"/v2/books/{isbn}")
        ready = await here.ask("GET", "/readyz")
        listed, _ = await here.ask("GET", "/v2/import/jobs")

    result = job["result"]
    assert (result["storedIn"], result["hasEmbedding"]) == (row.stored_in, row.has_embedding)
    assert tuple(warned["step"] for warned in result["warnings"]) == row.warned
    assert book[0] == row.shown
    if book[0] == 200:
        assert (book[1]["data"]["embedding"] is not None) == row.has_embedding
    assert ready[1]["data"]["status"] == row.ready
    assert listed == row.listed


async def test_what_was_kept_aside_goes_into_the_library_when_it_is_there_again(
    upstream: Upstream, tmp_path: object
) -> None:
    [isbn] = await upstream.make(1)
    async with world(upstream, persist=tmp_path, tables=False, **IMPATIENT) as here:
        job = await here.end(await here.start(isbn))
        assert job["result"]["storedIn"] == "kv"

    async with world(upstream, persist=tmp_path) as here:
        async with here.http.get("/cdn-cgi/local/scheduled?cron=*+*+*+*+*") as answer:
            assert answer.status == 200
        _, listed = await here.ask("GET", "/v2/books")

    assert [book["isbn"] for book in listed["data"]["items"]] == [isbn]
