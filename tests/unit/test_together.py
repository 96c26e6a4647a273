"""Questions that come at the same time are asked as one, and nobody pays for another."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from bookline.errors import BooklineError, BookNotFound, ProviderDown, SlowDown, WrongKey
from bookline.time_limit import is_giving_way, off_the_clock, time_limit
from bookline.together import Together

pytestmark = pytest.mark.usefixtures("quick_time")


class Oracle:
    """Answers ``k`` with ``k!``; says what it was asked."""

    def __init__(self, *, most: int = 10, limit_seconds: float = 5.0) -> None:
        self.many: list[Sequence[str]] = []
        self.alone: list[str] = []
        self.whole: Exception | None = None
        """What a question for many comes to."""
        self.errors: dict[str, BooklineError] = {}
        self.unknown: set[str] = set()
        self.free = asyncio.Event()
        self.free.set()
        self.together = Together(self._many, self._one, most=most, limit_seconds=limit_seconds)

    async def _many(self, keys: Sequence[str]) -> Mapping[str, str | BooklineError]:
        self.many.append(keys)
        await self.free.wait()
        if self.whole is not None:
            raise self.whole
        return {key: self.errors.get(key, f"{key}!") for key in keys if key not in self.unknown}

    async def _one(self, key: str) -> str:
        self.alone.append(key)
        if key in self.errors:
            raise self.errors[key]
        return f"{key} alone"

    async def ask(self, *keys: str) -> list[str | BaseException]:
        asked = (self.together.ask(key) for key in keys)
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_those_who_ask_at_the_same_time_are_one_question() -> None:
    oracle = Oracle()

    answers = await oracle.ask("a", "b", "a", "c")

    assert answers == ["a!", "b!", "a!", "c!"]
    assert oracle.many == [["a", "b", "c"]]


async def test_a_question_for_many_lets_single_imports_go_first() -> None:
    oracle = Oracle()
    gave_way = []

    async def ask(keys: Sequence[str]) -> Mapping[str, str]:
        gave_way.append(is_giving_way())
        return dict.fromkeys(keys, "!")

    oracle.together._ask_many = ask

    await oracle.ask("a", "b")

    assert gave_way == [True]


async def test_one_alone_is_asked_for_alone() -> None:
    oracle = Oracle()

    assert await oracle.ask("a") == ["a alone"]

    assert oracle.many == []


async def test_no_question_is_for_more_than_may_be_asked() -> None:
    oracle = Oracle(most=2)

    assert await oracle.ask("a", "b", "c", "d") == ["a!", "b!", "c!", "d!"]

    assert oracle.many == [["a", "b"], ["c", "d"]]


async def test_who_comes_while_one_is_asked_is_part_of_the_next() -> None:
    oracle = Oracle()
    oracle.free.clear()
    first = asyncio.create_task(oracle.ask("a", "b"))
    while not oracle.many:
        await asyncio.sleep(0)
    second = asyncio.create_task(oracle.ask("c"))
    third = asyncio.create_task(oracle.ask("d"))
    await asyncio.sleep(0.01)
    oracle.free.set()

    await asyncio.gather(first, second, third)

    assert oracle.many == [["a", "b"], ["c", "d"]]


async def test_an_error_of_one_is_nobody_elses() -> None:
    oracle = Oracle()
    oracle.errors["b"] = BookNotFound("no b")

    answers = await oracle.ask("a", "b", "c")

    assert answers[::2] == ["a!", "c!"]
    assert isinstance(answers[1], BookNotFound)


async def test_one_that_is_missing_is_asked_for_alone() -> None:
    oracle = Oracle()
    oracle.unknown.add("b")

    assert await oracle.ask("a", "b") == ["a!", "b alone"]


@pytest.mark.parametrize("whole", [ProviderDown("cut"), BookNotFound("404"), ValueError("a bug")])
async def test_where_the_many_cannot_be_asked_together_each_is_asked_alone(
    whole: Exception,
) -> None:
    oracle = Oracle()
    oracle.whole = whole
    oracle.errors["b"] = ProviderDown("b is down")

    answers = await oracle.ask("a", "b", "c")

    assert answers[::2] == ["a alone", "c alone"]
    assert isinstance(answers[1], ProviderDown)


@pytest.mark.parametrize("whole", [SlowDown("wait", None, 3.0), WrongKey("no key")])
async def test_what_holds_for_all_is_told_to_all_and_nobody_asks_again(
    whole: BooklineError,
) -> None:
    oracle = Oracle()
    oracle.whole = whole

    answers = await oracle.ask("a", "b")

    assert [type(answer) for answer in answers] == [type(whole)] * 2
    assert [getattr(answer, "retry_after_seconds", None) for answer in answers] == [
        getattr(whole, "retry_after_seconds", None)
    ] * 2
    assert oracle.alone == []


async def test_a_question_that_takes_too_long_is_asked_one_by_one() -> None:
    oracle = Oracle(limit_seconds=0.02)
    oracle.free.clear()

    assert await oracle.ask("a", "b") == ["a alone", "b alone"]


async def test_the_wait_for_a_turn_counts_for_nobodys_limit() -> None:
    oracle = Oracle(limit_seconds=0.1)
    oracle.free.clear()

    async def turn_then_answer(keys: Sequence[str]) -> Mapping[str, str]:
        async with off_the_clock():
            await asyncio.sleep(0.3)
        return {key: f"{key}!" for key in keys}

    oracle.together._ask_many = turn_then_answer

    async def limited(key: str) -> str:
        async with time_limit(0.1):
            return await oracle.together.ask(key)

    assert list(await asyncio.gather(limited("a"), limited("b"))) == ["a!", "b!"]


async def test_who_goes_away_takes_nobodys_answer_along() -> None:
    oracle = Oracle()
    oracle.free.clear()
    leaving = asyncio.create_task(oracle.together.ask("a"))
    staying = asyncio.create_task(oracle.together.ask("b"))
    while not oracle.many:
        await asyncio.sleep(0)
    leaving.cancel()
    oracle.free.set()

    assert await staying == "b!"
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await oracle.ask("c", "d") == ["c!", "d!"]


async def test_whoever_asked_first_may_be_gone_when_the_next_question_waits() -> None:
    """A question belongs to none of those who ask: their limits are over before it is."""
    oracle = Oracle()

    async def turn_then_answer(keys: Sequence[str]) -> Mapping[str, str]:
        oracle.many.append(keys)
        await asyncio.sleep(0.02)
        async with off_the_clock():
            await asyncio.sleep(0.02)
        return {key: f"{key}!" for key in keys}

    oracle.together._ask_many = turn_then_answer

    async def limited(key: str) -> str:
        async with time_limit(5.0):
            return await oracle.together.ask(key)

    first = asyncio.gather(limited("a"), limited("b"))
    while not oracle.many:
        await asyncio.sleep(0)
    second = asyncio.gather(limited("c"), limited("d"))

    assert list(await first) == ["a!", "b!"]
    assert list(await second) == ["c!", "d!"]
