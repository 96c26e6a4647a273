"""What the workflow made unnecessary: lines and branches of orchestration, by hand and after it.

Rule 1:  lines are those with code on them: no blanks, comments, docstrings, imports.
Rule 2:  branches are the places where the way divides: if, for, while, except, case, and/or,
         a condition within an expression or a comprehension.
Rule 3:  what we still keep around the engine is counted too, and so is the library that runs it:
         logic that has moved is not logic that is gone.
"""

import ast
import importlib.util
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "bookline"
LEGACY = "migration/legacy"
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER, tokenize.ENCODING,
}  # fmt: skip
WAYS = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


@dataclass(frozen=True)
class Part:
    """A file below ``src/bookline``, or only some of its top-level definitions."""

    path: str
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Count:
    lines: int = 0
    branches: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.lines + other.lines, self.branches + other.branches)


STORY = ("import_book", "_warned")
OF_BOTH = ("measure",)
BEFORE = [
    Part(f"{LEGACY}/job_state_manager.py"),
    Part(f"{LEGACY}/state_machine.py"),
    Part(f"{LEGACY}/state_table.py"),
]
AFTER = [Part("workflow.py", only=STORY), Part(f"{LEGACY}/message_passer.py")]
AROUND = [
    Part("engine/job_run.py", but=OF_BOTH),
    Part("engine/tries.py", but=("Policy",)),
    Part("engine/dbos.py"),
    Part("engine/recovery.py"),
    Part("engine/outbox.py"),
    Part("engine/queue.py"),
    Part("engine/spending.py"),
]
SHARED = [
    Part("workflow.py", but=STORY),
    Part("engine/job_run.py", only=OF_BOTH),
    Part("engine/world.py"),
    Part("engine/tries.py", only=("Policy",)),
    Part("engine/places.py"),
    Part("engine/nodes.py"),
    Part("engine/upkeep.py"),
    Part("time_limit.py"),
    Part("progress/events.py"),
    Part("progress/rules.py"),
    Part("stores/journal.py"),
    Part("stores/job_lists.py"),
    Part("stores/event_log.py"),
    Part("stores/records.py"),
    Part("stores/upkeep.py"),
    Part("stores/job_rows.py"),
]


def count(text: str, only: Sequence[str] = (), but: Sequence[str] = ()) -> Count:
    """Of a module's text, or of the top-level definitions that are named (or not)."""
    taken = [node for node in ast.parse(text).body if _is_taken(node, only, but)]
    places = {line for node in taken for line in range(_first(node), (node.end_lineno or 0) + 1)}
    lines = (_code_lines(text) & places) - {line for node in taken for line in _no_logic(node)}
    return Count(len(lines), sum(_branches(node) for node in taken))


def _is_taken(node: ast.stmt, only: Sequence[str], but: Sequence[str]) -> bool:
    name = getattr(node, "name", "")
    return name in only if only else name not in but


def _first(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _code_lines(text: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    spans = (range(one.start[0], one.end[0] + 1) for one in tokens if one.type not in NO_CODE)
    return {line for span in spans for line in span}


def _no_logic(node: ast.AST) -> Iterator[int]:
    """Lines of docstrings, of strings below fields, and of imports."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom) or (
            isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant)
        ):
            yield from range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)


def _branches(node: ast.AST) -> int:
    found = 0
    for inner in ast.walk(node):
        if isinstance(inner, WAYS):
            found += 1
        elif isinstance(inner, ast.BoolOp):
            found += len(inner.values) - 1
        elif isinstance(inner, ast.comprehension):
            found += len(inner.ifs)
    return found


def count_part(part: Part) -> Count:
    """Nothing for what has been deleted."""
    path = SOURCE / part.path
    return count(path.read_text("utf-8"), part.only, part.but) if path.exists() else Count()


def count_library(name: str) -> Count:
    """All modules of an installed package."""
    spec = importlib.util.find_spec(name)
    folders = spec.submodule_search_locations if spec is not None else None
    files = sorted(path for folder in folders or () for path in Path(folder).rglob("*.py"))
    return sum((count(path.read_text("utf-8")) for path in files), Count())


def show(name: str, counted: Count) -> None:
    print(f"  {name:<58} {counted.lines:>7,} {counted.branches:>9,}")


def show_group(title: str, parts: Sequence[Part]) -> Count:
    print(f"\n{title}")
    total = Count()
    for part in parts:
        counted = count_part(part)
        total += counted
        some = f": {', '.join(part.only)}" if part.only else ""
        rest = f" without {', '.join(part.but)}" if part.but else ""
        show(f"{part.path}{some or rest}", counted)
    show("together", total)
    return total


def main() -> None:
    print(f"  {'':<58} {'lines':>7} {'branches':>9}", end="")
    before = show_group("Before: by hand, for this one pipeline", BEFORE)
    after = show_group("After: the story, and the passer of old messages", AFTER)
    around = show_group("Still ours around the engine, once for all workflows", AROUND)
    show_group("Used by both ways, and counted for neither", SHARED)
    print("\nNot ours: the engine itself")
    show("the library dbos", count_library("dbos"))
    if not before.lines:
        print("\nThe legacy importer has been deleted: nothing is left to compare with.")
        return
    print()
    for what, now in (("after", after), ("after, with what is around the engine", after + around)):
        lines = round(100 * (now.lines / before.lines - 1))
        branches = round(100 * (now.branches / before.branches - 1))
        print(f"from before to {what}: {lines:+} % lines, {branches:+} % branches")


if __name__ == "__main__":
    main()
