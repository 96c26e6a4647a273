"""What the client asks of the library: books, their covers, search, export.

Way:      BooklineClient has these calls → here → connection.py
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypedDict, Unpack

from bookline.client.connection import Connection, part
from bookline.values import Json


class BookFilter(TypedDict, total=False):
    """Which books, in which order. What is missing asks for nothing."""

    q: str
    """Each word in ISBN, title or author."""
    author: str
    language: str
    sort: str
    """``recent``, ``title``, ``author`` or ``year``."""


class LibraryCalls(Connection):
    """The library's calls. Values are the API's ``data``."""

    async def book(self, isbn: str) -> Json:
        """The book, by any form of its ISBN. Raises: Refused (BOOK_NOT_FOUND), TryLater."""
        return await self.ask("GET", f"/v2/books/{part(isbn)}")

    async def books(
        self, *, limit: int = 50, cursor: str | None = None, **wanted: Unpack[BookFilter]
    ) -> Json:
        """A page of books: ``items``, ``nextCursor``, and ``total`` of all pages."""
        query = {"limit": limit, "cursor": cursor, **wanted}
        return await self.ask("GET", "/v2/books", query=query)

    async def search(self, text: str, *, limit: int = 10) -> Json:
        """Literal matches, then the books nearest in meaning: ``items`` of ``book``, ``score``
        and ``match``."""
        return await self.ask("GET", "/v2/books/search", query={"q": text, "limit": limit})

    async def edit(self, isbn: str, changes: Json) -> Json:
        """The book after the edit, which locks what it names. Safe twice."""
        return await self.ask("PATCH", f"/v2/books/{part(isbn)}", body=changes)

    async def keep_cover(self, isbn: str, picture: bytes) -> Json:
        """The book with this picture (JPEG, PNG, WebP, GIF) as its cover, locked. Safe twice."""
        kind = {"Content-Type": "image/*"}
        return await self.ask("PUT", f"/v2/covers/{part(isbn)}", data=picture, headers=kind)

    async def delete(self, isbn: str) -> None:
        """Deletes the book. Not repeated when the line breaks over it: the answer would be 404."""
        await self.ask("DELETE", f"/v2/books/{part(isbn)}", is_repeatable=False)

    async def export(self, form: str = "csv") -> AsyncGenerator[bytes, None]:
        """The whole library as ``csv``, ``json`` or ``goodreads``, in pieces.

        Raises: Refused; Unreachable when the line breaks: what came until then is not all.
        """
        path, query = "/v2/books/export", {"format": form}
        async with aclosing(self.pieces(path, query)) as pieces:
            async for piece in pieces:
                yield piece

    async def cover(self, isbn: str) -> bytes:
        """The stored picture. Raises: Refused (NOT_FOUND) where there is none, TryLater."""
        picture: bytes = (await self.ask("GET", f"/v2/covers/{part(isbn)}"))["picture"]
        return picture
