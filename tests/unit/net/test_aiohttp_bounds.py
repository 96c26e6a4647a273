"""Name servers that are slow, and servers that never come to their answer."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bookline.errors import ProviderDown
from bookline.net import aiohttp_bounds
from bookline.net.aiohttp_bounds import NameLookUp
from bookline.net.aiohttp_http import AiohttpHttp


class NameServer:
    """Answers for every name but ``slow``, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.may_answer.wait(20)
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.may_answer.set()


async def test_a_slow_name_holds_up_neither_other_names_nor_the_loops_own_threads(
    name_server: NameServer,
) -> None:
    """asyncio's threads are the engine's: what waits there holds up every import."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    look_up = NameLookUp()
    slow = [asyncio.create_task(look_up.resolve(f"slow{number}.example")) for number in range(9)]
    await asyncio.sleep(0)

    async with asyncio.timeout(120):
        assert await loop.run_in_executor(None, lambda: 17) == 17
        [found] = await look_up.resolve("quick.example", 443)

    assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 443, "quick.example")
    assert not any(task.done() for task in slow)
    name_server.may_answer.set()
    await asyncio.gather(*slow)


async def test_a_name_is_looked_up_once_for_all_who_wait(name_server: NameServer) -> None:
    look_up = NameLookUp()
    waiting = [asyncio.create_task(look_up.resolve("slow.example")) for _ in range(50)]
    await asyncio.sleep(0)

    waiting[0].cancel()
    name_server.may_answer.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)

    assert name_server.asked == ["slow.example"]
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(one, list) for one in found[1:])


async def test_a_name_server_is_not_waited_for_for_ever(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp_bounds, "LOOK_UP_SECONDS", 0.01)

    with pytest.raises(OSError, match="in time"):
        await NameLookUp().resolve("slow.example")


async def test_only_so_many_names_are_looked_up_at_once(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp_bounds, "LOOK_UPS_MOST", 3)
    look_up = NameLookUp()
    slow = [asyncio.create_task(look_up.resolve(f"slow{number}")) for number in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(OSError, match="has to wait"):
        await look_up.resolve("quick.example")

    name_server.may_answer.set()
    await asyncio.gather(*slow)
    assert await look_up.resolve("quick.example")


async def test_a_name_that_is_none_is_an_outage_in_plain_words(name_server: NameServer) -> None:
    http = AiohttpHttp()

    with pytest.raises(ProviderDown, match=r"Cannot reach none\.example"):
        await http.get("https://none.example/x")
    await http.aclose()


async def test_interim_answers_without_end_are_an_outage() -> None:
    sent = 0

    async def hint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        try:
            while sent < 100_000:
                writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" * 100)
                sent += 100
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(hint, "127.0.0.1", 0)
    http = AiohttpHttp()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"

    with pytest.raises(ProviderDown):
        await http.get(url)

    await http.aclose()
    server.close()
    await server.wait_closed()
    assert sent < 100_000


async def test_a_few_interim_answers_are_passed_over() -> None:
    async def hint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hint, "127.0.0.1", 0)
    http = AiohttpHttp()

    answer = await http.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")

    await http.aclose()
    server.close()
    await server.wait_closed()
    assert (answer.status, answer.body) == (200, b"{}")
