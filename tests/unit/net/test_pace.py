"""A provider that said when to come back is left alone, by everybody and for no longer."""

import asyncio

import pytest

from bookline.errors import StoreDown
from bookline.net.aiohttp_http import _Paced
from bookline.net.pace import LONGEST_HOLD_SECONDS, SharedPace
from bookline.patience import Patience, patient
from bookline.ports import Answer
from bookline.setting_values import Rate
from bookline.stores.opening import stores_in_memory


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000_000

    def __call__(self) -> int:
        return self.ms


class Upstream:
    """Fills the port Http with one answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def get(self, url: str, **_: object) -> Answer:
        return self.answer

    async def post(self, url: str, **_: object) -> Answer:
        return self.answer


def paces(clock: Clock) -> tuple[SharedPace, SharedPace]:
    """Two processes' view of one deployment."""
    limits = stores_in_memory(clock).limits
    return SharedPace(limits, {}), SharedPace(limits, {})


async def test_a_wait_that_one_import_was_told_of_holds_for_all() -> None:
    clock = Clock()
    here, there = paces(clock)
    told = Answer(status=429, headers={"retry-after": "20"})

    await _Paced(Upstream(told), here, "google_books").get("https://x.example")

    assert await there.held_seconds("google_books") == 20
    assert await there.held_seconds("openlibrary") == 0
    clock.ms += 15_000
    assert await there.held_seconds("google_books") == 5
    clock.ms += 6_000
    assert await there.held_seconds("google_books") == 0


async def test_only_answers_that_say_so_hold_anybody() -> None:
    here, _ = paces(Clock())

    for answer in (
        Answer(status=200, headers={"retry-after": "20"}),
        Answer(status=429),
        Answer(status=503, headers={"retry-after": "soon"}),
        Answer(status=429, headers={"retry-after": "0"}),
    ):
        await _Paced(Upstream(answer), here, "isbndb").post("https://x.example", json={})

    assert await here.held_seconds("isbndb") == 0


async def test_a_hold_is_never_longer_than_a_minute_whatever_the_clock_does() -> None:
    clock = Clock()
    here, _ = paces(clock)

    await here.hold("isbndb", 86_400)

    assert await here.held_seconds("isbndb") == LONGEST_HOLD_SECONDS
    clock.ms -= 3_600_000  # set back by an hour
    assert await here.held_seconds("isbndb") == 0


async def test_whoever_asks_waits_until_it_may() -> None:
    clock = Clock()
    here, _ = paces(clock)
    await here.hold("isbndb", 0.05)
    began = asyncio.get_running_loop().time()

    async with here.turn("isbndb"):
        waited = asyncio.get_running_loop().time() - began

    assert waited >= 0.05


async def test_a_store_that_is_away_costs_a_question_no_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = stores_in_memory(Clock()).limits
    reserve, answers = limits.reserve, [StoreDown("full"), StoreDown("full")]

    async def away_at_first(key: str, count: int, seconds: float) -> float:
        if answers:
            raise answers.pop()
        return await reserve(key, count, seconds)

    monkeypatch.setattr(limits, "reserve", away_at_first)
    pace = SharedPace(limits, {"google_books": Rate(count=1, seconds=1)})

    with patient(Patience()):
        async with pace.turn("google_books"):
            pass

    assert answers == []
