"""Errors survive a pickle and a copy, and say what the caller should do."""

import copy
import pickle

import pytest

from bookline import errors
from bookline.errors import (
    BooklineError,
    BookNotFound,
    Cancelled,
    CoverRefused,
    DeadlineExceeded,
    EmbeddingRefused,
    GiveUp,
    InvalidIsbn,
    JobStopped,
    MetadataIncomplete,
    ProviderDown,
    ProviderRefused,
    Refused,
    Removed,
    Resting,
    SlowDown,
    StepFailed,
    StoreDown,
    TryLater,
    Unreachable,
    WrongKey,
)

EVERY: list[BooklineError] = [
    BooklineError("broken"),
    Refused("INVALID_SOURCE", "no", {"source": "x"}),
    InvalidIsbn("12", "this has 2"),
    TryLater("later"),
    ProviderDown("down"),
    ProviderDown("slow", "PROVIDER_TIMEOUT"),
    Unreachable("openlibrary.org", "api2.isbndb.com"),
    Resting("nobody is answered"),
    SlowDown("busy", None, 7.5),
    StoreDown("full", code="UNAVAILABLE"),
    GiveUp("over"),
    BookNotFound("no book"),
    WrongKey("bad key"),
    ProviderRefused("odd"),
    Removed("deleted while its import ran"),
    MetadataIncomplete("no title"),
    CoverRefused("too small"),
    EmbeddingRefused("not finite"),
    JobStopped("save-to-database", 4, "SAVE_FAILED", "full"),
    StepFailed("upload-cover", 6, "PROVIDER_ERROR", "down"),
    DeadlineExceeded(None, 0, "DEADLINE_EXCEEDED", "late"),
    Cancelled("fetch-metadata", 1, "CANCELLED", "the job was cancelled"),
]


def test_this_list_names_every_error() -> None:
    defined = {one for one in vars(errors).values() if isinstance(one, type)}

    assert {type(one) for one in EVERY} == {one for one in defined if issubclass(one, Exception)}


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_whole(error: BooklineError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert (again.args, str(again), again.code) == (error.args, str(error), error.code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderDown("x"), "PROVIDER_ERROR"),
        (ProviderDown("x", "PROVIDER_TIMEOUT"), "PROVIDER_TIMEOUT"),
        (SlowDown("x"), "PROVIDER_RATE_LIMITED"),
        (StoreDown("x"), "SAVE_FAILED"),
        (BookNotFound("x"), "BOOK_NOT_FOUND"),
        (WrongKey("x"), "PROVIDER_AUTH"),
        (ProviderRefused("x"), "PROVIDER_ERROR"),
        (MetadataIncomplete("x"), "METADATA_INCOMPLETE"),
        (Cancelled(None, 0, "CANCELLED", "x"), "CANCELLED"),
        (BooklineError(), "INTERNAL_ERROR"),
    ],
)
def test_an_error_has_the_code_that_the_api_gives(error: BooklineError, code: str) -> None:
    assert error.code == code


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StepFailed("s", 1, "X", "down"), "s failed after 1 try: down"),
        (StepFailed("s", 4, "X", "down"), "s failed after 4 tries: down"),
        (InvalidIsbn("1", "this has 1"), "ISBN must be 10 or 13 digits: this has 1"),
        (SlowDown("busy", None, 3.0), "busy"),
        (Refused("INVALID_STATE", "it is over"), "it is over"),
        (DeadlineExceeded("s", 2, "DEADLINE_EXCEEDED", "too late"), "too late"),
        (Cancelled("s", 2, "CANCELLED", "the job was cancelled"), "the job was cancelled"),
    ],
)
def test_an_error_reads_as_a_sentence(error: BooklineError, sentence: str) -> None:
    assert str(error) == sentence


def test_an_outage_knows_how_long_to_wait() -> None:
    assert SlowDown("busy", None, 7.5).retry_after_seconds == 7.5
    assert ProviderDown("down").retry_after_seconds is None


def test_a_wrong_isbn_tells_what_was_sent() -> None:
    assert InvalidIsbn("12", "this has 2").details == {"isbn": "12", "reason": "this has 2"}
