"""What every rollout log promises: append-only, numbered, the newest in force."""

import asyncio
from typing import Any

import pytest

from bookline.migration.rollout_log import Revision
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import stores_in_memory
from bookline.stores.rollout import SqlRollout
from store_fixtures import OpenStores

Log = SqlRollout


def revision(number: int, **state: Any) -> Revision:
    return Revision(number=number, at_ms=number * 10, actor="ada", reason="why", state=state)


@pytest.fixture
def journal(open_stores: OpenStores) -> SqlJournal:
    return open_stores(lambda: 0).journal


@pytest.fixture(params=["kept", "memory"])
def log(request: pytest.FixtureRequest, journal: SqlJournal) -> Log:
    if request.param == "memory":
        return stores_in_memory(lambda: 0).rollout
    return SqlRollout(journal.database)


async def test_a_fresh_one_has_nothing_in_force(log: Log) -> None:
    assert await log.newest() is None
    assert await log.history(10) == []


async def test_the_last_change_is_in_force(log: Log) -> None:
    for number in (1, 2, 3):
        assert await log.append(revision(number, percent=number))

    assert await log.newest() == revision(3, percent=3)
    assert [one.number for one in await log.history(2)] == [3, 2]


async def test_of_two_changes_at_once_one_wins(log: Log) -> None:
    taken = await asyncio.gather(*(log.append(revision(1, percent=n)) for n in range(20)))

    assert sorted(taken) == [False] * 19 + [True]
    assert await log.newest() == revision(1, percent=taken.index(True))


async def test_a_change_is_seen_by_another_process_at_once(
    journal: SqlJournal, open_stores: OpenStores
) -> None:
    elsewhere = open_stores(lambda: 0).journal
    here, there = SqlRollout(journal.database), SqlRollout(elsewhere.database)
    assert await there.newest() is None

    await here.append(revision(1, percent=10))

    assert await there.newest() == revision(1, percent=10)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"'])
async def test_a_state_that_is_no_object_reads_as_none(journal: SqlJournal, text: str) -> None:
    await journal.database.write(
        lambda db: db.execute("INSERT INTO rollout VALUES (1, 5, 'a', 'r', :text)", {"text": text})
    )

    newest = await SqlRollout(journal.database).newest()

    assert newest is not None
    assert newest.state is None
