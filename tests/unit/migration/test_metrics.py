"""Workflow against legacy in numbers: what counts, what is a success, how percentiles are read."""

import pytest

from bookline.migration.metrics import Sample, percentile
from bookline.progress.records import (
    CANCELLED,
    DONE,
    DONE_WITH_WARNINGS,
    NO_SUCH_BOOK,
    OURS,
    UPSTREAM,
    ImportRecord,
)
from kept_records import summary_of


def record(
    number: int = 0,
    method: str = "workflow",
    outcome: str = DONE,
    duration_ms: int = 100,
    **more: int,
) -> ImportRecord:
    return ImportRecord(
        record_id=str(number), method=method, outcome=outcome, code=None, provider="openlibrary",
        duration_ms=duration_ms, stages=more, tries=4, finished_ms=number,
    )  # fmt: skip


def test_nothing_is_no_number() -> None:
    told = summary_of([], "24h")

    assert told["methods"]["workflow"]["successRate"] is None
    assert told["methods"]["legacy"]["p95Ms"] is None
    assert told["comparison"] == {"p95Ratio": None, "successDifference": None}


def test_an_unknown_book_is_a_success_and_a_cancel_is_neither() -> None:
    outcomes = [DONE, DONE_WITH_WARNINGS, NO_SUCH_BOOK, UPSTREAM, OURS, CANCELLED]

    told = summary_of([record(n, outcome=one) for n, one in enumerate(outcomes)], "1h")

    workflow = told["methods"]["workflow"]
    assert (workflow["count"], workflow["success"], workflow["failed"]) == (5, 3, 2)
    assert workflow["successRate"] == 0.6
    assert workflow["byOutcome"] == dict.fromkeys(outcomes, 1)


def test_quick_refusals_make_nobody_fast() -> None:
    records = [record(n, duration_ms=1, outcome=NO_SUCH_BOOK) for n in range(99)]

    told = summary_of([*records, record(99, duration_ms=700)], "1h")

    assert told["methods"]["workflow"]["p50Ms"] == 700


def test_the_two_methods_are_set_side_by_side() -> None:
    records = [record(n, duration_ms=150) for n in range(20)]
    records += [record(n, "legacy", UPSTREAM if n < 5 else DONE, 100) for n in range(20)]

    told = summary_of(records, "1h")

    assert told["comparison"] == {"p95Ratio": 1.5, "successDifference": 0.25}


def test_a_stage_has_the_times_of_those_that_came_to_it() -> None:
    records = [record(1, save=10), record(2, save=30), record(3)]

    told = summary_of(records, "1h")

    stages = told["methods"]["workflow"]["stages"]
    assert stages == {"save": {"count": 2, "p50Ms": 10, "p95Ms": 30}}


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1), (0.5, 1)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_a_sample_leaves_out_who_was_cancelled_and_times_who_got_a_book() -> None:
    endings = {
        (DONE, 300): 1,
        (NO_SUCH_BOOK, 5): 2,
        (DONE, 100): 2,
        (CANCELLED, 1): 4,
        (OURS, 9): 1,
    }

    sample = Sample.of(endings)

    assert (sample.count, sample.success) == (6, 5)
    assert sample.durations == [100, 100, 300]
