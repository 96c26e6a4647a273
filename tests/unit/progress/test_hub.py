"""Fan-out: each watcher gets each event once, in order, whatever it missed and whoever is slow."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookline.errors import StoreDown
from bookline.job import FAILED, ImportInput, Job
from bookline.progress import hub as hub_module
from bookline.progress.events import Event, News, completed, ending, milestone
from bookline.progress.hub import QUEUE_MOST, REPLAY_MOST, Hub, TooSlow
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import journal_tables_in_memory, open_stores, stores_in_memory
from bookline.tasks import Tasks

RESULT = {"isbn": "9780142437247", "saved": True, "storedIn": "database"}
PATIENCE_SECONDS = 120.0


@pytest.fixture
async def journal() -> SqlJournal:
    made = stores_in_memory(lambda: 1_000).journal
    await open_job(made)
    return made


@pytest.fixture
async def hub(journal: SqlJournal) -> AsyncIterator[Hub]:
    async with running(Hub(journal.find, journal)) as made:
        yield made


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Hub]:
    task = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    try:
        yield hub
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def open_job(journal: SqlJournal, job_id: str = "job") -> None:
    order = ImportInput(job_id=job_id, isbn="9780142437247", input_isbn="x")
    await journal.open(Job(order=order, method="workflow", created_ms=0, updated_ms=0, node="n"))
    await journal.claim(job_id, "n")


def some(text: object) -> News:
    return News(key=str(text), type="workflow_progress", status="started", data={"n": text})


async def complete(journal: SqlJournal, *, run: int = 1) -> None:
    await journal.finish("job", completed(run, RESULT), run=run, result=RESULT, error=None)


class Watcher:
    """Follows a job in a task of its own."""

    def __init__(self, hub: Hub, after: int = 0, job_id: str = "job") -> None:
        self.seqs: list[int] = []
        self.pings = 0
        self._task = asyncio.create_task(self._follow(hub, job_id, after))

    async def _follow(self, hub: Hub, job_id: str, after: int) -> None:
        async with aclosing(hub.follow(job_id, after)) as story:
            async for events in story:
                self.seqs += [event.seq for event in events]
                self.pings += not events

    async def end(self) -> list[int]:
        """All that it saw, when its story is over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._task
        return self.seqs

    async def saw(self, seq: int) -> None:
        await until(lambda: seq in self.seqs)

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_over(self) -> bool:
        return self._task.done()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)


# ------------------------------------------------------------------ the story
async def test_a_late_watcher_sees_the_whole_story(hub: Hub, journal: SqlJournal) -> None:
    for number in range(5):
        journal.tell("job", some(number))
    await complete(journal)

    assert await Watcher(hub).end() == [1, 2, 3, 4, 5, 6]


async def test_a_watcher_sees_what_comes_while_it_watches(hub: Hub, journal: SqlJournal) -> None:
    journal.tell("job", some("before"))
    watcher = Watcher(hub)
    await watcher.saw(1)

    journal.tell("job", some("live"))
    await watcher.saw(2)
    await complete(journal)

    assert await watcher.end() == [1, 2, 3]


async def test_a_watcher_that_comes_back_sees_only_what_it_has_missed(
    hub: Hub, journal: SqlJournal
) -> None:
    for number in range(5):
        journal.tell("job", some(number))
    await complete(journal)

    assert await Watcher(hub, after=4).end() == [5, 6]
    assert await Watcher(hub, after=6).end() == []


async def test_a_story_longer_than_one_reading_is_told_whole(hub: Hub, journal: SqlJournal) -> None:
    for number in range(2 * REPLAY_MOST + 7):
        journal.tell("job", some(number))
    await complete(journal)

    assert await Watcher(hub).end() == list(range(1, 2 * REPLAY_MOST + 9))


async def test_a_replay_of_exactly_one_reading_ends_too(hub: Hub, journal: SqlJournal) -> None:
    for number in range(REPLAY_MOST - 1):
        journal.tell("job", some(number))
    await complete(journal)

    assert len(await Watcher(hub).end()) == REPLAY_MOST


async def test_a_watcher_hears_only_of_its_own_job(hub: Hub, journal: SqlJournal) -> None:
    await open_job(journal, "other")
    watcher = Watcher(hub)

    for number in range(10):
        journal.tell("other", some(number))
    await complete(journal)

    assert await watcher.end() == [1]


async def test_a_job_that_is_gone_ends_its_story(hub: Hub) -> None:
    assert await Watcher(hub, job_id="gone").end() == []


# ------------------------------------------------------------------ the end
async def test_an_open_job_keeps_its_watchers(hub: Hub, journal: SqlJournal) -> None:
    journal.tell("job", some(1))
    watcher = Watcher(hub)
    await watcher.saw(1)

    await asyncio.sleep(0.03)

    assert not watcher.is_over
    await watcher.leave()


async def test_a_story_that_plainly_goes_on_is_not_looked_up(journal: SqlJournal) -> None:
    looked_up: list[str] = []

    async def find(job_id: str) -> Job | None:
        looked_up.append(job_id)
        return await journal.find(job_id)

    journal.tell("job", some("kept"))
    async with running(Hub(find, journal)) as hub:
        watcher = Watcher(hub)
        await watcher.saw(1)
        journal.tell("job", some("live"))
        await watcher.saw(2)
        assert looked_up == []

        await complete(journal)

        assert await watcher.end() == [1, 2, 3]
    assert looked_up == ["job"]


async def test_a_retried_jobs_story_goes_on_behind_its_failure(
    hub: Hub, journal: SqlJournal
) -> None:
    """Only the last end closes a watcher."""
    await journal.finish("job", ending(1, FAILED, {}), run=1, result=None, error={})
    await journal.reopen("job", "node")
    watcher = Watcher(hub)
    await watcher.saw(2)

    await journal.claim("job", "n")
    journal.tell("job", some("more"))
    await complete(journal, run=2)

    assert await watcher.end() == [1, 2, 3, 4]


async def test_a_retry_while_the_failure_is_told_keeps_the_watcher(
    hub: Hub, journal: SqlJournal
) -> None:
    seen: list[int] = []

    async with aclosing(hub.follow("job", 0)) as story, asyncio.timeout(PATIENCE_SECONDS):
        await journal.finish("job", ending(1, FAILED, {}), run=1, result=None, error={})
        async for events in story:
            seen += [event.seq for event in events]
            if seen == [1]:
                await journal.reopen("job", "node")
            if seen == [1, 2]:
                await journal.claim("job", "n")
                await complete(journal, run=2)

    assert seen == [1, 2, 3]


async def test_an_end_that_comes_while_the_story_is_looked_up_is_an_end(
    journal: SqlJournal,
) -> None:
    """What was looked up before it does not count any more, not even in the same pass."""

    async def find(job_id: str) -> Job | None:
        job = await journal.find(job_id)
        if job is not None and not job.is_over:
            await complete(journal)
            await asyncio.sleep(0.01)  # until the watcher has heard it
        return job

    async with running(Hub(find, journal)) as hub:
        journal.tell("job", some("before"))

        assert await Watcher(hub, after=1).end() == [2]


async def test_a_stopping_server_lets_its_watchers_go(hub: Hub) -> None:
    watchers = [Watcher(hub) for _ in range(3)]
    await until(lambda: hub.watchers == 3)

    hub.close()

    assert [await watcher.end() for watcher in watchers] == [[], [], []]
    assert hub.is_closing


# ------------------------------------------------------------------ what was missed
async def test_a_gap_is_filled_from_the_journal(hub: Hub, journal: SqlJournal) -> None:
    journal.tell("job", some("first"))
    watcher = Watcher(hub)
    await watcher.saw(1)
    hear = journal.fanout._hearers.pop()  # the hub is deaf for a while
    journal.tell("job", some("missed"))
    journal.fanout._hearers.append(hear)

    journal.tell("job", some("heard"))

    await watcher.saw(3)
    assert watcher.seqs == [1, 2, 3]
    await watcher.leave()


class Lossy(SqlJournal):
    """Whose subscribers at first hear some events not, some twice, and some late."""

    fates: Sequence[str] = ()

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        late: list[Event] = []
        met: set[int] = set()

        def lossy(events: Sequence[Event]) -> None:
            for event in events:
                fate = self.fates[event.seq % len(self.fates)] if event.seq not in met else "heard"
                met.add(event.seq)
                if fate == "late":
                    late.append(event)
                elif fate != "lost":
                    hear([event] * (2 if fate == "twice" else 1))
                    hear(late)
                    late.clear()

        return super().subscribe(lossy)


@settings(max_examples=25, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["heard", "lost", "twice", "late"]), min_size=1, max_size=9),
    pauses=st.lists(st.booleans(), min_size=1, max_size=9),
    after=st.integers(0, 5),
)
async def test_every_event_is_seen_once_and_in_order_however_it_comes(
    fates: list[str], pauses: list[bool], after: int
) -> None:
    tables = journal_tables_in_memory()
    journal = Lossy(tables, lambda: 1_000, tables)
    journal.fates = fates
    await open_job(journal)
    async with running(Hub(journal.find, journal)) as hub:
        watcher = Watcher(hub, after)
        for number in range(20):
            journal.tell("job", some(number))
            if pauses[number % len(pauses)]:
                await asyncio.sleep(0)
        await complete(journal)

        assert await watcher.end() == list(range(after + 1, 22))


async def test_events_of_another_process_are_seen(tmp_path: Path) -> None:
    here = open_stores(tmp_path, lambda: 1_000).journal
    there = open_stores(tmp_path, lambda: 1_000).journal
    await open_job(there)
    async with running(Hub(here.find, here)) as hub:
        watcher = Watcher(hub)
        await until(lambda: hub.watchers == 1)

        for number in range(20):
            there.tell("job", some(number))
        await complete(there)

        assert await watcher.end() == list(range(1, 22))
    here.close()
    there.close()


# ------------------------------------------------------------------ slow ones, many, quiet ones
async def test_a_watcher_that_does_not_take_its_events_is_told_so(
    hub: Hub, journal: SqlJournal
) -> None:
    story = hub.follow("job", 0)
    journal.tell("job", some("first"))
    await anext(story)

    for number in range(QUEUE_MOST + 1):
        journal.tell("job", some(number))

    with pytest.raises(TooSlow):
        await anext(story)
    assert hub.watchers == 0


async def test_a_slow_watcher_harms_no_other_and_may_come_back(
    hub: Hub, journal: SqlJournal
) -> None:
    slow = hub.follow("job", 0)
    journal.tell("job", some("first"))
    await anext(slow)
    quick = Watcher(hub)
    await quick.saw(1)

    for number in range(QUEUE_MOST + 50):
        journal.tell("job", some(number))
        await quick.saw(number + 2)
    await complete(journal)

    whole = list(range(1, QUEUE_MOST + 53))
    assert await quick.end() == whole
    with pytest.raises(TooSlow):
        await anext(slow)
    assert await Watcher(hub, after=1).end() == whole[1:]


async def test_a_full_queue_that_is_taken_in_time_is_no_fault(
    hub: Hub, journal: SqlJournal
) -> None:
    story = hub.follow("job", 0)
    journal.tell("job", some("first"))
    await anext(story)

    for number in range(QUEUE_MOST):
        journal.tell("job", some(number))

    assert len(await anext(story)) == QUEUE_MOST
    await story.aclose()


async def test_many_watchers_of_many_jobs_all_see_everything(hub: Hub, journal: SqlJournal) -> None:
    await open_job(journal, "other")
    watchers = [Watcher(hub, job_id=job_id) for job_id in ("job", "other") for _ in range(150)]
    await until(lambda: hub.watchers == 300)

    for number in range(10):
        journal.tell("job", some(number))
        journal.tell("other", some(number))
        await asyncio.sleep(0)
    for job_id in ("job", "other"):
        await journal.finish(job_id, completed(1, RESULT), run=1, result=RESULT, error=None)

    assert {tuple(await watcher.end()) for watcher in watchers} == {tuple(range(1, 12))}
    assert hub.watchers == 0


async def test_a_quiet_story_is_kept_alive_by_pings(
    hub: Hub, journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.005)
    watcher = Watcher(hub)

    await until(lambda: watcher.pings >= 3)
    journal.tell("job", some("after all"))

    await watcher.saw(1)
    await watcher.leave()


# ------------------------------------------------------------------ nothing is left behind
async def test_who_leaves_is_forgotten(hub: Hub, journal: SqlJournal) -> None:
    watchers = [Watcher(hub) for _ in range(20)]
    await until(lambda: hub.watchers == 20)

    for watcher in watchers:
        await watcher.leave()

    assert hub.watchers == 0
    assert hub._watches == {}
    journal.tell("job", some("nobody listens"))


async def test_a_hub_that_has_ended_hears_no_more(journal: SqlJournal) -> None:
    async with running(Hub(journal.find, journal)):
        assert len(journal.fanout._hearers) == 1

    assert journal.fanout._hearers == []


class Down(SqlJournal):
    """A journal whose file cannot be read for a while."""

    is_down = False

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]:
        if self.is_down:
            raise StoreDown("disk")
        return await super().read(job_id, after, limit)

    async def listen(self, wanted: Callable[[], Collection[str]]) -> None:
        while not self.is_down:
            await asyncio.sleep(0.001)
        raise StoreDown("disk")


async def test_a_journal_that_cannot_be_read_is_told_to_the_watcher() -> None:
    journal = Down(journal_tables_in_memory(), lambda: 1_000)
    await open_job(journal)
    journal.is_down = True
    hub = Hub(journal.find, journal)

    with pytest.raises(StoreDown):
        await Watcher(hub).end()
    assert hub.watchers == 0


async def test_a_hub_outlives_a_journal_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    journal = Down(journal_tables_in_memory(), lambda: 1_000)
    await open_job(journal)
    async with running(Hub(journal.find, journal)) as hub:
        watcher = Watcher(hub)
        await until(lambda: hub.watchers == 1)

        journal.is_down = True
        await until(lambda: "could not be read" in caplog.text)
        journal.is_down = False
        journal.tell("job", some("well again"))
        await complete(journal)

        assert await watcher.end() == [1, 2]


async def test_other_processes_are_listened_to_only_while_somebody_watches(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening: list[bool] = []

    async def listen(wanted: Callable[[], Collection[str]]) -> None:
        listening.append(True)
        while wanted():
            await asyncio.sleep(0)
        listening.append(False)

    monkeypatch.setattr(journal, "listen", listen)
    async with running(Hub(journal.find, journal)) as hub:
        await asyncio.sleep(0.01)
        assert listening == []

        for told in ([True, False], [True, False] * 2):
            watcher = Watcher(hub)
            await until(lambda told=told: listening == told[:-1])  # type: ignore[misc]
            await watcher.leave()
            await until(lambda told=told: listening == told)  # type: ignore[misc]


async def test_an_event_is_sent_as_it_was_kept(hub: Hub, journal: SqlJournal) -> None:
    journal.tell("job", milestone("started", {"isbn": "Ж"}))

    async with aclosing(hub.follow("job", 0)) as story:
        (event,) = await anext(story)

    assert json.loads(event.message)["data"] == {"isbn": "Ж"}
    assert [event] == list(await journal.read("job", 0, 9))


# ------------------------------------------------------------------ a hub that breaks
async def test_a_hub_that_broke_tells_its_watchers_all_that_they_missed(
    journal: SqlJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in it: it starts again, and nobody has a gap."""
    monkeypatch.setattr("bookline.tasks.AGAIN_SECONDS", 0.0)
    hub, tasks, broken = Hub(journal.find, journal), Tasks(), asyncio.Event()
    listen = journal.listen

    async def listen_badly(wanted: Callable[[], Collection[str]]) -> None:
        if not broken.is_set():
            journal.tell("job", some("while it is broken"))
            broken.set()
            raise KeyError("nobody foresaw this")
        await listen(wanted)

    monkeypatch.setattr(journal, "listen", listen_badly)
    watcher = Watcher(hub)
    await asyncio.sleep(0)
    tasks.start("hub", hub.run)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await broken.wait()

    await complete(journal)

    seen = await watcher.end()
    await tasks.stop()
    assert seen == list(range(1, len(seen) + 1))
