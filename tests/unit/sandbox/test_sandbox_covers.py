"""The cover hosts and the pictures they send."""

import io

import aiohttp
import pytest
from PIL import Image

from bookline_sandbox import Sandbox
from bookline_sandbox.drawing import drawable, picture

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOOK = "9780451524935"
ODD = "9780306406157"
PNG, JPEG, GIF, WEBP = b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF"


def google(sandbox: Sandbox, isbn: str, zoom: int, **more: str) -> str:
    book = sandbox.catalogue.by_isbn[isbn]
    rest = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/books/content?id={book.google_id}&img=1&zoom={zoom}{rest}"


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, str, bytes]:
    async with http.get(path) as answer:
        return answer.status, answer.content_type, await answer.read()


def size(body: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        return image.size


@pytest.mark.parametrize(("zoom", "wide"), [(5, 80), (1, 128), (2, 300), (3, 575), (4, 800)])
async def test_google_sends_the_size_of_the_zoom(
    sandbox: Sandbox, http: aiohttp.ClientSession, zoom: int, wide: int
) -> None:
    status, kind, body = await get(http, google(sandbox, BOOK, zoom))

    assert (status, kind, body[:3]) == (200, "image/jpeg", JPEG)
    assert size(body) == (wide, wide * 3 // 2)


async def test_fife_bounds_the_size(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    _, _, body = await get(http, google(sandbox, BOOK, 1, fife="w800-h900"))

    assert size(body) == (600, 900)


async def test_edge_curl_spoils_the_corner(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    _, _, plain = await get(http, google(sandbox, BOOK, 1))
    _, _, curled = await get(http, google(sandbox, BOOK, 1, edge="curl"))

    assert plain != curled


@pytest.mark.parametrize(("quirk", "last"), [("google_zoom_ends_at_1", 1),
                                             ("google_zoom_ends_at_2", 2)])  # fmt: skip
async def test_beyond_the_last_zoom_stands_the_grey_placeholder(
    sandbox: Sandbox, http: aiohttp.ClientSession, quirk: str, last: int
) -> None:
    sandbox.add_book(isbn13=ODD, title="Odd", quirks=[quirk])
    _, kind, body = await get(http, google(sandbox, ODD, last))
    status, grey_kind, grey = await get(http, google(sandbox, ODD, last + 1))

    assert (kind, body[:3]) == ("image/jpeg", JPEG)
    assert (status, grey_kind, grey[:4]) == (200, "image/png", PNG)
    with Image.open(io.BytesIO(grey)) as image:
        red, green, blue = image.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()


async def test_beyond_the_last_zoom_may_be_a_404(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    sandbox.add_book(isbn13=ODD, title="Odd", quirks=["google_zoom_ends_at_3"])

    assert (await get(http, google(sandbox, ODD, 3)))[0] == 200
    assert (await get(http, google(sandbox, ODD, 4)))[0] == 404


@pytest.mark.parametrize(("letter", "bounds"), [("S", (116, 58)), ("M", (180, 360)),
                                                ("L", (500, 500))])  # fmt: skip
async def test_open_library_covers_fit_their_bounds(
    sandbox: Sandbox, http: aiohttp.ClientSession, letter: str, bounds: tuple[int, int]
) -> None:
    number = sandbox.catalogue.by_isbn[BOOK].number
    _, kind, body = await get(http, f"/covers/b/id/{number}-{letter}.jpg?default=false")

    assert kind == "image/jpeg"
    assert all(side <= bound for side, bound in zip(size(body), bounds, strict=True))
    assert size(body)[0] == bounds[0] or size(body)[1] >= bounds[1] - 2 or letter == "M"


async def test_without_a_cover_open_library_sends_one_pixel_or_404(
    http: aiohttp.ClientSession,
) -> None:
    status, kind, body = await get(http, "/covers/b/id/-1-M.jpg")

    assert (status, kind, len(body), size(body)) == (200, "image/gif", 807, (1, 1))
    assert (await get(http, "/covers/b/id/-1-M.jpg?default=false"))[0] == 404


async def test_a_cover_is_found_by_isbn_and_edition_too(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    number = sandbox.catalogue.by_isbn[BOOK].number
    by_id = await get(http, f"/covers/b/id/{number}-M.jpg")

    assert await get(http, f"/covers/b/isbn/{BOOK}-M.jpg") == by_id
    assert await get(http, f"/covers/b/olid/OL{number}M-M.jpg") == by_id


async def test_a_large_cover_may_stand_at_the_archive(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    book = next(b for b in sandbox.catalogue.by_isbn.values() if b.number % 3 == 0 and b.cover)
    path = f"/covers/b/id/{book.number}-L.jpg"

    async with http.get(path, allow_redirects=False) as answer:
        assert answer.status == 302
        assert answer.headers["location"].startswith(f"{sandbox.url}/archive.org/")
    assert (await get(http, path))[0] == 200


@pytest.mark.parametrize(("kind", "start"), [("google_png", PNG), ("openlibrary_webp", WEBP)])
async def test_some_covers_are_png_or_webp(
    sandbox: Sandbox, http: aiohttp.ClientSession, kind: str, start: bytes
) -> None:
    isbn = sandbox.add_book(isbn13=ODD, title="Odd", quirks=[kind])
    path = google(sandbox, isbn, 1) if start == PNG else f"/covers/b/isbn/{isbn}-M.jpg"

    assert (await get(http, path))[2].startswith(start)


async def test_isbndb_covers_have_at_most_500_pixels(http: aiohttp.ClientSession) -> None:
    status, kind, body = await get(http, f"/isbndb/images/covers/49/35/{BOOK}.jpg")

    assert (status, kind) == (200, "image/jpeg")
    assert max(size(body)) <= 500
    assert (await get(http, "/isbndb/images/covers/00/00/9799999999995.jpg"))[0] == 404


async def test_made_up_books_share_drawings_but_not_bytes(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    isbns = sandbox.make(80)
    bodies = [(await get(http, google(sandbox, isbn, 1)))[2] for isbn in isbns]

    assert len(set(bodies)) == 80
    assert all(size(body) == (128, 192) for body in bodies)


async def test_a_cover_request_is_counted_for_its_book(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    await get(http, google(sandbox, BOOK, 1))

    assert sandbox.counts == {BOOK: {"covers": 1}}


@pytest.mark.parametrize("text", ["Les Misérables", "三体", "", "A " * 200, "W" * 90])
async def test_any_title_can_be_drawn(text: str) -> None:
    assert picture(text, text, 7, (80, 120), "JPEG").startswith(JPEG)


async def test_letters_the_font_lacks_are_spelt_or_dropped() -> None:
    assert drawable("Les Misérables — Łódź ß 三") == "Les Miserables - Lodz ss"
