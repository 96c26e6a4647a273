"""A deployment on SQLite goes on on PostgreSQL: every row there, ids and tokens as they were."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stack import server, statuses

from bookline.cli.moving import move
from bookline.errors import Refused
from bookline.stores.opening import open_storage, stores_in
from bookline_sandbox import Sandbox

ISBN, OTHER = "9780451524935", "9780142437247"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


async def test_everything_goes_on_on_postgres(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    folder, said = tmp_path / "data", list[str]()
    async with server(sandbox.settings(), folder) as node:
        done = await node.finished(ISBN)
        sandbox.faults.add(kind="hang", isbn=OTHER, route="google_books")
        waiting = (await node.begin(OTHER, source="google_books"))["jobId"]
        await node.until(waiting, "running")
        with pytest.raises(Refused, match="stop it first"):
            await move(f"sqlite:///{folder}", postgres_url, said.append)
    sandbox.faults.clear()

    moved = await move(f"sqlite:///{folder}", postgres_url, said.append)
    again = await move(f"sqlite:///{folder}", postgres_url, said.append)

    assert moved == again
    assert (moved["books"], moved["jobs"]) == (1, 2)
    env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": postgres_url}
    async with server(env, folder) as node:
        assert (await node.get(f"/v2/books/{ISBN}"))[0] == 200
        assert statuses(await node.story(done["jobId"]))[-1] == "completed"
        assert (await node.until(waiting, "completed"))["status"] == "completed"
        await node.finished(sandbox.make(1)[0])  # new ids rise behind the old ones


async def test_a_database_that_was_used_is_refused(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    async with server(sandbox.settings(), folder) as node:
        job_id = (await node.finished(ISBN))["jobId"]
    await move(f"sqlite:///{folder}", postgres_url, print)
    storage = open_storage(postgres_url, tmp_path)
    journal = stores_in(storage, lambda: 0).journal
    await journal.database.write(
        lambda session: session.execute(
            "UPDATE jobs SET updated_ms = 1 WHERE job_id = :job_id", {"job_id": job_id}
        )
    )
    storage.close()

    with pytest.raises(Refused, match="jobs differs there"):
        await move(f"sqlite:///{folder}", postgres_url, print)


@pytest.mark.parametrize(
    ("source", "target"),
    [("postgresql://a/b", "sqlite:///x"), ("sqlite:///nowhere", "postgresql://a/b")],
)
async def test_other_ways_are_refused(source: str, target: str) -> None:
    with pytest.raises(Refused):
        await move(source, target, print)
