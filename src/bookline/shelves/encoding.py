"""The encoding of a library file, found from its bytes alone.

Rule 1:   the whole file decodes, or it is refused: there is no half-read file.
Source:   WHATWG Encoding, index windows-1252 (five bytes stand for nothing); Unicode 3.10 (BOM).
Not here: guessing among the many other 8-bit encodings: no reading site writes them.
"""

import codecs
from dataclasses import dataclass

from bookline.errors import Refused

_LOOKED_AT_CHARS = 1 << 20  # our choice
_FEW = 3  # our choice
PIECE_BYTES = 1 << 20  # our choice
_BOMS = (
    (codecs.BOM_UTF8, "utf-8", "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16-be"),
)
_KINDS = (
    (b"PK\x03\x04", "a ZIP, Excel or EPUB file"),
    (b"PK\x05\x06", "an empty ZIP file"),
    (b"PK\x07\x08", "a part of a ZIP file"),
    (b"%PDF", "a PDF"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf", "a 7z file"),
    (b"Rar!", "a RAR file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"RIFF", "a picture or a recording"),
    (b"SQLite format 3", "a SQLite database"),
    (b"{\\rtf", "an RTF document"),
)
_KINDS_WITHIN = (
    (60, b"BOOKMOBI", "a Kindle book"),
    (257, b"ustar", "a tar file"),
)
"""Kinds whose mark does not stand at their beginning, with its place."""
_C1 = bytes(range(0x80, 0xA0))
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """``name`` as it is told, ``codec`` as Python calls it, ``skip`` bytes of a mark before it."""

    name: str
    codec: str
    skip: int = 0


def find_encoding(data: bytes) -> Encoding:
    """The encoding in which the whole of the bytes can be read.

    Raises: Refused(UNSUPPORTED_FORMAT) for a kind that is known and not read,
    Refused(UNREADABLE_FILE) for what is no text.
    """
    if not data.strip():
        raise unreadable("The file is empty.")
    for mark, kind in _KINDS:
        if data.startswith(mark):
            raise unsupported(kind)
    for place, mark, kind in _KINDS_WITHIN:
        if data.startswith(mark, place):
            raise unsupported(kind)
    if data[:200].lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise unsupported("a web page or XML file")
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise unreadable("The file is UTF-32 text. Save it as UTF-8.")
    for mark, name, codec in _BOMS:
        if data.startswith(mark):
            if not _decodes(data, codec, len(mark)):
                raise unreadable(f"The file says that it is {name.upper()}, but it is not.")
            return Encoding(name=name, codec=codec, skip=len(mark))
    return _without_mark(data)


def _without_mark(data: bytes) -> Encoding:
    if b"\0" in data:
        for codec, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[::2])):
            if zeros.count(0) > len(zeros) * 0.4 and _is_text(data, codec):
                return Encoding(name="utf-16", codec=codec)
        raise unreadable("The file contains NUL bytes, so it is not a text file.")
    if _decodes(data, "utf-8", 0):
        return Encoding(name="utf-8", codec="utf-8")
    if line := _damage(data):
        raise unreadable(f"The file is UTF-8 text that is damaged in line {line}.")
    kept = data.translate(None, _C1)
    if len(kept) == len(data):
        return Encoding(name="iso-8859-1", codec="iso-8859-1")
    if len(data.translate(None, _UNDEFINED)) == len(data):
        return Encoding(name="windows-1252", codec="windows-1252")
    raise unreadable("The file is neither UTF-8, UTF-16, Windows-1252 nor ISO-8859-1 text.")


def _damage(data: bytes) -> int | None:
    """The first line that is no UTF-8 where nearly all else is, as in a file that was cut within a
    character; None for text in an 8-bit encoding, whose letters hardly ever look like UTF-8.
    """
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    right = sum(1 for char in text[:_LOOKED_AT_CHARS] if char > "\x7f" and char != "\ufffd")
    if right < _FEW or right <= _FEW * broken:
        return None
    return text.count("\n", 0, text.index("\ufffd")) + 1


def _is_text(data: bytes, codec: str) -> bool:
    """Whether it decodes and no character is NUL, as in what only looks like UTF-16."""
    place = data.find(b"\0\0")
    while place % 2:  # the halves of two neighbours, or -1
        if place < 0:
            return _decodes(data, codec, 0)
        place = data.find(b"\0\0", place + 1)
    return False


def _decodes(data: bytes, codec: str, skip: int) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for start in range(skip, len(data), PIECE_BYTES):
            decoder.decode(data[start : start + PIECE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def unreadable(what: str) -> Refused:
    """The answer to a file that is no list of books."""
    return Refused("UNREADABLE_FILE", f"{what} Send a CSV, TSV or JSON export, or a list of ISBNs.")


def unsupported(kind: str) -> Refused:
    """The answer to a kind of file that is known and not read."""
    return Refused(
        "UNSUPPORTED_FORMAT",
        f"This is {kind}. Save it as CSV, or export your library as CSV, and send that.",
    )
