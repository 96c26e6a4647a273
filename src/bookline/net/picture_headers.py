"""What the first bytes of a picture say: its kind and size, and whether it may be taken.

Way:      pictures.py (before Pillow decodes) and the Cloudflare Worker (where no Pillow is) → here
Source:   PNG (W3C), GIF89a, RFC 9649 (WebP), ITU-T T.81 (JPEG), EXIF 2.3; the placeholders' hashes
          are those that calibre's Google plug-in has collected.
Units:    pixels.
Rule 1:   the content type that a server claims counts for nothing.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
Not here: whether the picture is whole and shows anything: pictures.py.
"""

import hashlib
from dataclasses import dataclass

from bookline.errors import CoverRefused
from bookline.ports import Picture

SMALLEST_SIDE = 50  # docs/contract.md
MOST_PIXELS = 40_000_000  # docs/contract.md
# Our choice. Cameras and encoders write about ten; each one costs a pass over all pixels, so a
# small file with thousands of empty ones would keep a thread busy for hours.
MOST_JPEG_SCANS = 100
MOST_CHUNKS = 20_000  # our choice: 10 MB in chunks of 512 bytes
PLACEHOLDER_MD5S = frozenset(
    {
        "0de4383ebad0adad5eeb8975cd796657",  # Google: "image not available"
        "a64fa89d7ebc97075c1d363fc5fea71f",
    }
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of picture that is taken."""

    content_type: str
    extension: str


JPEG = Kind("image/jpeg", "jpg")
PNG = Kind("image/png", "png")
GIF = Kind("image/gif", "gif")
WEBP = Kind("image/webp", "webp")

_BRANDS = {
    b"avif": "an AVIF picture", b"avis": "an AVIF picture", b"heic": "a HEIC picture",
    b"heix": "a HEIC picture", b"mif1": "a HEIC picture", b"msf1": "a HEIC picture",
    b"jxl ": "a JPEG XL picture", b"jp2 ": "a JPEG 2000 picture",
}  # fmt: skip
_STARTS = (
    (b"II*\0", "a TIFF picture"), (b"MM\0*", "a TIFF picture"), (b"II+\0", "a TIFF picture"),
    (b"MM\0+", "a TIFF picture"), (b"BM", "a BMP picture"), (b"\0\0\1\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"), (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"), (b"%PDF", "a PDF file"), (b"8BPS", "a PSD file"),
    (b"PK\3\4", "a ZIP file"), (b"\x1f\x8b", "a compressed file"),
)  # fmt: skip
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
# T.81, table B.1: start of frame, but for the three markers among them that mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


def read_header(body: bytes) -> Picture:
    """What the header says of the picture, which may be taken by it.

    Raises: CoverRefused when the bytes are no JPEG, PNG, WebP or GIF, the provider's placeholder,
    too small, too large, or break off within the header.
    """
    refuse_placeholder(body)
    kind = kind_of(body)
    if kind is JPEG:
        refuse_scans(body)
    try:
        width, height = size_of(kind, body)
    except IndexError as error:
        raise CoverRefused(f"the cover is a broken {kind.extension} file") from error
    refuse_size(width, height)
    return Picture(
        content_type=kind.content_type, extension=kind.extension, width=width, height=height
    )


def refuse_placeholder(body: bytes) -> None:
    """Raises: CoverRefused for a provider's "no picture here"."""
    if hashlib.md5(body, usedforsecurity=False).hexdigest() in PLACEHOLDER_MD5S:
        raise CoverRefused("the cover is the provider's placeholder")


def refuse_scans(body: bytes) -> None:
    """Raises: CoverRefused for a JPEG that would take for ever to decode."""
    if body.count(b"\xff\xda") > MOST_JPEG_SCANS:
        raise CoverRefused("the cover is a JPEG with too many scans")


def refuse_size(width: int, height: int) -> None:
    """Raises: CoverRefused for what is too small to show, or too large to decode."""
    if width < SMALLEST_SIDE or height < SMALLEST_SIDE:
        raise CoverRefused(f"the cover has only {width}×{height} pixels")
    if width * height > MOST_PIXELS:
        raise CoverRefused(f"the cover has {width}×{height} pixels, too many to decode")


def kind_of(body: bytes) -> Kind:
    """Raises: CoverRefused, which says what the bytes are instead."""
    if body.startswith(b"\xff\xd8\xff"):
        return JPEG
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if body.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return WEBP
    what = _other_kind(body)
    raise CoverRefused(f"the cover is {what}; only JPEG, PNG, WebP and GIF pictures are taken")


def size_of(kind: Kind, body: bytes) -> tuple[int, int]:
    """Width and height as viewers show it: an EXIF note may turn the picture by a quarter.

    Raises: IndexError when the header breaks off.
    """
    if kind is JPEG:
        return _jpeg_size(body)
    if kind is GIF:
        return _number(body, 6, 2, "little"), _number(body, 8, 2, "little")
    if kind is PNG:
        size = _number(body, 16, 4), _number(body, 20, 4)
        note = _chunk(body, 8, b"eXIf")
    else:
        size = webp_size(body)
        note = _chunk(body, 12, b"EXIF").removeprefix(b"Exif\0\0")
    return size[::-1] if _lies_on_its_side(note) else size


def _chunk(body: bytes, at: int, wanted: bytes) -> bytes:
    """The chunk of this name in a PNG or WebP file; empty where there is none."""
    is_png = wanted == b"eXIf"
    for _ in range(MOST_CHUNKS):
        head = body[at : at + 8]
        name, length = (head[4:], head[:4]) if is_png else (head[:4], head[4:])
        if len(head) < 8:
            break
        size = int.from_bytes(length, "big" if is_png else "little")
        if name == wanted:
            return body[at + 8 : at + 8 + size]
        at += 12 + size if is_png else 8 + size + size % 2  # a PNG's has a checksum behind it
    return b""


def webp_size(body: bytes) -> tuple[int, int]:
    """RFC 9649: the canvas of the extended form, else the size of the one frame."""
    form = body[12:16]
    if form == b"VP8X":
        return 1 + _number(body, 24, 3, "little"), 1 + _number(body, 27, 3, "little")
    if form == b"VP8L":
        bits = _number(body, 21, 4, "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return _number(body, 26, 2, "little") & 0x3FFF, _number(body, 28, 2, "little") & 0x3FFF


def _jpeg_size(body: bytes) -> tuple[int, int]:
    """The frame's size; width for height where the EXIF note turns the picture by a quarter."""
    at, is_on_its_side = 2, False
    while True:
        while body[at] != 0xFF:  # filling between segments, as every viewer skips it
            at += 1
        marker = body[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = _number(body, at + 2, 2)
        if marker in _FRAMES:
            height, width = _number(body, at + 5, 2), _number(body, at + 7, 2)
            return (height, width) if is_on_its_side else (width, height)
        if marker == 0xE1 and body[at + 4 : at + 10] == b"Exif\0\0":
            is_on_its_side = _lies_on_its_side(body[at + 10 : at + 2 + length])
        at += 2 + length


def _lies_on_its_side(note: bytes) -> bool:
    """Whether a TIFF note says so; one that cannot be read says nothing."""
    order = {b"II": "little", b"MM": "big"}.get(note[:2])
    if order is None:
        return False
    try:
        at = _number(note, 4, 4, order)
        for entry in range(at + 2, at + 2 + 12 * _number(note, at, 2, order), 12):
            if _number(note, entry, 2, order) == _ORIENTATION:
                return _number(note, entry + 8, 2, order) in _ON_ITS_SIDE
    except IndexError:
        pass
    return False


def _number(body: bytes, at: int, count: int, order: str = "big") -> int:
    piece = body[at : at + count]
    if len(piece) < count:
        raise IndexError(at)
    return int.from_bytes(piece, "little" if order == "little" else "big")


def _other_kind(body: bytes) -> str:
    """What else it is, in words."""
    if not body:
        return "empty"
    if body[4:8] == b"ftyp":
        if b"avif" in body[16:64]:  # mif1 is the frame of both
            return "an AVIF picture"
        return _BRANDS.get(body[8:12], "a video or a picture of another kind")
    for start, what in _STARTS:
        if body.startswith(start):
            return what
    text = body[:1_000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return "an SVG picture"
    if text.startswith((b"<", b"{", b"[")):
        return "a web page or text"
    return "not a picture of a known kind"
