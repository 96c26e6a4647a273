"""Ends are posted until they are taken: signed, in order, and without slowing anything."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

import pytest

from bookline import webhooks
from bookline.errors import ProviderDown, StoreDown
from bookline.job import ImportInput, Job
from bookline.logs import Seldom
from bookline.progress.events import completed
from bookline.stores.opening import Stores, stores_in_memory
from bookline.webhooks import GIVE_UP_MS, Webhooks, read_secret, sign

pytestmark = pytest.mark.usefixtures("quick_time")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_is_the_standards() -> None:
    """The example of the standard's own libraries."""
    signed = sign(
        read_secret(SECRET),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class Bench:
    """An endpoint that says what a test wants, and a clock."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.ahead_ms = 0
        self.stores: Stores = stores_in_memory(lambda: self.now_ms)
        self.journal = self.stores.journal
        self.journal.posts_ends = lambda: self.now_ms
        self.answers: dict[str, int] = {}
        self.posted: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.webhooks = Webhooks(
            self.stores.webhooks,
            self._post,
            read_secret(SECRET),
            only_one=self._only_one,
            clock=lambda: self.now_ms,
            steady=lambda: self.now_ms - self.ahead_ms,
        )

    def set_ahead(self, ms: int) -> None:
        """Somebody sets the clock; that so much time has not passed is known."""
        self.now_ms += ms
        self.ahead_ms += ms

    @contextlib.asynccontextmanager
    async def _only_one(self, chore: str) -> AsyncIterator[bool]:
        yield True

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        name = headers["webhook-id"]
        self.posted.append((name, body, headers))
        status = self.answers.get(name.partition(".")[0], 200)
        if status == 0:
            raise ProviderDown("no answer within 15 s")
        return status

    @property
    def ids(self) -> list[str]:
        return [name for name, _, _ in self.posted]

    async def end(self, job_id: str, run: int = 1) -> None:
        if run == 1:
            order = ImportInput(job_id=job_id, isbn="9780142437247", input_isbn="x")
            job = Job(order=order, method="workflow", created_ms=0, updated_ms=0, node="n")
            await self.journal.open(job)
            await self.journal.claim(job_id, "n")
        result = {"isbn": "9780142437247", "saved": True, "storedIn": "database"}
        await self.journal.finish(
            job_id, completed(run, result), run=run, result=result, error=None
        )

    async def owed(self) -> list[str]:
        """The states of what is still to be posted."""
        rows = await self.journal.database.read(
            lambda session: session.execute(
                "SELECT state FROM webhooks WHERE state IN ('waiting', 'given up')"
            )
        )
        return [row["state"] for row in rows]

    async def rounds(self) -> None:
        while await self.webhooks.round():
            pass


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(webhooks, "seldom", Seldom())
    return Bench()


async def test_each_end_is_posted_once_as_watchers_heard_it(bench: Bench) -> None:
    await bench.end("a")
    await bench.end("b")

    await bench.rounds()

    events = await bench.journal.read("a", 0, 99)
    assert sorted(bench.ids) == [f"a.{events[-1].seq}", f"b.{events[-1].seq}"]
    [(name, body, headers)] = [one for one in bench.posted if one[0].startswith("a.")]
    assert body.decode() == events[-1].message
    assert headers["webhook-signature"] == sign(
        read_secret(SECRET), name, int(headers["webhook-timestamp"]), body
    )
    assert await bench.owed() == []


async def test_what_is_no_end_is_not_posted(bench: Bench) -> None:
    await bench.end("a")

    await bench.rounds()

    assert len(bench.ids) == 1


@pytest.mark.parametrize("status", [0, 302, 404, 410, 500, 503])
async def test_an_endpoint_that_does_not_take_it_is_asked_again_later(
    bench: Bench, status: int
) -> None:
    await bench.end("a")
    bench.answers["a"] = status

    await bench.rounds()
    assert len(bench.ids) == 1
    bench.now_ms += 5_000
    bench.answers["a"] = 204
    await bench.rounds()

    assert len(bench.ids) == 2
    assert len(set(bench.ids)) == 1  # the receiver can tell that it is the same
    await bench.rounds()
    assert len(bench.ids) == 2


async def test_a_clock_that_is_set_back_delays_nothing(bench: Bench) -> None:
    await bench.end("a")
    bench.answers["a"] = 500
    await bench.rounds()

    bench.now_ms -= 8 * 3_600_000
    bench.answers["a"] = 200
    await bench.rounds()

    assert len(bench.ids) == 2


async def test_a_clock_that_is_weeks_ahead_forgets_and_gives_up_nothing(bench: Bench) -> None:
    """What is too old is so by the clock and by what was kept before this start."""
    await bench.end("a")
    bench.answers["a"] = 500
    bench.set_ahead(40 * 86_400_000)

    await bench.rounds()
    assert await bench.owed() == ["waiting"]

    bench.now_ms += 5_000
    bench.answers["a"] = 200
    await bench.rounds()
    assert len(bench.ids) == 2
    assert await bench.owed() == []


async def test_what_was_given_up_is_kept_for_a_month(bench: Bench) -> None:
    await bench.end("a")
    bench.answers["a"] = 500
    for _ in range(30):
        await bench.rounds()
        bench.now_ms += 3_600_000
    assert await bench.owed() == ["given up"]

    bench.now_ms += 31 * 86_400_000
    await bench.rounds()

    assert await bench.owed() == []


async def test_the_ends_of_one_job_come_in_their_order(bench: Bench) -> None:
    """A job that was retried has two; the second waits for the first, other jobs do not."""
    bench.answers["a"] = 500
    await bench.end("a")
    await bench.rounds()
    await bench.stores.journal.database.write(
        lambda session: session.execute(
            "INSERT INTO events (job_id, seq, key, terminal, message, at_ms) "
            "VALUES ('a', 99, 'second', 1, '{}', 0)"
        )
    )
    await bench.stores.journal.database.write(
        lambda session: session.execute(
            "INSERT INTO webhooks (job_id, seq, since_ms, due_ms, state) "
            "VALUES ('a', 99, :now_ms, :now_ms, 'waiting')",
            {"now_ms": bench.now_ms},
        )
    )
    await bench.end("b")

    await bench.rounds()
    assert "a.99" not in bench.ids
    assert any(name.startswith("b.") for name in bench.ids)

    bench.now_ms += 5_000
    bench.answers["a"] = 200
    await bench.rounds()
    assert [name for name in bench.ids if name.startswith("a.")][-1] == "a.99"


async def test_after_a_day_it_is_given_up_and_kept_for_whoever_asks(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.end("a")
    bench.answers["a"] = 500
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            await bench.rounds()
            bench.now_ms += 3_600_000

    tries = len(bench.ids)
    assert GIVE_UP_MS / 3_600_000 <= tries <= 40
    assert await bench.owed() == ["given up"]
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1

    bench.answers["a"] = 200
    assert await bench.stores.webhooks.again(bench.now_ms) == 1
    await bench.rounds()

    assert len(bench.ids) == tries + 1
    assert await bench.owed() == []


async def test_without_an_endpoint_nothing_is_kept(bench: Bench) -> None:
    bench.journal.posts_ends = None

    await bench.end("a")

    assert await bench.owed() == []


async def test_an_end_is_posted_as_soon_as_it_is_heard(bench: Bench) -> None:
    task = asyncio.create_task(bench.webhooks.run())
    unsubscribe = bench.journal.subscribe(bench.webhooks.hear)
    await asyncio.sleep(0)
    await bench.end("a")

    async with asyncio.timeout(1.5):  # a look comes only every two seconds
        while not bench.ids:
            await asyncio.sleep(0.01)

    unsubscribe()
    task.cancel()


async def test_a_dead_endpoint_is_told_to_the_operator_until_it_takes_all(bench: Bench) -> None:
    told: list[str] = []
    bench.webhooks._count = told.append
    bench.answers["a"] = 0
    await bench.end("a")
    await bench.webhooks.check()
    await bench.rounds()

    with pytest.raises(StoreDown, match="does not take events"):
        await bench.webhooks.check()
    waiting = await bench.stores.webhooks.waiting(10)
    bench.answers.clear()
    bench.now_ms += 10_000
    await bench.rounds()

    await bench.webhooks.check()
    assert (waiting, await bench.stores.webhooks.waiting(10)) == (1, 0)
    assert told == ["refused", "taken"]
