"""Bytes to picture: is it one, of which kind, how large, and not a placeholder.

Way:      steps/cover.py → here → Pillow, in one of two threads of its own
Units:    pixels.
Rule 1:   the sizes in the header are checked before anything is decoded.
Rule 2:   Pillow is loaded with the first picture, in its thread: 4 MB, and a part of each start.
Rule 3:   as lenient as every viewer is (no end marker, damaged or huge notes beside the picture),
          and no more: a picture that stops half-way is broken.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from bookline.errors import CoverRefused
from bookline.net.picture_headers import (
    GIF,
    JPEG,
    MOST_CHUNKS,
    PNG,
    WEBP,
    Kind,
    kind_of,
    refuse_placeholder,
    refuse_scans,
    refuse_size,
    webp_size,
)
from bookline.ports import Picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# Our choices, tried on drawn covers: a white cover with one line of small type passes both.
LEAST_CONTRAST = 8  # of 255, between the lightest and the darkest spot
LEAST_ENTROPY_BITS = 0.01  # about one spot in a thousand differs
# "Image not available" comes at any size, so it is known by its look as well as by its hash.
NOTICE_SHARE = 0.8  # of all pixels have the one shade of the ground
NOTICE_CONTRAST = 128  # of 255; type on real covers is darker, or lighter, than that
NOTICE_HEIGHT = 0.5  # of the picture: all its type stands in the middle; covers use top and bottom
_BLANK = "the cover shows nothing but one colour"
_BLANK_TEST_SIDE = 64  # the picture is shrunk to about this before it is looked at

# Two, not the loop's shared ones: the largest picture takes 200 MB and more while it is read.
_DECODERS = ThreadPoolExecutor(max_workers=2, thread_name_prefix="picture")


async def read_picture(body: bytes) -> Picture:
    """What the bytes say of themselves, after they were decoded once to the end.

    Raises: CoverRefused when they are no JPEG, PNG, WebP or GIF, broken, too small, too large,
    or show nothing.
    """
    return await asyncio.get_running_loop().run_in_executor(_DECODERS, _read, body)


@cache
def _openers() -> Mapping[Kind, Callable[[BytesIO], ImageFile]]:
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {JPEG: JpegImageFile, PNG: PngImageFile, GIF: GifImageFile, WEBP: WebPImageFile}


def _read(body: bytes) -> Picture:
    refuse_placeholder(body)
    kind = kind_of(body)
    try:
        return _decode(kind, body)
    except CoverRefused:
        raise
    except Exception as error:  # Pillow lets through whatever a codec trips over
        raise CoverRefused(f"the cover is a broken {kind.extension} file") from error


def _decode(kind: Kind, body: bytes) -> Picture:
    if kind is JPEG:
        refuse_scans(body)
    if kind is WEBP:
        # Opening it makes room for the whole canvas, so the header is read before.
        refuse_size(*webp_size(body))
    if kind is PNG:
        body = _critical_chunks(body)
    if kind is JPEG:
        body = _to_its_end(body)
    # The plug-ins are opened directly: no other format is tried, no global limit is consulted.
    with _openers()[kind](BytesIO(body)) as image:
        width, height = image.size
        refuse_size(width, height)
        if _lies_on_its_side(image):
            width, height = height, width
        # A JPEG can be decoded at an eighth and in grey; it is read to its end all the same.
        image.draft("L", (_BLANK_TEST_SIDE, _BLANK_TEST_SIDE))
        image.load()
        if kind is JPEG and _is_flat_below(image) and _goes_on(body, image):
            raise CoverRefused("the cover is a broken jpg file: it stops half-way")
        _refuse_look(kind, image)
    return Picture(
        content_type=kind.content_type, extension=kind.extension, width=width, height=height
    )


# ------------------------------------------------------------------ as lenient as viewers are
_END_OF_JPEG = b"\xff\xd9"
_SCAN_OF_JPEG = b"\xff\xda"
_FILLING = b"\xa5\x3c\x96\x5a" * 64  # read as picture data where some is still missing
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
_TRANSPARENCY = {0: 2, 2: 6, 4: 0, 6: 0}  # bytes by colour type; a palette's differ (PNG 11.3.2)
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"})


def _to_its_end(body: bytes) -> bytes:
    """Without what stands behind the end marker of its last scan.

    Raises: CoverRefused as ``_with_end``.
    """
    end = body.find(_END_OF_JPEG, max(body.rfind(_SCAN_OF_JPEG), 0))
    return _with_end(body) if end < 0 else body[: end + 2]


def _with_end(body: bytes) -> bytes:
    """A JPEG without its end marker, ended. All of the picture must be there: bytes that are put
    behind it must not change it.

    Raises: CoverRefused when they do.
    """
    body = body.removesuffix(b"\xff")  # half of the marker
    ended = body + _END_OF_JPEG
    if _pixels(ended) != _pixels(body + _FILLING + _END_OF_JPEG):
        raise CoverRefused("the cover is a broken jpg file: it stops half-way")
    return ended


def _is_flat_below(image: Image) -> bool:
    """As where a decoder has run out of data, or a cover ends in one colour."""
    strip = image.crop((0, image.height - 1, image.width, image.height)).convert("L")
    return _contrast(strip) == 0


def _goes_on(body: bytes, image: Image) -> bool:
    """Whether a JPEG with its end marker still waits for data before it."""
    end = len(body) - len(_END_OF_JPEG)
    with _openers()[JPEG](BytesIO(body[:end] + _FILLING + body[end:])) as filled:
        filled.draft("L", (_BLANK_TEST_SIDE, _BLANK_TEST_SIDE))
        filled.load()
        return filled.tobytes() != image.tobytes()


def _pixels(body: bytes) -> bytes:
    with _openers()[JPEG](BytesIO(body)) as image:
        refuse_size(*image.size)
        image.load()
        return hashlib.sha256(image.tobytes()).digest()


def _critical_chunks(body: bytes) -> bytes:
    """A PNG of what makes the picture. The rest is dropped: notes that are damaged, or so large
    when unpacked that Pillow refuses the picture for them. A damaged picture stays damaged.
    """
    kept, at = [body[:8]], 8
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(body):
            return b"".join(kept)
        end = at + 12 + int.from_bytes(body[at : at + 4], "big")
        name, chunk = body[at + 4 : at + 8], body[at:end]
        is_note = name[:1].islower()
        if name == b"tRNS" and _TRANSPARENCY.get(body[25], end - at - 12) != end - at - 12:
            at = end  # of no length that its kind of picture can have
            continue
        is_whole = not is_note or chunk[-4:] == zlib.crc32(chunk[4:-4]).to_bytes(4, "big")
        if (name in _CRITICAL and is_whole) or not name[:1].islower():
            kept.append(chunk)
        at = end
    raise CoverRefused("the cover is a PNG with too many chunks")


def _lies_on_its_side(image: ImageFile) -> bool:
    """Whether viewers turn it by a quarter, as its EXIF data says."""
    try:
        return image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except Exception:  # noqa: BLE001 - a note beside the picture, in whatever state
        return False


def _refuse_look(kind: Kind, image: Image) -> None:
    if image.mode.startswith(("I", "F")):  # 16 bits and more: conversion would cut, not scale
        low, high = image.getextrema()
        if low == high:
            raise CoverRefused(_BLANK)
        return
    # A palette's transparency survives only by way of RGBA.
    seen = image.convert("RGBA") if image.mode in {"P", "PA"} else image
    grey = seen.convert("L")
    if _is_blank(grey):
        raise CoverRefused(_BLANK)
    if kind is not JPEG and _is_notice(seen, grey):  # a shrunk JPEG is too soft
        raise CoverRefused("the cover is a grey notice that there is none")


def _is_blank(grey: Image) -> bool:
    small = grey.reduce(max(1, min(grey.size) // _BLANK_TEST_SIDE))
    return _contrast(small) < LEAST_CONTRAST or small.entropy() < LEAST_ENTROPY_BITS


def _is_notice(seen: Image, grey: Image) -> bool:
    from PIL import ImageChops

    counts = grey.histogram()
    if max(counts) < NOTICE_SHARE * sum(counts) or _contrast(grey) >= NOTICE_CONTRAST:
        return False
    colour = ImageChops.difference(seen.convert("RGB"), grey.convert("RGB"))
    if any(_contrast(band) >= LEAST_CONTRAST for band in colour.split()):
        return False
    ground = counts.index(max(counts))
    type_ = grey.point([255 * (abs(shade - ground) > LEAST_CONTRAST) for shade in range(256)])
    edge = max(1, grey.height // 32)  # some notices have a thin frame
    box = type_.crop((edge, edge, grey.width - edge, grey.height - edge)).getbbox()
    return box is not None and box[3] - box[1] <= NOTICE_HEIGHT * grey.height


def _contrast(grey: Image) -> int:
    """Between the darkest and the lightest shade that occurs, of 255."""
    shades = [shade for shade, count in enumerate(grey.histogram()) if count]
    return shades[-1] - shades[0]
