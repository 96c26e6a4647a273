"""What one fallback store promises alone: files, outages, addresses."""

import socket
import sqlite3
from pathlib import Path

import pytest

from bookline.errors import Refused, StoreDown
from bookline.stores.key_value import FILE_NAME, open_key_value
from bookline.stores.memory_key_value import MemoryKeyValue
from bookline.stores.redis_key_value import RedisKeyValue
from bookline.stores.sqlite_key_value import SqliteKeyValue


async def test_entries_are_there_after_a_restart(tmp_path: Path) -> None:
    first = open_key_value(None, tmp_path)
    await first.keep("k", {"n": 1}, ttl_seconds=60, if_value=None)
    await first.close()

    again = open_key_value("", tmp_path)

    assert await again.find("k") == {"n": 1}
    assert (tmp_path / FILE_NAME).exists()
    await again.close()


async def test_an_entry_that_is_over_leaves_the_file_with_the_next_write(tmp_path: Path) -> None:
    now = [1_000]
    store = SqliteKeyValue(tmp_path / "kv.sqlite", clock=lambda: now[0])
    await store.keep("old", {}, ttl_seconds=1, if_value=None)

    now[0] = 2_000
    await store.keep("new", {}, ttl_seconds=1, if_value=None)

    with sqlite3.connect(tmp_path / "kv.sqlite") as connection:
        assert connection.execute("SELECT key FROM entries").fetchall() == [("new",)]
    connection.close()
    await store.close()


async def test_an_unreadable_entry_is_nothing(tmp_path: Path) -> None:
    store = SqliteKeyValue(tmp_path / "kv.sqlite", clock=lambda: 0)
    with sqlite3.connect(tmp_path / "kv.sqlite") as connection:
        connection.execute("INSERT INTO entries VALUES ('k', '[1, 2', 99)")
    connection.close()

    assert await store.find("k") is None
    assert await store.keep("k", {}, ttl_seconds=60, if_value=None)
    await store.close()


async def test_a_url_chooses_the_store(tmp_path: Path) -> None:
    file = open_key_value(f"sqlite:///{tmp_path}/named.sqlite", tmp_path)
    memory = open_key_value("memory://", tmp_path)
    redis = open_key_value("redis://127.0.0.1:1/0", tmp_path)

    assert isinstance(file, SqliteKeyValue)
    assert (tmp_path / "named.sqlite").exists()
    assert isinstance(memory, MemoryKeyValue)
    assert isinstance(redis, RedisKeyValue)
    for store in (file, memory, redis):
        await store.close()


@pytest.mark.parametrize(
    "url", ["http://user:secret@host", "sqlite://", "sqlite:///", "kv", "redis://:secret@h:port"]
)
def test_another_url_is_refused_without_telling_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        open_key_value(url, tmp_path)

    assert "secret" not in str(refused.value)


async def test_a_redis_that_is_not_there_is_down() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        store = RedisKeyValue(f"redis://127.0.0.1:{taken.getsockname()[1]}")

        with pytest.raises(StoreDown, match="could not be reached"):
            await store.keep("k", {}, ttl_seconds=60, if_value=None)
        with pytest.raises(StoreDown):
            await store.find("k")
        with pytest.raises(StoreDown):
            await store.keys("k")
        with pytest.raises(StoreDown):
            await store.remove("k", if_value={})
        await store.close()


async def test_a_redis_that_does_not_answer_is_down_within_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = RedisKeyValue(f"redis://127.0.0.1:{port}", read_seconds=0.05)

        with pytest.raises(StoreDown, match="did not answer in time"):
            await store.find("k")
        await store.close()
