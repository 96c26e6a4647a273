"""Workflow against legacy, in numbers, from the records of finished imports.

Way:      migration/rollouts.py, api/, cli/ → here ← progress/records.py
Rule 1:   success means: not failed by us or by upstream. An ISBN that nobody knows is an answer;
          a cancelled import is neither and is not counted among them.
Rule 2:   durations are of imports that ended with a book, so that quick refusals make nobody fast.
Units:    milliseconds; percentiles by nearest rank.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bookline.job import METHODS
from bookline.progress.records import (
    CANCELLED,
    DONE,
    DONE_WITH_WARNINGS,
    NO_SUCH_BOOK,
    OUTCOMES,
    ImportRecord,
)
from bookline.values import Json

SUCCESSES = frozenset({DONE, DONE_WITH_WARNINGS, NO_SUCH_BOOK})
WITH_BOOK = frozenset({DONE, DONE_WITH_WARNINGS})
QUANTILES = (*range(5, 100, 5), 99)
"""Percents of the curve that plots draw."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One method's finished imports. ``durations`` are sorted, in milliseconds."""

    records: Sequence[ImportRecord]
    durations: Sequence[int]

    @classmethod
    def of(cls, records: Iterable[ImportRecord], method: str) -> "Sample":
        mine = [one for one in records if one.method == method and one.outcome != CANCELLED]
        return cls(mine, sorted(one.duration_ms for one in mine if one.outcome in WITH_BOOK))

    @property
    def count(self) -> int:
        """Finished imports, cancelled ones aside."""
        return len(self.records)

    @property
    def success(self) -> int:
        return sum(one.outcome in SUCCESSES for one in self.records)


def percentile(durations: Sequence[int], percent: float) -> int | None:
    """Nearest rank of sorted numbers: the smallest that ``percent`` of them do not exceed."""
    if not durations:
        return None
    return durations[max(math.ceil(len(durations) * percent / 100), 1) - 1]


def summary(records: Sequence[ImportRecord], window: str) -> Json:
    """The public shape, with stages, tries, providers and the curve of durations added."""
    samples = {method: Sample.of(records, method) for method in METHODS}
    cancelled = Counter(one.method for one in records if one.outcome == CANCELLED)
    return {
        "window": window,
        "methods": {
            method: _method(sample, cancelled[method]) for method, sample in samples.items()
        },
        "comparison": comparison(samples["workflow"], samples["legacy"]),
    }


def comparison(workflow: Sample, legacy: Sample) -> Json:
    """``p95Ratio`` above 1: the workflow is slower; ``successDifference`` below 0: fails more."""
    ours, theirs = percentile(workflow.durations, 95), percentile(legacy.durations, 95)
    rates = _rate(workflow), _rate(legacy)
    return {
        "p95Ratio": None if ours is None or not theirs else round(ours / theirs, 4),
        "successDifference": (
            None if rates[0] is None or rates[1] is None else round(rates[0] - rates[1], 6)
        ),
    }


def _rate(sample: Sample) -> float | None:
    return sample.success / sample.count if sample.count else None


def _method(sample: Sample, cancelled: int) -> Json:
    outcomes = Counter(one.outcome for one in sample.records)
    outcomes[CANCELLED] = cancelled
    rate = _rate(sample)
    return {
        "count": sample.count,
        "success": sample.success,
        "successRate": None if rate is None else round(rate, 6),
        "failed": sample.count - sample.success,
        "byOutcome": {outcome: outcomes[outcome] for outcome in OUTCOMES},
        "p50Ms": percentile(sample.durations, 50),
        "p95Ms": percentile(sample.durations, 95),
        "p99Ms": percentile(sample.durations, 99),
        "quantilesMs": {str(q): percentile(sample.durations, q) for q in QUANTILES},
        "stages": _stages(sample.records),
        "tries": sum(one.tries for one in sample.records),
        "byProvider": dict(sorted(Counter(one.provider for one in sample.records).items())),
    }


def _stages(records: Sequence[ImportRecord]) -> Json:
    times: dict[str, list[int]] = {}
    for record in records:
        for step, took_ms in record.stages.items():
            times.setdefault(step, []).append(took_ms)
    stages = {}
    for step, taken in times.items():
        taken.sort()
        stages[step] = {
            "count": len(taken),
            "p50Ms": percentile(taken, 50),
            "p95Ms": percentile(taken, 95),
        }
    return stages
