"""The library over HTTP, as a reading app uses it: find, edit, delete, own cover, export."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
import pytest_asyncio
from stack import PATIENCE_SECONDS, Server, server
from test_api import is_failure

from bookline.isbn import read_isbn
from bookline.reading import Reading
from bookline.shelves.file import open_library_file
from bookline.shelves.writing import GOODREADS_HEADER, Shelved, csv_line, goodreads_row
from bookline_sandbox import Sandbox
from bookline_sandbox.drawing import picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORWELL, MOBY_DICK, ALIENS = "9780451524935", "9780142437247", "9780345391803"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("library") / "data"
    async with server(sandbox.settings(), folder) as running:
        await asyncio.gather(*(running.finished(isbn) for isbn in (ORWELL, MOBY_DICK, ALIENS)))
        yield running


async def get(api: Server, path: str) -> Any:
    status, answer, _ = await api.get(path)
    assert status == 200, answer
    return answer["data"]


async def patch(api: Server, isbn: str, body: Any, query: str = "") -> Any:
    return await api.ask("PATCH", f"/v2/books/{isbn}{query}", json=body)


async def test_words_in_any_case_find_a_book_literally(api: Server) -> None:
    found = await get(api, "/v2/books?q=ORWELL&sort=title&limit=1")

    assert [book["isbn"] for book in found["items"]] == [ORWELL]
    assert (found["total"], found["nextCursor"]) == (1, None)
    assert (await get(api, "/v2/books?limit=2"))["total"] == 3


@pytest.mark.parametrize(
    "query", ["sort=isbn", "limit=0", "limit=201", "cursor=x", "q=" + "x" * 501]
)
async def test_a_list_that_cannot_be_is_refused(api: Server, query: str) -> None:
    assert is_failure(await api.get(f"/v2/books?{query}"), 400, "INVALID_REQUEST")


async def test_a_search_gives_literal_matches_before_near_ones(api: Server) -> None:
    whale = await get(api, "/v2/books/search?q=a+whale+hunted+at+sea")
    literal = await get(api, "/v2/books/search?q=melville")
    nothing = await get(api, "/v2/books/search?q=dishwasher+error+code+e15")

    assert (whale["items"][0]["book"]["isbn"], whale["items"][0]["match"]) == (MOBY_DICK, "meaning")
    assert 0.2 <= whale["items"][0]["score"] < 1
    assert (literal["items"][0]["match"], literal["items"][0]["score"]) == ("literal", 1)
    assert nothing["items"] == []
    assert whale["model"] == literal["model"] == nothing["model"]


async def test_an_edited_field_survives_the_next_import_until_it_is_unlocked(api: Server) -> None:
    before = await get(api, f"/v2/books/{ORWELL}")
    status, answer, _ = await patch(api, "0451524934", {"title": "Big Brother", "pageCount": None})
    assert status == 200
    assert answer["data"]["locked"] == ["title", "pageCount"]

    await api.finished(ORWELL)

    book = await get(api, f"/v2/books/{ORWELL}")
    assert (book["title"], book["pageCount"]) == ("Big Brother", None)
    assert (await get(api, "/v2/books?q=big+brother"))["total"] == 1
    await patch(api, ORWELL, {"unlock": ["title", "pageCount"]})
    await api.finished(ORWELL)
    book = await get(api, f"/v2/books/{ORWELL}")
    assert (book["title"], book["pageCount"]) == (before["title"], before["pageCount"])
    assert book["locked"] == []


async def test_what_a_reader_says_survives_an_import(api: Server) -> None:
    said = {"status": "read", "rating": 4.5, "datesRead": ["2024-01-02/2024-02-03"]}
    await patch(api, MOBY_DICK, {"reading": said})
    await patch(api, MOBY_DICK, {"reading": {"rating": 2}}, "?userId=ada")

    await api.finished(MOBY_DICK)

    book = await get(api, f"/v2/books/{MOBY_DICK}")
    assert {name: value for name, value in book["reading"].items() if value is not None} == said
    assert book["locked"] == []
    assert (await get(api, f"/v2/books/{MOBY_DICK}?userId=ada"))["reading"]["rating"] == 2
    assert (await get(api, f"/v2/books/{MOBY_DICK}?userId=bob"))["reading"] is None


@pytest.mark.parametrize(
    ("body", "named"), [({"title": None}, "title"), ({"colour": "red"}, "colour"), ({}, "nothing")]
)
async def test_an_edit_that_cannot_be_names_the_field(api: Server, body: Any, named: str) -> None:
    answer = await patch(api, ORWELL, body)

    assert is_failure(answer, 400, "INVALID_REQUEST")
    assert named in answer[1]["error"]["message"]


async def test_what_is_not_there_cannot_be_changed(api: Server) -> None:
    drawn = picture("x", "y", 1, (60, 90), "PNG")
    header = {"Content-Type": "image/png"}

    assert is_failure(await patch(api, "9780441172719", {"title": "x"}), 404, "BOOK_NOT_FOUND")
    gone = await api.ask("DELETE", "/v2/books/9780441172719")
    assert is_failure(gone, 404, "BOOK_NOT_FOUND")
    put = await api.ask("PUT", "/v2/covers/9780441172719", data=drawn, headers=header)
    assert is_failure(put, 404, "BOOK_NOT_FOUND")
    assert is_failure(await patch(api, "123", {"title": "x"}), 400, "INVALID_ISBN")


async def test_a_cover_of_ones_own_stays_over_an_import(api: Server) -> None:
    drawn = picture("mine", "me", 1, (300, 400), "PNG")
    status, answer, _ = await api.ask(
        "PUT", f"/v2/covers/{ALIENS}", data=drawn, headers={"Content-Type": "image/png"}
    )
    assert status == 200, answer
    assert answer["data"]["locked"] == ["cover"]
    own = answer["data"]["cover"]

    await api.finished(ALIENS)

    book = await get(api, f"/v2/books/{ALIENS}")
    assert book["cover"] == own
    assert (own["width"], own["height"], own["contentType"]) == (300, 400, "image/png")
    async with api.http.get(f"{api.url}{own['url']}") as shown:
        assert (await shown.read(), shown.headers["Content-Type"]) == (drawn, "image/png")


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"no picture", "image/png", 400, "INVALID_REQUEST"),
        (b"{}", "application/json", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"\x00" * (10 * 2**20 + 1), "image/png", 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_a_cover_is_checked_as_a_fetched_one_is(
    api: Server, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = await api.ask(
        "PUT", f"/v2/covers/{ORWELL}", data=io.BytesIO(body), headers={"Content-Type": kind}
    )

    assert is_failure(answer, status, code)


async def test_a_book_that_is_as_it_was_is_not_sent_again(api: Server) -> None:
    path = f"/v2/books/{ORWELL}"
    _, _, headers = await api.get(path)
    tag = headers["ETag"]

    status, _, unchanged = await api.get(path, headers={"If-None-Match": tag})
    assert (status, unchanged["ETag"]) == (304, tag)
    assert unchanged["Vary"] == headers["Vary"]
    await patch(api, ORWELL, {"reading": {"notes": "Lent to Bob"}})
    status, _, headers = await api.get(path, headers={"If-None-Match": tag})
    assert (status, headers["ETag"] == tag) == (200, False)


# ------------------------------------------------------------------ exports
async def test_each_form_of_the_export_holds_every_book(api: Server) -> None:
    await patch(api, ORWELL, {"publisher": "=1+1", "reading": {"rating": 5, "status": "read"}})

    async with api.http.get(f"{api.url}/v2/books/export?format=json") as answer:
        books = await answer.json()
    assert {book["isbn"] for book in books} == {ORWELL, MOBY_DICK, ALIENS}
    assert books[0] == await get(api, f"/v2/books/{books[0]['isbn']}")
    for form in ("csv", "goodreads"):
        async with api.http.get(f"{api.url}/v2/books/export?format={form}") as answer:
            assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
            assert answer.content_type == "text/csv"
            text = await answer.text()
        assert "'=1+1" in text
        rows = {row.isbn.isbn13: row for row in open_library_file(text.encode()).rows() if row.isbn}
        assert set(rows) == {ORWELL, MOBY_DICK, ALIENS}
        assert (rows[ORWELL].reading.rating, rows[ORWELL].reading.status) == (5, "read")
    header = next(csv.reader(io.StringIO(text)))
    assert "Exclusive Shelf" in header


async def test_a_form_that_nobody_knows_is_refused(api: Server) -> None:
    answer = await api.get("/v2/books/export?format=xml")

    assert is_failure(answer, 400, "INVALID_REQUEST")
    assert "goodreads" in answer[1]["error"]["message"]


def goodreads(known: dict[str, Reading]) -> str:
    """An export of Goodreads with these books."""
    rows = (
        Shelved(isbn=read_isbn(isbn), title=f"Title of {isbn}", authors=("A B",), reading=reading)
        for isbn, reading in known.items()
    )
    return "".join([csv_line(GOODREADS_HEADER), *map(goodreads_row, rows)])


def as_parsed(text: str) -> dict[str, Reading]:
    rows = open_library_file(text.encode()).rows()
    return {row.isbn.isbn13: row.reading for row in rows if row.isbn is not None}


async def test_a_goodreads_export_comes_back_equal_as_parsed(api: Server, sandbox: Sandbox) -> None:
    made = sandbox.make(4)
    known = {
        made[0]: Reading(
            status="read", rating=5, shelves=("sea", "whales"), date_added="2023-12-01",
            dates_read=("2024-01-02/2024-02-03",), read_count=2, owned=True,
            review="One line.\n\n=another, with \"quotes\"", notes="Lent to Bob",
        ),
        made[1]: Reading(status="reading", date_added="2024-03-04", read_count=1),
        made[2]: Reading(status="to-read", shelves=("-later",), read_count=0),
        made[3]: Reading(status="read", rating=3, read_count=1, dates_read=("2020-05-06",)),
    }  # fmt: skip
    sent = goodreads(known)
    status, answer, _ = await api.ask("POST", "/v2/import/file", data=sent.encode())
    assert status == 202, answer

    batch: Any = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while batch.get("status") != "completed":
            await asyncio.sleep(0.05)
            batch = await get(api, f"/v2/import/batch/{answer['data']['batchId']}")
    async with api.http.get(f"{api.url}/v2/books/export?format=goodreads") as exported:
        back = as_parsed(await exported.text())

    assert as_parsed(sent) == known
    assert {isbn: back.get(isbn) for isbn in known} == known


# ------------------------------------------------------------------ reading apps
ATOM = {"a": "http://www.w3.org/2005/Atom"}


async def opds(api: Server, path: str) -> Any:
    async with api.http.get(f"{api.url}{path}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/atom+xml;profile=opds")
        return fromstring(await answer.read())


def link(element: Any, relation: str) -> str | None:
    found = element.find(f"a:link[@rel='{relation}']", ATOM)
    return None if found is None else str(found.get("href"))


async def test_a_reading_app_walks_the_catalogue_and_finds_the_covers(api: Server) -> None:
    isbns, path = [], "/opds?limit=2&sort=title"
    while path:
        page = await opds(api, path)
        entries = page.findall("a:entry", ATOM)
        isbns += [entry.findtext("a:id", "", ATOM) for entry in entries]
        path = link(page, "next") or ""

    assert len(isbns) == len(set(isbns)) == (await get(api, "/v2/books"))["total"]
    [orwell] = (await opds(api, f"/opds?q={ORWELL}")).findall("a:entry", ATOM)
    assert orwell.findtext("a:id", "", ATOM) == f"urn:isbn:{ORWELL}"
    assert orwell.findtext("a:author/a:name", "", ATOM) == "George Orwell"
    cover = link(orwell, "http://opds-spec.org/image")
    assert (await api.get(str(cover)))[0] == 200


async def test_a_reading_app_searches_by_the_template(api: Server) -> None:
    where = link(await opds(api, "/opds"), "search")
    async with api.http.get(f"{api.url}{where}") as answer:
        assert answer.content_type == "application/opensearchdescription+xml"
        template = fromstring(await answer.read()).find("{*}Url").get("template")  # type: ignore[union-attr]

    found = await opds(api, str(template).replace("{searchTerms}", "melville"))

    assert [entry.findtext("a:id", "", ATOM) for entry in found.findall("a:entry", ATOM)] == [
        f"urn:isbn:{MOBY_DICK}"
    ]


async def test_odd_text_makes_no_broken_feed(api: Server) -> None:
    await patch(api, ORWELL, {"title": "<b>&\"'\u0085\ufffe"})

    titles = [one.text for one in (await opds(api, "/opds?q=0451524934")).iterfind(".//{*}title")]

    assert "<b>&\"'" in [title.rstrip("\u0085") for title in titles]
    await patch(api, ORWELL, {"title": "1984"})


# ------------------------------------------------------------------ delete
async def test_a_deleted_book_is_gone_with_its_cover_until_it_is_imported_anew(
    api: Server,
) -> None:
    isbn = "9780156012195"
    await api.finished(isbn)
    assert (await api.get(f"/v2/covers/{isbn}"))[0] == 200

    status, body, _ = await api.ask("DELETE", f"/v2/books/{isbn}")

    assert (status, body) == (204, b"")
    assert is_failure(await api.get(f"/v2/books/{isbn}"), 404, "BOOK_NOT_FOUND")
    assert is_failure(await api.get(f"/v2/covers/{isbn}"), 404, "NOT_FOUND")
    assert (await get(api, f"/v2/books?q={isbn}"))["total"] == 0
    await api.finished(isbn)
    assert (await get(api, f"/v2/books/{isbn}"))["locked"] == []
    assert (await api.ask("DELETE", f"/v2/books/{isbn}"))[0] == 204


async def test_a_delete_cancels_the_running_import_and_nothing_comes_back(
    api: Server, sandbox: Sandbox
) -> None:
    isbn = "9780441478125"
    await api.finished(isbn)
    sandbox.faults.add(kind="delay", route="openlibrary", isbn=isbn, ms=1000, times=None)
    sandbox.faults.add(kind="delay", route="google_books", isbn=isbn, ms=1000, times=None)
    _, answer, _ = await api.post("/v2/import/workflow", {"isbn": isbn})
    job_id = answer["data"]["jobId"]

    assert (await api.ask("DELETE", f"/v2/books/{isbn}"))[0] == 204

    assert (await api.until(job_id))["status"] == "cancelled"
    assert is_failure(await api.get(f"/v2/books/{isbn}"), 404, "BOOK_NOT_FOUND")
    assert is_failure(await api.get(f"/v2/covers/{isbn}"), 404, "NOT_FOUND")
