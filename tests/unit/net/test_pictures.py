"""Bytes are a cover, or they are refused with the reason."""

import hashlib
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from bookline.errors import CoverRefused
from bookline.net import picture_headers, pictures
from bookline.net.picture_headers import read_header
from bookline.net.pictures import read_picture
from bookline.ports import Picture


def drawn(width: int = 120, height: int = 180, mode: str = "RGB") -> Image.Image:
    """Something to see: a gradient."""
    return Image.linear_gradient("L").resize((width, height)).convert(mode)


def lettered(size: tuple[int, int], words: str, ground: str, ink: str) -> Image.Image:
    """One line of type across the middle."""
    image = Image.new("RGB", size, ground)
    font = ImageFont.load_default(size=size[0] // 11)
    where = (size[0] / 2, size[1] / 2)
    ImageDraw.Draw(image).text(where, words, fill=ink, font=font, anchor="mm")
    return image


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A small file whose header claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0")
    chunks = [header, data, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def webp_of_size(width: int, height: int) -> bytes:
    """The same as extended WebP (RFC 9649)."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", len(body)) + body


async def refusal(body: bytes) -> str:
    with pytest.raises(CoverRefused) as caught:
        await read_picture(body)
    return str(caught.value)


# ------------------------------------------------------------------ what is taken
@pytest.mark.parametrize(
    ("body", "content_type", "extension"),
    [
        (saved(drawn(), "JPEG"), "image/jpeg", "jpg"),
        (saved(drawn(), "JPEG", progressive=True), "image/jpeg", "jpg"),
        (saved(drawn(mode="CMYK"), "JPEG"), "image/jpeg", "jpg"),
        (saved(drawn(mode="L"), "JPEG"), "image/jpeg", "jpg"),
        (saved(drawn(), "PNG"), "image/png", "png"),
        (saved(drawn(mode="LA"), "PNG"), "image/png", "png"),
        (saved(drawn(mode="1"), "PNG"), "image/png", "png"),
        (saved(drawn(mode="P"), "PNG", transparency=b"\x80\xff"), "image/png", "png"),
        (saved(drawn(), "WEBP"), "image/webp", "webp"),
        (saved(drawn(), "WEBP", lossless=True), "image/webp", "webp"),
        (saved(drawn(mode="RGBA"), "WEBP"), "image/webp", "webp"),
        (saved(drawn(), "GIF"), "image/gif", "gif"),
    ],
)
async def test_a_picture_tells_its_true_type_and_size(
    body: bytes, content_type: str, extension: str
) -> None:
    assert await read_picture(body) == Picture(
        content_type=content_type, extension=extension, width=120, height=180
    )


async def test_sixteen_bits_of_grey_are_seen() -> None:
    levels = b"".join(struct.pack("<H", 256 * (at // 256)) for at in range(256 * 256))
    body = saved(Image.frombytes("I;16", (256, 256), levels), "PNG")

    assert (await read_picture(body)).width == 256


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
async def test_a_moving_picture_has_the_size_of_its_canvas(form: str) -> None:
    frames = [drawn(), drawn().rotate(180)]

    body = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100)

    assert (await read_picture(body)).height == 180


async def test_a_white_cover_with_one_small_line_is_a_cover() -> None:
    cover = Image.new("RGB", (400, 600), "white")
    cover.paste((60, 60, 60), (150, 300, 250, 306))

    assert (await read_picture(saved(cover, "JPEG"))).extension == "jpg"


async def test_the_smallest_size_is_taken() -> None:
    assert (await read_picture(saved(drawn(50, 50), "PNG"))).width == 50


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>404</title>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        saved(drawn(), "TIFF"),
        saved(drawn(), "BMP"),
        b"GIF",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xd8",
    ],
)
async def test_what_is_no_picture_is_refused_whatever_its_type_claims(body: bytes) -> None:
    assert "only JPEG, PNG, WebP and GIF pictures are taken" in await refusal(body)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
async def test_a_cut_picture_is_refused(form: str, share: float) -> None:
    noise = Image.effect_noise((120, 180), 80).convert("RGB")
    body = saved(noise, form)

    assert "broken" in await refusal(body[: max(16, int(len(body) * share))])


async def test_one_pixel_is_refused() -> None:
    pixel = saved(Image.new("1", (1, 1)), "GIF")

    assert "1×1" in await refusal(pixel)


@pytest.mark.parametrize("size", [(49, 49), (49, 500), (500, 49)])
async def test_a_side_below_fifty_pixels_is_refused(size: tuple[int, int]) -> None:
    assert f"{size[0]}×{size[1]}" in await refusal(saved(drawn(*size), "JPEG"))


@pytest.mark.parametrize(
    "body",
    [
        png_of_size(30_000, 30_000),
        png_of_size(2**31 - 1, 2**31 - 1),
        png_of_size(8_000, 5_001),
        webp_of_size(16_000, 16_000),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0,"
        + struct.pack("<HHHH", 0, 0, 65_535, 65_535) + b"\0\x02\x02\x4c\x01\0;",
    ],
)  # fmt: skip
async def test_a_bomb_is_refused_by_its_header(body: bytes) -> None:
    assert "too many to decode" in await refusal(body)


async def test_a_jpeg_of_countless_scans_is_refused() -> None:
    body = saved(drawn(), "JPEG", progressive=True)
    scan = body[body.index(b"\xff\xda") : -2]

    assert "too many scans" in await refusal(body[:-2] + scan * 100 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("form", "mode", "colour"),
    [
        ("JPEG", "RGB", (200, 200, 200)),
        ("PNG", "RGB", (255, 255, 255)),
        ("PNG", "RGBA", (0, 0, 0, 0)),
        ("PNG", "I;16", 30_000),
        ("GIF", "P", 7),
        ("WEBP", "RGB", (12, 34, 56)),
    ],
)
async def test_one_colour_is_no_cover(form: str, mode: str, colour: Any) -> None:
    blank = Image.new(mode, (300, 450), colour)

    assert "one colour" in await refusal(saved(blank, form))


@pytest.mark.parametrize("form", ["PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("size", [(128, 192), (575, 750), (600, 900)])
async def test_a_grey_notice_is_refused_at_any_size(form: str, size: tuple[int, int]) -> None:
    body = saved(lettered(size, "image not available", "#f0f0f0", "#9b9b9b"), form, lossless=True)

    assert "notice" in await refusal(body)


@pytest.mark.parametrize(
    ("ground", "ink"),
    [
        ("#ffffff", "#000000"),
        ("#111111", "#eeeeee"),
        ("#e0d8c0", "#a08040"),
        ("#202060", "#4060a0"),
    ],
)
async def test_a_plain_cover_with_its_title_is_no_notice(ground: str, ink: str) -> None:
    body = saved(lettered((300, 450), "The Plague", ground, ink), "PNG")

    assert (await read_picture(body)).extension == "png"


async def test_a_known_placeholder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = saved(drawn(), "PNG")
    known = hashlib.md5(body).hexdigest()
    monkeypatch.setattr(picture_headers, "PLACEHOLDER_MD5S", frozenset({known}))

    assert "placeholder" in await refusal(body)


# ------------------------------------------------------------------ as lenient as viewers are
def exif(orientation: int) -> Image.Exif:
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


def with_chunk(png: bytes, name: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """The PNG with one more chunk before its picture."""
    real = zlib.crc32(name + data) if crc is None else crc
    chunk = struct.pack(">I", len(data)) + name + data + struct.pack(">I", real)
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk + png[at:]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("tail", [b"", b"\0\0\0", b"\xff"])
async def test_a_jpeg_without_its_end_marker_is_taken(options: Any, tail: bytes) -> None:
    body = saved(noisy(400, 600), "JPEG", **options)
    assert body.endswith(b"\xff\xd9")

    picture = await read_picture(body[:-2] + tail)

    assert (picture.width, picture.height) == (400, 600)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.98])
async def test_a_jpeg_that_stops_half_way_is_broken(options: Any, share: float) -> None:
    body = saved(noisy(400, 600), "JPEG", **options)

    assert "stops half-way" in await refusal(body[: int(len(body) * share)])


@pytest.mark.parametrize("tail", [b"", b"\0\0", b"<html>"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
async def test_an_end_marker_makes_no_cut_jpeg_whole(share: float, tail: bytes) -> None:
    body = saved(noisy(400, 600), "JPEG")
    cut = body[: int(len(body) * share)].rstrip(b"\xff") + b"\xff\xd9"

    assert "stops half-way" in await refusal(cut + tail)


@pytest.mark.parametrize("colour", ["black", "white", "grey", "red"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
async def test_a_cover_that_ends_in_one_colour_is_whole(colour: str, options: Any) -> None:
    cover = noisy(400, 600)
    ImageDraw.Draw(cover).rectangle((0, 450, 400, 600), fill=colour)

    picture = await read_picture(saved(cover, "JPEG", **options))

    assert (picture.width, picture.height) == (400, 600)


def noisy(width: int, height: int) -> Image.Image:
    """A picture whose every part differs, so that a missing part shows."""
    return Image.effect_noise((width, height), 80).convert("RGB")


@pytest.mark.parametrize(
    ("name", "data"),
    [(b"tEXt", b"Title\0a book"), (b"zTXt", b"Note\0\0nonsense"), (b"gAMA", b"\0\0"),
     (b"iCCP", b"x\0\0nonsense"), (b"pHYs", b""), (b"eXIf", b"nonsense"), (b"tIME", b"\0"),
     (b"tRNS", b"\0")],
)  # fmt: skip
@pytest.mark.parametrize("crc", [None, 0])
async def test_a_damaged_note_spoils_no_png(name: bytes, data: bytes, crc: int | None) -> None:
    body = with_chunk(saved(drawn(), "PNG"), name, data, crc=crc)

    picture = await read_picture(body)

    assert (picture.extension, picture.width, picture.height) == ("png", 120, 180)


async def test_a_large_text_beside_a_png_is_no_reason_to_refuse_it() -> None:
    text = b"Note\0\0" + zlib.compress(b"a" * 80_000_000)
    body = with_chunk(saved(drawn(), "PNG"), b"zTXt", text)

    assert (await read_picture(body)).extension == "png"


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
async def test_a_damaged_picture_stays_damaged(name: bytes) -> None:
    body = bytearray(saved(drawn(), "PNG"))
    body[body.index(name) + 6] ^= 0xFF

    assert await refusal(bytes(body))


async def test_a_png_of_countless_chunks_is_refused() -> None:
    body = saved(drawn(), "PNG")
    at = body.index(b"IDAT") - 4
    empty = struct.pack(">I", 0) + b"tIME" + struct.pack(">I", zlib.crc32(b"tIME"))

    assert "too many chunks" in await refusal(body[:at] + empty * 30_000 + body[at:])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "size"),
    [
        (1, (600, 400)),
        (3, (600, 400)),
        (6, (400, 600)),
        (8, (400, 600)),
        (5, (400, 600)),
        (99, (600, 400)),
    ],
)
async def test_a_size_is_told_as_it_is_displayed(
    form: str, orientation: int, size: tuple[int, int]
) -> None:
    body = saved(drawn(600, 400), form, exif=exif(orientation))

    picture = await read_picture(body)

    assert (picture.width, picture.height) == size
    assert read_header(body) == picture


@pytest.mark.parametrize(
    "notes", [b"Exif\0\0" + b"\xff" * 60_000, b"Exif\0\0II*\0" + b"\x08\0\0\0" * 9]
)
@pytest.mark.filterwarnings("ignore:.*data:UserWarning")  # Pillow's own word on it
async def test_damaged_exif_data_turns_nothing(notes: bytes) -> None:
    body = saved(drawn(600, 400), "JPEG", exif=notes)

    assert (await read_picture(body)).width == 600


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"\0\0\0\x1cftypavif" + b"\0" * 40, "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + b"\0" * 40, "AVIF"),
        (b"\0\0\0\x1cftypheic" + b"\0" * 40, "HEIC"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'><svg/>", "SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"II*\0" + b"\0" * 40, "TIFF"),
        (b"MM\0*" + b"\0" * 40, "TIFF"),
        (b"BM" + b"\0" * 40, "BMP"),
        (b"%PDF-1.7", "PDF"),
        (b"\xff\x0a" + b"\0" * 40, "JPEG XL"),
        (b"<!doctype html><title>404</title>", "web page"),
        (b'{"error": 404}', "web page or text"),
        (b"", "empty"),
    ],
)
async def test_what_is_not_taken_is_refused_by_its_name(body: bytes, name: str) -> None:
    assert name in await refusal(body)


@pytest.mark.parametrize("ground", ["#f0f0f0", "#e8e8e8", "#fafafa"])
async def test_a_pale_cover_with_grey_type_is_no_notice(ground: str) -> None:
    cover = Image.new("RGB", (400, 600), ground)
    draw, font = ImageDraw.Draw(cover), ImageFont.load_default(size=36)
    draw.text((200, 80), "A Quiet Book", fill="#9b9b9b", font=font, anchor="mm")
    draw.text((200, 540), "Ada Example", fill="#9b9b9b", font=font, anchor="mm")

    assert (await read_picture(saved(cover, "PNG"))).extension == "png"


STARTS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]
SAMPLES = [saved(drawn(60, 60), form) for form in ("JPEG", "PNG", "GIF", "WEBP")]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(start: bytes, rest: bytes) -> None:
    try:
        picture = pictures._read(start + rest)
    except CoverRefused:
        return

    assert min(picture.width, picture.height) >= 50


@given(st.sampled_from(SAMPLES), st.integers(0, 2_000), st.integers(1, 255))
def test_a_flipped_byte_is_a_picture_or_refused(sample: bytes, at: int, mask: int) -> None:
    body = bytearray(sample)
    body[at % len(body)] ^= mask

    try:
        picture = pictures._read(bytes(body))
    except CoverRefused:
        return

    assert picture.width * picture.height <= picture_headers.MOST_PIXELS


# ------------------------------------------------------------------ by the header alone
@pytest.mark.parametrize(
    "body",
    [
        *SAMPLES,
        saved(drawn(), "JPEG", progressive=True),
        saved(drawn(), "JPEG", comment=b"x" * 60_000),
        saved(drawn(mode="CMYK"), "JPEG"),
        saved(drawn(mode="P"), "PNG", transparency=b"\x80\xff"),
        saved(drawn(), "WEBP", lossless=True),
        saved(drawn(mode="RGBA"), "WEBP", exif=exif(3)),
    ],
)
async def test_a_header_says_what_the_whole_picture_says(body: bytes) -> None:
    assert read_header(body) == await read_picture(body)


@pytest.mark.parametrize("body", [png_of_size(49, 90), png_of_size(9_000, 9_000), b"", b"<html>"])
async def test_a_header_is_refused_for_the_same_reason(body: bytes) -> None:
    with pytest.raises(CoverRefused) as caught:
        read_header(body)

    assert str(caught.value) == await refusal(body)


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_header_is_a_picture_or_refused(start: bytes, rest: bytes) -> None:
    try:
        picture = read_header(start + rest)
    except CoverRefused:
        return

    assert min(picture.width, picture.height) >= 50


@given(st.sampled_from(SAMPLES), st.integers(0, 400))
def test_a_header_that_breaks_off_is_refused_or_whole(sample: bytes, length: int) -> None:
    try:
        picture = read_header(sample[:length])
    except CoverRefused:
        return

    assert (picture.width, picture.height) == (60, 60)
