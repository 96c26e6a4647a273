"""Workflow against legacy, in numbers, from the records of finished imports.

Way:      migration/rollouts.py, api/, cli/ → here ← progress/records.py
Rule 1:   success means: not failed by us or by upstream. An ISBN that nobody knows is an answer;
          a cancelled import is neither and is not counted among them.
Rule 2:   durations are of imports that ended with a book, so that quick refusals make nobody fast.
Rule 3:   of a long window the journal counts and ranks: only the stages are of its newest records.
Units:    milliseconds; percentiles by nearest rank.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bookline.job import METHODS
from bookline.progress.records import (
    CANCELLED,
    DONE,
    DONE_WITH_WARNINGS,
    NO_SUCH_BOOK,
    OUTCOMES,
    Figures,
    ImportRecord,
    rank,
)
from bookline.values import Json

SUCCESSES = frozenset({DONE, DONE_WITH_WARNINGS, NO_SUCH_BOOK})
WITH_BOOK = frozenset({DONE, DONE_WITH_WARNINGS})
QUANTILES = (*range(5, 100, 5), 99)
"""Percents of the curve that plots draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One method's finished imports."""

    count: int
    """Cancelled ones aside."""
    success: int
    durations: Sequence[int]
    """Milliseconds, sorted, of those that ended with a book."""

    @classmethod
    def of(cls, endings: Mapping[tuple[str, int], int]) -> "Sample":
        """Of how many imports ended so (their outcome) after so many milliseconds."""
        outcomes: Counter[str] = Counter()
        durations: list[int] = []
        for (outcome, duration_ms), count in endings.items():
            outcomes[outcome] += count
            if outcome in WITH_BOOK:
                durations += [duration_ms] * count
        return cls(
            count=outcomes.total() - outcomes[CANCELLED],
            success=sum(outcomes[outcome] for outcome in SUCCESSES),
            durations=sorted(durations),
        )


def percentile(durations: Sequence[int], percent: float) -> int | None:
    """Nearest rank of sorted numbers: the smallest that ``percent`` of them do not exceed."""
    return durations[rank(len(durations), percent) - 1] if durations else None


def summary(figures: Figures, newest: Mapping[str, Sequence[ImportRecord]], window: str) -> Json:
    """The public shape, with stages, tries, providers and the curve of durations added.

    ``newest`` has records of each method, for the stages.
    """
    methods = {method: _method(figures, method, newest.get(method, ())) for method in METHODS}
    return {
        "window": window,
        "methods": methods,
        "comparison": comparison(methods["workflow"], methods["legacy"]),
    }


def comparison(workflow: Json, legacy: Json) -> Json:
    """``p95Ratio`` above 1: the workflow is slower; ``successDifference`` below 0: fails more."""
    ours, theirs = workflow["p95Ms"], legacy["p95Ms"]
    rates = _rate(workflow), _rate(legacy)
    return {
        "p95Ratio": None if ours is None or not theirs else round(ours / theirs, 4),
        "successDifference": (
            None if rates[0] is None or rates[1] is None else round(rates[0] - rates[1], 6)
        ),
    }


def _rate(method: Json) -> float | None:
    return method["success"] / method["count"] if method["count"] else None


def _method(figures: Figures, method: str, newest: Sequence[ImportRecord]) -> Json:
    outcomes: Counter[str] = Counter()
    providers: Counter[str] = Counter()
    tries = 0
    for group in figures.groups:
        if group.method == method:
            outcomes[group.outcome] += group.count
            if group.outcome != CANCELLED:
                providers[group.provider] += group.count
                tries += group.tries
    count = outcomes.total() - outcomes[CANCELLED]
    success = sum(outcomes[outcome] for outcome in SUCCESSES)
    durations = figures.durations.get(method, {})
    return {
        "count": count,
        "success": success,
        "successRate": round(success / count, 6) if count else None,
        "failed": count - success,
        "byOutcome": {outcome: outcomes[outcome] for outcome in OUTCOMES},
        "p50Ms": durations.get(50),
        "p95Ms": durations.get(95),
        "p99Ms": durations.get(99),
        "quantilesMs": {str(q): durations.get(q) for q in QUANTILES},
        "stages": _stages(one for one in newest if one.outcome != CANCELLED),
        "tries": tries,
        "byProvider": dict(sorted(providers.items())),
    }


def _stages(records: Iterable[ImportRecord]) -> Json:
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
