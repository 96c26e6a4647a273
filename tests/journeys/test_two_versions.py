"""Nodes of two versions side by side on one PostgreSQL, as a rolling upgrade has them.

The new version is today's with other rules, by which the title gets a mark.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from stack import Server, seqs, server, statuses
from test_crash import MILESTONES

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.slow
NEWER = f"""
import sys
from dataclasses import replace
sys.path.append({str(Path(__file__).parent)!r})
from bookline import workflow
from crashing_server import raise_version
raise_version("book-import-99")
today = workflow.import_book
async def with_a_mark(*args):
    result = await today(*args)
    return replace(result, title=result.title + " (by the new rules)")
workflow.import_book = with_a_mark
"""


class Upgrade:
    """A deployment with nodes of both versions."""

    def __init__(self, sandbox: Sandbox, url: str, folder: Path) -> None:
        self.sandbox = sandbox
        self._folder = folder
        self._env = sandbox.settings() | {
            "BOOKLINE_DATABASE_URL": url,
            "BOOKLINE_OBJECT_STORE_URL": f"file://{folder}/covers",
        }

    def node(self, name: str, before: str = "") -> AbstractAsyncContextManager[Server]:
        return server(self._env, self._folder / name, before=before)

    async def running(self, node: Server, count: int) -> list[str]:
        """Imports that have begun there and get their answer late; others do not any more."""
        self.sandbox.faults.add(kind="delay", ms=8_000, isbn="*", route="google_books", times=None)
        isbns = self.sandbox.make(count)
        jobs = [(await node.begin(isbn, source="google_books"))["jobId"] for isbn in isbns]
        for job_id in jobs:
            while (await node.job(job_id))["step"] is None:
                await asyncio.sleep(0.02)
        self.sandbox.faults.clear()
        return jobs


async def ends(node: Server, jobs: list[str]) -> list[list[dict[str, Any]]]:
    """Their stories, whole and with one good end each."""
    async with asyncio.timeout(60):
        stories = [await node.story(job_id) for job_id in jobs]
    for story in stories:
        assert statuses(story) == MILESTONES, story[-1]
        assert seqs(story) == list(range(1, len(story) + 1))
    return stories


async def rules(node: Server, jobs: list[str]) -> set[str]:
    """By which they ended."""
    titles = [(await node.job(job_id))["result"]["title"] for job_id in jobs]
    return {"new" if "by the new rules" in title else "old" for title in titles}


@pytest.fixture
async def upgrade(postgres_url: str, tmp_path: Path) -> AsyncIterator[Upgrade]:
    async with Sandbox() as sandbox:
        yield Upgrade(sandbox, postgres_url, tmp_path)


async def test_a_node_of_a_new_version_leaves_what_runs_to_the_old_nodes(upgrade: Upgrade) -> None:
    async with upgrade.node("old") as old:
        jobs = await upgrade.running(old, 5)
        async with upgrade.node("new", NEWER) as new:
            stories = await ends(new, jobs)
            fresh = (await new.finished(upgrade.sandbox.make(1)[0]))["jobId"]

            assert not [one for story in stories for one in story if "resumed" in one["type"]]
            assert await rules(new, jobs) == {"old"}
            assert await rules(new, [fresh]) == {"new"}


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_new_node_ends_what_an_old_one_left_by_the_old_rules(
    upgrade: Upgrade, end: str
) -> None:
    async with upgrade.node("old") as old, upgrade.node("new", NEWER) as new:
        jobs = await upgrade.running(old, 5)
        await getattr(old, end)()
        await ends(new, jobs)

        assert await rules(new, jobs) == {"old"}


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_what_a_new_node_left_goes_on_where_its_rules_are_known(
    upgrade: Upgrade, end: str
) -> None:
    """Not where they are not: an old node would have to refuse it."""
    async with (
        upgrade.node("old") as old,
        upgrade.node("new", NEWER) as new,
        upgrade.node("other", NEWER),
    ):
        jobs = await upgrade.running(new, 8)
        await getattr(new, end)()
        await ends(old, jobs)

        assert await rules(old, jobs) == {"new"}
