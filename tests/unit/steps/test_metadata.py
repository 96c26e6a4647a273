"""The step ``fetch-metadata``: which source is asked, and what their failures come to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from bookline.book import Metadata
from bookline.errors import (
    BookNotFound,
    GiveUp,
    MetadataIncomplete,
    ProviderDown,
    ProviderRefused,
    SlowDown,
    TryLater,
    Unreachable,
    WrongKey,
)
from bookline.isbn import Isbn
from bookline.job import ImportInput
from bookline.ports import Answer
from bookline.steps.metadata import FetchMetadata

ISBN = "9780142437247"
UNKNOWN = BookNotFound("it knows no such book")
UNTITLED = MetadataIncomplete("it knows no title")
DOWN = ProviderDown("it is down")
SLOW = SlowDown("not so fast", None, 30)
SOON = SlowDown("not so fast", None, 2)
NO_KEY = WrongKey("the key is wrong")
REFUSED = ProviderRefused("it refuses")


class FakeProvider:
    """Knows one book, fails, or hangs."""

    def __init__(self, name: str, outcome: Metadata | Exception | None = None):
        self._name = name
        self._outcome = outcome
        self.asked: list[Isbn] = []

    @property
    def name(self) -> str:
        return self._name

    async def find(self, isbn: Isbn) -> Metadata:
        self.asked.append(isbn)
        if self._outcome is None:
            await asyncio.Event().wait()
        if isinstance(self._outcome, Metadata):
            return self._outcome
        assert isinstance(self._outcome, Exception)
        raise self._outcome


def known_to(name: str) -> FakeProvider:
    return FakeProvider(name, Metadata(isbn=ISBN, title="Moby-Dick", source=name))


def order(source: str = "auto") -> ImportInput:
    return ImportInput(job_id="job", isbn=ISBN, input_isbn=ISBN, source=source)


def failing(outcomes: Sequence[Exception]) -> list[FakeProvider]:
    names = ("google_books", "openlibrary", "isbndb")
    return [FakeProvider(name, outcome) for name, outcome in zip(names, outcomes, strict=False)]


async def test_a_named_source_is_the_only_one_asked() -> None:
    first, second = known_to("google_books"), known_to("isbndb")

    book = await FetchMetadata([first, second])(order("isbndb"))

    assert book.source == "isbndb"
    assert (first.asked, second.asked) == ([], [Isbn(ISBN)])


@pytest.mark.parametrize("failure", [UNKNOWN, UNTITLED, DOWN, SLOW, NO_KEY, REFUSED])
async def test_a_named_sources_failure_is_the_answer(failure: Exception) -> None:
    providers = [FakeProvider("google_books", failure), known_to("isbndb")]

    with pytest.raises(type(failure)) as raised:
        await FetchMetadata(providers)(order("google_books"))

    assert raised.value is failure


async def test_a_source_that_is_gone_from_the_configuration_is_ours_to_mend() -> None:
    with pytest.raises(WrongKey, match="isbndb"):
        await FetchMetadata([known_to("google_books")])(order("isbndb"))


TITLED = Metadata(isbn=ISBN, title="Moby-Dick", source="google_books")
FULL = replace(
    TITLED,
    description="A whale.", cover_url="https://covers.example/a.jpg", page_count=720,
    publication_date="2002", publisher="Penguin", language="en", categories=("Whaling",),
)  # fmt: skip


async def test_auto_stops_at_the_first_that_knows_all_of_the_book() -> None:
    first, second = FakeProvider("google_books", FULL), known_to("openlibrary")

    book = await FetchMetadata([first, second])(order())

    assert (book.source, book.fields) == ("google_books", {})
    assert second.asked == []


async def test_auto_asks_the_next_for_what_the_first_left_empty_and_for_that_alone() -> None:
    first = FakeProvider("google_books", replace(FULL, page_count=None, description=None))
    other = replace(FULL, source="isbndb", page_count=719, description="Told.", publisher="Viking")
    second, third = FakeProvider("openlibrary", UNKNOWN), FakeProvider("isbndb", other)

    book = await FetchMetadata([first, second, third])(order())

    assert (book.page_count, book.description, book.publisher) == (719, "Told.", "Penguin")
    assert book.source == "google_books"
    assert book.fields == {"pageCount": "isbndb", "description": "isbndb"}


async def test_nobody_is_asked_once_nothing_is_missing() -> None:
    first = FakeProvider("google_books", replace(FULL, page_count=None))
    second, third = FakeProvider("openlibrary", FULL), FakeProvider("isbndb", FULL)

    await FetchMetadata([first, second, third])(order())

    assert (len(second.asked), third.asked) == (1, [])


@pytest.mark.parametrize("failure", [UNKNOWN, UNTITLED, DOWN, SLOW, NO_KEY, REFUSED])
async def test_what_completes_a_book_never_fails_it(failure: Exception) -> None:
    first, second = known_to("google_books"), FakeProvider("openlibrary", failure)

    assert await FetchMetadata([first, second])(order()) == TITLED


async def test_completing_has_its_own_short_time() -> None:
    class Slow(FakeProvider):
        async def find(self, isbn: Isbn) -> Metadata:
            await asyncio.sleep(60)
            return FULL

    first, slow = known_to("google_books"), Slow("openlibrary", UNKNOWN)

    book = await FetchMetadata([first, slow], complete_seconds=0.05)(order())

    assert book == TITLED


async def test_completing_can_be_switched_off_and_is_only_for_auto() -> None:
    first, second = known_to("google_books"), FakeProvider("openlibrary", FULL)

    await FetchMetadata([first, second], complete=False)(order())
    await FetchMetadata([first, second])(order("google_books"))

    assert second.asked == []


class Held:
    """Fills the port Pace: these providers said when to come back."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def ask(
        self, provider: str, what: str, question: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        return await question()

    async def held_seconds(self, provider: str) -> float:
        return 20.0 if provider in self.names else 0.0


async def test_auto_goes_past_a_source_that_wants_to_be_left_alone() -> None:
    first, second = FakeProvider("google_books", FULL), known_to("openlibrary")

    book = await FetchMetadata([first, second], pace=Held("google_books"))(order())

    assert book.source == "openlibrary"
    assert first.asked == []  # neither for the book, nor to complete it


async def test_it_is_asked_in_the_end_where_nobody_else_knows_the_book() -> None:
    first, second = known_to("google_books"), FakeProvider("openlibrary", UNKNOWN)

    book = await FetchMetadata([first, second], pace=Held("google_books"))(order())

    assert book.source == "google_books"


@pytest.mark.parametrize("failure", [UNKNOWN, UNTITLED, DOWN, SLOW, NO_KEY, REFUSED])
async def test_auto_goes_on_to_the_next_after_any_failure(failure: Exception) -> None:
    providers = [FakeProvider("google_books", failure), known_to("openlibrary")]

    assert (await FetchMetadata(providers)(order())).source == "openlibrary"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([UNKNOWN, DOWN, UNKNOWN], DOWN),
        ([NO_KEY, UNTITLED, SLOW], SLOW),
        ([SLOW, SOON, UNKNOWN], SOON),
        ([SLOW, DOWN, SOON], DOWN),
        ([UNKNOWN, UNTITLED, NO_KEY], NO_KEY),
        ([REFUSED, NO_KEY, UNKNOWN], REFUSED),
        ([UNKNOWN, UNTITLED, UNKNOWN], UNTITLED),
    ],
)
async def test_auto_tells_the_outage_before_any_answer(
    outcomes: Sequence[Exception], verdict: Exception
) -> None:
    with pytest.raises((TryLater, GiveUp)) as raised:
        await FetchMetadata(failing(outcomes))(order())

    assert type(raised.value) is type(verdict)
    for name in ("code", "retry_after_seconds"):
        assert getattr(raised.value, name, None) == getattr(verdict, name, None)
    assert str(verdict) in str(raised.value)


async def test_auto_says_not_found_only_if_all_said_so() -> None:
    providers = failing([UNKNOWN, UNKNOWN, UNKNOWN])

    with pytest.raises(BookNotFound, match=ISBN):
        await FetchMetadata(providers)(order())

    assert all(provider.asked for provider in providers)


async def test_one_that_hangs_does_not_keep_auto_from_the_others() -> None:
    providers = [FakeProvider("google_books"), known_to("openlibrary")]

    book = await FetchMetadata(providers, limit_seconds=0.01)(order())

    assert book.source == "openlibrary"


async def test_one_that_hangs_while_nobody_else_knows_is_a_time_out() -> None:
    providers = [FakeProvider("google_books"), FakeProvider("openlibrary", UNKNOWN)]

    with pytest.raises(ProviderDown, match="google_books") as raised:
        await FetchMetadata(providers, limit_seconds=0.01)(order())

    assert raised.value.code == "PROVIDER_TIMEOUT"


async def test_who_is_offline_is_told_so_once_with_every_source() -> None:
    names = ("google_books", "openlibrary", "isbndb")
    hosts = ("www.googleapis.com", "openlibrary.org", "api2.isbndb.com")
    providers = [
        FakeProvider(name, Unreachable(host)) for name, host in zip(names, hosts, strict=True)
    ]

    with pytest.raises(Unreachable) as raised:
        await FetchMetadata(providers)(order())

    assert str(raised.value) == (
        "Cannot reach www.googleapis.com, openlibrary.org and api2.isbndb.com. Are you online?"
    )


async def test_all_that_are_down_are_named() -> None:
    providers = [
        FakeProvider("google_books", ProviderDown("Cannot reach www.googleapis.com")),
        FakeProvider("openlibrary", SlowDown("Open Library is busy", None, 3)),
    ]

    with pytest.raises(ProviderDown) as raised:
        await FetchMetadata(providers)(order())

    assert str(raised.value) == "Cannot reach www.googleapis.com; Open Library is busy"


async def test_the_steps_own_limit_goes_through() -> None:
    """The engine cuts the whole step from outside; that is no time-out of one provider."""
    step = FetchMetadata([FakeProvider("google_books"), known_to("openlibrary")])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await step(order())
