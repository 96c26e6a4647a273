"""News on its way into the journal: in order, and until it is kept."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

from bookline.engine.outbox import RIDE_SECONDS, Outbox
from bookline.errors import StoreDown
from bookline.progress.events import News, milestone

pytestmark = pytest.mark.usefixtures("quick_time")


class Journal:
    """Refuses so many times, then keeps each news once."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.asked = 0
        self.kept: list[News] = []

    def send(self, news: Sequence[News]) -> "Future[None]":
        self.asked += 1
        answer: Future[None] = Future()
        if self.refusals:
            self.refusals -= 1
            answer.set_exception(StoreDown("full"))
        else:
            self.kept += [one for one in news if one not in self.kept]
            answer.set_result(None)
        return answer


ONE, TWO, THREE = (milestone(name, {"n": 1}) for name in ("one", "two", "three"))


async def test_what_the_journal_refuses_is_told_when_it_is_back_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bookline.engine.outbox.AGAIN_SECONDS", 0.001)
    journal = Journal(refusals=3)
    outbox = Outbox(journal.send)

    outbox.tell(ONE)
    outbox.send_now()
    await asyncio.sleep(0.01)
    outbox.tell(TWO)
    while outbox.waiting:
        await asyncio.sleep(0.001)

    assert journal.kept == [ONE, TWO]


async def test_news_that_rides_with_a_mark_takes_no_write_of_its_own() -> None:
    journal = Journal()
    outbox = Outbox(journal.send)

    outbox.tell(ONE)
    with outbox.riding() as news:
        await asyncio.sleep(3 * RIDE_SECONDS)  # the mark takes long
    await asyncio.sleep(3 * RIDE_SECONDS)

    assert news == (ONE,)
    assert journal.asked == 0


async def test_news_whose_mark_was_refused_is_sent() -> None:
    journal = Journal()
    outbox = Outbox(journal.send)

    outbox.tell(ONE)
    with contextlib.suppress(StoreDown), outbox.riding():
        raise StoreDown("full")
    await asyncio.sleep(3 * RIDE_SECONDS)

    assert journal.kept == [ONE]


async def test_news_that_came_while_a_mark_was_on_its_way_is_sent_behind_it() -> None:
    journal = Journal()
    outbox = Outbox(journal.send)
    outbox.tell(ONE)
    with outbox.riding():
        outbox.tell(TWO)

    await asyncio.sleep(3 * RIDE_SECONDS)

    assert journal.kept == [TWO]


async def test_a_closed_outbox_sends_nothing_more() -> None:
    journal = Journal()
    outbox = Outbox(journal.send)
    outbox.tell(THREE)

    outbox.close()
    await asyncio.sleep(3 * RIDE_SECONDS)

    assert journal.asked == 0
