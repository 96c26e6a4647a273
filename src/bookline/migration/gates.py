"""The gates between the stages of the rollout, with their numbers in one place.

Way:      migration/rollouts.py → ``judge`` here
Rule 1:   an advance needs every gate passed; a rollback needs one that is surely broken. Between
          the two, the rollout stays where it is and the sample grows.
Rule 2:   rates and percentiles are compared by their confidence bounds, never bare.
Source:   Newcombe (1998), "Interval estimation for the difference between independent
          proportions", method 10, on Wilson's score interval; order statistics for percentiles.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bookline.migration.metrics import Sample, percentile
from bookline.progress.journal import Tally
from bookline.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """The numbers (our choice, all of them)."""

    min_sample: int = 100
    """Finished imports of each method, since the stage began."""
    success_margin: float = 0.03
    """So much lower the workflow's success rate might be, at worst, for an advance."""
    most_p95_ratio: float = 1.10
    """Workflow's P95 to legacy's. The gate is closed when it is surely above, and broken when a
    sample of ``min_sample`` shows it."""
    p95_slack_ms: int = 100
    """So much more is no matter, whatever the ratio: nobody waits for an import at a counter."""
    pass_z: float = 1.645
    """One-sided 95 %: for an advance."""
    break_z: float = 3.09
    """One-sided 99.9 %: for a rollback, which looks again and again at a growing sample."""
    break_sample: int = 20
    """Fewer finished imports of a method break nothing."""
    lost_after_ms: int = 60_000
    """A running job that has not moved for a deadline and so long is lost."""
    lost_queued_after_ms: int = 86_400_000
    """A job queued for so long is lost. A long shelf may wait for hours at a slow provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate, judged."""

    name: str
    passed: bool
    """Good enough to advance."""
    broken: bool
    """Bad enough to roll back."""
    value: float | None
    limit: float
    message: str

    def to_json(self) -> Json:
        return {
            "gate": self.name,
            "passed": self.passed,
            "broken": self.broken,
            "value": self.value,
            "limit": self.limit,
            "message": self.message,
        }


def judge(
    workflow: Sample,
    legacy: Sample,
    tallies: Mapping[str, Tally],
    incidents: int,
    gates: Gates,
) -> Sequence[Gate]:
    """Every gate, in the order in which to look at them."""
    tally = tallies.get("workflow", Tally())
    return (
        _sample(workflow, legacy, gates),
        _success(workflow, legacy, gates),
        _latency(workflow, legacy, gates),
        _none(
            "lost",
            tally.lost,
            "workflow jobs have not moved for a whole deadline, or wait since yesterday",
        ),
        _none("doubled", tally.doubled, "workflow jobs have another number of ends than of runs"),
        _incidents(incidents),
    )


def _sample(workflow: Sample, legacy: Sample, gates: Gates) -> Gate:
    least = min(workflow.count, legacy.count)
    missing = [
        f"{gates.min_sample - sample.count} of {name}"
        for name, sample in (("workflow", workflow), ("legacy", legacy))
        if sample.count < gates.min_sample
    ]
    return Gate(
        name="sample",
        passed=not missing,
        broken=False,
        value=least,
        limit=gates.min_sample,
        message=f"still missing: {', '.join(missing)}" if missing else "enough finished imports",
    )


def _success(workflow: Sample, legacy: Sample, gates: Gates) -> Gate:
    if not workflow.count or not legacy.count:
        return _unknown("success", -gates.success_margin)
    counts = workflow.success, workflow.count, legacy.success, legacy.count
    difference = workflow.success / workflow.count - legacy.success / legacy.count
    worst, _ = difference_bounds(*counts, gates.pass_z)
    _, best = difference_bounds(*counts, gates.break_z)
    enough = min(workflow.count, legacy.count) >= gates.break_sample
    return Gate(
        name="success",
        passed=worst >= -gates.success_margin,
        broken=enough and best < 0,
        value=round(worst, 4),
        limit=-gates.success_margin,
        message=f"the workflow's success rate is {_points(difference)} points off legacy's; "
        f"at worst {_points(worst)} (95 %)",
    )


def _latency(workflow: Sample, legacy: Sample, gates: Gates) -> Gate:
    ours, theirs = percentile(workflow.durations, 95), percentile(legacy.durations, 95)
    if ours is None or not theirs:
        return _unknown("p95", gates.most_p95_ratio)
    least = percentile_bounds(workflow.durations, 95, gates.pass_z)[0]
    most = percentile_bounds(legacy.durations, 95, gates.pass_z)[1]
    surely = least / max(most, 1)
    enough = min(len(workflow.durations), len(legacy.durations)) >= gates.min_sample
    return Gate(
        name="p95",
        passed=not _is_slower(least, most, gates),
        broken=enough
        and _is_slower(
            percentile_bounds(workflow.durations, 95, gates.break_z)[0],
            percentile_bounds(legacy.durations, 95, gates.break_z)[1],
            gates,
        ),
        value=round(surely, 4),
        limit=gates.most_p95_ratio,
        message=f"P95 is {ours} ms against {theirs} ms (x {ours / theirs:.2f}); "
        f"surely at least x {surely:.2f} (95 %)",
    )


def _is_slower(ours: int, theirs: int, gates: Gates) -> bool:
    """By more than the ratio allows, and by more than the slack."""
    return ours > theirs * gates.most_p95_ratio and ours > theirs + gates.p95_slack_ms


def _points(rate: float) -> str:
    return f"{rate * 100:+.1f}"


def _none(name: str, count: int, what: str) -> Gate:
    message = f"{count} {what}" if count else "none"
    return Gate(
        name=name, passed=not count, broken=bool(count), value=count, limit=0, message=message
    )


def _incidents(count: int) -> Gate:
    message = f"{count} open: `bookline rollout resolve NUMBER`" if count else "none open"
    return Gate(
        name="incidents", passed=not count, broken=False, value=count, limit=0, message=message
    )


def _unknown(name: str, limit: float) -> Gate:
    return Gate(
        name=name, passed=False, broken=False, value=None, limit=limit,
        message="nothing to compare yet",
    )  # fmt: skip


# ------------------------------------------------------------------ the bounds
def wilson(success: int, count: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion."""
    rate, square = success / count, z * z
    middle = (rate + square / (2 * count)) / (1 + square / count)
    half = (
        z
        / (1 + square / count)
        * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    )
    return max(middle - half, 0.0), min(middle + half, 1.0)


def difference_bounds(
    success: int, count: int, other_success: int, other_count: int, z: float
) -> tuple[float, float]:
    """Bounds of the first proportion less the second (Newcombe's method 10)."""
    ours, theirs = success / count, other_success / other_count
    low, high = wilson(success, count, z)
    other_low, other_high = wilson(other_success, other_count, z)
    difference = ours - theirs
    return (
        difference - math.hypot(ours - low, other_high - theirs),
        difference + math.hypot(high - ours, theirs - other_low),
    )


def percentile_bounds(durations: Sequence[int], percent: float, z: float) -> tuple[int, int]:
    """Order statistics that surely lie below and above the true percentile; the ends if none do."""
    count, share = len(durations), percent / 100
    spread = z * math.sqrt(count * share * (1 - share))
    low = math.floor(count * share - spread)
    high = math.ceil(count * share + spread) + 1
    return durations[max(low, 1) - 1], durations[min(high, count) - 1]
