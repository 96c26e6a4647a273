"""Which nodes are alive, by their beats: watched, never compared with a clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bookline.clocks import SharedClock
from bookline.engine.leases import BEAT_SECONDS, DEAD_SECONDS, Leases
from bookline.stores.database import Database
from bookline.stores.opening import open_storage, stores_in


class Steady:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def database(migrated_url: str, tmp_path: Path) -> Iterator[Database]:
    storage = open_storage(migrated_url, tmp_path)
    yield stores_in(storage, lambda: 0).journal.database
    storage.close()


async def watch(watcher: Leases, steady: Steady, seconds: float, *beating: Leases) -> set[str]:
    """Looks once a beat for so long, while these beat; who is alive at the end."""
    for _ in range(int(seconds / BEAT_SECONDS)):
        steady.seconds += BEAT_SECONDS
        for one in beating:
            one.open()  # a beat
        await watcher.living()
    return await watcher.living()


async def test_who_begins_is_seen_and_who_leaves_is_not(database: Database) -> None:
    one, other = Leases(database, SharedClock()), Leases(database, SharedClock())
    one.open()
    assert await one.living() == {one.node_id}

    other.open()
    assert await one.living() == await other.living() == {one.node_id, other.node_id}

    other.close()
    other.close()  # twice does no harm
    assert await one.living() == {one.node_id}


async def test_a_beat_that_stands_still_is_a_death(database: Database) -> None:
    steady = Steady()
    one, other, third = (
        Leases(database, SharedClock(), steady),
        Leases(database, SharedClock()),
        Leases(database, SharedClock()),
    )
    for node in (one, other, third):
        node.open()

    before = await watch(one, steady, DEAD_SECONDS - BEAT_SECONDS, third)
    after = await watch(one, steady, 2 * BEAT_SECONDS, third)

    assert before == {one.node_id, other.node_id, third.node_id}
    assert after == {one.node_id, third.node_id}


@pytest.mark.parametrize("away", [60.0, 100_000.0])
async def test_who_did_not_watch_takes_nobody_for_dead(database: Database, away: float) -> None:
    """Frozen itself, or without the database: others could not be seen beating."""
    steady = Steady()
    one, other = Leases(database, SharedClock(), steady), Leases(database, SharedClock())
    one.open()
    other.open()
    await one.living()

    steady.seconds += away

    assert await one.living() == {one.node_id, other.node_id}


async def test_who_only_slept_is_alive_with_its_next_beat(database: Database) -> None:
    steady = Steady()
    one, other = Leases(database, SharedClock(), steady), Leases(database, SharedClock())
    one.open()
    other.open()
    assert await watch(one, steady, 2 * DEAD_SECONDS) == {one.node_id}

    other.open()

    assert await one.living() == {one.node_id, other.node_id}


async def test_one_node_at_a_time_does_a_chore(database: Database) -> None:
    one, other = Leases(database, SharedClock()), Leases(database, SharedClock())

    async with (
        one.only_one("sweep") as first,
        other.only_one("sweep") as second,
        other.only_one("sieve") as another,
    ):
        assert (first, second, another) == (True, False, True)

    async with other.only_one("sweep") as again:
        assert again


async def test_a_chore_is_lost_no_later_than_its_node_is_dead(database: Database) -> None:
    """Or a node that dies while it looks for what dead ones left would hold that up."""
    async with Leases(database, SharedClock()).only_one("sweep"):  # and dies in it
        [row] = await database.look_up(
            lambda session: session.execute(
                """SELECT at_ms - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
                          AS left_ms
                   FROM moments WHERE name = 'chore sweep'"""
            )
        )

    assert 0 < row["left_ms"] <= DEAD_SECONDS * 1000


async def test_a_servers_clock_that_is_set_back_keeps_no_chore_from_the_others(
    database: Database,
) -> None:
    """The node died in the chore, and the standby that took over is hours behind."""
    hours_ahead = """INSERT INTO moments (name, at_ms) VALUES ('chore sweep',
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + 7200000)"""
    await database.write(lambda session: session.execute(hours_ahead), "sweep")

    async with Leases(database, SharedClock()).only_one("sweep") as is_ours:
        assert is_ours
        async with Leases(database, SharedClock()).only_one("sweep") as is_theirs:
            assert not is_theirs
