"""The tries of one step: how often, how far apart, and what a replay makes of their records."""

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from bookline.engine.job_run import JobRun
from bookline.engine.outbox import RIDE_SECONDS
from bookline.engine.places import Places, Slot
from bookline.engine.tries import Policy
from bookline.engine.world import World
from bookline.errors import (
    BookNotFound,
    Cancelled,
    DeadlineExceeded,
    JobStopped,
    ProviderDown,
    SlowDown,
    StepFailed,
)
from bookline.job import ImportInput, Job, Warned
from bookline.retries import CONSTANT, EXPONENTIAL, LINEAR, Retries, Step
from bookline.stores.opening import stores_in_memory
from bookline.time_limit import off_the_clock
from bookline.values import Json
from bookline.workflow import (
    FETCH_METADATA,
    GENERATE_EMBEDDING,
    SAVE_TO_DATABASE,
    STEPS,
    UPLOAD_COVER,
)

pytestmark = pytest.mark.usefixtures("quick_time")

settings.register_profile("a busy machine fails no test", deadline=None)
settings.load_profile("a busy machine fails no test")

ORDER = ImportInput(job_id="job", isbn="9780142437247", input_isbn="0142437247")
DOWN = ProviderDown("down")


@dataclass
class Clock:
    now_ms: int = 1_000_000
    set_by_ms: int = 0
    """How far somebody has set the wall clock; the time that passes knows nothing of it."""

    def __call__(self) -> int:
        return self.now_ms + self.set_by_ms

    def passed(self) -> float:
        return self.now_ms / 1000


@dataclass
class Bench:
    """A run whose waits are over at once: the clock goes on by as much."""

    clock: Clock = field(default_factory=Clock)
    policy: Policy = field(default_factory=Policy)
    chance: float = 0.0
    records: list[str] = field(default_factory=list)
    skip_waits: bool = True
    sets_clock_by_ms: int = 0
    """Behind each record, before its wait."""

    async def open(self) -> "Bench":
        self.journal = stores_in_memory(self.clock).journal
        await self.journal.open(
            Job(order=ORDER, method="workflow", created_ms=0, updated_ms=0, node="node")
        )
        self.cancel = asyncio.Event()
        return self

    async def run(self) -> JobRun:
        claim = await self.journal.claim("job", "node")
        assert claim is not None
        world = World(
            runs=self.journal,
            steps=None,  # type: ignore[arg-type]  # a run does what it is told
            policy=self.policy,
            node="node",
            clock=self.clock,
            passed=self.clock.passed,
            places=Places(1),
            chance=lambda: self.chance,
        )
        self.places, self.slot = world.places, Slot(world.places)
        await self.slot.take()
        run = JobRun(ORDER, claim, BenchRecords(self), world, self.cancel, self.slot)
        if self.skip_waits:
            run._is_cancelled_within = self._pass  # type: ignore[method-assign]
        return run

    async def _pass(self, seconds: float) -> bool:
        self.clock.now_ms += round(seconds * 1000)
        return self.cancel.is_set()

    def lasting(self, seconds: float) -> Callable[[], Awaitable[Json]]:
        """Work that takes so long."""

        async def work() -> Json:
            self.clock.now_ms += round(seconds * 1000)
            return {}

        return work

    async def told(self) -> list[Json]:
        events = [json.loads(one.message) for one in await self.journal.read("job", 0, 99)]
        return [event["data"] for event in events if event["type"] == "workflow_retry"]

    async def delays(self) -> list[int]:
        return [one["delayMs"] for one in await self.told()]


class BenchRecords:
    """Fills the port Records from the bench's, for one run of it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.places = count()

    def reserve(self) -> int:
        return next(self.places)

    async def record(
        self, name: str, body: Callable[[], Awaitable[Json]], place: int | None = None
    ) -> Json:
        records = self.bench.records
        place = self.reserve() if place is None else place
        if place >= len(records) or not records[place]:
            made = json.dumps(await body())
            records.extend([""] * (place + 1 - len(records)))
            records[place] = made
        outcome: Json = json.loads(records[place])
        self.bench.clock.set_by_ms += self.bench.sets_clock_by_ms
        return outcome


@pytest.fixture
async def bench() -> Bench:
    return await Bench().open()


class Work:
    """Fails as told, then works."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> Json:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return {"done": self.calls}


def a_step(backoff: str = LINEAR, limit: int = 3, delay: float = 1, seconds: float = 15) -> Step:
    return Step(
        name="fetch-metadata",
        retries=Retries(limit=limit, delay_seconds=delay, backoff=backoff),
        limit_seconds=seconds,
        failed_code="PROVIDER_ERROR",
        timeout_code="PROVIDER_TIMEOUT",
    )


async def hang() -> Json:
    await asyncio.Event().wait()
    raise AssertionError


# ------------------------------------------------------------------ how far apart
@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (CONSTANT, [1_000, 1_000, 1_000, 1_000]),
        (LINEAR, [1_000, 2_000, 3_000, 4_000]),
        (EXPONENTIAL, [1_000, 2_000, 4_000, 8_000]),
    ],
)
async def test_tries_are_as_far_apart_as_their_backoff_says(
    bench: Bench, backoff: str, delays: list[int]
) -> None:
    began_ms = bench.clock()
    work = Work(*[DOWN] * 4)

    assert await (await bench.run()).do(a_step(backoff, limit=4), work) == {"done": 5}

    assert await bench.delays() == delays
    assert bench.clock() - began_ms == sum(delays)


@pytest.mark.parametrize(
    ("name", "delays"),
    [
        ("fetch-metadata", [1_000, 2_000, 3_000]),
        ("upload-cover", [500, 1_000, 2_000, 4_000, 8_000]),
        ("generate-embedding", [2_000, 4_000]),
        ("save-to-database", [1_000, 2_000, 4_000]),
        ("save-to-fallback", [1_000, 2_000, 4_000]),
    ],
)
async def test_each_step_is_tried_as_the_spec_says(
    bench: Bench, name: str, delays: list[int]
) -> None:
    step = next(step for step in STEPS if step.name == name)
    work = Work(*[DOWN] * 99)

    with pytest.raises(StepFailed) as failed:
        await (await bench.run()).do(step, work)

    assert await bench.delays() == delays
    assert work.calls == failed.value.attempts == len(delays) + 1


@given(st.floats(0, 1), st.integers(1, 5))
async def test_jitter_adds_up_to_a_tenth(chance: float, failures: int) -> None:
    """Imports that failed together come back apart."""
    bench = await Bench(chance=chance).open()

    await (await bench.run()).do(UPLOAD_COVER, Work(*[DOWN] * failures))

    plain = [500, 1_000, 2_000, 4_000, 8_000][:failures]
    for delay, least in zip(await bench.delays(), plain, strict=True):
        assert delay == round(least * (1 + 0.1 * chance))


async def test_the_scale_multiplies_each_delay(bench: Bench) -> None:
    bench.policy = Policy(retry_scale=0.5)

    await (await bench.run()).do(FETCH_METADATA, Work(DOWN, DOWN))

    assert await bench.delays() == [500, 1_000]


# ------------------------------------------------------------------ Retry-After
@pytest.mark.parametrize(
    ("asked_seconds", "delay_ms"),
    [(None, 1_000), (0.0, 1_000), (0.5, 1_000), (7.0, 7_000), (60.0, 60_000), (900.0, 60_000)],
)
async def test_retry_after_is_honoured_up_to_a_minute_in_place_of_a_shorter_delay(
    bench: Bench, asked_seconds: float | None, delay_ms: int
) -> None:
    busy = SlowDown("busy", None, asked_seconds)

    await (await bench.run()).do(FETCH_METADATA, Work(busy))

    assert await bench.delays() == [delay_ms]


async def test_retry_after_is_not_scaled(bench: Bench) -> None:
    bench.policy = Policy(retry_scale=0.001)

    await (await bench.run()).do(FETCH_METADATA, Work(SlowDown("busy", None, 7.0)))

    assert await bench.delays() == [7_000]


# ------------------------------------------------------------------ how often
@given(limit=st.integers(0, 6), failures=st.integers(0, 8))
async def test_a_limit_counts_retries_not_tries(limit: int, failures: int) -> None:
    bench = await Bench().open()
    work = Work(*[DOWN] * failures)

    ended = await outcome(await bench.run(), work, a_step(limit=limit))

    assert work.calls == min(failures, limit) + 1
    if failures <= limit:
        assert ended == {"done": failures + 1}
    else:
        assert ended == (StepFailed, ("fetch-metadata", limit + 1, "PROVIDER_ERROR", "down"))


async def test_what_cannot_get_better_is_tried_once(bench: Bench) -> None:
    work = Work(BookNotFound("no such book"))

    with pytest.raises(StepFailed) as failed:
        await (await bench.run()).do(FETCH_METADATA, work)

    assert (failed.value.code, failed.value.attempts) == ("BOOK_NOT_FOUND", 1)
    assert str(failed.value) == "fetch-metadata failed after 1 try: no such book"


async def test_a_try_that_takes_too_long_is_cut_and_tried_again(bench: Bench) -> None:
    with pytest.raises(StepFailed) as failed:
        await (await bench.run()).do(a_step(limit=1, seconds=0.01), hang)

    assert (failed.value.code, failed.value.attempts) == ("PROVIDER_TIMEOUT", 2)
    assert failed.value.message == "timed out after 0.01 s"


async def test_a_long_message_is_cut_before_it_is_kept(bench: Bench) -> None:
    with pytest.raises(StepFailed) as failed:
        await (await bench.run()).do(a_step(limit=0), Work(ProviderDown("x" * 9_000)))

    assert len(failed.value.message) == 500
    assert len(bench.records[0]) < 700


# ------------------------------------------------------------------ the deadline
async def test_the_deadline_cuts_a_running_try(bench: Bench) -> None:
    """Also when the clock that was handed in has not moved."""
    bench.policy = Policy(deadline_seconds=0.01)

    with pytest.raises(DeadlineExceeded) as late:
        await (await bench.run()).do(FETCH_METADATA, hang)

    assert (late.value.code, late.value.attempts) == ("DEADLINE_EXCEEDED", 1)
    assert late.value.message == "the job did not end within 0.01 s"
    assert await bench.told() == []


async def test_no_try_begins_behind_the_deadline(bench: Bench) -> None:
    work = Work()
    run = await bench.run()
    await run.do(FETCH_METADATA, bench.lasting(900))

    with pytest.raises(DeadlineExceeded) as late:
        await run.do(UPLOAD_COVER, work)

    assert (work.calls, late.value.attempts) == (0, 0)


async def test_time_in_which_nothing_is_tried_or_waited_for_does_not_count(bench: Bench) -> None:
    run = await bench.run()
    bench.clock.now_ms += 10**9

    assert await run.do(FETCH_METADATA, Work()) == {"done": 1}


async def test_a_wait_for_a_turn_does_not_count(bench: Bench) -> None:
    run = await bench.run()

    async def waits() -> Json:
        async with off_the_clock():
            bench.clock.now_ms += 10**9
        return {}

    await run.do(FETCH_METADATA, waits)

    assert await run.do(UPLOAD_COVER, Work()) == {"done": 1}


async def test_a_wait_over_the_deadline_is_not_begun(bench: Bench) -> None:
    bench.policy = Policy(deadline_seconds=3)

    with pytest.raises(DeadlineExceeded) as late:
        await (await bench.run()).do(a_step(CONSTANT, limit=9), Work(*[DOWN] * 9))

    assert await bench.delays() == [1_000, 1_000]
    assert late.value.attempts == 3
    assert late.value.message == "the job did not end within 3 s; the last failure was: down"


async def test_what_was_spent_outlives_a_restart(bench: Bench) -> None:
    bench.policy = Policy(deadline_seconds=10)
    before = await bench.run()
    await before.do(FETCH_METADATA, bench.lasting(6))
    doing = asyncio.create_task(before.do(UPLOAD_COVER, hang))
    await asyncio.sleep(0.001)
    doing.cancel()
    bench.records.clear()
    bench.clock.now_ms += 10**9  # nobody runs it

    run = await bench.run()
    await run.do(FETCH_METADATA, bench.lasting(5))

    with pytest.raises(DeadlineExceeded):
        await run.do(UPLOAD_COVER, Work())


@pytest.mark.parametrize(("lived_ms", "spent_ms"), [(4_000, 4_000), (40_000, 15_000)])
async def test_a_try_that_died_counts_up_to_its_nodes_last_sign_of_life(
    bench: Bench, lived_ms: int, spent_ms: int
) -> None:
    """And never for longer than it may take."""
    await bench.run()
    await bench.journal.begin("job", 1, "fetch-metadata", 1, limit_ms=15_000)
    bench.clock.now_ms += lived_ms
    await bench.journal.seen("node")
    bench.clock.now_ms += 10**9

    claims = [await bench.journal.claim("job", "node-2") for _ in range(2)]

    assert [claim and claim.spent_ms for claim in claims] == [spent_ms, spent_ms]


async def test_a_retry_wait_that_died_counts_up_to_its_nodes_last_sign_of_life(
    bench: Bench,
) -> None:
    bench.skip_waits = False
    doing = asyncio.create_task((await bench.run()).do(a_step(delay=60), Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)
    bench.clock.now_ms += 7_000
    await bench.journal.seen("node")
    doing.cancel()

    claim = await bench.journal.claim("job", "node-2")

    assert claim is not None
    assert claim.spent_ms == 7_000


# ------------------------------------------------------------------ cancel
async def test_a_cancelled_job_begins_no_try(bench: Bench) -> None:
    run = await bench.run()
    await bench.journal.request_cancel("job")
    work = Work()

    with pytest.raises(Cancelled) as cancelled:
        await run.do(FETCH_METADATA, work)

    assert (work.calls, cancelled.value.attempts, cancelled.value.code) == (0, 0, "CANCELLED")


async def test_a_cancel_ends_a_wait_at_once(bench: Bench) -> None:
    bench.skip_waits = False
    run = await bench.run()
    doing = asyncio.create_task(run.do(FETCH_METADATA, Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)

    bench.cancel.set()

    with pytest.raises(Cancelled) as cancelled:
        async with asyncio.timeout(0.5):
            await doing
    assert cancelled.value.attempts == 1


async def test_a_cancel_ends_a_wait_for_a_turn_at_once(bench: Bench) -> None:
    run = await bench.run()
    waiting = asyncio.Event()

    async def waits() -> Json:
        async with off_the_clock():
            waiting.set()
            await asyncio.sleep(60)
        raise AssertionError

    doing = asyncio.create_task(run.do(FETCH_METADATA, waits))
    await waiting.wait()
    room = bench.places.room

    bench.cancel.set()

    with pytest.raises(Cancelled):
        await asyncio.wait_for(doing, 5)
    assert room == 1


async def test_a_wait_gives_its_place_at_work_to_others(bench: Bench) -> None:
    bench.skip_waits = False
    run = await bench.run()
    doing = asyncio.create_task(run.do(a_step(delay=0.02), Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    room = bench.places.room
    await doing

    assert room == 1
    assert bench.places.room == 0


# ------------------------------------------------------------------ stop and replay
async def test_a_stopped_try_leaves_no_mark_and_no_record(bench: Bench) -> None:
    doing = asyncio.create_task((await bench.run()).do(FETCH_METADATA, hang))
    await asyncio.sleep(0.001)

    doing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await doing
    assert bench.records == []
    assert await (await bench.run()).do(FETCH_METADATA, Work()) == {"done": 1}


async def test_a_try_that_the_process_died_in_is_not_done_again(bench: Bench) -> None:
    await bench.run()
    await bench.journal.begin("job", 1, "fetch-metadata", 1)
    work = Work()

    assert await (await bench.run()).do(FETCH_METADATA, work) == {"done": 1}

    assert await bench.delays() == [1_000]
    (told,) = await bench.told()
    assert (told["attempt"], told["error"]["code"]) == (1, "PROVIDER_ERROR")


async def test_a_wait_is_found_again_and_not_begun_anew(bench: Bench) -> None:
    bench.skip_waits = False
    doing = asyncio.create_task((await bench.run()).do(a_step(delay=60), Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)
    doing.cancel()
    bench.clock.now_ms += 60_000

    assert await (await bench.run()).do(a_step(delay=60), Work()) == {"done": 1}

    assert await bench.delays() == [60_000]


async def test_a_clock_that_was_set_back_makes_no_wait_longer(bench: Bench) -> None:
    bench.skip_waits = False
    doing = asyncio.create_task((await bench.run()).do(a_step(delay=0.05), Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)
    doing.cancel()
    bench.clock.set_by_ms = -3 * 3_600_000

    async with asyncio.timeout(5):
        assert await (await bench.run()).do(a_step(delay=0.05), Work()) == {"done": 1}


async def test_a_clock_that_was_set_ahead_makes_no_wait_shorter(bench: Bench) -> None:
    bench.skip_waits, bench.sets_clock_by_ms = False, 3_600_000
    doing = asyncio.create_task((await bench.run()).do(a_step(delay=60), Work(DOWN)))
    while not await bench.told():
        await asyncio.sleep(0)

    done, _ = await asyncio.wait([doing], timeout=0.05)

    assert not done
    doing.cancel()


@given(
    failures=st.lists(
        st.sampled_from([DOWN, SlowDown("busy", None, 30.0), ValueError("x"), BookNotFound("no")]),
        max_size=5,
    ),
    chance=st.floats(0, 1),
)
async def test_a_replay_takes_the_same_way_whatever_clock_and_chance_say(
    failures: list[Exception], chance: float
) -> None:
    bench = await Bench().open()
    first = await outcome(await bench.run(), Work(*failures))
    story = await bench.told()
    bench.chance, bench.clock.now_ms = chance, bench.clock.now_ms + 10**9
    untouched = Work(AssertionError("a replay does nothing"))

    again = await outcome(await bench.run(), untouched)

    assert again == first
    assert untouched.calls == 0
    assert await bench.told() == story


async def outcome(run: JobRun, work: Work, step: Step = FETCH_METADATA) -> Any:
    try:
        return await run.do(step, work)
    except JobStopped as stop:
        return type(stop), stop.args


# ------------------------------------------------------------------ side by side
async def test_steps_side_by_side_find_their_records_whichever_was_first(bench: Bench) -> None:
    slow = asyncio.Event()

    async def slowly() -> Json:
        await slow.wait()
        return {"done": "cover"}

    async def quickly() -> Json:
        slow.set()
        return {"done": "embedding"}

    async def both(cover: Any, embedding: Any) -> list[Json]:
        run = await bench.run()
        run.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
        doing = run.do(UPLOAD_COVER, cover), run.do(GENERATE_EMBEDDING, embedding)
        return list(await asyncio.gather(*doing))

    first = await both(slowly, quickly)
    again = await both(Work(AssertionError()), Work(AssertionError()))

    assert first == again == [{"done": "cover"}, {"done": "embedding"}]


async def test_status_shows_the_first_step_that_has_not_ended(bench: Bench) -> None:
    run = await bench.run()
    run.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
    cover, embedding = asyncio.Event(), asyncio.Event()

    async def until(event: asyncio.Event) -> Json:
        await event.wait()
        return {}

    doing = [
        asyncio.create_task(run.do(step, partial(until, event)))
        for step, event in ((UPLOAD_COVER, cover), (GENERATE_EMBEDDING, embedding))
    ]
    await asyncio.sleep(0.01)
    both = await bench.journal.find("job")
    cover.set()
    await doing[0]
    await run.tell("cover_uploaded", {})
    await asyncio.sleep(4 * RIDE_SECONDS)
    one = await bench.journal.find("job")
    embedding.set()
    await doing[1]

    assert both is not None
    assert one is not None
    assert (both.step, one.step) == ("upload-cover", "generate-embedding")


async def test_side_by_side_time_counts_once(bench: Bench) -> None:
    bench.policy = Policy(deadline_seconds=10)
    run = await bench.run()
    run.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
    begun = [asyncio.Event(), asyncio.Event()]

    async def with_the_other(mine: int) -> Json:
        begun[mine].set()
        await begun[1 - mine].wait()
        if mine == 0:
            bench.clock.now_ms += 6_000  # while both are under way
        return {}

    await asyncio.gather(
        run.do(UPLOAD_COVER, partial(with_the_other, 0)),
        run.do(GENERATE_EMBEDDING, partial(with_the_other, 1)),
    )

    assert await run.do(SAVE_TO_DATABASE, Work()) == {"done": 1}


async def test_a_kill_blames_the_step_that_was_under_way(bench: Bench) -> None:
    run = await bench.run()
    run.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
    doing = [
        asyncio.create_task(run.do(UPLOAD_COVER, hang)),
        asyncio.create_task(run.do(GENERATE_EMBEDDING, Work())),
    ]
    await doing[1]

    after = await bench.run()
    after.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
    await asyncio.gather(
        after.do(UPLOAD_COVER, Work()), after.do(GENERATE_EMBEDDING, Work(AssertionError()))
    )
    doing[0].cancel()

    assert [(one["step"], one["attempt"]) for one in await bench.told()] == [("upload-cover", 1)]


# ------------------------------------------------------------------ telling
async def test_what_is_told_twice_is_one_event(bench: Bench) -> None:
    run = await bench.run()
    warned = Warned(step="upload-cover", code="COVER_REFUSED", message="too small")

    for _ in range(2):
        await run.tell("started", {"isbn": ORDER.isbn})
        await run.warn(warned)
        await asyncio.sleep(2 * RIDE_SECONDS)

    events = [json.loads(one.message) for one in await bench.journal.read("job", 0, 99)]
    assert [(one["type"], one["data"]) for one in events] == [
        ("workflow_progress", {"isbn": ORDER.isbn}),
        ("workflow_warning", warned.to_json()),
    ]


def test_a_run_that_is_over_leaves_no_circle_for_the_garbage_collector() -> None:
    """With all that a run holds, thousands of them would be memory until a full collection."""

    async def is_gone() -> bool:
        bench = await Bench().open()
        run = await bench.run()
        await run.tell("started", {})
        await run.do(a_step(), Work(ProviderDown("away")))
        await run.tell("metadata_fetched", {})
        run.close()
        gone = weakref.ref(run)
        del run
        await asyncio.sleep(0.01)  # the loop lets go of timers that were cancelled
        return gone() is None

    gc.disable()
    try:
        assert uvloop.run(is_gone())  # the loop that the server has
    finally:
        gc.enable()
