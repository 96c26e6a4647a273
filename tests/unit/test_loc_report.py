"""The count of what the workflow made unnecessary counts logic, and all of it."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "loc_report.py"


@pytest.fixture(scope="module")
def report() -> Any:
    spec = importlib.util.spec_from_file_location("loc_report", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["loc_report"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TEXT = '''"""About
this."""

import os

LIMIT = 3  # why


# a comment alone
@cached
def one(values, more):
    """Says it."""
    if values and more or LIMIT:
        return [v for v in values if v if v > 1]
    elif more:
        for v in values: pass
    try:
        x = (1
             if more else 2)
    except ValueError:
        raise
    return """text
that counts"""


async def two(value):
    while value:
        match value:
            case 1: pass
            case _: pass
'''


@pytest.mark.parametrize(
    ("chosen", "lines", "branches"),
    [
        ({}, 1 + 13 + 5, 9 + 3),
        ({"only": ("one",)}, 13, 9),
        ({"but": ("one", "two")}, 1, 0),
        ({"only": ("none",)}, 0, 0),
    ],
)
def test_lines_with_code_and_ways_that_divide_are_counted(
    report: Any, chosen: dict[str, tuple[str, ...]], lines: int, branches: int
) -> None:
    counted = report.count(TEXT, **chosen)

    assert (counted.lines, counted.branches) == (lines, branches)


def test_what_is_counted_exists(report: Any) -> None:
    for part in [*report.AFTER, *report.AROUND, *report.SHARED]:
        names = {*part.only, *part.but}
        path = report.SOURCE / part.path
        if report.LEGACY in part.path and not path.exists():
            continue  # deleted
        text = path.read_text("utf-8")
        assert {
            name for name in names if f"def {name}(" in text or f"class {name}" in text
        } == names
        assert report.count_part(part).lines > 0


def test_every_file_of_the_legacy_importer_is_counted(report: Any) -> None:
    counted = {part.path for part in [*report.BEFORE, *report.AFTER]}
    folder = report.SOURCE / report.LEGACY

    files = {f"{report.LEGACY}/{path.name}" for path in folder.glob("*.py")}

    assert {path for path in files if not path.endswith("__init__.py")} <= counted
