"""A book and its parts: what a provider knows, the cover, the vector, where it came from.

Rule 1:  ``to_json`` and ``from_json`` of a value are its one stored and sent form (camelCase,
         unknown fields null, lists for tuples). The engine's records hold these very dicts.
Rule 2:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bookline.errors import EmbeddingRefused
from bookline.reading import Reading
from bookline.values import Json

DESCRIPTION_CHARS: Final = 20_000  # our choice: 80 KB in the worst script, so a job stays < 128 KB

FIELDS: Final[Mapping[str, str]] = {
    "title": "title",
    "subtitle": "subtitle",
    "authors": "authors",
    "description": "description",
    "publisher": "publisher",
    "publicationDate": "publication_date",
    "pageCount": "page_count",
    "language": "language",
    "categories": "categories",
    "cover": "cover_url",
}
"""What a source may give of a book: its public name → the attribute of ``Metadata``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a provider knows of a book: plain text, capped; what is not known is None or empty."""

    isbn: str
    isbn10: str | None = None
    title: str
    subtitle: str | None = None
    authors: tuple[str, ...] = ()
    description: str | None = None
    publisher: str | None = None
    publication_date: str | None = None
    """YYYY, YYYY-MM or YYYY-MM-DD."""
    page_count: int | None = None
    language: str | None = None
    """BCP 47 where the provider's code could be read as one, else as given."""
    categories: tuple[str, ...] = ()
    cover_url: str | None = None
    source: str = ""
    source_id: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """Field (as in ``FIELDS``) → the source that gave it, where that is not ``source``."""

    @property
    def author(self) -> str | None:
        """The first author, as the plan's clients expect (docs/plan-checklist.md)."""
        return self.authors[0] if self.authors else None

    @property
    def embedding_text(self) -> str:
        """``title by author. description``, without the parts that are not known."""
        by = f" by {self.author}" if self.author else ""
        return f"{self.title}{by}. {self.description or ''}".strip()

    def to_json(self) -> Json:
        return {
            "isbn": self.isbn,
            "isbn10": self.isbn10,
            "title": self.title,
            "subtitle": self.subtitle,
            "author": self.author,
            "authors": list(self.authors),
            "description": self.description,
            "publisher": self.publisher,
            "publicationDate": self.publication_date,
            "pageCount": self.page_count,
            "language": self.language,
            "categories": list(self.categories),
            "coverUrl": self.cover_url,
            "source": self.source,
            "sourceId": self.source_id,
            "fields": dict(self.fields),
        }

    @classmethod
    def from_json(cls, data: Json) -> Metadata:
        return cls(
            isbn=data["isbn"],
            isbn10=data["isbn10"],
            title=data["title"],
            subtitle=data["subtitle"],
            authors=tuple(data["authors"]),
            description=data["description"],
            publisher=data["publisher"],
            publication_date=data["publicationDate"],
            page_count=data["pageCount"],
            language=data["language"],
            categories=tuple(data["categories"]),
            cover_url=data["coverUrl"],
            source=data["source"],
            source_id=data["sourceId"],
            fields=data.get("fields") or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A stored picture: its key in the object store and what was measured of it."""

    key: str
    """``covers/{isbn13}.{jpg|png|webp|gif}``, or ``covers/{isbn13}.own.…`` for one's own."""
    content_type: str
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    sha256: str
    """Hex of the stored bytes."""
    source_url: str
    """Where it was fetched, after redirects."""
    fetched_at: str
    """ISO 8601."""

    @property
    def url(self) -> str:
        """The path that serves it; the hash in it makes it cacheable for ever."""
        isbn = self.key.removeprefix("covers/").split(".", 1)[0]
        return f"/v2/covers/{isbn}?v={self.sha256[:16]}"

    def to_json(self) -> Json:
        return {
            "key": self.key,
            "url": self.url,
            "contentType": self.content_type,
            "width": self.width,
            "height": self.height,
            "sha256": self.sha256,
            "sourceUrl": self.source_url,
            "fetchedAt": self.fetched_at,
        }

    @classmethod
    def from_json(cls, data: Json) -> Cover:
        return cls(
            key=data["key"],
            content_type=data["contentType"],
            width=data["width"],
            height=data["height"],
            sha256=data["sha256"],
            source_url=data["sourceUrl"],
            fetched_at=data["fetchedAt"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A vector with the model that made it. ``vector`` is little-endian float32 in base64."""

    model: str
    dimensions: int
    vector: str

    @classmethod
    def of(cls, model: str, numbers: Sequence[float]) -> Embedding:
        """Raises: EmbeddingRefused for a number that float32 does not hold."""
        try:
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
        except (struct.error, OverflowError) as error:
            raise EmbeddingRefused(f"{model} gave a number that is none: {error}") from error
        return cls.of_bytes(model, packed)

    @classmethod
    def of_bytes(cls, model: str, packed: bytes) -> Embedding:
        """From the bytes that ``to_bytes`` gives."""
        vector = base64.b64encode(packed).decode()
        return cls(model=model, dimensions=len(packed) // 4, vector=vector)

    def to_bytes(self) -> bytes:
        """Little-endian float32.

        Raises: EmbeddingRefused when there are not ``dimensions`` numbers, or one is not finite.
        """
        try:
            packed = base64.b64decode(self.vector, validate=True)
            numbers = struct.unpack(f"<{self.dimensions}f", packed)
        except (ValueError, struct.error) as error:
            what = f"{self.model} gave no vector of {self.dimensions} numbers"
            raise EmbeddingRefused(what) from error
        if not numbers or not math.isfinite(sum(numbers)):
            raise EmbeddingRefused(f"{self.model} gave a vector that is empty or not finite")
        return packed

    def to_json(self) -> Json:
        return {"model": self.model, "dimensions": self.dimensions, "vector": self.vector}

    @classmethod
    def from_json(cls, data: Json) -> Embedding:
        return cls(model=data["model"], dimensions=data["dimensions"], vector=data["vector"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a book's row came from, last."""

    source: str
    source_id: str | None
    job_id: str
    imported_at: str
    """ISO 8601 of the first import."""
    updated_at: str
    """ISO 8601 of the last one."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Field (as in ``FIELDS``) → the source that gave it; ``source`` for one that is not named."""

    def to_json(self) -> Json:
        return {
            "source": self.source,
            "sourceId": self.source_id,
            "jobId": self.job_id,
            "importedAt": self.imported_at,
            "updatedAt": self.updated_at,
            "fields": dict(self.fields),
        }

    @classmethod
    def from_json(cls, data: Json) -> Provenance:
        return cls(
            source=data["source"],
            source_id=data["sourceId"],
            job_id=data["jobId"],
            imported_at=data["importedAt"],
            updated_at=data["updatedAt"],
            fields=data.get("fields") or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A book of the library: what the provider knew, the cover, the vector, where it is from."""

    metadata: Metadata
    cover: Cover | None = None
    embedding: Embedding | None = None
    provenance: Provenance
    locked: tuple[str, ...] = ()
    """Fields (as in ``FIELDS``) that were edited: no import changes them."""
    edited_at: str | None = None
    """ISO 8601 of the last edit."""
    reading: Reading | None = None
    """What the reader who asks has said of it. Kept beside the book, never in it."""

    @property
    def isbn(self) -> str:
        return self.metadata.isbn

    @property
    def sources(self) -> dict[str, str]:
        """Which source gave each field that is known (as in ``FIELDS``)."""
        known = (name for name, attribute in FIELDS.items() if self._has(name, attribute))
        return {name: self.provenance.fields.get(name, self.provenance.source) for name in known}

    def _has(self, name: str, attribute: str) -> bool:
        return bool(self.cover if name == "cover" else getattr(self.metadata, attribute))

    def to_json(self) -> Json:
        """The public shape of a book: the vector itself and internal addresses are left out."""
        public = self.metadata.to_json()
        for internal in ("coverUrl", "source", "sourceId", "fields"):
            del public[internal]
        cover = self.cover.to_json() if self.cover else None
        if cover:
            del cover["sourceUrl"], cover["fetchedAt"]
        embedding = self.embedding
        public["cover"] = cover
        public["embedding"] = embedding and {
            "model": embedding.model,
            "dimensions": embedding.dimensions,
        }
        public["provenance"] = {
            **self.provenance.to_json(),
            "updatedAt": max(self.provenance.updated_at, self.edited_at or ""),
            "fields": self.sources,
        }
        public["reading"] = self.reading.to_json() if self.reading else None
        public["locked"] = list(self.locked)
        return public

    def to_stored(self) -> Json:
        """The whole book: the form of the fallback store, and of the save step's argument."""
        return {
            "metadata": self.metadata.to_json(),
            "cover": self.cover and self.cover.to_json(),
            "embedding": self.embedding and self.embedding.to_json(),
            "provenance": self.provenance.to_json(),
            "locked": list(self.locked),
            "editedAt": self.edited_at,
        }

    @classmethod
    def from_stored(cls, data: Json) -> Book:
        return cls(
            metadata=Metadata.from_json(data["metadata"]),
            cover=Cover.from_json(data["cover"]) if data["cover"] else None,
            embedding=Embedding.from_json(data["embedding"]) if data["embedding"] else None,
            provenance=Provenance.from_json(data["provenance"]),
            locked=tuple(data.get("locked") or ()),
            edited_at=data.get("editedAt"),
        )
