"""Many books asked for at once: what each of them gets is what it gets alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from provider_fakes import answered

from bookline.book import Metadata
from bookline.errors import (
    BooklineError,
    BookNotFound,
    ProviderDown,
    SlowDown,
    WrongKey,
)
from bookline.isbn import Isbn
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.ports import Answer, MetadataProvider
from bookline.providers import isbndb, open_library
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.providers.open_library_answers import request
from bookline_sandbox import Sandbox

BOOKS = 40
NOT_THERE = Isbn("9780000000019")


@dataclass
class Subject:
    alone: MetadataProvider
    together: MetadataProvider
    sandbox: Sandbox
    isbns: list[Isbn]

    @property
    def route(self) -> str:
        return self.alone.name

    async def all(self) -> list[Metadata | BaseException]:
        asked = (self.together.find(isbn) for isbn in self.isbns)
        return await asyncio.gather(*asked, return_exceptions=True)

    def asked(self) -> list[str]:
        """The requests' paths."""
        return [one["path"] for one in self.sandbox.requests if one["route"] == self.route]


def _open_library(http: Any, url: str, *, together: bool) -> MetadataProvider:
    return OpenLibrary(http, f"{url}/openlibrary", f"{url}/covers", together=together)


def _isbndb(http: Any, url: str, *, together: bool) -> MetadataProvider:
    return IsbnDb(http, f"{url}/isbndb", "key", together=together)


@pytest.fixture(params=[_open_library, _isbndb], ids=["openlibrary", "isbndb"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    http = AiohttpHttp(contact="tests@bookline.example")
    async with Sandbox() as sandbox:
        isbns = [Isbn(isbn) for isbn in sandbox.make(BOOKS)]
        yield Subject(
            request.param(http, sandbox.url, together=False),
            request.param(http, sandbox.url, together=True),
            sandbox,
            isbns,
        )
        await http.aclose()


async def test_many_are_found_as_each_alone(subject: Subject) -> None:
    found = await subject.all()

    assert found == [await subject.alone.find(isbn) for isbn in subject.isbns]


async def test_many_take_hardly_more_questions_than_one(subject: Subject) -> None:
    await subject.all()

    assert len(subject.asked()) <= 2


async def test_the_recorded_books_are_found_as_each_alone(subject: Subject) -> None:
    """With all quirks of the recordings: ISBN-10 only, authors on the work, no covers, …"""
    known = [book for book in subject.sandbox.catalogue.by_isbn.values() if not book.made_up]
    subject.isbns = [Isbn(book.isbn13) for book in known]

    found = await subject.all()

    for isbn, one in zip(subject.isbns, found, strict=True):
        assert _plain(one) == _plain(await _outcome(subject.alone, isbn)), isbn


async def test_one_that_is_not_there_is_nobody_elses_loss(subject: Subject) -> None:
    subject.isbns.insert(3, NOT_THERE)

    found = await subject.all()

    assert isinstance(found.pop(3), BookNotFound)
    assert all(isinstance(one, Metadata) for one in found)


@pytest.mark.parametrize("kind", ["wrong_book", "no_title", "big_description"])
async def test_what_is_wrong_with_one_of_many_is_that_books_alone(
    subject: Subject, kind: str
) -> None:
    subject.sandbox.faults.add(
        kind=kind, isbn=subject.isbns[5].isbn13, route=subject.route, times=None
    )

    found = await subject.all()

    alone = await _outcome(subject.alone, subject.isbns[5])
    assert _plain(found.pop(5)) == _plain(alone)
    assert all(isinstance(one, Metadata) for one in found)


@pytest.mark.parametrize("kind", ["garbage", "wrong_type", "huge", "cut", "close", "500", "503"])
async def test_a_book_that_breaks_the_answer_for_many_costs_no_other(
    subject: Subject, kind: str
) -> None:
    """Each question that asks for it breaks, whoever else is in it."""
    subject.sandbox.faults.add(
        kind=kind, isbn=subject.isbns[7].isbn13, route=subject.route, times=None
    )

    found = await subject.all()

    assert isinstance(found.pop(7), ProviderDown)
    assert all(isinstance(one, Metadata) for one in found)


async def test_a_provider_that_says_slow_down_is_asked_no_more(subject: Subject) -> None:
    subject.sandbox.faults.add(kind="429", route=subject.route, times=None, retry_after=7)

    found = await subject.all()

    assert [type(one) for one in found] == [SlowDown] * BOOKS
    assert {one.retry_after_seconds for one in found if isinstance(one, SlowDown)} == {7.0}
    assert len(subject.asked()) == 1


async def test_a_wrong_key_is_told_to_all(subject: Subject) -> None:
    subject.sandbox.faults.add(kind="wrong_key", route=subject.route, times=None)

    found = await subject.all()

    assert [type(one) for one in found] == [WrongKey] * BOOKS
    assert len(subject.asked()) == 1


# ------------------------------------------------------------------ answers that no sandbox gives
@dataclass
class Says:
    """Answers questions for many with ``many``; knows nothing else."""

    many: Answer
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str, *, params: Any = None, headers: Any = None) -> Answer:
        self.asked.append(url)
        is_many = params is not None and params["bibkeys"].count("ISBN:978") > 1
        return self.many if is_many else answered({}, 200 if params else 404)

    async def post(self, url: str, *, json: object, headers: Any = None) -> Answer:
        self.asked.append(url)
        return self.many


TWO = [Isbn("9780142437247"), Isbn("9780451524935")]


def _book(isbn: Isbn, title: object) -> Any:
    return {"title": title, "isbn13": isbn.isbn13}


@pytest.mark.parametrize(
    "data",
    [
        None, {}, "books", [None, 7, "x", [], {}], [{"isbn13": {}}, {"isbn": [1]}],
        [_book(NOT_THERE, "Another")], [_book(NOT_THERE, "Another")] * 5_000,
    ],
    ids=["null", "object", "text", "no books", "no isbns", "extra", "many extra"],
)  # fmt: skip
async def test_a_list_of_isbndb_that_has_none_of_the_books_is_no_book(data: object) -> None:
    provider = IsbnDb(Says(answered({"data": data})), "https://x.example", "key", together=True)

    found = await asyncio.gather(*map(provider.find, TWO), return_exceptions=True)

    assert all(isinstance(one, BooklineError) for one in found), found


async def test_books_of_isbndb_in_any_order_and_twice_go_to_who_asked() -> None:
    data = [_book(TWO[1], "Second"), _book(NOT_THERE, "X"), _book(TWO[0], "First"),
            _book(TWO[0], "Again")]  # fmt: skip
    provider = IsbnDb(Says(answered({"data": data})), "https://x.example", "key", together=True)

    found = await asyncio.gather(*map(provider.find, TWO))

    assert [one.title for one in found] == ["First", "Second"]


async def test_books_of_open_library_under_wrong_keys_are_nobodys() -> None:
    data = {
        f"ISBN:{TWO[0].isbn13}": {"title": "B", "identifiers": {"isbn_13": [TWO[1].isbn13]}},
        "ISBN:9780000000019": {"title": "X"}, "x": 7,
        f"ISBN:{TWO[1].isbn13}": [],
    }  # fmt: skip
    provider = OpenLibrary(
        Says(answered(data)), "https://x.example", "https://c.example", together=True
    )

    found = await asyncio.gather(*map(provider.find, TWO), return_exceptions=True)

    assert isinstance(found[0], BookNotFound)
    assert isinstance(found[1], ProviderDown)


def test_no_question_is_longer_than_servers_take() -> None:
    isbns = [TWO[0]] * open_library.MOST_AT_ONCE

    assert len(request(*isbns)["bibkeys"].replace(":", "%3A")) < 4_000
    assert isbndb.MOST_AT_ONCE <= 100


async def _outcome(provider: MetadataProvider, isbn: Isbn) -> Metadata | BaseException:
    [found] = await asyncio.gather(provider.find(isbn), return_exceptions=True)
    return found


def _plain(found: Metadata | BaseException) -> object:
    return found if isinstance(found, Metadata) else type(found)
