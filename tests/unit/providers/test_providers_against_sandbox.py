"""The providers over the real network code, asking the sandbox in the true wire formats."""

from collections.abc import AsyncIterator

import pytest

from bookline.errors import BookNotFound
from bookline.isbn import Isbn
from bookline.net.aiohttp_http import AiohttpHttp
from bookline.ports import MetadataProvider
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline_sandbox import Sandbox

KNOWN_TO_ALL = Isbn("9780486415864")


@pytest.fixture
async def providers() -> AsyncIterator[list[MetadataProvider]]:
    http = AiohttpHttp(contact="tests@bookline.example")
    async with Sandbox() as sandbox:
        yield [
            GoogleBooks(http, f"{sandbox.url}/books/v1", "key", "US"),
            OpenLibrary(http, f"{sandbox.url}/openlibrary", f"{sandbox.url}/covers"),
            IsbnDb(http, f"{sandbox.url}/isbndb", "key"),
        ]
        await http.aclose()


async def test_each_provider_finds_the_same_book(providers: list[MetadataProvider]) -> None:
    books = [await provider.find(KNOWN_TO_ALL) for provider in providers]

    assert len({(book.title, book.authors, book.publication_date) for book in books}) == 1
    assert [book.source for book in books] == ["google_books", "openlibrary", "isbndb"]
    assert all(book.description and book.cover_url and book.language for book in books)


async def test_none_of_them_finds_a_book_that_is_not_there(
    providers: list[MetadataProvider],
) -> None:
    for provider in providers:
        with pytest.raises(BookNotFound):
            await provider.find(Isbn("9780000000019"))
