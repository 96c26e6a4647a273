"""Bytes to picture: is it one, of which kind, how large, and not a placeholder.

Way:      steps/cover.py → here → Pillow, in one of two threads of its own
Source:   PNG (W3C), GIF89a, RFC 9649 (WebP), ITU-T T.81 (JPEG); the placeholders' hashes are
          those that calibre's Google plug-in has collected.
Units:    pixels.
Rule 1:   the sizes in the header are checked before anything is decoded.
Rule 2:   the content type that a server claims counts for nothing.
"""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import ImageChops
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from bookline.errors import CoverRefused
from bookline.ports import Picture

SMALLEST_SIDE = 50  # SPEC §5
MOST_PIXELS = 40_000_000  # SPEC §5
# Our choice. Cameras and encoders write about ten; each one costs a pass over all pixels, so a
# small file with thousands of empty ones would keep a thread busy for hours.
MOST_JPEG_SCANS = 100
# Our choices, tried on drawn covers: a white cover with one line of small type passes both.
LEAST_CONTRAST = 8  # of 255, between the lightest and the darkest spot
LEAST_ENTROPY_BITS = 0.01  # about one spot in a thousand differs
# "Image not available" comes at any size, so it is known by its look as well as by its hash.
NOTICE_SHARE = 0.8  # of all pixels have the one shade of the ground
NOTICE_CONTRAST = 128  # of 255; type on real covers is darker, or lighter, than that
PLACEHOLDER_MD5S = frozenset(
    {
        "0de4383ebad0adad5eeb8975cd796657",  # Google: "image not available"
        "a64fa89d7ebc97075c1d363fc5fea71f",
    }
)
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


@dataclass(frozen=True, slots=True)
class _Kind:
    content_type: str
    extension: str
    open: Callable[[BytesIO], ImageFile]


_JPEG = _Kind("image/jpeg", "jpg", JpegImageFile)
_PNG = _Kind("image/png", "png", PngImageFile)
_GIF = _Kind("image/gif", "gif", GifImageFile)
_WEBP = _Kind("image/webp", "webp", WebPImageFile)


def _read(body: bytes) -> Picture:
    if hashlib.md5(body, usedforsecurity=False).hexdigest() in PLACEHOLDER_MD5S:
        raise CoverRefused("the cover is the provider's placeholder")
    kind = _kind(body)
    try:
        return _decode(kind, body)
    except CoverRefused:
        raise
    except Exception as error:  # Pillow lets through whatever a codec trips over
        raise CoverRefused(f"the cover is a broken {kind.extension} file") from error


def _kind(body: bytes) -> _Kind:
    if body.startswith(b"\xff\xd8\xff"):
        return _JPEG
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return _PNG
    if body.startswith((b"GIF87a", b"GIF89a")):
        return _GIF
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return _WEBP
    raise CoverRefused("the cover is no JPEG, PNG, WebP or GIF picture")


def _decode(kind: _Kind, body: bytes) -> Picture:
    if kind is _JPEG and body.count(b"\xff\xda") > MOST_JPEG_SCANS:
        raise CoverRefused("the cover is a JPEG with too many scans")
    if kind is _WEBP:
        # Opening it makes room for the whole canvas, so the header is read before.
        _refuse_size(*_webp_size(body))
    # The plug-ins are opened directly: no other format is tried, no global limit is consulted.
    with kind.open(BytesIO(body)) as image:
        width, height = image.size
        _refuse_size(width, height)
        # A JPEG can be decoded at an eighth; it is read to its end all the same.
        image.draft(None, (_BLANK_TEST_SIDE, _BLANK_TEST_SIDE))
        image.load()
        _refuse_look(kind, image)
    return Picture(
        content_type=kind.content_type, extension=kind.extension, width=width, height=height
    )


def _refuse_size(width: int, height: int) -> None:
    if width < SMALLEST_SIDE or height < SMALLEST_SIDE:
        raise CoverRefused(f"the cover has only {width}×{height} pixels")
    if width * height > MOST_PIXELS:
        raise CoverRefused(f"the cover has {width}×{height} pixels, too many to decode")


def _webp_size(body: bytes) -> tuple[int, int]:
    """RFC 9649: the canvas of the extended form, else the size of the one frame."""
    form = body[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    frame = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    return next(frame), next(frame)


def _refuse_look(kind: _Kind, image: Image) -> None:
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
    if kind is not _JPEG and _is_notice(seen, grey):  # a shrunk JPEG is too soft
        raise CoverRefused("the cover is a grey notice that there is none")


def _is_blank(grey: Image) -> bool:
    small = grey.reduce(max(1, min(grey.size) // _BLANK_TEST_SIDE))
    return _contrast(small) < LEAST_CONTRAST or small.entropy() < LEAST_ENTROPY_BITS


def _is_notice(seen: Image, grey: Image) -> bool:
    counts = grey.histogram()
    if max(counts) < NOTICE_SHARE * sum(counts) or _contrast(grey) >= NOTICE_CONTRAST:
        return False
    colour = ImageChops.difference(seen.convert("RGB"), grey.convert("RGB"))
    return all(_contrast(band) < LEAST_CONTRAST for band in colour.split())


def _contrast(grey: Image) -> int:
    """Between the darkest and the lightest shade that occurs, of 255."""
    shades = [shade for shade, count in enumerate(grey.histogram()) if count]
    return shades[-1] - shades[0]
