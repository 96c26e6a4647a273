"""How often callers may ask, and how often providers are asked: one count over all instances."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from worlds import Upstream, World, world

pytestmark = pytest.mark.asyncio(loop_scope="session")
LIMITS = {"RATE_LIMIT_START": "2/hour", "RATE_LIMIT_READ": "3/hour"}
NO_ISBN = {"isbn": "12"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(upstream: Upstream) -> AsyncIterator[World]:
    async with world(upstream, vars=LIMITS) as made:
        yield made


async def ask(here: World, method: str, path: str, caller: str, **more: Any) -> tuple[int, Any]:
    headers = {"CF-Connecting-IP": caller}
    async with here.http.request(method, path, headers=headers, **more) as answer:
        return answer.status, {**answer.headers, **(await answer.json())}


async def test_a_caller_starts_so_many_and_is_told_when_to_come_back(
    limited: World, upstream: Upstream
) -> None:
    bodies = [{"isbn": isbn} for isbn in await upstream.make(3)]
    asked = [
        await ask(limited, "POST", "/v2/import", "198.51.100.1", json=body)
        for body in (NO_ISBN, *bodies)
    ]
    other, _ = await ask(limited, "POST", "/v2/import/workflow", "198.51.100.2", json=bodies[2])

    assert [status for status, _ in asked] == [400, 202, 202, 429], "a refused start costs nothing"
    assert [told["RateLimit-Remaining"] for _, told in asked] == ["1", "1", "0", "0"]
    told = asked[-1][1]
    assert told["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert told["error"]["retryable"]
    assert 1_700 < int(told["Retry-After"]) <= 1_800
    assert other == 202, "each caller has his own"


async def test_reads_are_limited_for_each_route_and_probes_are_not(limited: World) -> None:
    caller = "198.51.100.3"
    reads = [(await ask(limited, "GET", "/v2/books", caller))[0] for _ in range(4)]
    others = [(await ask(limited, "GET", "/v2/import/jobs", caller))[0] for _ in range(2)]
    probes = [(await ask(limited, "GET", "/healthz", caller))[0] for _ in range(5)]

    assert reads == [200, 200, 200, 429]
    assert others == [200, 200]
    assert set(probes) == {200}


async def test_what_a_caller_started_is_known_when_his_object_was_away(
    limited: World, upstream: Upstream
) -> None:
    caller = "198.51.100.4"
    bodies = [{"isbn": isbn} for isbn in await upstream.make(3)]
    for body in bodies[:2]:
        assert (await ask(limited, "POST", "/v2/import", caller, json=body))[0] == 202

    await limited.bench.order("forget", caller)
    status, _ = await ask(limited, "POST", "/v2/import", caller, json=bodies[2])

    assert status == 429


async def test_without_the_binding_nobody_is_limited(upstream: Upstream) -> None:
    bodies = [{"isbn": isbn} for isbn in await upstream.make(3)]
    async with world(upstream, vars=LIMITS, without=["CALLER_LIMITS"]) as here:
        starts = [
            (await ask(here, "POST", "/v2/import", "198.51.100.1", json=body))[0] for body in bodies
        ]

    assert starts == [202, 202, 202]


async def test_a_provider_that_said_when_to_come_back_is_left_alone_by_all_imports(
    here: World, upstream: Upstream
) -> None:
    """Another instance hears of it by D1: it waits as for a turn, which is no try."""
    first, second = await upstream.make(2)
    slow = {"kind": "status", "status": 429, "retry_after": 8, "times": 1}
    await upstream.fault({"route": "openlibrary", "isbn": first, **slow})
    told_off = await here.start(first, source="openlibrary")
    while not await upstream.requests(first):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)

    waited = await here.start(second, source="openlibrary")
    await asyncio.sleep(3)
    asked = await upstream.requests(second)
    ends = [await here.end(one) for one in (told_off, waited)]
    story = await here.story(waited)

    assert asked == []
    assert [job["status"] for job in ends] == ["completed", "completed"]
    assert [one for one in story if one["type"] == "workflow_retry"] == []
