"""Steps that do what a script says, the same on every engine.

A script names, for each step, what its calls do in turn; behind them it works:
``down``, ``refuse``, ``hang``, ``slow <seconds>`` (Retry-After), ``pause <seconds>`` (works after
that), ``break`` (an unforeseen error).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bookline.book import Cover, Embedding, Metadata
from bookline.errors import (
    BookNotFound,
    CoverRefused,
    EmbeddingRefused,
    GiveUp,
    ProviderDown,
    SlowDown,
)
from bookline.job import ImportInput
from bookline.values import Json

Script = Mapping[str, list[str]]
REFUSALS: Mapping[str, GiveUp] = {
    "fetch-metadata": BookNotFound("nobody knows it"),
    "upload-cover": CoverRefused("too small"),
    "generate-embedding": EmbeddingRefused("no vector"),
    "save-to-database": GiveUp("read-only", "SAVE_FAILED"),
    "save-to-fallback": GiveUp("read-only", "SAVE_FAILED"),
}


class Notes(Protocol):
    """What outlives a process: the script of a book, and how often each step was called."""

    async def script(self, isbn: str) -> Script: ...

    async def count(self, isbn: str, step: str) -> int:
        """The number of this call, from 0."""
        ...


@dataclass
class ScriptedSteps:
    """Fills the port Steps."""

    notes: Notes

    async def fetch_metadata(self, order: ImportInput) -> Metadata:
        await self._act(order.isbn, "fetch-metadata")
        url = f"https://covers.openlibrary.org/b/isbn/{order.isbn}-L.jpg"
        return Metadata(isbn=order.isbn, title="Moby Dick", cover_url=url, source="openlibrary")

    async def upload_cover(self, isbn: str, url: str) -> Json:
        await self._act(isbn, "upload-cover")
        return Cover(
            key=f"covers/{isbn}.jpg", content_type="image/jpeg", width=300, height=480,
            sha256="ab" * 32, source_url=url, fetched_at="2026-01-01T00:00:00.000Z",
        ).to_json()  # fmt: skip

    async def generate_embedding(self, metadata: Metadata) -> Json | None:
        await self._act(metadata.isbn, "generate-embedding")
        return Embedding.of("m", [0.5] * 8).to_json()

    async def save(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        await self._act(order.isbn, "save-to-database")
        return {"storedIn": "database", "hasEmbedding": embedding is not None}

    async def save_aside(
        self, order: ImportInput, metadata: Metadata, cover: Json | None, embedding: Json | None
    ) -> Json:
        await self._act(order.isbn, "save-to-fallback")
        return {"storedIn": "kv", "hasEmbedding": embedding is not None}

    async def _act(self, isbn: str, step: str) -> None:
        acts = (await self.notes.script(isbn)).get(step, [])
        call = await self.notes.count(isbn, step)
        act, _, value = (acts[call] if call < len(acts) else "work").partition(" ")
        await ACTS[act](step, value)


async def _work(step: str, value: str) -> None:
    pass


async def _down(step: str, value: str) -> None:
    raise ProviderDown("down")


async def _slow(step: str, value: str) -> None:
    raise SlowDown("busy", None, float(value))


async def _refuse(step: str, value: str) -> None:
    raise REFUSALS[step]


async def _hang(step: str, value: str) -> None:
    await asyncio.sleep(600)


async def _pause(step: str, value: str) -> None:
    await asyncio.sleep(float(value))


async def _break(step: str, value: str) -> None:
    raise LookupError("unforeseen")


ACTS: Mapping[str, Callable[[str, str], Awaitable[None]]] = {
    "work": _work, "down": _down, "slow": _slow, "refuse": _refuse, "hang": _hang, "break": _break,
    "pause": _pause,
}  # fmt: skip
