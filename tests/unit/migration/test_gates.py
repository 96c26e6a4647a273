"""The gates: no advance on thin or bad numbers, a rollback only when it is sure."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.migration.gates import (
    Gate,
    Gates,
    difference_bounds,
    judge,
    percentile_bounds,
    wilson,
)
from bookline.migration.metrics import Sample
from bookline.progress.journal import Tally
from bookline.progress.records import DONE, NO_SUCH_BOOK, OURS

Z95 = 1.645


def sample(good: int, bad: int = 0, *, ms: Sequence[int] = (100,), unknown: int = 0) -> Sample:
    outcomes = [DONE] * good + [OURS] * bad + [NO_SUCH_BOOK] * unknown
    lengths = itertools.cycle(ms)
    return Sample.of(Counter(zip(outcomes, lengths, strict=False)))


def judged(
    workflow: Sample,
    legacy: Sample,
    tallies: Mapping[str, Tally] | None = None,
    incidents: int = 0,
) -> dict[str, Gate]:
    gates = judge(workflow, legacy, tallies or {}, incidents, Gates())
    return {gate.name: gate for gate in gates}


def closed(gates: Mapping[str, Gate]) -> set[str]:
    return {name for name, gate in gates.items() if not gate.passed}


def broken(gates: Mapping[str, Gate]) -> set[str]:
    return {name for name, gate in gates.items() if gate.broken}


def test_two_good_methods_pass_every_gate() -> None:
    gates = judged(sample(100), sample(100))

    assert list(gates) == ["sample", "success", "p95", "lost", "doubled", "incidents"]
    assert closed(gates) == broken(gates) == set()


def test_nothing_passes_without_a_sample_and_nothing_breaks() -> None:
    gates = judged(sample(0), sample(0))

    assert closed(gates) == {"sample", "success", "p95"}
    assert broken(gates) == set()


def test_the_sample_says_how_many_are_missing() -> None:
    gates = judged(sample(40), sample(99))

    assert gates["sample"].message == "still missing: 60 of workflow, 1 of legacy"
    assert (gates["sample"].value, gates["sample"].limit) == (40, 100)


def test_a_few_good_imports_do_not_prove_a_success_rate() -> None:
    assert "success" in closed(judged(sample(20), sample(1_000)))


def test_one_failure_in_a_hundred_keeps_the_gate_closed_and_breaks_nothing() -> None:
    gates = judged(sample(99, 1), sample(100))

    assert "success" in closed(gates)
    assert broken(gates) == set()


def test_one_failure_in_many_is_let_pass() -> None:
    assert closed(judged(sample(499, 1), sample(500))) == set()


def test_a_workflow_that_surely_fails_more_breaks_the_gate() -> None:
    gates = judged(sample(60, 20), sample(400))

    assert broken(gates) == {"success"}
    assert "-25.0 points" in gates["success"].message


def test_a_handful_of_failures_breaks_nothing_yet() -> None:
    assert broken(judged(sample(0, 10), sample(400))) == set()


def test_an_outage_that_hits_both_alike_breaks_nothing() -> None:
    assert broken(judged(sample(50, 50), sample(50, 50))) == set()


def test_unknown_books_are_no_failures() -> None:
    gates = judged(sample(100, unknown=300), sample(300, unknown=100))

    assert closed(gates) == set()


def test_a_workflow_that_is_surely_slower_breaks_the_gate() -> None:
    gates = judged(sample(200, ms=range(150, 350)), sample(200))

    assert closed(gates) == broken(gates) == {"p95"}


def test_milliseconds_matter_to_nobody_whatever_the_ratio() -> None:
    gates = judged(sample(200, ms=(60,)), sample(200, ms=(10,)))

    assert closed(gates) == set()
    assert "x 6.00" in gates["p95"].message


def test_a_slow_tail_by_chance_does_not_close_the_gate() -> None:
    tail = [100] * 94 + [500] * 6

    assert closed(judged(sample(100, ms=tail), sample(100))) == set()


@pytest.mark.parametrize("kind", ["lost", "doubled"])
def test_one_lost_or_doubled_job_breaks_its_gate(kind: str) -> None:
    tallies = {"workflow": Tally(open=1, **{kind: 1})}

    gates = judged(sample(100), sample(100), tallies)

    assert closed(gates) == broken(gates) == {kind}


def test_what_legacy_loses_keeps_nobody_from_leaving_it() -> None:
    tallies = {"legacy": Tally(open=3, lost=3, doubled=1)}

    assert closed(judged(sample(100), sample(100), tallies)) == set()


def test_an_open_incident_keeps_the_rollout_where_it_is() -> None:
    gates = judged(sample(100), sample(100), incidents=1)

    assert closed(gates) == {"incidents"}
    assert broken(gates) == set()


# ------------------------------------------------------------------ the bounds
def test_wilson_gives_the_published_interval() -> None:
    """Newcombe (1998), table I: 81 of 263 at 95 % is 0.2553 to 0.3662."""
    assert wilson(81, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_difference_gives_the_published_interval() -> None:
    """Newcombe (1998), table II, method 10: 56/70 less 48/80 is 0.0524 to 0.3339."""
    assert difference_bounds(56, 70, 48, 80, 1.959964) == pytest.approx((0.0524, 0.3339), abs=5e-5)


counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_the_difference_lies_between_its_bounds(
    ours: tuple[int, int], theirs: tuple[int, int]
) -> None:
    low, high = difference_bounds(*ours, *theirs, Z95)

    assert low - 1e-9 <= ours[0] / ours[1] - theirs[0] / theirs[1] <= high + 1e-9
    assert low >= -1.0000001
    assert high <= 1.0000001


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300).map(sorted))
def test_a_percentile_lies_between_its_bounds(durations: list[int]) -> None:
    low, high = percentile_bounds(durations, 95, Z95)

    rank = max(-(-len(durations) * 95 // 100), 1)
    assert low <= durations[rank - 1] <= high
