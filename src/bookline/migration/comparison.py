"""Both methods for the same answers: are the books equal, byte for byte, and the stories too?

Way:      cli/comparing.py runs both → here
Rule 1:   times, job ids and what chance adds (a retry's jitter) are aside; nothing else is.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bookline.book import Book
from bookline.progress.events import WORKFLOW_RESUMED, WORKFLOW_RETRY
from bookline.values import Json

_PROVENANCE_ASIDE = ("jobId", "importedAt", "updatedAt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one method has made of one ISBN."""

    method: str
    status: str
    error: Json | None
    result: Json | None
    book: bytes | None
    """``book_bytes`` of what was stored."""
    story: Sequence[Json]
    """``story_of`` its events."""
    duration_ms: int


def book_bytes(book: Book | None) -> bytes | None:
    """The stored book, vector included, in one canonical form; provenance's times aside."""
    if book is None:
        return None
    stored = book.to_stored()
    for name in _PROVENANCE_ASIDE:
        del stored["provenance"][name]
    if stored["cover"]:
        del stored["cover"]["fetchedAt"]
    return json.dumps(stored, sort_keys=True, ensure_ascii=False).encode()


def story_of(messages: Iterable[Json]) -> list[Json]:
    """What was told, in order, without times, ids and jitter; restarts aside.

    Retries stand behind it: the workflow may repeat two steps at the same time.
    """
    told, retries = [], []
    for message in messages:
        if message["type"] == WORKFLOW_RESUMED:
            continue
        data = {name: value for name, value in message["data"].items() if name != "delayMs"}
        line = {"type": message["type"], "status": message["status"], "data": data}
        if message["type"] == WORKFLOW_RETRY:
            retries.append(line)
        else:
            told.append({**line, "progress": message["progress"]})
    return told + sorted(retries, key=lambda line: (line["data"]["step"], line["data"]["attempt"]))


def differences(one: Side, other: Side) -> list[str]:
    """Where the two are not the same; nothing when they are."""
    found = [
        f"{name}: {_short(getattr(one, name))} | {_short(getattr(other, name))}"
        for name in ("status", "error", "result")
        if getattr(one, name) != getattr(other, name)
    ]
    if one.book != other.book:
        found.append(f"book: {_first_difference(one.book or b'', other.book or b'')}")
    if one.story != other.story:
        kinds = [[step["status"] or step["type"] for step in side.story] for side in (one, other)]
        found.append(f"events: {_short(kinds[0])} | {_short(kinds[1])}")
    return found


def _first_difference(one: bytes, other: bytes) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    at = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    around = slice(max(at - 20, 0), at + 40)
    return f"at byte {at}: {one[around]!r} | {other[around]!r}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"
