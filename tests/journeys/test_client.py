"""The Python client against a real server: it follows an import through whatever happens."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, server

from bookline.client import BooklineClient, Event, Progress, Resumed, Retry, Warned
from bookline.errors import Refused
from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "secret-key-of-16-or-more"
ISBN = "9780451524935"
NOT_A_BOOK = "9780000000019"
DELAY_MS = 12_000  # so that a kill comes in the middle
MILESTONES = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """One with a key; a test may kill it if it starts it again."""
    env = sandbox.settings() | {"BOOKLINE_API_KEYS": KEY}
    async with server(env, tmp_path_factory.mktemp("client") / "data") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def bookline(running: Server) -> AsyncIterator[BooklineClient]:
    async with BooklineClient(running.url, KEY) as client:
        yield client


async def story(client: BooklineClient, job_id: str, after: int = 0) -> list[Event]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return [event async for event in client.follow(job_id, after=after)]


def milestones(told: list[Event]) -> list[str]:
    return [event.status for event in told if isinstance(event, Progress)]


async def test_an_import_is_followed_from_its_start_to_its_end(bookline: BooklineClient) -> None:
    job = await bookline.start(ISBN)

    told = await story(bookline, job.job_id)

    assert milestones(told) == MILESTONES
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert {event.job_id for event in told} == {job.job_id}
    match told[1]:
        case Progress(status="metadata_fetched", data={"metadata": {"title": title}}):
            assert title == "1984"
        case other:
            pytest.fail(f"it told {other}")


async def test_retries_and_warnings_have_their_own_types(
    bookline: BooklineClient, sandbox: Sandbox
) -> None:
    isbn = "9780465026562"
    sandbox.faults.add(kind="503", route="google_books", isbn=isbn)
    sandbox.faults.add(kind="not_image", route="covers", isbn=isbn, times=None)
    job = await bookline.start(isbn, "google_books")

    told = await story(bookline, job.job_id)

    [retry] = [event for event in told if isinstance(event, Retry)]
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert (retry.step, retry.attempt, retry.code) == ("fetch-metadata", 1, "PROVIDER_ERROR")
    assert retry.delay_seconds > 0
    assert (warned.step, warned.code) == ("upload-cover", "COVER_REFUSED")


async def test_each_event_comes_once_though_the_server_is_killed(
    running: Server, bookline: BooklineClient, sandbox: Sandbox
) -> None:
    isbn = "9780061120084"
    sandbox.faults.add(kind="delay", ms=DELAY_MS, route="google_books", isbn=isbn)
    job = await bookline.start(isbn, "google_books")
    told: list[Event] = []

    async def watch() -> None:
        async for event in bookline.follow(job.job_id):
            told.append(event)  # noqa: PERF401 - looked at meanwhile

    async with asyncio.timeout(PATIENCE_SECONDS):
        watching = asyncio.create_task(watch())
        while not told:
            await asyncio.sleep(0.01)
        await running.kill()
        await running.start()
        await watching

    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert milestones(told) == MILESTONES
    assert [event.by for event in told if isinstance(event, Resumed)] == ["restart"]


async def test_a_start_while_the_server_is_away_is_one_job(
    running: Server, bookline: BooklineClient
) -> None:
    isbn = "9780743273565"
    await running.kill()

    async with asyncio.timeout(PATIENCE_SECONDS):
        starting = asyncio.create_task(bookline.start(isbn))
        await asyncio.sleep(0.2)
        await running.start()
        job = await starting

    jobs = await bookline.jobs()
    assert [one["jobId"] for one in jobs["items"] if one["isbn"] == isbn] == [job.job_id]


async def test_a_failed_job_goes_on_behind_its_end(bookline: BooklineClient) -> None:
    job = await bookline.start(NOT_A_BOOK)
    first = await story(bookline, job.job_id)

    await bookline.retry(job.job_id)
    more = await story(bookline, job.job_id, after=first[-1].seq)

    assert milestones(first)[-1] == "failed"
    assert [event.by for event in more if isinstance(event, Resumed)] == ["retry"]
    assert milestones(more)[-1] == "failed"
    assert more[0].seq == first[-1].seq + 1


async def test_a_cancelled_job_ends_cancelled(bookline: BooklineClient, sandbox: Sandbox) -> None:
    isbn = "9780345391803"
    sandbox.faults.add(kind="delay", ms=500, route="google_books", isbn=isbn)
    job = await bookline.start(isbn, "google_books")

    await bookline.cancel(job.job_id)

    assert milestones(await story(bookline, job.job_id))[-1] == "cancelled"
    assert (await bookline.status(job.job_id))["status"] == "cancelled"


async def test_the_library_is_asked_for_books_meanings_and_covers(
    bookline: BooklineClient,
) -> None:
    job = await bookline.start(ISBN)
    await story(bookline, job.job_id)

    assert (await bookline.book("0-451-52493-4"))["title"] == "1984"
    assert ISBN in {book["isbn"] for book in (await bookline.books())["items"]}
    found = await bookline.search("Big Brother watches everyone", limit=1)
    assert len(found["items"]) == 1
    assert (await bookline.cover(ISBN)).startswith(b"\xff\xd8")  # a JPEG


async def test_a_token_opens_its_own_story_without_a_key(
    running: Server, bookline: BooklineClient
) -> None:
    job = await bookline.start(ISBN)
    other = await bookline.start(ISBN)

    async with BooklineClient(running.url) as reader, asyncio.timeout(PATIENCE_SECONDS):
        told = [event async for event in reader.follow(job.job_id, token=job.token)]
        known = await reader.status(job.job_id, token=job.token)
        for token in (None, other.token):
            with pytest.raises(Refused, match="token") as caught:
                await anext(reader.follow(job.job_id, token=token))
            assert caught.value.code == "UNAUTHORIZED"

    assert milestones(told) == MILESTONES
    assert known["status"] == "completed"


@pytest.mark.parametrize(
    "name", ["import-9780451524935-1-x", "import-9780451524935-1-aaaaaaaaaaaaaaaa"]
)
async def test_an_unknown_job_is_refused(bookline: BooklineClient, name: str) -> None:
    with pytest.raises(Refused) as caught:
        await anext(bookline.follow(name))

    assert caught.value.code == "JOB_NOT_FOUND"


async def test_what_is_not_there_is_refused_with_its_code(bookline: BooklineClient) -> None:
    for asked, code in (
        (bookline.start("978045152493"), "INVALID_ISBN"),
        (bookline.book(NOT_A_BOOK), "BOOK_NOT_FOUND"),
        (bookline.cover(NOT_A_BOOK), "NOT_FOUND"),
    ):
        with pytest.raises(Refused) as caught:
            await asked
        assert caught.value.code == code
