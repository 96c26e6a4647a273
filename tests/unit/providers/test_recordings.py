"""Every recorded answer is read with the right outcome, where the recordings are at hand."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provider_fakes import MOBY_DICK, FakeHttp, answered, google, isbndb, open_library, volumes

from bookline.book import Metadata
from bookline.errors import BooklineError, BookNotFound, ProviderDown, SlowDown, WrongKey
from bookline.isbn import Isbn, find_isbn
from bookline.ports import Answer, MetadataProvider

HERE = Path(__file__).resolve()
PLACES = Path(os.environ.get("RECORDED_ANSWERS", HERE.parents[4] / "shared" / "data")) / "providers"
pytestmark = pytest.mark.skipif(not PLACES.is_dir(), reason="the recordings are not at hand")
OUTCOMES = {
    "400": WrongKey, "401": WrongKey, "403": WrongKey, "404": BookNotFound, "429": SlowDown,
    "500": ProviderDown, "503": ProviderDown, "200": BookNotFound,
}  # fmt: skip


def recorded(folder: str) -> Iterator[tuple[str, Any]]:
    for path in sorted((PLACES / folder).glob("*.json")):
        yield path.name, json.loads(path.read_bytes())


def find(provider: MetadataProvider, isbn: Isbn) -> Metadata:
    return asyncio.run(provider.find(isbn))


def ask_google(answer: Answer, isbn: Isbn) -> Metadata:
    return find(google(FakeHttp({"/books/v1/volumes": answer})), isbn)


def isbn_of(volume: Any) -> Isbn | None:
    named = volume["volumeInfo"].get("industryIdentifiers", [])
    return next((isbn for one in named if (isbn := find_isbn(one["identifier"]))), None)


def test_every_volume_is_found_by_its_own_isbn() -> None:
    for name, volume in recorded("google_books/volumes"):
        isbn = isbn_of(volume)
        if isbn is None:
            with pytest.raises(BookNotFound):
                ask_google(answered(volumes(volume)), MOBY_DICK)
            continue
        info, book = volume["volumeInfo"], ask_google(answered(volumes(volume)), isbn)

        assert (book.source_id, book.isbn) == (volume["id"], isbn.isbn13), name
        assert (book.title, book.page_count) == (info["title"], info.get("pageCount")), name
        assert list(book.authors) == info.get("authors", []), name
        assert (book.publication_date or "19") == info.get("publishedDate", "19??")[:10].rstrip("?")
        assert (book.cover_url or "https:").startswith("https:"), name
        assert "edge=curl" not in (book.cover_url or ""), name


def test_every_list_of_volumes_is_searched_for_the_right_one() -> None:
    for name, exchange in recorded("google_books/http"):
        response = exchange["response"]
        body = response["body"].encode()
        answer = Answer(status=response["status"], body=body)
        items = json.loads(body).get("items", [])
        if response["status"] != 200 or not items:
            with pytest.raises(BooklineError) as raised:
                ask_google(answer, MOBY_DICK)
            assert type(raised.value) is OUTCOMES[str(response["status"])], name
        for item in items:
            if isbn := isbn_of(item):
                assert ask_google(answer, isbn).isbn == isbn.isbn13, name


@pytest.mark.parametrize("source", ["google_books", "openlibrary", "isbndb"])
def test_every_recorded_failure_has_its_outcome(source: str) -> None:
    for name, saved in recorded(f"{source}/errors"):
        body = saved["body"]
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        answer = Answer(status=saved["status"], body=raw)
        path = {"google_books": "/books/v1/volumes", "openlibrary": "/api/books"}
        record = answer if answer.status >= 500 else answered({"error": "notfound"}, 404)
        http = FakeHttp(
            {path.get(source, f"/book/{MOBY_DICK}"): answer, f"/isbn/{MOBY_DICK}.json": record}
        )
        made = {"google_books": google, "openlibrary": open_library, "isbndb": isbndb}

        with pytest.raises(BooklineError) as raised:
            find(made[source](http), MOBY_DICK)  # type: ignore[operator]

        assert type(raised.value) is OUTCOMES[str(saved["status"])], name


def test_every_edition_fills_a_book() -> None:
    for name, edition in recorded("openlibrary/editions"):
        numbers = [*edition.get("isbn_13", []), *edition.get("isbn_10", [])]
        isbn = next((isbn for number in numbers if (isbn := find_isbn(number))), None)
        if isbn is None:
            continue
        ids = {"isbn_13": edition.get("isbn_13"), "isbn_10": edition.get("isbn_10")}
        data = {"key": edition["key"], "title": edition["title"], "identifiers": ids}
        http = FakeHttp(
            {
                "/api/books": answered({f"ISBN:{isbn}": data}),
                f"{edition['key']}.json": answered(edition),
            }
        )

        book = find(open_library(http), isbn)

        assert (book.title, book.isbn) == (" ".join(edition["title"].split()), isbn.isbn13), name
        assert bool(book.publication_date) == bool(edition.get("publish_date")), name
        assert bool(book.language) == bool(edition.get("languages")), name
        pages = edition.get("number_of_pages") or book.page_count
        assert book.page_count == pages, name
        assert bool(pages) == bool({"number_of_pages", "pagination"} & set(edition)), name
        numbers = [number for number in edition.get("covers") or [] if number and number > 0]
        assert bool(book.cover_url) == bool(numbers), name


def test_every_work_gives_its_description() -> None:
    for name, work in recorded("openlibrary/works"):
        edition = {"isbn_13": [MOBY_DICK.isbn13], "works": [{"key": work["key"]}]}
        ids = {"isbn_13": [MOBY_DICK.isbn13]}
        data = {"key": "/books/OL1M", "title": "A title", "identifiers": ids}
        http = FakeHttp(
            {
                "/api/books": answered({f"ISBN:{MOBY_DICK}": data}),
                "/books/OL1M.json": answered(edition),
                f"{work['key']}.json": answered(work),
            }
        )

        book = find(open_library(http), MOBY_DICK)

        assert bool(book.description) == bool(work.get("description")), name


def test_every_answer_of_the_books_api_is_read() -> None:
    for name, saved in recorded("openlibrary/api_books"):
        data = next(iter(saved.values()))
        ids = data["identifiers"]
        isbn = find_isbn((ids.get("isbn_13") or ids["isbn_10"])[0])
        assert isbn is not None
        http = FakeHttp({"/api/books": answered({f"ISBN:{isbn}": data})})

        book = find(open_library(http), isbn)

        assert book.title == data["title"], name
        assert book.authors[0] == data["authors"][0]["name"], name
        assert bool(book.cover_url) == ("cover" in data), name


def test_every_record_of_isbndb_is_read() -> None:
    for name, saved in recorded("isbndb/books"):
        isbn = find_isbn(saved["book"]["isbn13"])
        assert isbn is not None
        book = find(isbndb(FakeHttp({f"/book/{isbn}": answered(saved)})), isbn)

        assert book.title == saved["book"]["title"], name
        assert "~" not in (book.author or ""), name
        assert (book.cover_url or "https:").startswith("https:"), name
