"""The story of one import: which steps, in which order, with what, and what is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from bookline import workflow
from bookline.book import Cover, Embedding, Metadata
from bookline.errors import Cancelled, DeadlineExceeded, JobStopped, StepFailed
from bookline.job import ImportInput, Warned
from bookline.retries import Step
from bookline.values import Json
from bookline.workflow import (
    GENERATE_EMBEDDING,
    OLDER,
    STEPS,
    UPLOAD_COVER,
    VERSION,
    import_book,
    rules,
)

pytestmark = pytest.mark.usefixtures("quick_time")

ISBN = "9780142437247"
ORDER = ImportInput(job_id="job", isbn=ISBN, input_isbn="0142437247")
BOOK = Metadata(
    isbn=ISBN, title="Moby Dick", cover_url="https://books.google.com/x", source="google_books"
)
COVER = Cover(
    key=f"covers/{ISBN}.jpg",
    content_type="image/jpeg",
    width=300,
    height=480,
    sha256="ab" * 32,
    source_url="https://books.google.com/x",
    fetched_at="2026-01-01T00:00:00.000Z",
)
VECTOR = Embedding.of("m", [0.5] * 4).to_json()


@dataclass
class FakeSteps:
    """Notes what it was asked to do."""

    book: Metadata = BOOK
    vector: Json | None = field(default_factory=lambda: dict(VECTOR))
    asked: list[object] = field(default_factory=list)

    async def fetch_metadata(self, order: ImportInput) -> Metadata:
        return self.book

    async def upload_cover(self, isbn: str, url: str) -> Json:
        self.asked.append((isbn, url))
        return COVER.to_json()

    async def generate_embedding(self, metadata: Metadata) -> Json | None:
        return self.vector

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        self.asked.append((order, metadata, cover, embedding))
        return {"storedIn": "database", "hasEmbedding": embedding is not None}

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        return {"storedIn": "kv", "hasEmbedding": embedding is not None}


@dataclass
class FakeRun:
    """Does each step once, unless it is one that stops the way it is told."""

    stops: dict[str, JobStopped] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    data: dict[str, Json] = field(default_factory=dict)

    async def do(self, step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        self.story.append(f"do {step.name}")
        if step.name in self.stops:
            raise self.stops[step.name]
        return await work()

    async def tell(self, status: str, data: Json) -> None:
        self.story.append(f"tell {status}")
        self.data[status] = data

    def side_by_side(self, *steps: Step) -> None:
        self.story.append(" and ".join(step.name for step in steps))

    async def warn(self, warned: Warned) -> None:
        self.story.append(f"warn {warned.step} {warned.code}")


def failed(step: str) -> dict[str, JobStopped]:
    return {step: StepFailed(step, 4, "X", "down")}


async def test_an_import_is_told_as_it_goes() -> None:
    run = FakeRun()

    await import_book(ORDER, run, FakeSteps())

    assert run.story == [
        "tell started",
        "do fetch-metadata",
        "tell metadata_fetched",
        "upload-cover and generate-embedding",
        "do upload-cover",
        "tell cover_uploaded",
        "do generate-embedding",
        "tell embedding_generated",
        "do save-to-database",
    ]


@pytest.mark.parametrize("warned", [False, True])
async def test_the_cover_is_told_before_the_embedding_whichever_ends_first(warned: bool) -> None:
    run, embedded = FakeRun(failed("upload-cover") if warned else {}), asyncio.Event()
    real = run.do

    async def do(step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        if step is UPLOAD_COVER:
            await embedded.wait()
        given = await real(step, work)
        if step is GENERATE_EMBEDDING:
            embedded.set()
        return given

    run.do = do  # type: ignore[method-assign]
    await import_book(ORDER, run, FakeSteps())

    told = [line for line in run.story if not line.startswith("do ")]
    cover = "warn upload-cover X" if warned else "tell cover_uploaded"
    assert told[-2:] == [cover, "tell embedding_generated"]


@pytest.mark.parametrize("kind", [Cancelled, DeadlineExceeded])
@pytest.mark.parametrize(
    ("ends", "goes"), [(UPLOAD_COVER, GENERATE_EMBEDDING), (GENERATE_EMBEDDING, UPLOAD_COVER)]
)
async def test_what_ends_one_of_two_steps_ends_the_other(
    kind: type[JobStopped], ends: Step, goes: Step
) -> None:
    run, stopped, begun = FakeRun(), asyncio.Event(), asyncio.Event()
    real = run.do

    async def do(step: Step, work: Callable[[], Awaitable[Json]]) -> Json:
        if step is ends:
            await begun.wait()
            raise kind(step.name, 1, "X", "over")
        if step is goes:
            try:
                begun.set()
                await asyncio.sleep(60)
            finally:
                stopped.set()
        return await real(step, work)

    run.do = do  # type: ignore[method-assign]
    with pytest.raises(kind):
        await import_book(ORDER, run, FakeSteps())

    assert stopped.is_set()


async def test_the_rules_before_do_one_step_after_the_other() -> None:
    run = FakeRun()

    await rules("book-import-1")(ORDER, run, FakeSteps())

    assert run.story == [
        "tell started",
        "do fetch-metadata",
        "tell metadata_fetched",
        "do upload-cover",
        "tell cover_uploaded",
        "do generate-embedding",
        "tell embedding_generated",
        "do save-to-database",
    ]


async def test_the_events_carry_what_watchers_need() -> None:
    run = FakeRun()
    facts = {name: fact for name, fact in BOOK.to_json().items() if name != "fields"}

    await import_book(ORDER, run, FakeSteps())

    assert run.data == {
        "started": {"isbn": ISBN},
        "metadata_fetched": {"metadata": facts},
        "cover_uploaded": {
            "coverR2Key": COVER.key,
            "coverUrl": COVER.url,
            "width": 300,
            "height": 480,
        },
        "embedding_generated": {"dimensions": 4, "model": "m"},
    }


async def test_each_step_gets_what_the_steps_before_it_found() -> None:
    steps = FakeSteps()

    await import_book(ORDER, FakeRun(), steps)

    assert steps.asked == [(ISBN, BOOK.cover_url), (ORDER, BOOK, COVER.to_json(), VECTOR)]


async def test_the_result_says_what_was_stored() -> None:
    result = await import_book(ORDER, FakeRun(), FakeSteps())

    assert (result.title, result.source, result.stored_in) == (
        "Moby Dick",
        "google_books",
        "database",
    )
    assert result.cover == COVER
    assert result.has_embedding
    assert result.warnings == ()


async def test_a_book_without_a_cover_has_no_such_step() -> None:
    run = FakeRun()

    result = await import_book(ORDER, run, FakeSteps(book=replace(BOOK, cover_url=None)))

    assert "do upload-cover" not in run.story
    assert result.cover is None


async def test_an_embedding_that_is_switched_off_is_no_event_and_no_warning() -> None:
    run = FakeRun()

    result = await import_book(ORDER, run, FakeSteps(vector=None))

    assert "tell embedding_generated" not in run.story
    assert not result.has_embedding
    assert result.warnings == ()


@pytest.mark.parametrize("step", ["upload-cover", "generate-embedding"])
async def test_an_optional_step_that_fails_is_a_warning(step: str) -> None:
    run = FakeRun(failed(step))

    result = await import_book(ORDER, run, FakeSteps())

    assert f"warn {step} X" in run.story
    (warned,) = result.warnings
    assert warned.to_json() == {
        "step": step,
        "code": "X",
        "message": f"{step} failed after 4 tries: down",
    }
    assert run.story[-1] == "do save-to-database"


async def test_a_library_that_is_down_sends_the_book_aside() -> None:
    run = FakeRun(failed("save-to-database"))

    result = await import_book(ORDER, run, FakeSteps())

    assert run.story[-3:] == [
        "do save-to-database",
        "warn save-to-database X",
        "do save-to-fallback",
    ]
    assert result.stored_in == "kv"


async def test_a_fallback_that_is_down_too_fails_at_the_library() -> None:
    """So that a retry of the job begins there again."""
    run = FakeRun(failed("save-to-database") | failed("save-to-fallback"))

    with pytest.raises(StepFailed) as stop:
        await import_book(ORDER, run, FakeSteps())

    assert stop.value.step == "save-to-database"
    assert isinstance(stop.value.__cause__, StepFailed)


async def test_metadata_that_fail_end_the_import() -> None:
    run = FakeRun(failed("fetch-metadata"))

    with pytest.raises(StepFailed):
        await import_book(ORDER, run, FakeSteps())

    assert run.story == ["tell started", "do fetch-metadata"]


@pytest.mark.parametrize("step", [step.name for step in STEPS])
@pytest.mark.parametrize("kind", [Cancelled, DeadlineExceeded])
async def test_nothing_follows_a_cancel_or_the_deadline(step: str, kind: type[JobStopped]) -> None:
    """Not even where a failure would only be a warning."""
    run = FakeRun(failed("save-to-database") | {step: kind(step, 1, "X", "over")})

    with pytest.raises(kind):
        await import_book(ORDER, run, FakeSteps())

    behind = run.story[run.story.index(f"do {step}") + 1 :]
    assert behind == (["do generate-embedding"] if step == "upload-cover" else [])  # begun beside


async def test_a_long_book_is_short_in_its_event_and_whole_in_its_step() -> None:
    book = replace(
        BOOK,
        description="x" * 20_000,
        authors=tuple(map(str, range(50))),
        categories=tuple(map(str, range(50))),
    )
    run, steps = FakeRun(), FakeSteps(book=book)

    await import_book(ORDER, run, steps)

    told = run.data["metadata_fetched"]["metadata"]
    assert len(told["description"]) == 2_000
    assert (len(told["authors"]), len(told["categories"])) == (10, 10)
    assert steps.asked[-1] == (ORDER, book, COVER.to_json(), VECTOR)


def test_an_import_goes_by_the_rules_that_it_began_under(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "OLDER", {**OLDER, VERSION: import_book})
    monkeypatch.setattr(workflow, "VERSION", "book-import-99")

    assert rules(VERSION) is import_book


async def test_an_import_whose_rules_are_gone_fails_with_the_reason() -> None:
    with pytest.raises(StepFailed) as stop:
        await rules("book-import-99")(ORDER, FakeRun(), FakeSteps())

    assert "book-import-99" in stop.value.message
    assert "import the book anew" in stop.value.message


def test_names_and_policies_are_a_stored_format() -> None:
    """Whoever changes a line here raises VERSION, so that running imports end as they began."""
    assert VERSION == "book-import-2"
    assert [
        (step.name, step.retries.limit, step.retries.delay_seconds, step.retries.backoff,
         step.limit_seconds)
        for step in STEPS
    ] == [
        ("fetch-metadata", 3, 1, "linear", 15),
        ("upload-cover", 5, 0.5, "exponential", 20),
        ("generate-embedding", 2, 2, "linear", 30),
        ("save-to-database", 3, 1, "exponential", 15),
        ("save-to-fallback", 3, 1, "exponential", 15),
    ]  # fmt: skip
