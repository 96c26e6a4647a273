"""How long one looks for a way to a host, and how long an import does that finds none."""

import asyncio
import socket
from typing import Any

import pytest

from bookline.engine.tries import JITTER
from bookline.errors import Unreachable
from bookline.net.aiohttp_bounds import NameLookUp
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.net.reach import AGAIN_SECONDS, REACH_SECONDS, REMEMBERED_SECONDS, Reach
from bookline.workflow import FETCH_METADATA

HOSTS = ("www.googleapis.com", "openlibrary.org", "api2.isbndb.com")
MOST_SECONDS = 17.0


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_an_import_whose_sources_are_all_out_of_reach_ends_in_time() -> None:
    """Each try looks for each host as long as it may: names and packets are lost without a word."""
    clock = Clock()
    reach, retries = Reach(clock), FETCH_METADATA.retries

    for failure in range(1, retries.limit + 2):
        for host in HOSTS:
            clock.now += reach.limit_seconds(host)
            reach.lost(host)
        if failure <= retries.limit:
            clock.now += retries.delay_after(failure) * (1 + JITTER)

    assert clock.now - 1_000 <= MOST_SECONDS


def test_a_host_that_was_lost_has_less_time_until_it_answers() -> None:
    reach = Reach(Clock())
    assert reach.limit_seconds("a.example") == REACH_SECONDS

    reach.lost("a.example")
    assert reach.limit_seconds("a.example") == AGAIN_SECONDS
    reach.found("a.example")

    assert reach.limit_seconds("a.example") == REACH_SECONDS


def test_a_loss_shortens_the_time_of_others_until_one_answers() -> None:
    reach = Reach(Clock())

    reach.lost("a.example")
    assert reach.limit_seconds("b.example") == AGAIN_SECONDS
    reach.found("b.example")

    assert reach.limit_seconds("b.example") == REACH_SECONDS
    assert reach.limit_seconds("c.example") == REACH_SECONDS
    assert reach.limit_seconds("a.example") == AGAIN_SECONDS


def test_a_host_on_a_slow_line_has_the_whole_time_again_later() -> None:
    clock = Clock()
    reach = Reach(clock)
    reach.lost("a.example")

    clock.now += REMEMBERED_SECONDS - 1
    reach.lost("a.example")
    assert reach.limit_seconds("a.example") == AGAIN_SECONDS
    clock.now += 1

    assert reach.limit_seconds("a.example") == REACH_SECONDS
    assert reach.limit_seconds("b.example") == REACH_SECONDS


async def test_a_provider_that_is_lost_is_looked_for_by_these_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a look-up asks for its limit, the answer and the connection tell."""
    seen: list[tuple[str, float]] = []

    async def resolve(self: NameLookUp, host: str, *_: Any, **__: Any) -> list[Any]:
        seen.append((host, self._limit_seconds(host)))
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(NameLookUp, "resolve", resolve)
    http = AiohttpHttp()
    for host in (*HOSTS, HOSTS[0]):
        with pytest.raises(Unreachable, match=host):
            await http.get(f"https://{host}/books")
    await http.aclose()

    first, *others = seen
    assert first == (HOSTS[0], REACH_SECONDS)
    assert {limit for _, limit in others} == {AGAIN_SECONDS}


async def test_a_connection_that_does_not_come_about_has_these_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A listener whose backlog is full takes no more: as a firewall that drops what comes."""
    limits = [0.05, 0.02]
    asked: list[str] = []

    def limit_seconds(self: Reach, host: str) -> float:
        asked.append(host)
        return limits[min(len(asked), len(limits)) - 1]

    monkeypatch.setattr(Reach, "limit_seconds", limit_seconds)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        http = AiohttpHttp()
        async with asyncio.timeout(60):
            with pytest.raises(Unreachable, match="Are you online"):
                await http.get(f"http://127.0.0.1:{deaf.getsockname()[1]}/books")
        await http.aclose()
        for one in waiting:
            one.close()

    assert asked == ["127.0.0.1"]
