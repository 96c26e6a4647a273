"""The comparison sees every difference that matters, and none that does not."""

from dataclasses import replace
from typing import Any

import pytest

from bookline.book import Book, Cover, Embedding, Metadata, Provenance
from bookline.migration.comparison import Side, book_bytes, differences, story_of
from bookline.values import Json

BOOK = Book(
    metadata=Metadata(
        isbn="9780142437247", title="Moby Dick", authors=("Herman Melville",),
        source="openlibrary", source_id="OL1M",
    ),
    cover=Cover(
        key="covers/9780142437247.jpg", content_type="image/jpeg", width=300, height=480,
        sha256="ab" * 32, source_url="https://covers.openlibrary.org/b/id/1-L.jpg",
        fetched_at="2026-01-01T00:00:00.000Z",
    ),
    embedding=Embedding.of("m", [0.5, 0.25]),
    provenance=Provenance(
        source="openlibrary", source_id="OL1M", job_id="job-1",
        imported_at="2026-01-01T00:00:00.000Z", updated_at="2026-01-01T00:00:00.000Z",
    ),
)  # fmt: skip


def message(kind: str, status: str | None, seq: int, **data: Any) -> Json:
    return {
        "type": kind, "jobId": f"job-{seq}", "seq": seq, "status": status, "progress": 0.5,
        "timestamp": f"2026-01-01T00:00:0{seq}.000Z", "data": data,
    }  # fmt: skip


STORY = [
    message("workflow_progress", "started", 1, isbn="9780142437247"),
    message("workflow_retry", None, 2, step="fetch-metadata", attempt=1, delayMs=1000),
    message("workflow_progress", "completed", 3, isbn="9780142437247"),
]


def side(**changes: Any) -> Side:
    usual: dict[str, Any] = {
        "method": "workflow", "status": "completed", "error": None, "result": {"title": "Moby"},
        "book": book_bytes(BOOK), "story": story_of(STORY), "duration_ms": 10,
    }  # fmt: skip
    return Side(**{**usual, **changes})


def test_times_and_job_ids_are_aside() -> None:
    later = replace(
        BOOK,
        cover=replace(BOOK.cover, fetched_at="2027"),  # type: ignore[type-var]
        provenance=replace(BOOK.provenance, job_id="x", imported_at="y", updated_at="z"),
    )

    assert book_bytes(later) == book_bytes(BOOK)


@pytest.mark.parametrize(
    "changed",
    [
        replace(BOOK, metadata=replace(BOOK.metadata, subtitle="or, The Whale")),
        replace(BOOK, cover=None),
        replace(BOOK, embedding=Embedding.of("m", [0.5, 0.2500001])),
        replace(BOOK, embedding=None),
        replace(BOOK, provenance=replace(BOOK.provenance, source="google_books")),
    ],
)
def test_any_other_difference_of_the_book_is_seen(changed: Book) -> None:
    [told] = differences(side(), side(method="legacy", book=book_bytes(changed)))

    assert told.startswith("book: at byte ")


def test_a_book_that_one_of_them_lacks_is_seen() -> None:
    assert differences(side(), side(book=book_bytes(None)))


def test_equal_sides_have_no_differences() -> None:
    assert differences(side(), side(method="legacy", duration_ms=999)) == []


def test_ids_times_jitter_and_restarts_are_no_part_of_a_story() -> None:
    other = [
        {**STORY[0], "timestamp": "later", "jobId": "other"},
        message("workflow_resumed", None, 2, by="restart"),
        {**STORY[1], "seq": 3, "data": {**STORY[1]["data"], "delayMs": 1099}},
        {**STORY[2], "seq": 4},
    ]

    assert story_of(other) == story_of(STORY)


@pytest.mark.parametrize(
    "other",
    [
        STORY[:-1],
        STORY[::-1],
        [STORY[0], {**STORY[1], "data": {**STORY[1]["data"], "attempt": 2}}, STORY[2]],
        [{**STORY[0], "progress": 0.25}, *STORY[1:]],
    ],
)
def test_another_story_is_seen(other: list[Json]) -> None:
    assert differences(side(), side(story=story_of(other)))[0].startswith("events: ")


@pytest.mark.parametrize(
    "change", [{"status": "failed"}, {"error": {"code": "X"}}, {"result": {"title": "M"}}]
)
def test_another_end_is_seen(change: dict[str, Any]) -> None:
    assert len(differences(side(), side(**change))) == 1
