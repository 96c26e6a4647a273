"""What every fallback store promises: entries with a time to live, and a careful remove."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bookline.stores.key_value import open_key_value
from bookline.stores.memory_key_value import MemoryKeyValue
from bookline.stores.redis_key_value import RedisKeyValue
from bookline.stores.sqlite_key_value import SqliteKeyValue
from bookline.values import Json

HOUR = 3600.0


@dataclass
class Subject:
    store: SqliteKeyValue | MemoryKeyValue | RedisKeyValue
    pass_seconds: Callable[[float], Awaitable[None]]


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms

    async def pass_seconds(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of our own on a free loopback port, that keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    quiet = ["--save", "", "--appendonly", "no", "--logfile", "redis.log"]
    server = subprocess.Popen([*command, *quiet])
    try:
        _wait_for(port, server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    pytest.fail("redis-server did not start")


@pytest.fixture(params=["sqlite", "memory", "redis"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    clock = Clock()
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        async with Redis.from_url(url) as cleaner:
            await cleaner.flushdb()
        made = Subject(open_key_value(url, tmp_path), asyncio.sleep)
    else:
        url = "memory://" if request.param == "memory" else None
        made = Subject(open_key_value(url, tmp_path, clock=clock), clock.pass_seconds)
    yield made
    await made.store.close()
    await made.store.close()


async def test_an_unknown_key_is_none(subject: Subject) -> None:
    assert await subject.store.find("book:isbn:1") is None


async def test_what_is_kept_is_found_as_it_was(subject: Subject) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"x": "鯨 \U0001f40b \x00 \ud83d"}, "": ""}

    await subject.store.keep("book:isbn:1", value, ttl_seconds=HOUR, if_value=None)

    assert await subject.store.find("book:isbn:1") == value


async def test_a_later_value_takes_the_place_of_an_older_one(subject: Subject) -> None:
    await subject.store.keep("k", {"n": 1}, ttl_seconds=HOUR, if_value=None)

    assert await subject.store.keep("k", {"n": 2}, ttl_seconds=HOUR, if_value={"n": 1})

    assert await subject.store.find("k") == {"n": 2}
    assert await subject.store.keys("") == ["k"]


@pytest.mark.parametrize("seen", [None, {"n": 0}])
async def test_a_value_that_has_changed_since_it_was_read_stays(
    subject: Subject, seen: Json | None
) -> None:
    await subject.store.keep("k", {"n": 1}, ttl_seconds=HOUR, if_value=None)

    assert not await subject.store.keep("k", {"n": 2}, ttl_seconds=HOUR, if_value=seen)

    assert await subject.store.find("k") == {"n": 1}


async def test_a_value_that_is_gone_is_not_replaced(subject: Subject) -> None:
    assert not await subject.store.keep("k", {"n": 2}, ttl_seconds=HOUR, if_value={"n": 1})

    assert await subject.store.find("k") is None


async def test_of_many_changes_at_once_each_counts(subject: Subject) -> None:
    """Twenty callers add one each: whoever was beaten reads again."""
    await subject.store.keep("k", {"n": 0}, ttl_seconds=HOUR, if_value=None)

    async def add() -> None:
        kept = False
        while not kept:
            seen = await subject.store.find("k")
            assert seen is not None
            await asyncio.sleep(0)
            value = {"n": seen["n"] + 1}
            kept = await subject.store.keep("k", value, ttl_seconds=HOUR, if_value=seen)

    await asyncio.gather(*(add() for _ in range(20)))

    assert await subject.store.find("k") == {"n": 20}


async def test_keys_are_those_of_the_prefix_sorted(subject: Subject) -> None:
    for key in ("b*k:2", "b*k:1", "book:3", "b*", "B*k:4", "b*k:鯨"):
        await subject.store.keep(key, {}, ttl_seconds=HOUR, if_value=None)

    assert await subject.store.keys("b*k:") == ["b*k:1", "b*k:2", "b*k:鯨"]
    assert await subject.store.keys("[b]") == []


async def test_more_keys_than_one_question_gives_are_all_there(subject: Subject) -> None:
    wanted = [f"k:{number:04}" for number in range(1_200)]
    await asyncio.gather(
        *(subject.store.keep(key, {}, ttl_seconds=HOUR, if_value=None) for key in wanted)
    )

    assert await subject.store.keys("k:") == wanted


async def test_an_entry_is_gone_when_its_time_is_over(subject: Subject) -> None:
    await subject.store.keep("short", {"n": 1}, ttl_seconds=0.03, if_value=None)
    await subject.store.keep("long", {"n": 2}, ttl_seconds=HOUR, if_value=None)

    await subject.pass_seconds(0.04)

    assert await subject.store.find("short") is None
    assert await subject.store.keys("") == ["long"]
    assert not await subject.store.remove("short", if_value={"n": 1})


async def test_keeping_again_begins_the_time_anew(subject: Subject) -> None:
    await subject.store.keep("k", {"n": 1}, ttl_seconds=0.03, if_value=None)
    await subject.store.keep("k", {"n": 1}, ttl_seconds=HOUR, if_value={"n": 1})

    await subject.pass_seconds(0.04)

    assert await subject.store.find("k") == {"n": 1}


async def test_remove_takes_what_is_still_what_was_read(subject: Subject) -> None:
    await subject.store.keep("k", {"b": 1, "a": "鯨"}, ttl_seconds=HOUR, if_value=None)

    assert await subject.store.remove("k", if_value={"a": "鯨", "b": 1})
    assert await subject.store.find("k") is None
    assert not await subject.store.remove("k", if_value={"a": "鯨", "b": 1})


async def test_remove_leaves_what_has_changed_since(subject: Subject) -> None:
    await subject.store.keep("k", {"n": 2}, ttl_seconds=HOUR, if_value=None)

    assert not await subject.store.remove("k", if_value={"n": 1})
    assert await subject.store.find("k") == {"n": 2}


async def test_of_many_removes_at_once_one_succeeds(subject: Subject) -> None:
    await subject.store.keep("k", {"n": 1}, ttl_seconds=HOUR, if_value=None)

    removed = await asyncio.gather(
        *(subject.store.remove("k", if_value={"n": 1}) for _ in range(20))
    )

    assert sum(removed) == 1


# ------------------------------------------------------------------ Redis alone
async def test_redis_holds_a_book_for_thirty_days(redis_url: str) -> None:
    store = RedisKeyValue(redis_url)
    await store.keep("k", {}, ttl_seconds=30 * 86_400.0, if_value=None)

    async with Redis.from_url(redis_url) as client:
        left_ms = await client.pttl("k")

    assert 29.9 * 86_400_000 < left_ms <= 30 * 86_400_000
    await store.close()


async def test_what_another_wrote_into_redis_is_nothing_and_no_outage(redis_url: str) -> None:
    store = RedisKeyValue(redis_url)
    async with Redis.from_url(redis_url) as client:
        await client.set("k", b"\xff{not json")

    assert await store.find("k") is None
    assert await store.keep("k", {}, ttl_seconds=HOUR, if_value=None)
    await store.close()
