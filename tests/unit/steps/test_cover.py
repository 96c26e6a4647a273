"""The step asks for the largest size first, steps down, and keeps what passed."""

import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.book import Cover
from bookline.errors import CoverRefused, ProviderDown, SlowDown
from bookline.ports import Answer, Picture
from bookline.steps.cover import UploadCover, candidates, without_secrets
from bookline.stores.memory_objects import MemoryObjects

ISBN = "9780142437247"
GOOGLE = "http://books.google.com/books/content?id=a1&printsec=frontcover&img=1&zoom=1&edge=curl"
OPEN_LIBRARY = "https://covers.openlibrary.org/b/id/42-M.jpg"
OTHER = "https://images.isbndb.com/covers/01/01/9780000000101.jpg"
AT_MS = 1_763_845_159_123


# ------------------------------------------------------------------ stand-ins
class Fetcher:
    """Answers in turn: bytes, or an error to raise."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def fetch(self, url: str) -> Answer:
        self.asked.append(url)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(status=200, body=answer, url=url)


async def read_picture(body: bytes) -> Picture:
    """Whatever does not say blank is a PNG."""
    if body == b"blank":
        raise CoverRefused("it is blank")
    return Picture(content_type="image/png", extension="png", width=300, height=450)


def make_step(fetcher: Fetcher, objects: MemoryObjects) -> UploadCover:
    return UploadCover(fetcher, read_picture, objects, lambda: AT_MS)


# ------------------------------------------------------------------ the step
async def test_a_cover_is_kept_with_its_true_type_and_where_it_is_from() -> None:
    objects = MemoryObjects()

    told = await make_step(Fetcher(b"picture"), objects)(ISBN, OTHER)

    cover = Cover.from_json(told)
    kept = await objects.find(f"covers/{ISBN}.png")
    assert kept is not None
    assert (kept.body, kept.content_type) == (b"picture", "image/png")
    assert cover.key == kept.key
    assert (cover.width, cover.height, cover.source_url) == (300, 450, OTHER)
    assert cover.sha256 == hashlib.sha256(b"picture").hexdigest()
    assert cover.fetched_at == "2025-11-22T20:59:19.123Z"
    assert objects.attributes(kept.key) == {
        "source-url": OTHER,
        "fetched-at": cover.fetched_at,
        "sha256": cover.sha256,
    }


async def test_twice_is_the_same_as_once() -> None:
    step = make_step(Fetcher(b"picture", b"picture"), MemoryObjects())

    assert await step(ISBN, OTHER) == await step(ISBN, OTHER)


async def test_a_refused_size_steps_down_to_the_next() -> None:
    fetcher = Fetcher(CoverRefused("answered 404"), b"picture")

    told = await make_step(fetcher, MemoryObjects())(ISBN, GOOGLE)

    assert fetcher.asked == candidates(GOOGLE)
    assert told["sourceUrl"] == without_secrets(candidates(GOOGLE)[1])


async def test_a_placeholder_steps_down_as_well() -> None:
    fetcher = Fetcher(b"blank", b"picture")

    await make_step(fetcher, MemoryObjects())(ISBN, OPEN_LIBRARY)

    assert len(fetcher.asked) == 2


async def test_when_all_sizes_are_refused_the_last_reason_is_told() -> None:
    objects = MemoryObjects()
    fetcher = Fetcher(CoverRefused("answered 404"), b"blank")

    with pytest.raises(CoverRefused, match=r"^it is blank \(the last of 2 sizes\)$"):
        await make_step(fetcher, objects)(ISBN, OPEN_LIBRARY)

    assert await objects.find(f"covers/{ISBN}.png") is None


async def test_the_only_size_is_refused_in_its_own_words() -> None:
    with pytest.raises(CoverRefused, match=r"^answered 404$"):
        await make_step(Fetcher(CoverRefused("answered 404")), MemoryObjects())(ISBN, OTHER)


@pytest.mark.parametrize("error", [ProviderDown("down"), SlowDown("slow", None, 5.0)])
async def test_an_outage_is_raised_at_once_and_makes_no_cover_smaller(error: Exception) -> None:
    fetcher = Fetcher(error, b"smaller")

    with pytest.raises(type(error)):
        await make_step(fetcher, MemoryObjects())(ISBN, OPEN_LIBRARY)

    assert len(fetcher.asked) == 1


# ------------------------------------------------------------------ the sizes
def test_google_is_asked_for_the_thumbnail_drawn_large_and_then_the_thumbnail() -> None:
    asked = [parse_qs(urlsplit(url).query) for url in candidates(GOOGLE)]

    assert [query.get("fife") for query in asked] == [["w800-h900"], None]
    assert all(query["zoom"] == ["1"] and query["id"] == ["a1"] for query in asked)


@pytest.mark.parametrize("zoom", ["0", "4", "5", "6"])
def test_the_size_that_google_gave_is_the_last_resort(zoom: str) -> None:
    urls = candidates(GOOGLE.replace("zoom=1", f"zoom={zoom}"))

    assert [parse_qs(urlsplit(url).query)["zoom"] for url in urls] == [["1"], ["1"], [zoom]]


@pytest.mark.parametrize(
    "url",
    [
        GOOGLE + "&imgtk=AF_x-1&source=gbs_api",
        GOOGLE.replace("/books/", "/books/publisher/") + "&imgtk=AF_x-1",
        GOOGLE.replace("books.google.com", "127.0.0.1:8900") + "&imgtk=AF_x-1",
        "http://bks3.books.google.com/books?id=a1&img=1&zoom=5&edge=curl&imgtk=AF_x-1",
    ],
)
def test_google_never_bends_a_corner_and_keeps_its_signature(url: str) -> None:
    asked = [parse_qs(urlsplit(one).query) for one in candidates(url)]

    assert len(asked) >= 2
    assert all("edge" not in query and query["imgtk"] == ["AF_x-1"] for query in asked)


@pytest.mark.parametrize(
    "host",
    ["books.google.de", "books.google.co.in", "bks4.books.google.co.in", "bks1.books.google.fr",
     "BOOKS.google.com.br", "bks.books.google.ca"],
)  # fmt: skip
def test_a_national_host_of_google_is_asked_at_the_main_one(host: str) -> None:
    urls = candidates(f"http://{host}/books?id=a1&img=1&zoom=1&edge=curl&imgtk=AF_x-1")

    assert {urlsplit(url).netloc for url in urls} == {"books.google.com"}
    assert {urlsplit(url).scheme for url in urls} == {"https"}
    assert all("imgtk=AF_x-1" in url and "id=a1" in url for url in urls)


@pytest.mark.parametrize(
    "host",
    ["books.google.evil.com", "books.google.de.evil.example", "evilbooks.google.de",
     "books-google.de",
     "books.google.de:8443", "user@books.google.de", "books.google.example",
     "books.google.co.uk.x"],
)  # fmt: skip
def test_a_host_that_only_looks_national_is_left_for_the_guard_to_refuse(host: str) -> None:
    urls = candidates(f"http://{host}/books?id=a1&img=1")

    assert all(urlsplit(url).netloc == host for url in urls)


@pytest.mark.parametrize("size", "SML")
def test_open_library_is_asked_for_large_then_medium_and_no_blanks(size: str) -> None:
    start = "https://covers.openlibrary.org/b/isbn/9780142437247"

    assert candidates(f"{start}-{size}.jpg") == [
        f"{start}-L.jpg?default=false",
        f"{start}-M.jpg?default=false",
    ]


@pytest.mark.parametrize(
    "url",
    [
        OTHER,
        "",
        "https://[",
        "https://books.google.com/books/about?id=1",
        "https://x/b/id/4-XL.jpg",
    ],
)
def test_any_other_address_is_its_own_only_size(url: str) -> None:
    assert candidates(url) == [url]


@given(st.text() | st.text().map("https://x/books/content?".__add__))
def test_any_text_has_one_to_three_sizes(text: str) -> None:
    assert 1 <= len(candidates(text)) <= 3


# ------------------------------------------------------------------ provenance
def test_a_source_is_told_without_tokens_and_credentials() -> None:
    told = without_secrets("https://u:p@h.test/a?id=1&imgtk=s&sig=s&X-Amz-Signature=s&zoom=1#f")

    assert told == "https://h.test/a?id=1&zoom=1"


@given(st.text() | st.text().map("https://x/é?id=".__add__))
def test_a_source_fits_into_a_header(text: str) -> None:
    told = without_secrets(text)

    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 1_500
