"""The picture of ``bookline metrics --plot``: both methods' durations and outcomes.

Way:      rollout_commands.py → here → matplotlib (``bookline[plot]``)
Rule 1:   what it shows is in the table too: the picture adds shape, not facts.
Rule 2:   told apart without colour as well: by dashes, hatches and labels.
Source:   Okabe & Ito (2008), "Color Universal Design", for the colours.
"""

import importlib.util
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bookline.cli.rollout_words import OUTCOMES
from bookline.errors import GiveUp, Refused
from bookline.job import METHODS
from bookline.values import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = {".svg", ".png"}
INCHES = (11.0, 4.7)
DOTS_PER_INCH = 160
LOGARITHMIC_FROM = 12.0  # longest to shortest: below, a linear axis shows more
LINE_CHARS = 64
INK, SOFT, GRID = "#222222", "#5a5a5a", "#dddddd"
LINES = {"workflow": ("#0072b2", "-", "o"), "legacy": ("#222222", (0, (5, 2)), "s")}
FILLS = {
    "done": ("#009e73", ""),
    "done_with_warnings": ("#8fd3bd", ""),
    "no_such_book": ("#56b4e9", ""),
    "upstream": ("#f0b429", "///"),
    "ours": ("#d55e00", "xxx"),
    "cancelled": ("#bbbbbb", "..."),
}
BELOW: dict[str, Any] = {
    "loc": "upper left", "bbox_to_anchor": (-0.02, -0.165), "frameon": False, "borderaxespad": 0.0,
    "fontsize": 8.5,
}  # fmt: skip
MARKED = ("50", "95", "99")
ROOM_SHARE = 0.07  # of a bar: less has no room for its number, which then stands below


def check_plot(path: Path) -> None:
    """Raises: Refused for a file of another kind, GiveUp where matplotlib is missing."""
    if path.suffix.lower() not in ENDINGS:
        raise Refused("INVALID_REQUEST", f"--plot draws a .svg or a .png, not {path.name}")
    if importlib.util.find_spec("matplotlib") is None:
        raise GiveUp(
            "--plot needs matplotlib, which is not installed: pip install 'bookline[plot]' "
            "(in a checkout: pip install -c constraints.txt '.[plot]')",
            "UNAVAILABLE",
        )


def write_plot(metrics: Json, path: Path) -> None:
    """The same numbers give the same bytes. Raises: OSError where it cannot be written."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "bookline", "font.size": 9.5, "hatch.linewidth": 0.6}):
        is_svg = path.suffix.lower() == ".svg"
        draw(metrics).savefig(
            path, dpi=DOTS_PER_INCH, metadata={"Date": None} if is_svg else {"Software": None}
        )


def draw(metrics: Json) -> "Figure":
    """Left the durations, right the outcomes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, facecolor="white")
    figure.suptitle(
        f"Workflow against legacy, last {metrics['window']}", color=INK, fontsize=13, x=0.012,
        ha="left", fontweight="bold",
    )  # fmt: skip
    figure.subplots_adjust(left=0.065, right=0.985, top=0.84, bottom=0.235, wspace=0.13)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _durations(left, metrics["methods"])
    _outcomes(right, metrics["methods"])
    return figure


# ------------------------------------------------------------------ durations
def _durations(axes: "Axes", methods: Json) -> None:
    curves = {method: _curve(methods[method]) for method in METHODS}
    every = [milliseconds for curve in curves.values() for milliseconds, _ in curve]
    _frame(axes, "How long an import takes (those that ended with a book)")
    axes.set_ylim(0, 100)
    axes.set_yticks((0, 25, 50, 75, 95, 100))
    axes.set_ylabel("percent of imports done by then", color=SOFT)
    if not every:
        axes.set_xticks(())
        axes.text(0.5, 0.37, "no import ended with a book", ha="center", color=SOFT,
                  transform=axes.transAxes)  # fmt: skip
        return
    for method, curve in curves.items():
        _line(axes, method, methods[method], curve)
    _time_axis(axes, min(every), max(every))
    axes.legend(**BELOW, ncols=2, handlelength=3.2)


def _curve(method: Json) -> list[tuple[int, int]]:
    """(milliseconds, percent) of each known percentile."""
    known = sorted((int(q), ms) for q, ms in method["quantilesMs"].items() if ms is not None)
    return [(max(milliseconds, 1), percent) for percent, milliseconds in known]


def _line(axes: "Axes", name: str, method: Json, curve: list[tuple[int, int]]) -> None:
    colour, dashes, mark = LINES[name]
    books = method["byOutcome"]["done"] + method["byOutcome"]["done_with_warnings"]
    if not curve:
        axes.plot([], [], color=colour, ls=dashes, label=f"{name}: none ended with a book")
        return
    p50, p95, p99 = (_time(method[key]) for key in ("p50Ms", "p95Ms", "p99Ms"))
    axes.plot(
        [milliseconds for milliseconds, _ in curve], [percent for _, percent in curve],
        color=colour, ls=dashes, lw=2.2, marker=mark, ms=6, mec="white", mew=0.8,
        markevery=[place for place, (_, percent) in enumerate(curve) if str(percent) in MARKED],
        label=f"{name} (n = {books:,})\nP50 {p50} · P95 {p95} · P99 {p99}",
    )  # fmt: skip


def _time_axis(axes: "Axes", shortest: float, longest: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_xlabel("from acceptance to end", color=SOFT)
    if longest / shortest >= LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.set_xlim(shortest / 1.25, longest * 1.25)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, longest * 1.08)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _time(value)))


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"


# ------------------------------------------------------------------ outcomes
def _outcomes(axes: "Axes", methods: Json) -> None:
    _frame(axes, "How it ended")
    axes.set_xlim(0, 100)
    axes.set_ylim(1.62, -0.55)
    axes.set_yticks(())
    axes.grid(visible=False)
    axes.set_xlabel("percent of all that ended", color=SOFT)
    for place, name in enumerate(METHODS):
        _bar(axes, place, name, methods[name])
    axes.legend(handles=_legend(methods), **BELOW, ncols=3, handlelength=1.6)


def _bar(axes: "Axes", place: int, name: str, method: Json) -> None:
    every = sum(method["byOutcome"].values())
    rate = method["successRate"]
    head = f"{name}: none ended"
    if every:
        good = "no success rate" if rate is None else f"success {rate:.1%}"
        head = f"{name}: {good} (n = {method['count']:,})"
    axes.text(0, place - 0.28, head, color=INK, fontweight="bold", va="bottom")
    begins, small = 0.0, []
    for outcome, (colour, hatch) in FILLS.items():
        number = method["byOutcome"][outcome]
        if not number:
            continue
        share = number / every
        axes.barh(place, share * 100, 0.5, begins, color=colour, hatch=hatch, ec="white", lw=0.8)
        if share >= ROOM_SHARE:
            axes.text(
                begins + share * 50, place, f"{number:,}", ha="center", va="center", color=INK,
                bbox={"boxstyle": "round,pad=0.22", "fc": "white", "ec": "none", "alpha": 0.85},
            )  # fmt: skip
        else:
            small.append(f"{OUTCOMES[outcome]} {number:,}")
        begins += share * 100
    lines = textwrap.wrap(" · ".join(small), LINE_CHARS)
    axes.text(0, place + 0.29, "\n".join(lines), color=SOFT, va="top", fontsize=8.5)


def _legend(methods: Json) -> list[object]:
    """Of the outcomes that there are."""
    from matplotlib.patches import Patch

    return [
        Patch(fc=colour, hatch=hatch, ec="white", label=OUTCOMES[outcome])
        for outcome, (colour, hatch) in FILLS.items()
        if any(methods[method]["byOutcome"][outcome] for method in METHODS)
    ]


def _frame(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=10.5)
    axes.grid(visible=True, color=GRID, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(SOFT)
