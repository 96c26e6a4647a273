"""Moving over by command, as an operator does it: child processes, a sandbox, a real server."""

import asyncio
import getpass
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from forked import ForkedCommand
from stack import Server, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

ISBN, OTHER, NOT_A_BOOK = "9780451524935", "9780061120084", "9780000000019"
RUN_SECONDS = 180.0  # ends a hang
# A deployment whose legacy importer has been deleted.
GONE = """
import bookline.methods
bookline.methods.LEGACY_ROOM = "bookline.gone"
"""


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)


@dataclass
class Command:
    """Runs ``bookline`` with these settings."""

    env: dict[str, str]
    folder: Path

    async def __call__(self, *arguments: str) -> Done:
        clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
        child = ForkedCommand(arguments, env={**clean, **self.env}, cwd=self.folder)
        done = await asyncio.to_thread(child.done, RUN_SECONDS)
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with server(sandbox.settings(), tmp_path_factory.mktemp("cli") / "data") as started:
        yield started


@pytest.fixture
def command(api: Server, tmp_path: Path) -> Command:
    """A command that asks the server."""
    return Command({"BOOKLINE_PORT": str(api.port)}, tmp_path)


# ------------------------------------------------------------------ with or without legacy
async def test_numbers_and_their_plot_come_from_the_server(
    api: Server, command: Command, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for isbn in (ISBN, NOT_A_BOOK):
        await api.finished(isbn)

    done = await command("metrics", "--window", "1h", "--plot", "moving.svg")

    assert done.code == 0, done.err
    assert "success rate\t100.0%\t" in done.out
    assert "drawn: moving.svg" in done.err
    assert "<svg" in (tmp_path / "moving.svg").read_text()


async def test_an_incident_opens_and_closes_with_its_actor(command: Command) -> None:
    opened = await command("rollout", "incident", "covers", "are", "grey", "--json")
    [incident] = opened.told["incidents"]
    assert (incident["text"], incident["by"]) == ("covers are grey", getpass.getuser())

    assert (await command("rollout", "resolve", "999")).code == 3
    assert (await command("rollout", "resolve", str(incident["number"]))).code == 0
    history = (await command("rollout", "history", "--json")).told["items"]
    assert [one["incidents"] for one in history[:2]] == [0, 1]


@pytest.mark.parametrize(
    ("code", "words", "line"),
    [
        (1, "at 100 % already", ["rollout", "advance"]),
        (2, "nothing to change", ["rollout", "set"]),
        (2, "window must look like", ["metrics", "--window", "8d"]),
        (2, ".svg or a .png", ["metrics", "--plot", "moving.pdf"]),
        (3, "no open incident", ["rollout", "resolve", "4711"]),
    ],
)
async def test_exit_codes_tell_what_happened(
    command: Command, code: int, words: str, line: list[str]
) -> None:
    done = await command(*line)

    assert (done.code, done.out) == (code, "")
    assert words in done.err


async def test_it_works_without_a_server(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {**sandbox.settings(), "BOOKLINE_PORT": "0", "BOOKLINE_DATA_DIR": str(tmp_path / "data")}
    command = Command(env, tmp_path)
    assert (await command("import", ISBN)).code == 0

    set_ = await command("rollout", "set", "--salt", "another", "--reason", "deal anew", "--json")
    metrics = await command("metrics", "--json")

    assert (set_.told["salt"], set_.told["reason"]) == ("another", "deal anew")
    assert metrics.told["methods"]["workflow"]["count"] == 1


async def test_where_legacy_is_deleted_everybody_goes_by_the_workflow(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with server(sandbox.settings(), tmp_path / "data", before=GONE) as api:
        command = Command({"BOOKLINE_PORT": str(api.port)}, tmp_path)

        status = await command("rollout", "status")
        refused = await command("rollout", "set", "--percent", "50")
        drained = await command("rollout", "drain")

    assert "everybody uses the workflow: there is no legacy importer" in status.out
    assert (refused.code, refused.out) == (1, "")
    assert "no legacy importer" in refused.err
    assert (drained.code, drained.out) == (
        0, "there is no legacy importer: nothing is left to do\n",
    )  # fmt: skip


# ------------------------------------------------------------------ with legacy
@pytest.mark.slow
async def test_the_whole_way_by_command(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("bookline.migration.legacy")
    env = {**sandbox.settings(), "BOOKLINE_WORKFLOW_ROLLOUT_PERCENT": "0"}
    async with server(env, tmp_path / "data") as api:
        command = Command({"BOOKLINE_PORT": str(api.port)}, tmp_path)
        assert (
            "next         `bookline rollout advance`, to 10 %"
            in (await command("rollout", "status")).out
        )
        assert (
            await command("rollout", "advance", "--reason", "go")
        ).out == "10 % by the workflow\n"

        refused = await command("rollout", "advance")
        assert refused.code == 1
        assert "sample    not yet, 100 missing" in refused.err

        for _ in range(10):  # a portion at a time, so that each ends soon after its start
            await asyncio.gather(
                *(finished(api, method) for method in ("workflow", "legacy") for _ in range(10))
            )
        refused = await command("rollout", "advance")
        assert refused.code == 1
        assert "sample" not in refused.err
        assert "p95       not yet: nothing to compare yet" in refused.err, "none ended with a book"
        assert (await command("rollout", "rollback")).out == "0 % by the workflow\n"
        assert (await command("rollout", "set", "--percent", "100")).code == 0

        await delay(sandbox, OTHER)
        await start(api, "legacy", OTHER)
        drained = await command("rollout", "drain")

        assert drained.code == 0
        assert "1 legacy job open" in drained.err
        assert drained.out.startswith("100 % and drained")


async def finished(api: Server, method: str) -> None:
    """An import by this method, from its start to its end."""
    await api.until(await start(api, method, NOT_A_BOOK))


async def start(api: Server, method: str, isbn: str) -> str:
    status, answer, _ = await api.post("/v2/import", {"isbn": isbn, "method": method})
    assert status == 202, answer
    job_id: str = answer["data"]["jobId"]
    return job_id


async def delay(sandbox: Sandbox, isbn: str) -> None:
    """The next answer about this book takes six seconds."""
    rule = {"kind": "delay", "isbn": isbn, "ms": 6_000, "times": 1}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{sandbox.url}/_sandbox/faults", json=rule) as answer,
    ):
        answer.raise_for_status()
