"""Lists of books: what is read, what is started, what is printed."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.cli.importing import AT_ONCE, Outcome, import_all, read_lines, read_wanted
from bookline.cli.story import Story
from bookline.cli.views import PlainView
from bookline.cli.words import ending
from bookline.client import BooklineClient, Event, Started, read_event
from bookline.errors import Refused

ORWELL = "9780451524935"
RESULT = {"title": "A Book", "storedIn": "database", "hasEmbedding": True}


class FakeClient(BooklineClient):
    """Each import starts and completes; a few at a time are counted."""

    def __init__(self) -> None:
        super().__init__("http://nowhere.test")
        self.at_once = 0
        self.most_at_once = 0
        self.started: list[str] = []

    async def start(
        self, isbn: str, source: str = "auto", *, idempotency_key: str | None = None
    ) -> Started:
        if source == "nowhere":
            raise Refused("INVALID_SOURCE", "source must be another")
        self.started.append(isbn)
        return Started(job_id=f"import-{isbn}", isbn=isbn, token="", raw={})

    async def follow(
        self, job_id: str, *, after: int = 0, token: str | None = None
    ) -> AsyncGenerator[Event, None]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        data = {"storedIn": "database", "result": RESULT}
        told = {"type": "workflow_progress", "seq": 1, "status": "completed", "data": data}
        yield read_event({**told, "progress": 1})
        self.at_once -= 1

    async def ask(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise AssertionError("nothing else is asked for")


def test_a_book_that_stands_twice_in_a_list_is_wanted_once() -> None:
    wanted = read_wanted(["0-451-52493-4", ORWELL, "ISBN nonsense"])

    assert wanted.isbns == [ORWELL]
    assert wanted.repeated == [ORWELL]
    assert [error.text for error in wanted.refused] == ["ISBN nonsense"]


def test_a_list_may_hold_comments_and_empty_lines() -> None:
    lines = ["\ufeff978-0-451-52493-5", "", "# mine", "9780061120084  # to read", "✓ 9780142437247"]

    assert read_lines(lines) == ["978-0-451-52493-5", "9780061120084"]


@given(st.text())
def test_the_failed_ones_can_be_fed_back(reason: str) -> None:
    done = Story(ORWELL, end="completed", result=RESULT)
    failed = Story("9780000000019", end="failed", error={"code": "X", "message": reason})
    printed = [f"✓ {done.isbn}  {ending(done)}", *Outcome([done, failed]).again()]

    assert read_lines("\n".join(printed).splitlines()) == ["9780000000019"]


async def test_a_long_list_is_followed_a_few_at_a_time() -> None:
    client = FakeClient()
    wanted = read_wanted(str(9780000000000 + number) for number in range(3000))

    outcome = await import_all(client, wanted, "auto", PlainView(), watch=True)

    assert client.started == list(wanted.isbns)
    assert client.most_at_once == AT_ONCE
    assert outcome.is_good is False  # the numbers that are no ISBN
    assert outcome.to_json()["done"] == len(wanted.isbns)


async def test_a_source_that_does_not_exist_starts_nothing() -> None:
    client = FakeClient()

    with pytest.raises(Refused):
        await import_all(client, read_wanted([ORWELL]), "nowhere", PlainView(), watch=True)

    assert client.started == []
