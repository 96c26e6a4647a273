"""The service: what it refuses at the door, what it keeps, what it hands to the engine."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import InvalidIsbn, Refused, StoreDown
from bookline.imports import JOB_ID, Imports, Order, check_job_id
from bookline.job import CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING, ImportInput
from bookline.progress.events import ending
from bookline.stores.opening import stores_in_memory

ISBN = "9780142437247"
NOW_MS = 1_700_000_000_000


@dataclass
class FakeEngine:
    """Notes what it hears; down when told so."""

    heard: list[str] = field(default_factory=list)
    is_down: bool = False
    look: Callable[[str], None] = lambda _: None

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        self._hear(f"start {order.job_id}")

    async def restart(self, job_id: str) -> None:
        self._hear(f"restart {job_id}")

    async def settle(self, job_id: str) -> None:
        self._hear(f"settle {job_id}")

    def wake(self, job_id: str) -> None:
        self._hear(f"wake {job_id}")

    def _hear(self, what: str) -> None:
        if self.is_down:
            raise StoreDown("the engine's file is full")
        self.heard.append(what)


class Bench:
    def __init__(self) -> None:
        self.journal = stores_in_memory(lambda: NOW_MS).journal
        self.engine = FakeEngine()
        self.chosen: list[tuple[str | None, str]] = []
        self.imports = Imports(
            self.journal,
            {"workflow": self.engine},
            usable=["openlibrary", "google_books"],
            node="node-1",
            clock=lambda: NOW_MS,
            choose=self.choose,
        )

    async def choose(self, user_id: str | None, isbn: str) -> str:
        self.chosen.append((user_id, isbn))
        return "workflow"

    async def start(self, **order: str | None) -> str:
        job, _ = await self.imports.start(Order(**{"isbn": ISBN, **order}))  # type: ignore[arg-type]
        return job.job_id

    async def end(self, job_id: str, status: str) -> None:
        await self.journal.claim(job_id, "node-1")
        await self.journal.finish(job_id, ending(1, status, {}), run=1, result=None, error=None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ------------------------------------------------------------------ start
async def test_a_started_import_is_kept_and_handed_to_the_engine(bench: Bench) -> None:
    job, is_new = await bench.imports.start(Order(isbn="0-14-243724-7", user_id="reader"))

    assert is_new
    assert await bench.imports.find(job.job_id) == job
    assert bench.engine.heard == [f"start {job.job_id}"]
    assert job.order == ImportInput(
        job_id=job.job_id, isbn=ISBN, input_isbn="0-14-243724-7", source="auto", user_id="reader"
    )
    assert (job.status, job.method, job.node) == (QUEUED, "workflow", "node-1")


async def test_a_job_is_known_before_the_engine_hears_of_it() -> None:
    bench = Bench()
    known_then: list[bool] = []
    real = bench.engine.start

    async def start(order: ImportInput, **_: object) -> None:
        known_then.append(await bench.journal.find(order.job_id) is not None)
        await real(order)

    bench.engine.start = start  # type: ignore[method-assign]

    await bench.start()

    assert known_then == [True]


async def test_an_import_that_the_engine_does_not_take_is_kept_for_later(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.engine.is_down = True

    job_id = await bench.start()

    assert (await bench.imports.find(job_id)).status == QUEUED
    assert "starts later" in caplog.text


async def test_a_journal_that_is_down_is_told_to_the_caller(bench: Bench) -> None:
    async def down(*_: object) -> None:
        raise StoreDown("disk full")

    bench.journal.open = down  # type: ignore[assignment, method-assign]

    with pytest.raises(StoreDown):
        await bench.start()
    assert bench.engine.heard == []


async def test_a_job_id_has_the_form_that_the_spec_gives(bench: Bench) -> None:
    job_id = await bench.start()

    assert re.fullmatch(rf"import-{ISBN}-{NOW_MS}-[A-Za-z0-9_-]{{16,}}", job_id)
    assert JOB_ID.fullmatch(job_id)
    assert len(job_id) <= 100


async def test_two_imports_in_one_millisecond_have_two_ids(bench: Bench) -> None:
    """96 random bits: nobody guesses another's."""
    ids = {await bench.start() for _ in range(200)}

    assert len(ids) == 200
    assert len({job_id[len(f"import-{ISBN}-{NOW_MS}-") :][:4] for job_id in ids}) > 150


async def test_both_forms_of_a_book_are_imported_under_the_new_one(bench: Bench) -> None:
    jobs = [await bench.imports.find(await bench.start(isbn=form)) for form in (ISBN, "0142437247")]

    assert [job.order.isbn for job in jobs] == [ISBN, ISBN]
    assert [job.order.input_isbn for job in jobs] == [ISBN, "0142437247"]


# ------------------------------------------------------------------ refusals
async def test_a_wrong_isbn_is_refused_before_anything_happens(bench: Bench) -> None:
    with pytest.raises(InvalidIsbn):
        await bench.start(isbn="9780142437248")

    assert await bench.journal.counts() == {}
    assert bench.engine.heard == []


@pytest.mark.parametrize("source", ["", "Google_Books", "OPENLIBRARY", "amazon", "auto "])
async def test_an_unknown_source_is_refused(bench: Bench, source: str) -> None:
    with pytest.raises(Refused) as refused:
        await bench.start(source=source)

    assert refused.value.code == "INVALID_SOURCE"
    assert await bench.journal.counts() == {}


async def test_a_source_without_a_key_is_refused_with_what_to_do(bench: Bench) -> None:
    with pytest.raises(Refused) as refused:
        await bench.start(source="isbndb")

    assert refused.value.code == "SOURCE_NOT_CONFIGURED"
    assert "BOOKLINE_ISBNDB_API_KEY" in str(refused.value)
    assert refused.value.details == {"source": "isbndb", "usable": ["google_books", "openlibrary"]}


@pytest.mark.parametrize("source", ["auto", "google_books", "openlibrary"])
async def test_a_usable_source_is_taken(bench: Bench, source: str) -> None:
    job_id = await bench.start(source=source)

    assert (await bench.imports.find(job_id)).order.source == source


async def test_a_user_id_without_end_is_refused(bench: Bench) -> None:
    await bench.start(user_id="u" * 200)

    with pytest.raises(Refused) as refused:
        await bench.start(user_id="u" * 201)

    assert refused.value.code == "INVALID_REQUEST"


# ------------------------------------------------------------------ idempotency
async def test_the_same_key_and_body_start_once(bench: Bench) -> None:
    first, is_new = await bench.imports.start(Order(isbn=ISBN, idempotency_key="k"))
    again, is_new_again = await bench.imports.start(Order(isbn="0142437247", idempotency_key="k"))

    assert (is_new, is_new_again) == (True, False)
    assert again.job_id == first.job_id
    assert bench.engine.heard == [f"start {first.job_id}"]


@pytest.mark.parametrize(
    "other", [{"isbn": "9780451524935"}, {"source": "openlibrary"}, {"user_id": "other"}]
)
async def test_the_same_key_with_another_body_is_refused(
    bench: Bench, other: dict[str, str]
) -> None:
    await bench.start(idempotency_key="k")

    with pytest.raises(Refused) as refused:
        await bench.start(idempotency_key="k", **other)

    assert refused.value.code == "INVALID_STATE"
    assert len(bench.engine.heard) == 1


async def test_two_callers_may_use_the_same_key(bench: Bench) -> None:
    first = await bench.start(idempotency_key="k", caller="a")
    second = await bench.start(idempotency_key="k", caller="b")

    assert first != second


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_that_is_none_is_refused(bench: Bench, key: str) -> None:
    with pytest.raises(Refused) as refused:
        await bench.start(idempotency_key=key)

    assert refused.value.code == "INVALID_REQUEST"


@given(st.text(min_size=1, max_size=200))
async def test_any_text_may_be_a_key(key: str) -> None:
    bench = Bench()

    assert await bench.start(idempotency_key=key) == await bench.start(idempotency_key=key)


# ------------------------------------------------------------------ find and list
@pytest.mark.parametrize("job_id", ["", "a/b", "x" * 101, "import 1", "ü", "a\n"])
async def test_what_no_job_id_looks_like_is_not_looked_for(bench: Bench, job_id: str) -> None:
    for ask in (bench.imports.find, bench.imports.cancel, bench.imports.retry):
        with pytest.raises(Refused) as refused:
            await ask(job_id)
        assert refused.value.code == "JOB_NOT_FOUND"


async def test_an_unknown_job_is_not_found(bench: Bench) -> None:
    for ask in (bench.imports.find, bench.imports.cancel, bench.imports.retry):
        with pytest.raises(Refused) as refused:
            await ask("import-1")
        assert refused.value.code == "JOB_NOT_FOUND"


@given(st.text("abcXYZ019_-", min_size=1, max_size=100))
def test_a_job_id_is_given_back_as_it_is(job_id: str) -> None:
    assert check_job_id(job_id) == job_id


@pytest.mark.parametrize("wrong", [{"status": "done"}, {"status": ""}, {"method": "magic"}])
async def test_a_wrong_filter_is_refused(bench: Bench, wrong: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        await bench.imports.list(status=wrong.get("status"), method=wrong.get("method"))

    assert refused.value.code == "INVALID_REQUEST"


async def test_a_list_shows_the_jobs_of_a_status(bench: Bench) -> None:
    running, _ = [await bench.start() for _ in range(2)]
    await bench.journal.claim(running, "node-1")

    page = await bench.imports.list(status=RUNNING, method="workflow")

    assert [job.job_id for job in page.items] == [running]


# ------------------------------------------------------------------ control
async def test_a_cancel_is_kept_and_then_wakes_the_engine(bench: Bench) -> None:
    job_id = await bench.start()

    job = await bench.imports.cancel(job_id)

    assert job.cancel_requested
    assert bench.engine.heard[-1] == f"wake {job_id}"


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
async def test_a_job_that_is_over_cannot_be_cancelled(bench: Bench, status: str) -> None:
    job_id = await bench.start()
    await bench.end(job_id, status)

    with pytest.raises(Refused) as refused:
        await bench.imports.cancel(job_id)

    assert refused.value.code == "INVALID_STATE"
    assert len(bench.engine.heard) == 1


async def test_a_retry_waits_for_the_end_then_reopens_then_restarts(bench: Bench) -> None:
    job_id = await bench.start()
    await bench.end(job_id, FAILED)

    job = await bench.imports.retry(job_id)

    assert (job.job_id, job.status, job.run) == (job_id, QUEUED, 2)
    assert bench.engine.heard[1:] == [f"settle {job_id}", f"restart {job_id}"]


@pytest.mark.parametrize("status", [None, COMPLETED, CANCELLED])
async def test_only_a_failed_job_is_retried(bench: Bench, status: str | None) -> None:
    job_id = await bench.start()
    if status:
        await bench.end(job_id, status)

    with pytest.raises(Refused) as refused:
        await bench.imports.retry(job_id)

    assert refused.value.code == "INVALID_STATE"
    assert len(bench.engine.heard) == 1


async def test_a_retry_that_the_engine_cannot_take_yet_leaves_the_job_failed(bench: Bench) -> None:
    job_id = await bench.start()
    await bench.end(job_id, FAILED)
    bench.engine.is_down = True

    with pytest.raises(StoreDown):
        await bench.imports.retry(job_id)

    assert (await bench.imports.find(job_id)).status == FAILED
