"""The rollout and its numbers as people read them: facts, gates, changes, method against method.

Way:      rollout_commands.py → here → show.py
Rule 1:   a gate that is closed says by how much.
Not here: what a gate is, and when it breaks: migration/gates.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bookline.cli.show import when
from bookline.cli.words import count
from bookline.job import METHODS
from bookline.values import Json

EMPTY = "–"
GATE_HEADS = ("gate", "state", "by", "value", "limit", "in words")
HISTORY_HEADS = ("number", "at (UTC)", "by", "percent", "switches", "incidents", "reason")
OUTCOMES = {
    "done": "done",
    "done_with_warnings": "done, with warnings",
    "no_such_book": "no such book",
    "upstream": "failed upstream",
    "ours": "failed by us",
    "cancelled": "cancelled",
}
LEGACY_FOLDER = "src/bookline/migration/legacy"


# ------------------------------------------------------------------ the rollout
def rollout_facts(rollout: Json) -> dict[str, Any]:
    """What is in force, who said so, and what comes next."""
    if not rollout["hasLegacy"]:
        left = rollout["open"]["legacy"]
        return {
            "rollout": "everybody uses the workflow: there is no legacy importer",
            "open jobs": open_words(rollout["open"]),
            "left over": f"{count(left, 'legacy job')} that nothing runs" if left else None,
            "last change": last_change(rollout),
        }
    return {
        "rollout": share_words(rollout),
        "stage": f"{rollout['stage']} %{_since(rollout)}",
        "kill switch": _on(rollout["killSwitch"]),
        "automatic": _on(rollout["automatic"]),
        "salt": rollout["salt"],
        "testers": ", ".join(f"{user} → {way}" for user, way in rollout["users"].items()),
        "open jobs": open_words(rollout["open"]),
        "incidents": "; ".join(incident_words(one) for one in rollout["incidents"]),
        "last change": last_change(rollout),
        "next": next_step(rollout),
    }


def share_words(rollout: Json) -> str:
    if rollout["killSwitch"]:
        return f"everybody by legacy: the kill switch is on ({rollout['percent']} % without it)"
    return f"{rollout['percent']} % by the workflow"


def last_change(rollout: Json) -> str | None:
    if not rollout["history"]:
        return None
    newest = rollout["history"][0]
    why = f": {newest['reason']}" if newest["reason"] else ""
    return f"{newest['number']}, {when(newest['at'])} by {newest['by'] or EMPTY}{why}"


def next_step(rollout: Json) -> str:
    """What to do, or to wait for."""
    if rollout["killSwitch"]:
        return "`bookline rollout set --no-kill-switch`, when all is well again"
    if rollout["incidents"]:
        number = rollout["incidents"][0]["number"]
        return f"`bookline rollout resolve {number}`, after somebody has looked"
    if rollout["nextStage"] is None:
        return "`bookline rollout drain`, when it has been quiet for long enough"
    if rollout["automatic"] and rollout["percent"] > 0:
        return f"goes to {rollout['nextStage']} % by itself when all gates are passed"
    if all(gate["passed"] for gate in gates_that_count(rollout)):
        return f"`bookline rollout advance`, to {rollout['nextStage']} %"
    return "waits for its gates"


def incident_words(incident: Json) -> str:
    return f"{incident['number']}: {incident['text']} ({incident['by'] or EMPTY})"


def open_words(jobs: Mapping[str, int]) -> str:
    return ", ".join(f"{jobs[method]} {method}" for method in METHODS)


def _since(rollout: Json) -> str:
    return f", since {when(rollout['since'])} UTC" if rollout["since"] else ""


def _on(value: bool) -> str:
    return "on" if value else "off"


# ------------------------------------------------------------------ gates
def gates_that_count(rollout: Json) -> list[Json]:
    """At 0 percent there is no sample: only incidents keep it there."""
    gates: list[Json] = rollout["gates"] if rollout["hasLegacy"] else []
    at_0 = rollout["percent"] == 0
    return [gate for gate in gates if not at_0 or gate["gate"] == "incidents"]


def gate_row(gate: Json) -> list[object]:
    name, value, limit = gate["gate"], gate["value"], gate["limit"]
    numbers = [EMPTY if one is None else gate_number(name, one) for one in (value, limit)]
    return [name, gate_state(gate), gate_gap(gate), *numbers, gate["message"]]


def gate_state(gate: Json) -> str:
    if gate["broken"]:
        return "broken"
    return "passed" if gate["passed"] else "not yet"


def gate_number(name: str, value: float) -> str:
    match name:
        case "success":
            return f"{value:+.1%}"
        case "p95":
            return f"× {value:.2f}"
    return f"{value:g}"


def gate_gap(gate: Json) -> str:
    """By how much it is closed; nothing for one that is passed."""
    value, limit = gate["value"], gate["limit"]
    if value is None or (gate["passed"] and not gate["broken"]):
        return ""
    match gate["gate"]:
        case "sample":
            return f"{limit - value:g} missing"
        case "success":
            missing = (limit - value) * 100
            return f"{missing:.1f} points too low" if missing > 0 else "surely lower"
        case "p95":
            return f"{value - limit:.2f} too slow"
        case "incidents":
            return f"{value:g} open"
    return f"{value:g} too many"


# ------------------------------------------------------------------ changes
def history_row(past: Json) -> list[object]:
    switches = [
        name
        for name, is_on in (("kill switch", past["killSwitch"]), ("automatic", past["automatic"]))
        if is_on
    ]
    return [
        past["number"],
        when(past["at"]),
        past["by"],
        EMPTY if past["percent"] is None else f"{past['percent']} %",
        ", ".join(switches),
        past["incidents"] or "",
        past["reason"],
    ]


# ------------------------------------------------------------------ the drain
def still_coming(rollout: Json) -> list[str]:
    """Why new legacy jobs still come in, and the command that ends it."""
    why = []
    if rollout["killSwitch"]:
        why.append("the kill switch is on: `bookline rollout set --no-kill-switch`")
    if rollout["percent"] < 100:
        why.append(f"it is at {rollout['percent']} %: `bookline rollout advance`")
    sent = [user for user, method in rollout["users"].items() if method == "legacy"]
    if sent:
        told = " ".join(f"--forget {user}" for user in sent[:3])
        why.append(f"{count(len(sent), 'tester')} sent to legacy: `bookline rollout set {told}`")
    return why


def after_drain(rollout: Json) -> str:
    """What to do now that no legacy job is open."""
    if not rollout["hasLegacy"]:
        return "there is no legacy importer: nothing is left to do"
    if still_coming(rollout):
        return "drained for now; new legacy jobs still come in"
    return f"100 % and drained: {LEGACY_FOLDER} can go"


# ------------------------------------------------------------------ metrics
def metric_rows(metrics: Json) -> list[list[object]]:
    """Name, workflow, legacy, difference."""
    ours, theirs = (metrics["methods"][method] for method in METHODS)
    both = (ours, theirs)
    difference = metrics["comparison"]["successDifference"]
    rows: list[list[object]] = [
        ["imports", *(f"{one['count']:,}" for one in both), ""],
        [
            "success rate",
            *(EMPTY if one["successRate"] is None else f"{one['successRate']:.1%}" for one in both),
            "" if difference is None else f"{difference * 100:+.1f} points",
        ],
    ]
    rows += [
        [f"  {name}", *(_part(one, outcome) for one in both), ""]
        for outcome, name in OUTCOMES.items()
    ]
    rows += [
        [f"P{percent}", *(_ms(one[key]) for one in both), _ratio(ours[key], theirs[key])]
        for percent, key in ((50, "p50Ms"), (95, "p95Ms"), (99, "p99Ms"))
    ]
    steps = dict.fromkeys([*ours["stages"], *theirs["stages"]])
    for step in steps:
        taken = [one["stages"].get(step, {"p50Ms": None, "p95Ms": None}) for one in both]
        p95s = [one["p95Ms"] for one in taken]
        rows.append([
            f"  {step}, P50 · P95",
            *(f"{_ms(one['p50Ms'])} · {_ms(one['p95Ms'])}" for one in taken),
            _ratio(*p95s),
        ])  # fmt: skip
    rows.append(["tries per import", *(_tries(one) for one in both), ""])
    for provider in dict.fromkeys([*ours["byProvider"], *theirs["byProvider"]]):
        counts = [one["byProvider"].get(provider, 0) for one in both]
        rows.append([f"  {provider}", *(f"{one:,}" for one in counts), ""])
    return rows


def _part(method: Json, outcome: str) -> str:
    """``93 (98.9%)``; cancelled ones are no part of the count."""
    number = method["byOutcome"][outcome]
    if outcome == "cancelled" or not number:
        return f"{number:,}"
    return f"{number:,} ({number / method['count']:.1%})"


def _ms(value: int | None) -> str:
    return EMPTY if value is None else f"{value:,} ms"


def _ratio(ours: int | None, theirs: int | None) -> str:
    return f"× {ours / theirs:.2f}" if ours is not None and theirs else ""


def _tries(method: Json) -> str:
    if not method["count"]:
        return EMPTY
    return f"{method['tries'] / method['count']:.2f}"


def nothing_yet(metrics: Json) -> bool:
    """True when no import of either method finished in the window."""
    return not any(_finished(metrics["methods"][method]) for method in METHODS)


def _finished(method: Json) -> int:
    ends: Sequence[int] = list(method["byOutcome"].values())
    return sum(ends)
