"""What people read is plain English: no phrase of ours where the field has a standard one.

What is read: README and docs, the page, and every sentence that the program can print (its string
literals, and the commands' docstrings, which are their help).
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/bookline"
PHRASES = re.compile(
    r"""\b(?:whole\ story | moving\ over | on\ the\ desk | leave\ it(?!\ open) | no\ end\ within
      | could\ not\ be\ asked | cannot\ be\ asked | wants\ fewer | wants\ to\ know
      | (?:do|does)\ not\ go\ with | (?:goes|go|going|went)\ (?:on|by|out) | goes\ with
      | retry\ [0-9]+\ of\ [a-z]+-[a-z]+ | none\ that\ is\ ours | another\ than
      | some\ (?:[0-9]+|ten|twenty|thirty|forty|fifty|sixty|hundred) | in\ good\ order
      | la(?:ys?|id)\ (?:it\ )?aside | (?:for|of)\ whoever | stands?\ (?:in|behind)
      | lies?\ (?:in|below)\ (?:a|that|the|your|it)\b | the\ rooms | obeys? | is\ not\ right)\b""",
    re.IGNORECASE | re.VERBOSE,
)
PAPERS = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem != "plan-checklist"),
]
PAGE = [path for path in sorted((SOURCE / "page").rglob("*")) if path.suffix in {".html", ".js"}]
MODULES = sorted(SOURCE.rglob("*.py"))


def _found(lines: Iterator[tuple[int, str]] | list[tuple[int, str]]) -> list[str]:
    return [
        f"{number}: {match[0]!r} in {line.strip()[:120]!r}"
        for number, line in lines
        for match in PHRASES.finditer(line)
    ]


def _sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The literals that may be printed; docstrings only where typer prints them as help."""
    tree = ast.parse(path.read_text())
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    is_help = path.name.endswith("_commands.py")
    helps = {
        id(node.body[0].value)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and is_help
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    attributes = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    } - documented
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in attributes or (id(node) in documented and id(node) not in helps):
            continue
        if " " in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", [*PAPERS, *PAGE], ids=lambda path: path.name)
def test_what_is_read_uses_the_fields_words(path: Path) -> None:
    assert _found(list(enumerate(path.read_text().splitlines(), 1))) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_what_is_printed_uses_the_fields_words(path: Path) -> None:
    assert _found(_sentences(path)) == []
