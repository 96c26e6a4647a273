"""A store that is away for a while: asked again, and counted against nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bookline.engine.spending import Spending
from bookline.errors import StoreDown
from bookline.patience import Patience, from_store, patient, until_it_is_back
from bookline.time_limit import goes_aside, time_limit

pytestmark = pytest.mark.usefixtures("quick_time")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookline.patience.PAUSES_SECONDS", (0.001,))
    monkeypatch.setattr("bookline.patience.STORE_SECONDS", 0.05)


class Store:
    """Away for so many questions."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.asked <= self.away:
            raise StoreDown("disk full")
        return "kept"


async def test_a_store_that_comes_back_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookline.patience.STORE_SECONDS", 60)

    with patient(Patience()):
        assert await from_store(Store(away=9).ask) == "kept"


async def test_this_wait_counts_against_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookline.patience.STORE_SECONDS", 60)

    async def slow() -> str:
        await asyncio.sleep(0.03)
        return "kept"

    async with time_limit(0.01):
        with patient(Patience()):
            answer = await from_store(slow)

    assert answer == "kept"


@pytest.mark.parametrize("ask", [Store(away=10**9).ask, lambda: asyncio.sleep(60)])
async def test_a_step_has_patience_once_and_then_its_tries_begin(
    ask: Callable[[], asyncio.Future[str]],
) -> None:
    patience, store = Patience(), Store(away=10**9)
    with patient(patience):
        with pytest.raises(StoreDown):
            await from_store(ask)
        with pytest.raises(StoreDown):
            await from_store(store.ask)

    assert store.asked == 1


async def test_an_outage_as_long_as_the_patience_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last pause ends with the patience, and the store is asked once more."""
    monkeypatch.setattr("bookline.patience.PAUSES_SECONDS", (10.0,))

    with patient(Patience()):
        assert await from_store(Store(away=1).ask) == "kept"


async def test_who_has_no_patience_hears_at_once() -> None:
    store = Store(away=1)

    with pytest.raises(StoreDown):
        await from_store(store.ask)

    assert store.asked == 1


async def test_what_nothing_goes_on_without_is_asked_until_it_is_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: that is one line a minute in the log."""
    monkeypatch.setattr("bookline.patience._said_at", -1e9)

    assert await until_it_is_back(Store(away=200).ask) == "kept"

    assert len(caplog.records) == 1


async def test_a_store_that_is_away_from_one_line_stops_no_other_lines_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two steps side by side: while one waits for its store, the other's try is under way."""
    monkeypatch.setattr("bookline.patience.STORE_SECONDS", 60)
    now = 0.0
    spending = Spending(0, 900, lambda: now)

    @asynccontextmanager
    async def stands_still(at_work: bool) -> AsyncIterator[None]:
        nonlocal now
        with spending.standing_still():
            now += 0 if at_work else 5  # the pause before it is asked again
            yield

    with spending.under_way(), spending.under_way(), patient(Patience()), goes_aside(stands_still):
        await from_store(Store(away=2).ask)

    assert spending.spent_seconds == 10
