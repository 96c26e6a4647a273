"""A provider that said when to come back, or does not answer, is left alone by everybody."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from bookline.circuit import (
    FAILURES,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    pause_after,
)
from bookline.errors import ProviderDown, Resting, SlowDown, StoreDown
from bookline.limits import Lease, Limits
from bookline.net import pace as pacing
from bookline.net.pace import SharedPace
from bookline.net.rests import LONGEST_HOLD_SECONDS
from bookline.patience import Patience, patient
from bookline.ports import Answer
from bookline.rates import Rate
from bookline.stores.opening import stores_in_memory
from bookline.time_limit import comes_again, gives_way, time_limit

pytestmark = pytest.mark.usefixtures("quick_time")

OK = Answer(status=200)
DOWN = Answer(status=503)
Question = Callable[[], Awaitable[Answer]]


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "LOOK_SECONDS", 0.002)


def passed_seconds() -> float:
    """The loop's own, which are quick here."""
    return asyncio.get_running_loop().time()


def now_ms() -> int:
    return round(passed_seconds() * 1_000)


class Clock:
    """Epoch milliseconds; ``passed`` gives the loop's seconds, and those that a test lets pass."""

    def __init__(self) -> None:
        self.ms = 1_000_000_000
        self.passed_seconds = 0.0

    def __call__(self) -> int:
        return self.ms

    def passed(self) -> float:
        return self.passed_seconds + passed_seconds()

    def pass_seconds(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.passed_seconds += seconds


def says(answer: Answer) -> Question:
    async def question() -> Answer:
        return answer

    return question


async def no_connection() -> Answer:
    raise ProviderDown("no connection")


def paces(clock: Clock) -> tuple[SharedPace, SharedPace]:
    """Two processes' view of one deployment."""
    limits = stores_in_memory(clock).limits
    return SharedPace(limits, {}, passed=clock.passed), SharedPace(limits, {}, passed=clock.passed)


async def fails(
    pace: SharedPace, count: int = FAILURES, question: Question = no_connection
) -> None:
    for number in range(count):
        try:
            await pace.ask("openlibrary", f"book {number}", question)
        except ProviderDown:
            pass


# ------------------------------------------------------------------ Retry-After
async def test_a_wait_that_one_import_was_told_of_holds_for_all() -> None:
    clock = Clock()
    here, there = paces(clock)
    told = Answer(status=429, headers={"retry-after": "20"})

    await here.ask("google_books", "a book", says(told))

    assert await there.held_seconds("google_books") == 20
    assert await there.held_seconds("openlibrary") == 0
    clock.pass_seconds(15)
    assert await there.held_seconds("google_books") == 5
    clock.pass_seconds(6)
    assert await there.held_seconds("google_books") == 0


async def test_only_answers_that_say_so_hold_anybody() -> None:
    here, _ = paces(Clock())

    for answer in (
        Answer(status=200, headers={"retry-after": "20"}),
        Answer(status=429),
        Answer(status=503, headers={"retry-after": "soon"}),
        Answer(status=429, headers={"retry-after": "0"}),
    ):
        await here.ask("isbndb", "a book", says(answer))

    assert await here.held_seconds("isbndb") == 0


async def test_a_hold_is_never_longer_than_a_minute_whatever_the_clock_does() -> None:
    clock = Clock()
    here, _ = paces(clock)

    await here.rests.hold("isbndb", 86_400)

    assert await here.held_seconds("isbndb") == LONGEST_HOLD_SECONDS
    clock.ms -= 3_600_000  # set back by an hour
    clock.passed_seconds += 1
    assert await here.held_seconds("isbndb") == 0


async def test_whoever_asks_waits_until_it_may() -> None:
    pace = SharedPace(stores_in_memory(now_ms).limits, {}, passed=passed_seconds)
    await pace.rests.hold("isbndb", 0.05)
    began = asyncio.get_running_loop().time()

    await pace.ask("isbndb", "a book", says(OK))

    assert asyncio.get_running_loop().time() - began >= 0.045


async def test_what_holds_is_read_once_for_many_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = stores_in_memory(Clock()).limits
    held, reads = limits.held, []

    async def counted(keys: object) -> object:
        reads.append(keys)
        return await held(keys)  # type: ignore[arg-type]

    monkeypatch.setattr(limits, "held", counted)
    pace = SharedPace(limits, {}, passed=lambda: 1.0)

    await asyncio.gather(*(pace.ask("isbndb", "a book", says(OK)) for _ in range(50)))

    assert len(reads) == 1


# ------------------------------------------------------------------ turns
async def test_a_store_that_is_away_costs_a_question_no_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = stores_in_memory(Clock()).limits
    reserve, answers = limits.reserve, [StoreDown("full"), StoreDown("full")]

    async def away_at_first(key: str, count: int, seconds: float, turns: int) -> Lease:
        if answers:
            raise answers.pop()
        return await reserve(key, count, seconds, turns)

    monkeypatch.setattr(limits, "reserve", away_at_first)
    pace = SharedPace(limits, {"google_books": Rate(count=1, seconds=1)})

    with patient(Patience()):
        await pace.ask("google_books", "a book", says(OK))

    assert answers == []


async def test_many_in_line_take_their_turns_together(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = stores_in_memory(Clock()).limits
    taken = turns_taken(limits, monkeypatch)
    pace = SharedPace(limits, {"isbndb": Rate(count=1_000, seconds=1)})

    await asyncio.gather(*(pace.ask("isbndb", "a book", says(OK)) for _ in range(100)))

    assert sum(taken) == 100
    assert len(taken) <= 3


async def test_a_process_takes_no_more_than_half_a_seconds_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that dies takes no more with it, and the others wait no longer. The first one in line
    takes its turn before anybody stands behind it.
    """
    limits = stores_in_memory(Clock()).limits
    taken = turns_taken(limits, monkeypatch)
    pace = SharedPace(limits, {"isbndb": Rate(count=20, seconds=1)})

    asking = [asyncio.create_task(pace.ask("isbndb", "a book", says(OK))) for _ in range(40)]
    await until(lambda: len(taken) >= 2)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)

    assert taken[:2] == [1, 10]


async def test_a_batch_holds_up_no_single_import() -> None:
    pace = SharedPace(stores_in_memory(Clock()).limits, {"isbndb": Rate(count=50, seconds=1)})
    ended: list[str] = []

    async def asks(name: str) -> None:
        with gives_way(name == "batch"):
            await pace.ask("isbndb", name, says(OK))
        ended.append(name)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(80):
            tasks.create_task(asks("batch"))
        await until(lambda: len(ended) >= 50)
        await asks("single")
        behind = 80 - (len(ended) - 1)

    assert behind >= 25


async def test_no_node_waits_for_what_another_has_in_line() -> None:
    """Nodes take turns by the half second, however long the line of one is."""
    limits = stores_in_memory(now_ms).limits
    busy, other = (
        SharedPace(limits, {"isbndb": Rate(count=40, seconds=1)}, passed=passed_seconds)
        for _ in range(2)
    )
    asking = [asyncio.create_task(busy.ask("isbndb", "a book", says(OK))) for _ in range(400)]
    await until(lambda: sum(task.done() for task in asking) >= 40)

    await other.ask("isbndb", "a book", says(OK))

    assert sum(task.done() for task in asking) < 100
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_turns_of_those_who_do_not_wait_any_more_go_back() -> None:
    clock = Clock()
    limits = stores_in_memory(clock).limits
    pace = SharedPace(limits, {"isbndb": Rate(count=1, seconds=1_000)})
    await pace.ask("isbndb", "a book", says(OK))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await pace.ask("isbndb", "another", says(OK))

    (wait,) = (await limits.reserve("ask:isbndb", 1, 1_000)).waits
    assert wait == pytest.approx(1_000)


def turns_taken(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reserve, taken = limits.reserve, list[int]()

    async def counted(key: str, count: int, seconds: float, turns: int) -> Lease:
        taken.append(turns)
        await asyncio.sleep(0.001)  # as a round trip takes
        return await reserve(key, count, seconds, turns)

    monkeypatch.setattr(limits, "reserve", counted)
    return taken


# ------------------------------------------------------------------ the circuit
@pytest.mark.parametrize("question", [no_connection, says(DOWN)])
async def test_a_provider_that_answers_nothing_is_left_alone_by_all(question: Question) -> None:
    clock = Clock()
    here, there = paces(clock)

    await fails(here, question=question)
    async with time_limit(60), asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(pace.ask("openlibrary", "a book", says(OK))) for pace in (here, there)
        ]
        await opened(here)
        states = [(await pace.rests.of("openlibrary")).state for pace in (here, there)]
        done = [task.done() for task in waiting]
        clock.pass_seconds(FIRST_PAUSE_SECONDS)

    assert states == ["open", "open"]
    assert done == [False, False]
    assert (await there.rests.of("openlibrary")).state == "closed"


async def test_one_book_that_gets_no_answer_says_nothing_of_the_provider() -> None:
    here, _ = paces(Clock())

    for _ in range(5 * FAILURES):
        await here.ask("google_books", "the same book", says(DOWN))

    assert await here.held_seconds("google_books") == 0


@pytest.mark.parametrize("status", [200, 404, 400, 403, 429])
async def test_any_answer_in_between_says_that_it_is_there(status: int) -> None:
    here, _ = paces(Clock())

    await fails(here, FAILURES - 1)
    await here.ask("openlibrary", "a book", says(Answer(status=status)))
    await fails(here, FAILURES - 1)
    await here.ask("openlibrary", "a book", says(OK))

    assert await here.held_seconds("openlibrary") == 0


async def test_a_question_that_its_limit_cuts_got_no_answer() -> None:
    clock = Clock()
    here, _ = paces(clock)

    async def hangs() -> Answer:
        clock.passed_seconds += pacing.SLOW_SECONDS
        await asyncio.Event().wait()
        raise AssertionError

    for number in range(FAILURES):
        with pytest.raises(TimeoutError):
            async with time_limit(0.001):
                await here.ask("openlibrary", f"book {number}", hangs)

    assert here._line("openlibrary").outages.are_too_many


async def test_who_is_cancelled_says_nothing_of_the_provider() -> None:
    clock = Clock()
    here, _ = paces(clock)

    async def hangs() -> Answer:
        clock.passed_seconds += pacing.SLOW_SECONDS
        await asyncio.Event().wait()
        raise AssertionError

    for number in range(FAILURES):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await here.ask("openlibrary", f"book {number}", hangs)

    assert not here._line("openlibrary").outages.are_too_many


async def test_a_probe_that_fails_is_nobodys_try_and_the_pause_grows() -> None:
    clock = Clock()
    here, there = paces(clock)
    await fails(here)
    answers = [DOWN, DOWN, DOWN, OK, OK]
    asked_at: list[float] = []

    async def question() -> Answer:
        asked_at.append(clock.passed_seconds)
        return answers.pop(0)

    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(here.ask("openlibrary", str(n), question)) for n in (1, 2)]
        while not all(task.done() for task in waiting):
            clock.pass_seconds(0.25)
            await asyncio.sleep(0.01)

    assert [task.result() for task in waiting] == [OK, OK]
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert pauses[:3] == sorted(pauses[:3])
    assert pauses[2] >= 8 * FIRST_PAUSE_SECONDS - 0.5
    assert (await there.rests.of("openlibrary")).state == "closed"


async def test_who_waits_alone_has_its_tries_like_everybody() -> None:
    clock = Clock()
    here, _ = paces(clock)
    await fails(here)
    alone = asyncio.create_task(here.ask("openlibrary", "a book", no_connection))
    await opened(here)
    clock.pass_seconds(FIRST_PAUSE_SECONDS)

    with pytest.raises(ProviderDown, match="no connection"):
        await alone


async def test_the_circuit_stays_open_over_a_restart_and_for_no_clock_that_was_set() -> None:
    clock = Clock()
    here, there = paces(clock)
    await fails(here)
    waiting = asyncio.create_task(here.ask("openlibrary", "a book", says(OK)))
    await opened(here)
    waiting.cancel()

    state = (await there.rests.of("openlibrary")).state
    clock.ms -= 3_600_000
    answer = await SharedPace(there.rests._limits, {}).ask("openlibrary", "a book", says(OK))

    assert (state, answer) == ("open", OK)


def test_the_pause_grows_to_a_minute() -> None:
    pauses, last = [], None
    for _ in range(9):
        last = pause_after(last)
        pauses.append(last)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, LONGEST_PAUSE_SECONDS]


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


async def test_who_comes_again_leaves_the_line_of_a_provider_that_answers_nobody() -> None:
    """Also from behind imports that wait in it; and it may be the one that looks again."""
    clock = Clock()
    here, there = paces(clock)
    asked = 0

    async def counted() -> Answer:
        nonlocal asked
        asked += 1
        return DOWN if asked == 1 else OK

    await fails(here)
    imports = [asyncio.create_task(here.ask("openlibrary", "a book", says(OK))) for _ in range(3)]
    await opened(here)
    for pace in (here, there):
        with comes_again(with_others=True), pytest.raises(Resting) as rest:
            await pace.ask("openlibrary", "a row", counted)
        assert rest.value.retry_after_seconds == FIRST_PAUSE_SECONDS
    for task in imports:
        task.cancel()
    await asyncio.gather(*imports, return_exceptions=True)
    assert asked == 0

    clock.pass_seconds(FIRST_PAUSE_SECONDS)
    with comes_again(with_others=True), pytest.raises(Resting) as rest:
        await here.ask("openlibrary", "a row", counted)  # a probe that fails is nobody's try
    clock.pass_seconds(2 * FIRST_PAUSE_SECONDS)
    with comes_again(with_others=True):
        answer = await there.ask("openlibrary", "a row", counted)

    assert (asked, answer) == (2, OK)
    assert (await there.rests.of("openlibrary")).state == "closed"


async def test_who_comes_again_alone_has_its_tries() -> None:
    clock = Clock()
    here, _ = paces(clock)
    await fails(here)
    with comes_again(with_others=False), pytest.raises(Resting):
        await here.ask("openlibrary", "a row", no_connection)
    clock.pass_seconds(FIRST_PAUSE_SECONDS)

    with comes_again(with_others=False), pytest.raises(ProviderDown) as failure:
        await here.ask("openlibrary", "a row", no_connection)

    assert not isinstance(failure.value, Resting)


async def opened(pace: SharedPace) -> None:
    while (await pace.rests.read({"openlibrary"}))["openlibrary"].state != "open":
        await asyncio.sleep(0.001)


# ------------------------------------------------------------------ the quota of the day
async def test_a_provider_whose_quota_is_used_up_is_asked_by_nobody_until_it_begins_anew() -> None:
    clock = Clock()
    limits = stores_in_memory(clock).limits
    spent = Answer(status=403)
    quotas = {"google_books": lambda answer: 7_200.0 if answer.status == 403 else None}
    here, there = (SharedPace(limits, {}, quotas, clock.passed) for _ in range(2))

    assert await here.ask("google_books", "a book", says(spent)) == spent
    for pace in (here, there):
        with pytest.raises(SlowDown, match="Google Books: the quota of the day"):
            await pace.ask("google_books", "another", says(OK))
    clock.pass_seconds(7_201)

    assert await there.ask("google_books", "another", says(OK)) == OK
