"""The cover: which sizes to ask for, fetched, checked, kept under one key.

Way:      workflow.py → here → CoverFetcher, ReadPicture, ObjectStore
Source:   what is known of Google's and Open Library's picture addresses stands beside each rule.
Rule 1:   doing it twice is the same as once: the key holds the ISBN and the type alone.
Rule 2:   standard library only: the Cloudflare Worker runs this file as it is.
Not here: which hosts and which bytes are safe: net/. An older picture of another type: the save
          step knows when nothing points to it any more.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from bookline.book import Cover
from bookline.errors import CoverRefused
from bookline.patience import from_store
from bookline.ports import Answer, CoverFetcher, ObjectStore, Picture, ReadPicture
from bookline.values import Json, iso

LONGEST_SOURCE_CHARS = 1_500  # S3 and R2 take 2 KB of metadata for all names and values
# What may be told of an address: tokens and signatures (imgtk, sig, X-Amz-…) may not.
_OPEN_PARAMETERS = frozenset(
    {"id", "printsec", "img", "zoom", "fife", "source", "default", "archive", "file"}
)
# Google's pictures by a national address (books.google.de, bks4.books.google.co.in) are the same
# at its main one.
_NATIONAL_GOOGLE = re.compile(
    r"(?:bks[0-9]{0,2}\.)?books\.google\.(?:[a-z]{2}|com?\.[a-z]{2})", re.IGNORECASE
)
_OPEN_LIBRARY_COVER = re.compile(r"(/b/(?:id|isbn|olid|oclc|lccn|goodreads)/[^/]+)-[SML](\.jpg)$")


class UploadCover:
    """The step. ``clock`` gives epoch milliseconds."""

    def __init__(
        self,
        fetcher: CoverFetcher,
        read_picture: ReadPicture,
        objects: ObjectStore,
        clock: Callable[[], int],
    ) -> None:
        self._fetcher = fetcher
        self._read_picture = read_picture
        self._objects = objects
        self._clock = clock

    async def __call__(self, isbn: str, url: str) -> Json:
        """The stored cover, the largest that passed the checks, as ``Cover.to_json()``.

        Raises: CoverRefused when no size will do; TryLater (SlowDown, ProviderDown, StoreDown) as
        soon as one could not be asked for, so that an outage never makes a cover smaller.
        """
        answer, picture = await self._largest(candidates(url))
        cover = Cover(
            key=f"covers/{isbn}.{picture.extension}",
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            sha256=hashlib.sha256(answer.body).hexdigest(),
            source_url=without_secrets(answer.url or url),
            fetched_at=iso(self._clock()),
        )
        kept = (cover.key, answer.body, cover.content_type, _attributes(cover))
        await from_store(partial(self._objects.keep, *kept))
        return cover.to_json()

    async def _largest(self, urls: list[str]) -> tuple[Answer, Picture]:
        for tried, url in enumerate(urls, 1):
            try:
                answer = await self._fetcher.fetch(url)
                return answer, await self._read_picture(answer.body)
            except CoverRefused as refused:
                if tried == len(urls):
                    sizes = f" (the last of {tried} sizes)" if tried > 1 else ""
                    raise CoverRefused(f"{refused}{sizes}") from refused
        raise CoverRefused("there is no address to ask")


def candidates(url: str) -> list[str]:
    """The addresses to try, largest first; one that is not understood stands alone."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return [url]
    if _NATIONAL_GOOGLE.fullmatch(parts.netloc):
        parts = parts._replace(scheme="https", netloc="books.google.com")
        url = urlunsplit(parts)
    if _is_google(parts, query):
        return _google(parts, query)
    if _OPEN_LIBRARY_COVER.search(parts.path):
        return _open_library(parts, query)
    return [url]


def without_secrets(url: str) -> str:
    """The address without tokens and signatures: fit for a log, a row and a header."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        pairs = [pair for pair in parse_qsl(parts.query) if pair[0] in _OPEN_PARAMETERS]
    except ValueError:
        return ""
    plain = urlunsplit((parts.scheme, host, parts.path, urlencode(pairs), ""))
    return quote(plain, safe="%/:?#[]@!$&'()*+,;=-._~")[:LONGEST_SOURCE_CHARS]


def _is_google(parts: SplitResult, query: dict[str, str]) -> bool:
    # Volumes scanned long ago still have bks3.books.google.com/books?id=…&img=1.
    if parts.path == "/books":
        return "id" in query and "img" in query
    return parts.path in {"/books/content", "/books/publisher/content"}


def _google(parts: SplitResult, query: dict[str, str]) -> list[str]:
    """The thumbnail drawn large, the thumbnail, the one that was given.

    Google's own larger sizes (zoom 2, 3, 4, 6) are pages from inside the book for scanned
    volumes, and zoom 0 may be a grey blank; the thumbnail is the cover in all of them, and
    ``fife=w800-h900`` enlarges it from the original (github.com/hacan359/tonkatsu_box/pull/338,
    github.com/qsniyg/maxurl/issues/1578). ``imgtk`` signs some links, so it stays.
    """
    query.pop("edge", None)  # a page's corner, drawn over the cover
    thumbnail = query | {"zoom": "1"}
    sizes = [thumbnail | {"fife": "w800-h900"}, thumbnail, query]
    return list(dict.fromkeys(_with_query(parts, size) for size in sizes))


def _open_library(parts: SplitResult, query: dict[str, str]) -> list[str]:
    """Large (500×500), then medium (180×360); small ones are below 50 pixels wide.

    Without ``default=false`` a missing cover is a 1×1 picture with status 200.
    """
    asked = query | {"default": "false"}
    paths = [_OPEN_LIBRARY_COVER.sub(rf"\1-{size}\2", parts.path) for size in "LM"]
    return [_with_query(parts._replace(path=path), asked) for path in paths]


def _with_query(parts: SplitResult, query: dict[str, str]) -> str:
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _attributes(cover: Cover) -> dict[str, str]:
    return {
        "source-url": cover.source_url,
        "fetched-at": cover.fetched_at,
        "sha256": cover.sha256,
    }
