"""What remains of a finished import: its class, its time, its stages, nothing of the book."""

from dataclasses import asdict

import pytest

from bookline.job import CANCELLED, COMPLETED, FAILED, ImportInput, Job
from bookline.progress.records import outcome_of, record_of

JOB = Job(
    order=ImportInput(
        job_id="import-9780142437247-1-x", isbn="9780142437247", input_isbn="0142437247",
        source="auto", user_id="reader-17",
    ),
    method="legacy", created_ms=1_000, updated_ms=1_000,
)  # fmt: skip
RETRIED = Job(order=JOB.order, method="workflow", created_ms=1_000, updated_ms=1_000, run=2)
RESULT = {"source": "openlibrary", "warnings": []}
STORY = [
    ("started", 1_010),
    ("metadata_fetched", 1_110),
    ("cover_uploaded", 1_310),
    ("embedding_generated", 1_330),
]


def test_a_stage_is_from_the_end_of_the_one_before_to_its_own() -> None:
    record = record_of(JOB, COMPLETED, RESULT, None, STORY, 1_340)

    assert record.stages == {
        "fetch-metadata": 100,
        "upload-cover": 200,
        "generate-embedding": 20,
        "save-to-database": 10,
    }
    assert (record.duration_ms, record.tries, record.finished_ms) == (340, 4, 1_340)
    assert (record.method, record.outcome, record.provider) == ("legacy", "done", "openlibrary")


def test_retries_are_tries_and_lie_in_their_stage() -> None:
    story = [STORY[0], ("retry:fetch-metadata:1:1", 1_050), ("retry:fetch-metadata:2:9", 1_090)]

    record = record_of(JOB, COMPLETED, RESULT, None, [*story, *STORY[1:]], 1_340)

    assert record.tries == 6
    assert record.stages["fetch-metadata"] == 100


def test_a_failure_ends_the_stage_that_it_came_in() -> None:
    error = {"code": "PROVIDER_ERROR", "message": "down", "step": "fetch-metadata", "attempts": 4}
    story = [STORY[0], *((f"retry:fetch-metadata:{n}:{n}", 1_010 + n) for n in (1, 2, 3))]

    record = record_of(JOB, FAILED, None, error, story, 1_500)

    assert record.stages == {"fetch-metadata": 490}
    assert (record.tries, record.outcome, record.code) == (4, "upstream", "PROVIDER_ERROR")
    assert record.provider == "auto"


def test_a_stage_that_ended_with_a_warning_has_its_time() -> None:
    story = [*STORY[:2], ("warning:upload-cover", 1_200), STORY[3]]
    result = {**RESULT, "warnings": [{"step": "upload-cover"}]}

    record = record_of(JOB, COMPLETED, result, None, story, 1_340)

    assert record.stages["upload-cover"] == 90
    assert record.outcome == "done_with_warnings"


def test_a_book_that_went_aside_has_both_saves() -> None:
    story = [*STORY, ("warning:save-to-database", 1_400)]

    record = record_of(JOB, COMPLETED, RESULT, None, story, 1_405)

    assert record.stages["save-to-database"] == 70
    assert record.stages["save-to-fallback"] == 5


def test_a_retried_job_is_timed_from_its_retry() -> None:
    story = [*STORY[:2], ("end:1", 1_200), ("resumed:retry:3", 90_000), ("cover_uploaded", 90_100)]

    record = record_of(RETRIED, COMPLETED, RESULT, None, story, 90_110)

    assert record.duration_ms == 110
    assert record.stages == {"upload-cover": 100, "save-to-database": 10}


def test_both_ends_of_a_retried_job_are_one_record() -> None:
    error = {"code": "SAVE_FAILED", "step": None}
    first = record_of(JOB, FAILED, None, error, STORY, 1_340)
    second = record_of(RETRIED, COMPLETED, RESULT, None, STORY, 1_340)

    assert first.record_id == second.record_id


def test_a_job_that_never_began_has_a_record_too() -> None:
    record = record_of(JOB, CANCELLED, None, {"code": "CANCELLED", "step": None}, [], 1_200)

    assert (record.outcome, record.tries, record.stages) == ("cancelled", 0, {})
    assert record.duration_ms == 200


def test_nothing_of_the_book_or_its_reader_is_kept() -> None:
    kept = str(asdict(record_of(JOB, COMPLETED, RESULT, None, STORY, 1_340)))

    for secret in ("9780142437247", "0142437247", "reader-17", JOB.job_id):
        assert secret not in kept


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (COMPLETED, None, "done"),
        (FAILED, "BOOK_NOT_FOUND", "no_such_book"),
        (FAILED, "METADATA_INCOMPLETE", "no_such_book"),
        (FAILED, "PROVIDER_TIMEOUT", "upstream"),
        (FAILED, "PROVIDER_AUTH", "upstream"),
        (FAILED, "SAVE_FAILED", "ours"),
        (FAILED, "DEADLINE_EXCEEDED", "ours"),
        (FAILED, None, "ours"),
        (CANCELLED, "CANCELLED", "cancelled"),
    ],
)
def test_an_end_has_a_class(status: str, code: str | None, outcome: str) -> None:
    assert outcome_of(status, code, has_warnings=False) == outcome
