"""Rows without an ISBN: who is asked, what is taken, and what an outage comes to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from bookline.batches.look_ups import AT_ONCE, LookUps
from bookline.batches.lookup import LookUp
from bookline.errors import (
    GiveUp,
    ProviderDown,
    Resting,
    SlowDown,
    TryLater,
    Unreachable,
    WrongKey,
)
from bookline.ports import Pace
from bookline.progress.batches import Batch, Candidate, Item
from bookline.stores.opening import stores_in_memory

A, B = "9780451524935", "9780142437247"
NOW_MS = 1_700_000_000_000
BATCH = "batch-1"
DUNE = Item(index=0, input="Dune", title="Dune", authors=("Frank Herbert",), todo="lookup")


@dataclass
class FakeSearch:
    """A source that knows these books; down or without a key when told so."""

    name: str = "openlibrary"
    knows: Sequence[Candidate] = ()
    failure: TryLater | GiveUp | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    by_title_alone: Sequence[Candidate] = ()

    async def search(self, title: str, author: str) -> Sequence[Candidate]:
        self.asked.append((title, author))
        if self.failure is not None:
            raise self.failure
        return self.knows if author else [*self.knows, *self.by_title_alone]


def book(title: str = "Dune", *, by: str = "Frank Herbert", isbn: str = A) -> Candidate:
    return Candidate(isbn=isbn, title=title, authors=(by,))


# ------------------------------------------------------------------ one look-up
async def test_the_first_source_that_is_sure_is_enough() -> None:
    first, second = FakeSearch(knows=[book()]), FakeSearch("google_books")

    verdict = await LookUp([first, second])(DUNE)

    assert verdict.isbn == A
    assert first.asked == [("Dune", "Frank Herbert")]
    assert second.asked == []


async def test_what_is_not_sure_anywhere_is_put_together() -> None:
    first = FakeSearch(knows=[book(by="Brian Herbert", isbn=B)])
    second = FakeSearch("google_books", knows=[book("Dune 2", isbn=A)])

    verdict = await LookUp([first, second])(DUNE)

    assert verdict.isbn is None
    assert {one.isbn for one in verdict.candidates} == {A, B}


async def test_at_most_five_candidates_come_the_best_first() -> None:
    isbns = [f"978990{number:06}" for number in range(7)]
    knows = [book(f"Dune {number}", isbn=isbn) for number, isbn in enumerate([*isbns, isbns[0]])]

    verdict = await LookUp([FakeSearch(knows=knows)])(DUNE)

    scores = [one.score for one in verdict.candidates]
    assert len({one.isbn for one in verdict.candidates}) == len(scores) == 5
    assert scores == sorted(scores, reverse=True)


async def test_a_book_that_nobody_knows_is_an_answer() -> None:
    verdict = await LookUp([FakeSearch(), FakeSearch("google_books")])(DUNE)

    assert (verdict.isbn, verdict.candidates) == (None, ())


async def test_an_author_who_is_written_otherwise_is_one_for_a_review() -> None:
    search = FakeSearch(by_title_alone=[book(by="Franklin Herbert")])

    verdict = await LookUp([search])(DUNE)

    assert search.asked == [("Dune", "Frank Herbert"), ("Dune", "")]
    assert [one.isbn for one in verdict.candidates] == [A]


async def test_an_outage_is_no_answer() -> None:
    down = FakeSearch("google_books", failure=ProviderDown("down"))

    with pytest.raises(ProviderDown):
        await LookUp([FakeSearch(), down])(DUNE)


async def test_every_source_that_cannot_be_reached_is_named() -> None:
    searches = [
        FakeSearch(failure=Unreachable("openlibrary.org")),
        FakeSearch("google_books", failure=Unreachable("www.googleapis.com")),
    ]

    with pytest.raises(Unreachable, match=r"openlibrary\.org and www\.googleapis\.com"):
        await LookUp(searches)(DUNE)


async def test_an_outage_of_one_does_not_hide_what_another_found() -> None:
    down = FakeSearch(failure=ProviderDown("down"))

    verdict = await LookUp([down, FakeSearch("google_books", knows=[book()])])(DUNE)

    assert verdict.isbn == A


async def test_without_a_key_anywhere_the_row_fails_with_the_reason() -> None:
    with pytest.raises(WrongKey):
        await LookUp([FakeSearch(failure=WrongKey("no key"))])(DUNE)


async def test_a_source_that_is_named_is_the_only_one_asked() -> None:
    first, second = FakeSearch(knows=[book()]), FakeSearch("google_books")

    item = Item(index=0, input="Dune", title="Dune", authors=(), source="google_books")
    await LookUp([first, second])(item)

    assert (len(first.asked), len(second.asked)) == (0, 1)


# ------------------------------------------------------------------ the list
@asynccontextmanager
async def ours(chore: str) -> AsyncIterator[bool]:
    yield True


class Bench:
    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.fed = 0
        self.store = stores_in_memory(lambda: self.now_ms).batches
        self.search = FakeSearch()
        self.look_ups = LookUps(
            store=self.store, look_up=LookUp([self.search]), only_one=ours,
            clock=lambda: self.now_ms, retry_scale=1.0, feed=self.feed,
        )  # fmt: skip

    def feed(self) -> None:
        self.fed += 1

    async def open(self, *items: Item) -> None:
        batch = Batch(batch_id=BATCH, created_ms=NOW_MS, updated_ms=NOW_MS)
        await self.store.open(batch, items)

    async def item(self) -> Item:
        page, _ = await self.store.items(BATCH, states=None, limit=1, cursor=None)
        return page.items[0]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_process_without_batches_takes_no_chore_from_others(bench: Bench) -> None:
    """Each looks once a second, and on PostgreSQL a chore that is taken is a write."""
    chores: list[str] = []

    @asynccontextmanager
    async def taken(chore: str) -> AsyncIterator[bool]:
        chores.append(chore)
        yield True

    bench.look_ups.only_one = taken
    running = asyncio.create_task(bench.look_ups.run())
    await asyncio.sleep(0.01)
    assert chores == []

    await bench.open(DUNE)
    bench.look_ups.stir()
    async with asyncio.timeout(5):
        while not chores:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_sure_row_goes_to_the_feeder(bench: Bench) -> None:
    bench.search.knows = [book()]
    await bench.open(DUNE)

    await bench.look_ups.round()

    item = await bench.item()
    assert (item.isbn, item.todo, item.state) == (A, "import", "queued")
    assert bench.fed == 1


async def test_an_unsure_row_waits_for_a_review_with_its_candidates(bench: Bench) -> None:
    bench.search.knows = [book("Dune Messiah")]
    await bench.open(DUNE)

    await bench.look_ups.round()

    item = await bench.item()
    assert item.state == "review"
    [candidate] = item.candidates
    assert set(candidate) == {"isbn", "title", "authors", "publicationDate", "coverUrl", "score"}


async def test_an_unknown_row_has_failed_with_a_sentence(bench: Bench) -> None:
    await bench.open(DUNE)

    await bench.look_ups.round()

    item = await bench.item()
    assert item.state == "failed"
    assert item.error is not None
    assert item.error["code"] == "BOOK_NOT_FOUND"
    assert "'Dune' by Frank Herbert" in item.error["message"]


@pytest.mark.parametrize(
    ("failure", "waits_ms"),
    [
        (lambda: ProviderDown("down"), [1_000, 2_000, 3_000]),
        (lambda: SlowDown("slow", None, 20.0), [20_000] * 3),
        (lambda: SlowDown("slow", None, 500.0), [60_000] * 3),
    ],
)
async def test_an_outage_is_waited_for_and_then_the_row_has_failed(
    bench: Bench, failure: Callable[[], Any], waits_ms: list[int]
) -> None:
    bench.search.failure = failure()
    await bench.open(DUNE)

    for wait_ms in waits_ms:
        assert await bench.look_ups.round() == 1
        bench.now_ms += wait_ms - 1
        assert await bench.look_ups.round() == 0
        bench.now_ms += 1
    await bench.look_ups.round()

    item = await bench.item()
    assert item.state == "failed"
    assert item.error is not None
    assert item.error["code"] == bench.search.failure.code
    assert len(bench.search.asked) == 4


async def test_a_retry_of_the_batch_looks_up_again(bench: Bench) -> None:
    await bench.open(DUNE)
    await bench.look_ups.round()
    bench.search.knows = [book()]

    await bench.store.request_retry(BATCH)
    await bench.look_ups.round()

    assert (await bench.item()).isbn == A


async def test_rows_rest_while_their_source_answers_nobody_and_others_go_on(bench: Bench) -> None:
    """However long it takes it is no try, and the rows that rest are not asked for one by one."""
    rested = [replace(DUNE, index=index, source="openlibrary") for index in range(40)]
    await bench.open(*rested, replace(DUNE, index=40, source="google_books"))
    other = FakeSearch("google_books", knows=[book()])
    bench.look_ups.look_up = LookUp([bench.search, other])
    bench.search.failure = Resting("down", retry_after_seconds=30.0)

    for _ in range(20):
        while await bench.look_ups.round():
            pass
        bench.now_ms += 30_000
    asked = len(bench.search.asked)
    bench.search.failure, bench.search.knows = None, [book()]
    while await bench.look_ups.round():
        pass

    page, _ = await bench.store.items(BATCH, states=None, limit=50, cursor=None)
    assert [(item.todo, item.tries) for item in page.items] == [("import", 0)] * 41
    assert asked == 20 * AT_ONCE
    assert len(other.asked) == 1


async def test_a_source_that_may_be_back_is_asked_before_the_others_are_asked_again() -> None:
    held = {"openlibrary": 5.0, "google_books": 0.0}

    class Paced:
        async def held_seconds(self, provider: str) -> float:
            return held[provider]

        ask = None

    first, second = FakeSearch("google_books"), FakeSearch(failure=Resting("down"))
    look_up = LookUp([first, second], cast(Pace, Paced()))
    with pytest.raises(Resting):
        await look_up(DUNE)
    held["openlibrary"] = 0.0

    with pytest.raises(Resting):
        await look_up(DUNE)

    assert (len(first.asked), len(second.asked)) == (1, 2)
    second.failure, second.knows = None, [book()]
    assert (await look_up(DUNE)).isbn == A
    assert len(first.asked) == 1
