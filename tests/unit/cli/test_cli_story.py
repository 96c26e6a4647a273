"""The fold of messages into what a view shows."""

from typing import Any

from bookline.cli.story import ACTIVE, DONE, FAILED, SKIPPED, WAITING, WARNED, Story
from bookline.cli.words import clean, ending, happened

ISBN = "9780451524935"
METADATA = {"title": "1984", "author": "George Orwell", "source": "openlibrary", "coverUrl": "x"}
RESULT = {"title": "1984", "storedIn": "database", "hasEmbedding": True}
ERROR = {"code": "PROVIDER_ERROR", "message": "503", "step": "fetch-metadata", "attempts": 4}


def told(*messages: dict[str, Any]) -> Story:
    story = Story(ISBN)
    for message in messages:
        story.hear(message)
    return story


def progress(status: str, **data: Any) -> dict[str, Any]:
    return {"type": "workflow_progress", "status": status, "data": {"isbn": ISBN, **data}}


def retry(attempt: int) -> dict[str, Any]:
    return {
        "type": "workflow_retry",
        "timestamp": "2026-11-22T21:19:19.123Z",
        "data": {
            "step": "fetch-metadata",
            "attempt": attempt,
            "delayMs": 1500,
            "error": {"code": "PROVIDER_RATE_LIMITED", "message": "slow down"},
        },
    }


def warning(step: str) -> dict[str, Any]:
    data = {"step": step, "code": "COVER_REFUSED", "message": "no picture"}
    return {"type": "workflow_warning", "data": data}


def test_the_steps_light_up_one_by_one() -> None:
    story = told(progress("started"), progress("metadata_fetched", metadata=METADATA))

    assert story.marks == [DONE, ACTIVE, WAITING, WAITING]
    assert story.name == "1984 · George Orwell"


def test_a_book_without_a_cover_passes_that_step() -> None:
    metadata = {**METADATA, "coverUrl": None}

    story = told(progress("started"), progress("metadata_fetched", metadata=metadata))

    assert story.marks == [DONE, SKIPPED, ACTIVE, WAITING]


def test_a_retry_is_told_with_its_reason_and_its_wait() -> None:
    story = told(progress("started"), retry(2))

    line = happened(story, retry(2))

    assert line == "metadata   retry 2 in 1.5 s: PROVIDER_RATE_LIMITED: slow down"


def test_a_warning_marks_its_step_and_the_import_goes_on() -> None:
    story = told(
        progress("started"),
        progress("metadata_fetched", metadata=METADATA),
        warning("upload-cover"),
        progress("embedding_generated"),
        progress("completed", result=RESULT),
    )

    assert story.marks == [DONE, WARNED, DONE, DONE]
    assert ending(story) == "1984 · George Orwell · library · 1 warning"


def test_a_failed_import_that_is_retried_is_no_failure_any_more() -> None:
    story = told(progress("started"), progress("failed", error=ERROR))
    assert story.marks[0] == FAILED

    story.hear({"type": "workflow_resumed", "data": {"by": "retry"}})

    assert (story.end, story.marks[0]) == (None, ACTIVE)


def test_types_that_are_not_known_are_passed_over() -> None:
    story = told(progress("started"))

    story.hear({"type": "workflow_weather", "data": {"sun": True}})

    assert story.marks == [ACTIVE, WAITING, WAITING, WAITING]


def test_what_a_provider_writes_cannot_steer_the_terminal() -> None:
    assert clean("\x1b[2J1984\r\n\u202egnp") == " [2J1984   gnp"
